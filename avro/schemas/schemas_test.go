package schemas_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"crossdock/avro/schemas"
)

// definition is what the tests look at in a file.
type definition struct {
	Type      string   `json:"type"`
	Name      string   `json:"name"`
	Namespace string   `json:"namespace"`
	Doc       string   `json:"doc"`
	Symbols   []string `json:"symbols"`
	Default   string   `json:"default"`
	Fields    []struct {
		Name    string          `json:"name"`
		Type    json.RawMessage `json:"type"`
		Doc     string          `json:"doc"`
		Default json.RawMessage `json:"default"`
	} `json:"fields"`
}

func parse(t *testing.T, name string) definition {
	t.Helper()
	text, err := schemas.Source(name)
	if err != nil {
		t.Fatal(err)
	}
	var d definition
	dec := json.NewDecoder(strings.NewReader(string(text)))
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func TestEveryTypeAndFieldIsDocumented(t *testing.T) {
	sentence := func(doc string) bool { return len(doc) > len("X.") && strings.HasSuffix(doc, ".") }
	for _, name := range schemas.Names() {
		d := parse(t, name)
		if d.Name != name || d.Namespace != schemas.Namespace {
			t.Errorf("%s.avsc defines %s.%s", name, d.Namespace, d.Name)
		}
		if !sentence(d.Doc) {
			t.Errorf("%s: doc %q is not a sentence", name, d.Doc)
		}
		for _, f := range d.Fields {
			if !sentence(f.Doc) {
				t.Errorf("%s.%s: doc %q is not a sentence", name, f.Name, f.Doc)
			}
		}
	}
}

// A field that may be null says so by default, so that it can be left out by whoever writes; an enum has a symbol to fall
// back to, so that an older reader survives a new one.
func TestWhatMayBeMissingHasADefault(t *testing.T) {
	for _, name := range schemas.Names() {
		d := parse(t, name)
		if d.Type == "enum" && !slices.Contains(d.Symbols, d.Default) {
			t.Errorf("%s: the default %q is none of its symbols", name, d.Default)
		}
		for _, f := range d.Fields {
			if strings.HasPrefix(string(f.Type), "[") && string(f.Default) != "null" {
				t.Errorf("%s.%s may be null and has the default %s", name, f.Name, f.Default)
			}
		}
	}
}

// references are the types of the model that a file names.
func references(t *testing.T, name string) []string {
	t.Helper()
	text, err := schemas.Source(name)
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for _, part := range strings.Split(string(text), `"`+schemas.Namespace+".")[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		refs = append(refs, ref)
	}
	return refs
}

func TestEventsAreTheRecordsThatNoOtherUses(t *testing.T) {
	used := make(map[string]bool)
	for _, name := range schemas.Names() {
		for _, ref := range references(t, name) {
			used[ref] = true
		}
	}
	events := schemas.Events()
	for _, name := range schemas.Names() {
		isRecord := parse(t, name).Type == "record"
		switch isEvent := slices.Contains(events, name); {
		case isEvent && !isRecord:
			t.Errorf("%s is listed as an event and is no record", name)
		case isEvent && used[name]:
			t.Errorf("%s is listed as an event and is part of another record", name)
		case !isEvent && !used[name]:
			t.Errorf("%s is neither an event nor part of one: list it in Events, or remove it", name)
		}
	}
}

func TestFullStandsAloneAndDefinesEachTypeOnce(t *testing.T) {
	for _, name := range schemas.Names() {
		text, err := schemas.Full(name)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%s: not JSON: %s", name, text)
		}
		for _, other := range schemas.Names() {
			defined := strings.Count(text, `"name":"`+other+`"`)
			if named := strings.Count(text, `"`+schemas.FullName(other)+`"`); defined > 1 || named > 0 && defined == 0 {
				t.Errorf("%s defines %s %d times and names it %d times", name, other, defined, named)
			}
			if defined == 1 && strings.Index(text, `"name":"`+other+`"`) > indexOr(text, `"`+schemas.FullName(other)+`"`, len(text)) {
				t.Errorf("%s names %s before it defines it", name, other)
			}
		}
		indented, err := schemas.Indented(name)
		if err != nil || !json.Valid([]byte(indented)) || !strings.Contains(indented, "\n  \"name\": \""+name+"\"") {
			t.Errorf("%s: %v\n%s", name, err, indented)
		}
	}
}

func indexOr(s, part string, otherwise int) int {
	if i := strings.Index(s, part); i >= 0 {
		return i
	}
	return otherwise
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	if _, err := schemas.Full("Invoice"); err == nil || !strings.Contains(err.Error(), "Invoice") {
		t.Errorf("%v", err)
	}
	source := func(name string) ([]byte, error) {
		switch name {
		case "Broken":
			return []byte(`{"type": "record", "name": "Broken`), nil
		case "Holder":
			return []byte(`{"type": "record", "name": "Holder", "fields": [{"name": "x", "type": "crossdock.v1.Nothing"}]}`), nil
		}
		return schemas.Source(name)
	}
	if _, err := schemas.FullOf("Broken", source); err == nil || !strings.Contains(err.Error(), "Broken.avsc") {
		t.Errorf("%v", err)
	}
	if _, err := schemas.FullOf("Holder", source); err == nil || !strings.Contains(err.Error(), "Nothing") || !strings.Contains(err.Error(), "Holder.avsc refers to it") {
		t.Errorf("%v", err)
	}
}
