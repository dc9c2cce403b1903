package govern

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crossdock/avro/registry"
	"crossdock/avro/schemas"
	"crossdock/avro/serde"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

func TestEverySchemaCompiles(t *testing.T) {
	if err := Check(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryReleasedRecordCanBeRead(t *testing.T) {
	violations, err := Compatible()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
	for _, name := range schemas.Events() {
		if releases, err := schemas.Released(name); err != nil || len(releases) == 0 {
			t.Errorf("%s has no release: %v; run: go run ./avro/gen -release", name, err)
		}
	}
}

// A definition is one .avsc file as JSON.
type definition map[string]any

// at is the index of a field.
func (d definition) at(field string) int {
	for i, f := range d["fields"].([]any) {
		if f.(map[string]any)["name"] == field {
			return i
		}
	}
	panic("no field " + field)
}

// set replaces attributes of a field; nil removes one.
func (d definition) set(field string, attributes map[string]any) {
	f := d["fields"].([]any)[d.at(field)].(map[string]any)
	for name, value := range attributes {
		if f[name] = value; value == nil {
			delete(f, name)
		}
	}
}

// add puts a field first.
func (d definition) add(field map[string]any) {
	d["fields"] = append([]any{field}, d["fields"].([]any)...)
}

// drop removes a field.
func (d definition) drop(field string) {
	i := d.at(field)
	d["fields"] = slices.Delete(d["fields"].([]any), i, i+1)
}

// changed is the text of an event after a change of one file.
func changed(t *testing.T, event, file string, change func(definition)) string {
	t.Helper()
	text, err := schemas.FullOf(event, func(name string) ([]byte, error) {
		text, err := schemas.Source(name)
		if err != nil || name != file {
			return text, err
		}
		var d definition
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, err
		}
		change(d)
		return json.Marshal(d)
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnIncompatibleChangeIsNamedWithItsField(t *testing.T) {
	symbols := func(all ...any) func(definition) { return func(d definition) { d["symbols"] = all } }
	for _, c := range []struct {
		what, event, file string
		change            func(definition)
		field, why        string // field "-": no violation
	}{
		{
			"a new field without a default", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.add(map[string]any{"name": "colour", "type": "string"}) },
			"colour", "no default",
		},
		{
			"a new field with a default", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.add(map[string]any{"name": "colour", "type": "string", "default": ""}) },
			"-", "",
		},
		{
			"a new field without a default in a part of a part", "OrderRelease", "OrderLine",
			func(d definition) { d.add(map[string]any{"name": "colour", "type": "string"}) },
			"lines.items.colour", "no default",
		},
		{
			"another type", "InventoryMovement", "EventHeader",
			func(d definition) { d.set("source_seq", map[string]any{"type": []any{"null", "string"}}) },
			"header.source_seq", "long",
		},
		{
			"a narrower type", "InventoryPolicy", "InventoryPolicy",
			func(d definition) { d.set("version", map[string]any{"type": "int"}) },
			"version", "cannot be read as int",
		},
		{
			"a wider type", "InventorySnapshot", "InventorySnapshot",
			func(d definition) { d.set("page", map[string]any{"type": "long"}) },
			"-", "",
		},
		{
			"null no longer allowed", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.set("lot", map[string]any{"type": "string", "default": nil}) },
			"lot", "null",
		},
		{
			"another scale", "InventoryMovement", "Quantity",
			func(d definition) { d["scale"] = 3 },
			"qty_delta", "decimal",
		},
		{
			"milliseconds", "InventoryMovement", "EventHeader",
			func(d definition) {
				d.set("event_time", map[string]any{"type": map[string]any{"type": "long", "logicalType": "timestamp-millis"}})
			},
			"header.event_time", "timestamp-millis",
		},
		{
			"a symbol that is gone", "OrderRelease", "OrderType", symbols("SALES", "REPLENISHMENT"),
			"type", "TRANSFER",
		},
		{
			"a new symbol", "OrderRelease", "OrderType", symbols("SALES", "SAMPLE", "TRANSFER", "REPLENISHMENT"),
			"-", "",
		},
		{
			"another name of a type", "InventoryMovement", "InventoryMovement",
			func(d definition) { d["name"] = "StockMovement" },
			"", "InventoryMovement",
		},
		{
			"a field that is gone", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.drop("pair_id") },
			"-", "",
		},
		{
			"a renamed field", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.set("uom_src", map[string]any{"name": "unit_src"}) },
			"unit_src", "no default",
		},
		{
			"a renamed field with an alias", "InventoryMovement", "InventoryMovement",
			func(d definition) { d.set("uom_src", map[string]any{"name": "unit_src", "aliases": []any{"uom_src"}}) },
			"-", "",
		},
	} {
		text, err := schemas.Full(c.event)
		if err != nil {
			t.Fatal(err)
		}
		released, err := avro.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		violations, err := compare(c.event, "release 1", released, changed(t, c.event, c.file, c.change))
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if c.field == "-" {
			if len(violations) > 0 {
				t.Errorf("%s: %v, want none", c.what, violations)
			}
			continue
		}
		if len(violations) == 0 {
			t.Errorf("%s: not found", c.what)
			continue
		}
		v := violations[0]
		if v.Schema != c.event || v.Field != c.field || !strings.Contains(v.Why, c.why) || v.Remedy == "" || !strings.Contains(v.Error(), "release 1") {
			t.Errorf("%s: %v; want field %q, %q", c.what, v, c.field, c.why)
		}
	}
}

func TestASchemaThatDoesNotCompileIsNamed(t *testing.T) {
	text := changed(t, "OrderRelease", "OrderRelease", func(d definition) { d.set("parties", map[string]any{"default": 7}) })
	if _, err := compare("OrderRelease", "release 1", avro.MustParse(`"int"`), text); err == nil || !strings.Contains(err.Error(), "OrderRelease") {
		t.Errorf("%v", err)
	}
}

func TestARegistrysVersionsAreComparedToo(t *testing.T) {
	r, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	defer server.Close()
	client, err := sr.NewClient(sr.URLs(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	carried := []serde.Carried{{Topic: "crossdock.orders-inbox", Record: "OrderRelease"}, {Topic: "crossdock.items", Record: "ItemMaster"}}
	// What lies in the registry has a symbol that ours has not.
	theirs := changed(t, "OrderRelease", "OrderType", func(d definition) { d["symbols"] = append(d["symbols"].([]any), "SAMPLE") })
	if _, err := client.CreateSchema(ctx, carried[0].Subject(), sr.Schema{Schema: theirs}); err != nil {
		t.Fatal(err)
	}
	violations, err := CompatibleWith(ctx, client, carried)
	if err != nil || len(violations) != 1 || violations[0].Field != "type" || !strings.Contains(violations[0].Why, "SAMPLE") {
		t.Errorf("%v, %v", violations, err)
	}
}

func TestAReleaseIsWrittenOnlyWhereTheSchemaChanged(t *testing.T) {
	dir := t.TempDir()
	written, err := Release(dir) // everything has been released, so a fresh folder stays empty
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range written {
		// A schema that has changed since its last release is written as the next one.
		if filepath.Base(path) == "1.avsc" {
			t.Errorf("%s was written, which is released", path)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	a := changed(t, "OrderRelease", "OrderRelease", func(d definition) { d.set("order", map[string]any{"doc": "Another sentence."}) })
	b, err := schemas.Full("OrderRelease")
	if err != nil {
		t.Fatal(err)
	}
	if same, err := sameButDocs(a, b); err != nil || !same {
		t.Errorf("another doc makes another release: %v", err)
	}
}
