package canonical

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf8"

	"crossdock/avro/event"
)

// Append appends the JSON form of an event, without a line end. ParkedEvent has none: it is an envelope around an event.
func (c *Codec) Append(b []byte, e event.Record) ([]byte, error) {
	root := c.roots[e.Kind()]
	if root == nil {
		return nil, fmt.Errorf("canonical: %s has no JSON form", e.Kind())
	}
	p := printer{b: append(b, `{"event":`...), avro: e.AppendAvro(nil)}
	p.text(root.name)
	p.members(root, true)
	if p.err == nil && len(p.avro) > 0 {
		p.err = errCodec
	}
	if p.err != nil {
		return nil, fmt.Errorf("canonical: printing %s: %w", e.Kind(), p.err)
	}
	return append(p.b, '}'), nil
}

// errCodec cannot come but from a codec and a schema that differ.
var errCodec = fmt.Errorf("the event's bytes do not follow its schema: run the generator (go run ./avro/gen)")

// A printer turns Avro bytes into JSON, by the schema.
type printer struct {
	b, avro []byte
	err     error
}

// value prints a value of the type and takes it off the bytes.
func (p *printer) value(n *node) {
	switch n.shape {
	case textShape:
		p.text(string(p.take(p.length())))
	case bytesShape:
		p.b = append(p.b, '"')
		p.b = base64.StdEncoding.AppendEncode(p.b, p.take(p.length()))
		p.b = append(p.b, '"')
	case booleanShape:
		p.b = strconv.AppendBool(p.b, len(p.avro) > 0 && p.avro[0] == 1)
		p.take(1)
	case intShape, longShape:
		p.b = strconv.AppendInt(p.b, p.long(), 10)
	case quantityShape:
		if raw := p.take(8); len(raw) == 8 {
			p.b = append(event.Quantity(binary.BigEndian.Uint64(raw)).Append(append(p.b, '"')), '"')
		}
	case microsShape:
		p.text(event.Micros(p.long()).String())
	case dateShape:
		p.text(event.Date(p.long()).String())
	case enumShape:
		i := p.long()
		if i < 0 || i >= int64(len(n.symbols)) {
			p.err = errCodec
			return
		}
		p.text(n.symbols[i])
	case optionalShape:
		if p.long() == 0 {
			p.b = append(p.b, "null"...)
			return
		}
		p.value(n.item)
	case arrayShape, mapShape:
		p.items(n)
	case recordShape:
		p.b = append(p.b, '{')
		p.members(n, false)
		p.b = append(p.b, '}')
	}
}

// members prints the fields of a record. What is null or empty by default is left out.
func (p *printer) members(n *node, comma bool) {
	for i := range n.fields {
		f := &n.fields[i]
		if p.err != nil {
			return
		}
		switch f.node.shape {
		case optionalShape, arrayShape, mapShape:
			if f.absent != nil && len(p.avro) > 0 && p.avro[0] == 0 {
				p.avro = p.avro[1:]
				continue
			}
		}
		if comma {
			p.b = append(p.b, ',')
		}
		comma = true
		p.text(f.name)
		p.b = append(p.b, ':')
		p.value(f.node)
	}
}

func (p *printer) items(n *node) {
	open, end := byte('['), byte(']')
	if n.shape == mapShape {
		open, end = '{', '}'
	}
	p.b = append(p.b, open)
	first := true
	for p.err == nil {
		count := p.long()
		if count == 0 {
			break
		}
		if count < 0 {
			count = -count
			p.long()
		}
		for ; count > 0 && p.err == nil; count-- {
			if !first {
				p.b = append(p.b, ',')
			}
			first = false
			if n.shape == mapShape {
				p.text(string(p.take(p.length())))
				p.b = append(p.b, ':')
			}
			p.value(n.item)
		}
	}
	p.b = append(p.b, end)
}

func (p *printer) long() int64 {
	v, n := binary.Varint(p.avro)
	if n <= 0 {
		p.err, p.avro = errCodec, nil
		return 0
	}
	p.avro = p.avro[n:]
	return v
}

func (p *printer) length() int { return int(p.long()) }

func (p *printer) take(n int) []byte {
	if n < 0 || n > len(p.avro) {
		p.err, p.avro = errCodec, nil
		return nil
	}
	t := p.avro[:n]
	p.avro = p.avro[n:]
	return t
}

// text prints a JSON string (RFC 8259, section 7). Bytes that are not UTF-8 become the replacement character.
func (p *printer) text(s string) {
	const hex = "0123456789abcdef"
	b := p.b
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	b = append(b, '"')
	p.b = b
}
