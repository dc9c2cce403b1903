package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eventDir is where the generated files lie, seen from this folder.
var eventDir = filepath.Join("..", "event")

func TestGeneratedFilesAreThoseOfTheSchemas(t *testing.T) {
	if err := run(eventDir, true); err != nil {
		t.Error(err)
	}
}

func TestAStaleAMissingAndALeftOverFileAreNamed(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, true); err != nil {
		t.Fatalf("at once after writing: %v", err)
	}
	for name, do := range map[string]func(path string) error{
		"place_gen.go":   func(path string) error { return os.WriteFile(path, []byte("package event\n"), 0o600) },
		"bucket_gen.go":  os.Remove,
		"invoice_gen.go": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		if err := do(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := run(dir, true); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "make schemas") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := run(dir, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "invoice_gen.go")); !os.IsNotExist(err) {
		t.Errorf("a file without a schema is still there: %v", err)
	}
	if err := run(dir, true); err != nil {
		t.Error(err)
	}
}

func TestNamesAreGoNames(t *testing.T) {
	for avro, want := range map[string]string{
		"event_id": "EventID", "sku": "SKU", "uom_src": "UOMSrc", "uoms": "UOMs", "base_uom": "BaseUOM", "event_tz_offset": "EventTZOffset",
		"as_of": "AsOf", "eta_from": "ETAFrom", "length_mm": "LengthMm", "IN_TRANSIT_IN": "InTransitIn", "QC": "QC", "id_qualifier": "IDQualifier",
	} {
		if got := goName(avro); got != want {
			t.Errorf("%s becomes %s, want %s", avro, got, want)
		}
	}
	if got := fileName("InventoryMovement"); got != "inventory_movement_gen.go" {
		t.Error(got)
	}
}

func TestATypeThatTheGeneratorDoesNotKnowIsRefusedByName(t *testing.T) {
	m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{
		`"double"`, `"crossdock.v1.Invoice"`, `"Place"`, `["string", "null"]`, `["null", "string", "long"]`, `["null", ["null", "string"]]`,
		`["null", {"type": "array", "items": "string"}]`, `{"type": "array", "items": {"type": "array", "items": "string"}}`,
		`{"type": "map", "values": "long"}`, `{"type": "long", "logicalType": "timestamp-millis"}`,
	} {
		if typ, err := m.parse([]byte(raw)); err == nil || !strings.Contains(err.Error(), strings.Trim(raw, `"`)) {
			t.Errorf("%s: %+v, %v", raw, typ, err)
		}
	}
	parked := &namedType{Kind: "record", Name: "X", Fields: []*field{{Name: "kind", Type: []byte(`"string"`)}}}
	if err := m.resolve(parked); err == nil || !strings.Contains(err.Error(), "method Kind") {
		t.Errorf("a field that is called like a method: %v", err)
	}
}
