package serde

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/schemas"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
)

// JSON prints a framed value as one line of canonical JSON, for people and for diff: fields in the schema's order, entries
// of maps by their key, null for null, quantities as decimal texts ("12.5": no reader can make a float of them), moments
// in RFC 3339, UTC, dates as YYYY-MM-DD, enums as symbols, bytes as base64 (RFC 4648, section 4). A value of an older
// writer's schema is printed as the current one.
//
// The bytes are read by goavro, not by the generated codec: what is printed is another reader's view of them. (goavro's
// own text form cannot print a decimal of a fixed type.) Errors are those of Decode, and *PrintError.
func (s *Serde) JSON(value []byte) ([]byte, error) {
	kind, err := s.Kind(value)
	if err != nil {
		return nil, err
	}
	e := event.New(kind)
	if err := s.Decode(value, e); err != nil { // this bounds what goavro, which trusts counts, is given
		return nil, err
	}
	p, err := s.printers.of(kind)
	if err != nil {
		return nil, err
	}
	return p.print(e.AppendAvro(nil))
}

// A PrintError is a record that the generated codec reads and goavro does not: one of the two is wrong.
type PrintError struct {
	Kind event.Kind
	Err  error
}

func (e *PrintError) Error() string {
	return fmt.Sprintf("serde: goavro cannot read a %s that the generated codec has read: %v; this is a bug in one of them: keep the value and report it", e.Kind, e.Err)
}

func (e *PrintError) Unwrap() error { return e.Err }

// printers makes each kind's printer when it is first asked for.
type printers struct {
	mu     sync.Mutex
	byKind map[event.Kind]*printer
}

func (ps *printers) of(kind event.Kind) (*printer, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byKind[kind]; p != nil {
		return p, nil
	}
	text, err := schemas.Full(kind.String())
	if err != nil {
		return nil, err
	}
	codec, err := goavro.NewCodec(text)
	if err != nil {
		return nil, &PrintError{kind, err}
	}
	parsed, err := avro.Parse(text)
	if err != nil {
		return nil, &PrintError{kind, err}
	}
	p := &printer{kind: kind, codec: codec, schema: parsed.Root().ExpandReferences()}
	if ps.byKind == nil {
		ps.byKind = make(map[event.Kind]*printer)
	}
	ps.byKind[kind] = p
	return p, nil
}

// A printer prints records of one kind.
type printer struct {
	kind   event.Kind
	codec  *goavro.Codec
	schema *avro.SchemaNode // with every type in place of its name: goavro's maps have lost the fields' order
}

func (p *printer) print(payload []byte) ([]byte, error) {
	native, rest, err := p.codec.NativeFromBinary(payload)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes are left", len(rest))
	}
	var out bytes.Buffer
	if err == nil {
		err = printValue(&out, p.schema, native)
	}
	if err != nil {
		return nil, &PrintError{p.kind, err}
	}
	return out.Bytes(), nil
}

var errShape = errors.New("a value has not the type that its schema says")

// printValue prints what goavro made of a value of the schema.
func printValue(out *bytes.Buffer, schema *avro.SchemaNode, value any) error {
	switch v := value.(type) {
	case nil:
		out.WriteString("null")
	case map[string]any:
		switch schema.Type {
		case "record":
			return printRecord(out, schema, v)
		case "map":
			return printMap(out, schema, v)
		case "union": // goavro wraps a branch in a map with the branch's name
			for _, inner := range v {
				return printValue(out, &schema.Branches[len(schema.Branches)-1], inner)
			}
		}
		return errShape
	case []any:
		if schema.Type != "array" {
			return errShape
		}
		out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := printValue(out, schema.Items, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case *big.Rat:
		return printText(out, trimZeros(v.FloatString(schema.Scale)))
	case time.Time:
		if schema.LogicalType == "date" {
			return printText(out, v.UTC().Format(time.DateOnly))
		}
		return printText(out, v.UTC().Format(time.RFC3339Nano))
	case []byte:
		return printText(out, base64.StdEncoding.EncodeToString(v))
	case string:
		return printText(out, v)
	case bool, int32, int64:
		fmt.Fprint(out, v)
	default:
		return fmt.Errorf("%w: %T", errShape, value)
	}
	return nil
}

func printRecord(out *bytes.Buffer, schema *avro.SchemaNode, record map[string]any) error {
	for i := range schema.Fields {
		f := &schema.Fields[i]
		if i == 0 {
			out.WriteByte('{')
		} else {
			out.WriteByte(',')
		}
		if err := printText(out, f.Name); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := printValue(out, &f.Type, record[f.Name]); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	out.WriteByte('}')
	return nil
}

func printMap(out *bytes.Buffer, schema *avro.SchemaNode, entries map[string]any) error {
	out.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := printText(out, key); err != nil {
			return err
		}
		out.WriteByte(':')
		if err := printValue(out, schema.Values, entries[key]); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return nil
}

// printText prints a JSON string; <, > and & stay as they are.
func printText(out *bytes.Buffer, text string) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the encoder ends with a newline
	return nil
}

// trimZeros drops the zeros after the point that say nothing.
func trimZeros(decimal string) string {
	if !strings.Contains(decimal, ".") {
		return decimal
	}
	return strings.TrimSuffix(strings.TrimRight(decimal, "0"), ".")
}
