package canonical

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"crossdock/avro/event"
	"crossdock/connectors"
)

// A FieldError says which field of a line is wrong.
type FieldError struct {
	Cause  connectors.Cause
	Field  string // "header.event_time", "lines[2].qty_src"
	Detail string
	Remedy string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Detail + "; " + e.Remedy }

func wrong(cause connectors.Cause, path, remedy, format string, args ...any) error {
	return &FieldError{Cause: cause, Field: path, Remedy: remedy, Detail: fmt.Sprintf(format, args...)}
}

// encode appends the Avro binary form of a JSON value.
func encode(b []byte, n *node, t *tree, path string) ([]byte, error) {
	switch n.shape {
	case optionalShape:
		if t.token == nil {
			return append(b, 0), nil
		}
		return encode(append(b, 2), n.item, t, path)
	case recordShape:
		return encodeRecord(b, n, t, path)
	case arrayShape:
		if !t.isArray() {
			return nil, wrong(connectors.BadLine, path, "write [ ... ]", "it is no array")
		}
		if len(t.items) > 0 {
			b = appendLong(b, int64(len(t.items)))
		}
		var err error
		for i, item := range t.items {
			if b, err = encode(b, n.item, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return nil, err
			}
		}
		return append(b, 0), nil
	case mapShape:
		if !t.isObject() {
			return nil, wrong(connectors.BadLine, path, "write { ... }", "it is no object")
		}
		if len(t.members) > 0 {
			b = appendLong(b, int64(len(t.members)))
		}
		var err error
		for _, m := range t.members {
			b = appendText(b, m.name)
			if b, err = encode(b, n.item, m.value, join(path, m.name)); err != nil {
				return nil, err
			}
		}
		return append(b, 0), nil
	case quantityShape:
		return encodeQuantity(b, t, path)
	case booleanShape:
		v, ok := t.token.(bool)
		if !ok {
			return nil, wrong(connectors.BadLine, path, "write true or false", "it is no boolean")
		}
		if v {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case intShape, longShape:
		bits := 64
		if n.shape == intShape {
			bits = 32
		}
		text, ok := t.token.(json.Number)
		v, err := strconv.ParseInt(string(text), 10, bits)
		if !ok || err != nil {
			return nil, wrong(connectors.BadLine, path, fmt.Sprintf("write a whole number of at most %d bits", bits), "it is no whole number")
		}
		return appendLong(b, v), nil
	}
	text, ok := t.token.(string)
	if !ok {
		return nil, wrong(connectors.BadLine, path, "write a text in quotation marks", "it is no text")
	}
	return encodeText(b, n, text, path)
}

// encodeText appends what JSON writes as a string.
func encodeText(b []byte, n *node, text, path string) ([]byte, error) {
	switch n.shape {
	case bytesShape:
		v, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, wrong(connectors.BadLine, path, "write base64 (RFC 4648)", "it is not base64")
		}
		return appendText(b, string(v)), nil
	case enumShape:
		for i, s := range n.symbols {
			if s == text {
				return appendLong(b, int64(i)), nil
			}
		}
		return nil, wrong(connectors.BadCode, path, fmt.Sprintf("write one of %v", n.symbols), "%q is no %s", text, n.name)
	case microsShape:
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, wrong(connectors.BadDate, path, "write RFC 3339, such as 2026-11-24T11:30:00Z", "%q is no time with a zone", text)
		}
		if v.Nanosecond()%1000 != 0 {
			return nil, wrong(connectors.BadDate, path, "write at most 6 digits of a second", "%q is finer than a microsecond", text)
		}
		return appendLong(b, int64(event.MicrosOf(v))), nil
	case dateShape:
		v, err := event.ParseDate(text)
		if err != nil {
			return nil, wrong(connectors.BadDate, path, "write YYYY-MM-DD", "%q is no date", text)
		}
		return appendLong(b, int64(v)), nil
	}
	if !utf8.ValidString(text) {
		return nil, wrong(connectors.BadText, path, "write UTF-8", "it is not UTF-8")
	}
	return appendText(b, text), nil
}

func encodeRecord(b []byte, n *node, t *tree, path string) ([]byte, error) {
	if !t.isObject() {
		return nil, wrong(connectors.BadLine, path, "write { ... }", "it is no object")
	}
	for _, m := range t.members {
		if n.field(m.name) == nil {
			var names []string
			for _, f := range n.fields {
				names = append(names, f.name)
			}
			return nil, wrong(connectors.UnknownField, join(path, m.name), fmt.Sprintf("fields of %s are %v", n.name, names), "%s has no such field", n.name)
		}
	}
	var err error
	for i := range n.fields {
		f := &n.fields[i]
		v := t.get(f.name)
		switch {
		case v != nil:
			if b, err = encode(b, f.node, v, join(path, f.name)); err != nil {
				return nil, err
			}
		case f.absent != nil:
			b = append(b, f.absent...)
		case f.node.shape == optionalShape:
			b = append(b, 0)
		default:
			return nil, wrong(connectors.MissingValue, join(path, f.name), "give it", "it is mandatory and missing")
		}
	}
	return b, nil
}

// encodeQuantity takes a decimal as a string or as a number literal: its digits count, no float is made of it.
func encodeQuantity(b []byte, t *tree, path string) ([]byte, error) {
	var text string
	switch v := t.token.(type) {
	case string:
		text = v
	case json.Number:
		text = string(v)
	default:
		return nil, wrong(connectors.BadQuantity, path, `write a decimal, such as "12.5"`, "it is no quantity")
	}
	q, err := event.ParseQuantity(text)
	if err != nil {
		if len(text) > 40 {
			text = text[:40]
		}
		detail := err.Error()
		var e *event.QuantityError
		if errors.As(err, &e) {
			detail = e.Problem
		}
		return nil, wrong(connectors.BadQuantity, path, "write a decimal of at most 12 digits before and 6 after the point", "%q: %s", text, detail)
	}
	return binary.BigEndian.AppendUint64(b, uint64(q)), nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// appendLong appends an Avro long (Avro 1.12, Binary Encoding).
func appendLong(b []byte, v int64) []byte {
	return binary.AppendVarint(b, v) // encoding/binary's varint is the same zigzag form
}

func appendText(b []byte, s string) []byte { return append(appendLong(b, int64(len(s))), s...) }
