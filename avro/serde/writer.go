package serde

import (
	"encoding/json"
	"fmt"
	"strings"

	"crossdock/avro/event"
	"crossdock/avro/schemas"

	"github.com/twmb/avro"
)

// A writer brings records of another schema than the current one to the current one's binary form.
type writer struct {
	resolved *avro.Schema // decodes the writer's bytes to the reader's values
	reader   *avro.Schema // encodes them
}

// newWriter compiles the resolution of a writer's schema to the current schema of a kind. Whether the two are compatible
// is judged with their logical types; the values then travel without them, so that no time or decimal is converted on
// the way.
func newWriter(text *avro.Schema, kind event.Kind) (*writer, error) {
	current, err := schemas.Full(kind.String())
	if err != nil {
		return nil, err
	}
	reader, err := avro.Parse(current)
	if err != nil {
		return nil, err
	}
	if err := avro.CheckCompatibility(text, reader); err != nil {
		return nil, err
	}
	if reader, err = plain(reader); err != nil {
		return nil, err
	}
	from, err := plain(text)
	if err != nil {
		return nil, err
	}
	resolved, err := avro.Resolve(from, reader)
	if err != nil {
		return nil, err
	}
	return &writer{resolved, reader}, nil
}

// resolve returns the record in the current schema's binary form.
func (w *writer) resolve(payload []byte) ([]byte, error) {
	var value any
	rest, err := w.resolved.Decode(payload, &value)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the record", len(rest))
	}
	return w.reader.AppendEncode(nil, value)
}

// plain is the schema without its logical types.
func plain(s *avro.Schema) (*avro.Schema, error) {
	var tree any
	dec := json.NewDecoder(strings.NewReader(s.String()))
	dec.UseNumber() // a default may be a long that no float holds
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	dropLogicalTypes(tree)
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return avro.Parse(string(text))
}

func dropLogicalTypes(tree any) {
	switch t := tree.(type) {
	case map[string]any:
		if _, ok := t["logicalType"].(string); ok {
			delete(t, "logicalType")
		}
		for name, child := range t {
			if name != "default" { // a default is a value, not a schema
				dropLogicalTypes(child)
			}
		}
	case []any:
		for _, child := range t {
			dropLogicalTypes(child)
		}
	}
}
