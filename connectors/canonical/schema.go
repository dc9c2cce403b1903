package canonical

import (
	"encoding/json"
	"fmt"

	"crossdock/avro/event"
	"crossdock/avro/schemas"
)

// A shape is how a value looks in JSON and in Avro binary.
type shape uint8

const (
	textShape     shape = iota // string
	bytesShape                 // base64
	booleanShape               //
	intShape                   // number, 32 bits
	longShape                  // number, 64 bits
	quantityShape              // decimal in a string; fixed(8) of millionths
	microsShape                // RFC 3339 in a string; timestamp-micros
	dateShape                  // YYYY-MM-DD in a string; date
	enumShape                  // symbol
	optionalShape              // the value or nothing; ["null", T]
	arrayShape
	mapShape    // object of strings
	recordShape // object
)

// A node is one type of a schema.
type node struct {
	shape   shape
	name    string   // of a record or an enum, without the namespace
	symbols []string // of an enum
	item    *node    // of an array, a map or an optional
	fields  []field  // of a record
}

type field struct {
	name   string
	node   *node
	absent []byte // Avro bytes of the default; nil: the field is mandatory
}

func (n *node) field(name string) *field {
	for i := range n.fields {
		if n.fields[i].name == name {
			return &n.fields[i]
		}
	}
	return nil
}

// A Codec translates between canonical events and their JSON form by the schemas in avro/schemas alone, so that a field added
// to one of those is in the JSON form too. It is safe for use by several goroutines.
type Codec struct{ roots map[event.Kind]*node }

// New compiles the schemas.
func New() (*Codec, error) {
	c := &Codec{roots: map[event.Kind]*node{}}
	for _, k := range event.Kinds() {
		text, err := schemas.Full(k.String())
		if err != nil {
			return nil, fmt.Errorf("canonical: %w", err)
		}
		n, err := compile(json.RawMessage(text), map[string]*node{})
		if err != nil {
			return nil, fmt.Errorf("canonical: schema %s: %w", k, err)
		}
		if n.field("event") == nil { // the name that tells the record
			c.roots[k] = n
		}
	}
	return c, nil
}

// A schemaObject is an Avro schema that is a JSON object.
type schemaObject struct {
	Type        json.RawMessage `json:"type"`
	Name        string          `json:"name"`
	LogicalType string          `json:"logicalType"`
	Symbols     []string        `json:"symbols"`
	Items       json.RawMessage `json:"items"`
	Values      json.RawMessage `json:"values"`
	Size        int             `json:"size"`
	Fields      []struct {
		Name    string          `json:"name"`
		Type    json.RawMessage `json:"type"`
		Default json.RawMessage `json:"default"`
	} `json:"fields"`
}

// compile reads a type (Avro 1.12, Schema Declaration), as far as the schemas of this project use it.
func compile(text json.RawMessage, names map[string]*node) (*node, error) {
	var name string
	if json.Unmarshal(text, &name) == nil {
		return named(name, names)
	}
	var union []json.RawMessage
	if json.Unmarshal(text, &union) == nil {
		var first string
		if len(union) != 2 || json.Unmarshal(union[0], &first) != nil || first != "null" {
			return nil, fmt.Errorf("union %s is not [null, T]", text)
		}
		item, err := compile(union[1], names)
		return &node{shape: optionalShape, item: item}, err
	}
	var o schemaObject
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	var kind string
	if json.Unmarshal(o.Type, &kind) != nil {
		return compile(o.Type, names)
	}
	n := &node{name: short(o.Name)}
	if o.Name != "" {
		names[n.name] = n
	}
	var err error
	switch kind {
	case "enum":
		n.shape, n.symbols = enumShape, o.Symbols
	case "array":
		n.shape = arrayShape
		n.item, err = compile(o.Items, names)
	case "map":
		n.shape = mapShape
		n.item, err = compile(o.Values, names)
	case "fixed":
		if n.shape = quantityShape; o.LogicalType != "decimal" || o.Size != 8 {
			return nil, fmt.Errorf("fixed %s is no quantity", o.Name)
		}
	case "record":
		n.shape = recordShape
		for _, f := range o.Fields {
			t, err := compile(f.Type, names)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Name, err)
			}
			made := field{name: f.Name, node: t}
			if f.Default != nil {
				if made.absent, err = absent(t, f.Default); err != nil {
					return nil, fmt.Errorf("default of %s: %w", f.Name, err)
				}
			}
			n.fields = append(n.fields, made)
		}
	case "long":
		if n.shape = longShape; o.LogicalType == "timestamp-micros" {
			n.shape = microsShape
		}
	case "int":
		if n.shape = intShape; o.LogicalType == "date" {
			n.shape = dateShape
		}
	default:
		return named(kind, names)
	}
	return n, err
}

func named(name string, names map[string]*node) (*node, error) {
	switch name {
	case "string":
		return &node{shape: textShape}, nil
	case "bytes":
		return &node{shape: bytesShape}, nil
	case "boolean":
		return &node{shape: booleanShape}, nil
	case "int":
		return &node{shape: intShape}, nil
	case "long":
		return &node{shape: longShape}, nil
	}
	if n := names[short(name)]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("type %q is not defined before its use", name)
}

func short(name string) string {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}

// absent is the Avro form of a default. Defaults are null, empty or scalar.
func absent(n *node, text json.RawMessage) ([]byte, error) {
	if n.shape == optionalShape {
		return []byte{0}, nil
	}
	v, err := parse(text)
	if err != nil {
		return nil, err
	}
	return encode([]byte{}, n, v, "")
}
