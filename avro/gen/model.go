package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"crossdock/avro/schemas"
)

// A namedType is one .avsc file: a record, an enum or a fixed.
type namedType struct {
	Kind      string   `json:"type"`
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Doc       string   `json:"doc"`
	Fields    []*field `json:"fields"`
	Symbols   []string `json:"symbols"`
}

// A field is a field of a record. Type is what the file says, typ what it means.
type field struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
	Doc  string          `json:"doc"`
	typ  fieldType
}

// form is how a field's type is coded.
type form int

const (
	formText form = iota
	formBytes
	formInt
	formLong
	formBoolean
	formQuantity
	formMicros
	formDate
	formEnum
	formRecord
	formOptional // of elem
	formArray    // of elem
	formMap      // of texts
)

// A fieldType is a type in use: one of Avro's that the generator knows, or a reference to a named one.
type fieldType struct {
	form form
	name string     // of the record or enum
	elem *fieldType // of the optional or array
}

// A model is all types of avro/schemas, by name.
type model struct {
	names []string // sorted
	types map[string]*namedType
}

// quantityName is the one fixed type that there is; it is written by hand in avro/event.
const quantityName = "Quantity"

// load reads every schema and resolves the types of its fields.
func load() (*model, error) {
	m := &model{names: schemas.Names(), types: make(map[string]*namedType)}
	for _, name := range m.names {
		text, err := schemas.Source(name)
		if err != nil {
			return nil, err
		}
		t := new(namedType)
		if err := json.Unmarshal(text, t); err != nil {
			return nil, fmt.Errorf("%s.avsc: %w", name, err)
		}
		if t.Name != name || t.Namespace != schemas.Namespace {
			return nil, fmt.Errorf("%s.avsc defines %s.%s: the file must have the type's name, and the namespace be %s",
				name, t.Namespace, t.Name, schemas.Namespace)
		}
		if strings.Contains(t.Doc, "\n") {
			return nil, fmt.Errorf("%s.avsc: a doc is one line", name)
		}
		m.types[name] = t
	}
	for _, name := range m.names {
		if err := m.resolve(m.types[name]); err != nil {
			return nil, fmt.Errorf("%s.avsc: %w", name, err)
		}
	}
	for _, name := range schemas.Events() {
		if t := m.types[name]; t == nil || t.Kind != "record" {
			return nil, fmt.Errorf("schemas.Events names %s, which is no record in avro/schemas", name)
		}
	}
	return m, nil
}

func (m *model) resolve(t *namedType) error {
	switch t.Kind {
	case "enum":
		if len(t.Symbols) > 64 {
			return fmt.Errorf("%d symbols: the decoder takes an index of one byte, so 64", len(t.Symbols))
		}
	case "fixed":
		if t.Name != quantityName {
			return fmt.Errorf("the only fixed type is %s", quantityName)
		}
	case "record":
		for _, f := range t.Fields {
			if strings.Contains(f.Doc, "\n") {
				return fmt.Errorf("field %s: a doc is one line", f.Name)
			}
			typ, err := m.parse(f.Type)
			if err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
			f.typ = typ
			if isMethod(goName(f.Name)) {
				return fmt.Errorf("field %s: the generated struct has a method %s: choose another name", f.Name, goName(f.Name))
			}
		}
	default:
		return fmt.Errorf("type %q: a file holds a record, an enum or a fixed", t.Kind)
	}
	return nil
}

// parse reads the type of a field.
func (m *model) parse(raw json.RawMessage) (fieldType, error) {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return m.named(name)
	}
	var union []json.RawMessage
	if json.Unmarshal(raw, &union) == nil {
		if len(union) != 2 || string(union[0]) != `"null"` {
			return fieldType{}, fmt.Errorf(`union %s: the only union is ["null", T]`, raw)
		}
		elem, err := m.parse(union[1])
		if err != nil {
			return fieldType{}, err
		}
		if elem.form == formOptional || elem.form == formArray || elem.form == formMap {
			return fieldType{}, fmt.Errorf("union %s: an empty array or map says the same as null", raw)
		}
		return fieldType{form: formOptional, elem: &elem}, nil
	}
	var complexType struct {
		Type        string          `json:"type"`
		LogicalType string          `json:"logicalType"`
		Items       json.RawMessage `json:"items"`
		Values      string          `json:"values"`
	}
	if err := json.Unmarshal(raw, &complexType); err != nil {
		return fieldType{}, fmt.Errorf("type %s: %w", raw, err)
	}
	switch c := complexType; {
	case c.Type == "array":
		elem, err := m.parse(c.Items)
		if err != nil {
			return fieldType{}, err
		}
		if elem.form == formOptional || elem.form == formArray || elem.form == formMap {
			return fieldType{}, fmt.Errorf("type %s: put the items into a record of their own", raw)
		}
		return fieldType{form: formArray, elem: &elem}, nil
	case c.Type == "map" && c.Values == "string":
		return fieldType{form: formMap}, nil
	case c.Type == "long" && c.LogicalType == "timestamp-micros":
		return fieldType{form: formMicros}, nil
	case c.Type == "int" && c.LogicalType == "date":
		return fieldType{form: formDate}, nil
	}
	return fieldType{}, fmt.Errorf("type %s: not one that the generator knows; see fieldType in avro/gen", raw)
}

func (m *model) named(name string) (fieldType, error) {
	switch name {
	case "string":
		return fieldType{form: formText}, nil
	case "bytes":
		return fieldType{form: formBytes}, nil
	case "int":
		return fieldType{form: formInt}, nil
	case "long":
		return fieldType{form: formLong}, nil
	case "boolean":
		return fieldType{form: formBoolean}, nil
	}
	short, ok := strings.CutPrefix(name, schemas.Namespace+".")
	t := m.types[short]
	if !ok || t == nil {
		return fieldType{}, fmt.Errorf("type %q: neither one that the generator knows nor a file of avro/schemas with its namespace", name)
	}
	switch t.Kind {
	case "fixed":
		return fieldType{form: formQuantity}, nil
	case "enum":
		return fieldType{form: formEnum, name: short}, nil
	}
	return fieldType{form: formRecord, name: short}, nil
}

// minSize is the least number of bytes that a value takes: it bounds how many items a block can hold.
func (m *model) minSize(t fieldType) int {
	switch t.form {
	case formQuantity:
		return 8
	case formRecord:
		size := 0
		for _, f := range m.types[t.name].Fields {
			size += m.minSize(f.typ)
		}
		return size
	}
	return 1
}

// keepsRoom tells whether a value holds slices whose room is used again.
func (m *model) keepsRoom(t fieldType) bool {
	switch t.form {
	case formArray, formMap:
		return true
	case formOptional:
		return m.keepsRoom(*t.elem)
	case formRecord:
		for _, f := range m.types[t.name].Fields {
			if m.keepsRoom(f.typ) {
				return true
			}
		}
	}
	return false
}
