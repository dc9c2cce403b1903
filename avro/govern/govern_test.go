package govern

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crossdock/avro/registry"
	"crossdock/avro/schemas"
	"crossdock/avro/serde"

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

// changed is the text of an event after a change of one file.
func changed(t *testing.T, event, file, from, to string) string {
	t.Helper()
	text, err := schemas.FullOf(event, func(name string) ([]byte, error) {
		text, err := schemas.Source(name)
		if err == nil && name == file {
			if !strings.Contains(string(text), from) {
				t.Fatalf("%s.avsc has no %s", file, from)
			}
			text = []byte(strings.Replace(string(text), from, to, 1))
		}
		return text, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAnIncompatibleChangeIsNamedWithItsField(t *testing.T) {
	for _, c := range []struct {
		what, event, file, old, new string
		field, why                  string // field "-": no violation
	}{
		{
			"a new field without a default", "InventoryMovement", "InventoryMovement",
			`{"name": "sku",`, `{"name": "colour", "type": "string"}, {"name": "sku",`,
			"colour", "no default",
		},
		{
			"a new field with a default", "InventoryMovement", "InventoryMovement",
			`{"name": "sku",`, `{"name": "colour", "type": "string", "default": ""}, {"name": "sku",`,
			"-", "",
		},
		{
			"a new field without a default in a part of a part", "OrderRelease", "OrderLine",
			`{"name": "sku",`, `{"name": "colour", "type": "string"}, {"name": "sku",`,
			"lines.items.colour", "no default",
		},
		{
			"another type", "InventoryMovement", "EventHeader",
			`"name": "source_seq", "type": ["null", "long"]`, `"name": "source_seq", "type": ["null", "string"]`,
			"header.source_seq", "long",
		},
		{
			"a narrower type", "InventoryPolicy", "InventoryPolicy",
			`"name": "version", "type": "long"`, `"name": "version", "type": "int"`,
			"version", "cannot be read as int",
		},
		{
			"a wider type", "InventorySnapshot", "InventorySnapshot",
			`"name": "page", "type": "int"`, `"name": "page", "type": "long"`,
			"-", "",
		},
		{
			"null no longer allowed", "InventoryMovement", "InventoryMovement",
			`"name": "lot", "type": ["null", "string"], "doc": "Lot or batch.", "default": null`, `"name": "lot", "type": "string"`,
			"lot", "null",
		},
		{
			"another scale", "InventoryMovement", "Quantity",
			`"scale": 6`, `"scale": 3`,
			"qty_delta", "decimal",
		},
		{
			"milliseconds", "InventoryMovement", "EventHeader",
			`"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}`,
			`"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}`,
			"header.event_time", "timestamp-millis",
		},
		{
			"a symbol that is gone", "OrderRelease", "OrderType",
			`"TRANSFER",`, ``,
			"type", "TRANSFER",
		},
		{
			"a new symbol", "OrderRelease", "OrderType",
			`"TRANSFER",`, `"TRANSFER", "SAMPLE",`,
			"-", "",
		},
		{
			"another name of a type", "InventoryMovement", "InventoryMovement",
			`"name": "InventoryMovement"`, `"name": "StockMovement"`,
			"", "InventoryMovement",
		},
		{
			"a field that is gone", "InventoryMovement", "InventoryMovement",
			`{"name": "pair_id", "type": ["null", "string"], "doc": "Names the CLEARING posting of a move whose other half is on another key.", "default": null},`, ``,
			"-", "",
		},
	} {
		old, err := schemas.Full(c.event)
		if err != nil {
			t.Fatal(err)
		}
		violations, err := compare(c.event, "release 1", old, changed(t, c.event, c.file, c.old, c.new))
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
	text := changed(t, "OrderRelease", "OrderRelease", `"default": []`, `"default": 7`)
	if _, err := compare("OrderRelease", "release 1", text, text); err == nil || !strings.Contains(err.Error(), "OrderRelease") {
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
	theirs := changed(t, "OrderRelease", "OrderType", `"TRANSFER",`, `"TRANSFER", "SAMPLE",`)
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
	a := changed(t, "OrderRelease", "OrderRelease", "Order number.", "The order's number.")
	b, err := schemas.Full("OrderRelease")
	if err != nil {
		t.Fatal(err)
	}
	if same, err := sameButDocs(a, b); err != nil || !same {
		t.Errorf("another doc makes another release: %v", err)
	}
}
