package canonical

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxDepth bounds nesting: the model's deepest event has 5 levels.
const maxDepth = 16

// A tree is a JSON value with the order of its members.
type tree struct {
	token   json.Token // string, json.Number, bool, nil; json.Delim for objects and arrays
	members []member
	items   []*tree
}

type member struct {
	name  string
	value *tree
}

func (t *tree) isObject() bool { return t.token == json.Delim('{') }
func (t *tree) isArray() bool  { return t.token == json.Delim('[') }

// get returns a member; nil where there is none, or where it is null.
func (t *tree) get(name string) *tree {
	for _, m := range t.members {
		if m.name == name && m.value.token != nil {
			return m.value
		}
	}
	return nil
}

// text returns a member that is a string, "" where it is missing.
func (t *tree) text(name string) string {
	v := t.get(name)
	if v == nil {
		return ""
	}
	s, _ := v.token.(string)
	return s
}

// set adds a member that is missing.
func (t *tree) set(name string, value json.Token) {
	if t.get(name) == nil {
		t.members = append(t.members, member{name, &tree{token: value}})
	}
}

// parse reads one JSON value and nothing behind it. Members that occur twice are an error: which one counts would be a guess.
func parse(text []byte) (*tree, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	t, err := parseValue(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the JSON text ends too early")
		}
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows the JSON value at byte %d", d.InputOffset())
	}
	return t, nil
}

func parseValue(d *json.Decoder, depth int) (*tree, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	t := &tree{token: token}
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			if seen[name] {
				return nil, fmt.Errorf("member %q occurs twice", name)
			}
			seen[name] = true
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			t.members = append(t.members, member{name, v})
		}
		_, err = d.Token()
	case json.Delim('['):
		for d.More() {
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			t.items = append(t.items, v)
		}
		_, err = d.Token()
	}
	return t, err
}
