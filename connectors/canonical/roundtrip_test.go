package canonical

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/connectors"
)

func codec(t testing.TB) *Codec {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func feed() *connectors.Document {
	return &connectors.Document{Source: "desk", RawRef: "raw.desk/0/7", ReceivedAt: 1793988000000000}
}

// draw makes the Avro bytes of a random value of a type.
func draw(t *rapid.T, n *node, b []byte) []byte {
	switch n.shape {
	case textShape:
		return appendText(b, rapid.StringN(0, 12, 40).Draw(t, "text"))
	case bytesShape:
		return appendText(b, string(rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "bytes")))
	case booleanShape:
		return append(b, byte(rapid.IntRange(0, 1).Draw(t, "boolean")))
	case intShape:
		return appendLong(b, int64(rapid.Int32().Draw(t, "int")))
	case longShape:
		return appendLong(b, rapid.Int64().Draw(t, "long"))
	case microsShape: // years 1 to 9999, as RFC 3339 has them
		return appendLong(b, rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, "micros"))
	case dateShape:
		return appendLong(b, rapid.Int64Range(-719162, 2932896).Draw(t, "date"))
	case quantityShape:
		q := rapid.Int64Range(-int64(event.MaxQuantity), int64(event.MaxQuantity)).Draw(t, "quantity")
		for shift := 56; shift >= 0; shift -= 8 {
			b = append(b, byte(q>>shift))
		}
		return b
	case enumShape:
		return appendLong(b, int64(rapid.IntRange(0, len(n.symbols)-1).Draw(t, "enum")))
	case optionalShape:
		if rapid.Bool().Draw(t, "null") {
			return append(b, 0)
		}
		return draw(t, n.item, append(b, 2))
	case arrayShape, mapShape:
		count := rapid.IntRange(0, 3).Draw(t, "items")
		if count > 0 {
			b = appendLong(b, int64(count))
		}
		for i := range count {
			if n.shape == mapShape { // keys of a map are unique
				b = appendText(b, strings.Repeat("k", i+1)+rapid.StringN(0, 4, 8).Draw(t, "key")[:0])
			}
			b = draw(t, n.item, b)
		}
		return append(b, 0)
	}
	for i := range n.fields {
		b = draw(t, n.fields[i].node, b)
	}
	return b
}

// TestReadingWhatWasPrintedGivesTheSameEvent holds the invariant for events of every kind with random values of every field.
func TestReadingWhatWasPrintedGivesTheSameEvent(t *testing.T) {
	c := codec(t)
	for k := range c.roots {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := event.New(k)
				if err := e.DecodeAvro(draw(t, c.roots[k], nil)); err != nil {
					t.Fatal(err)
				}
				line, err := c.Append(nil, e)
				if err != nil {
					t.Fatal(err)
				}
				if !json.Valid(line) || bytes.ContainsAny(line, "\n\r") {
					t.Fatalf("no line of JSON: %s", line)
				}
				tree, err := parse(line)
				if err != nil {
					t.Fatal(err)
				}
				tree.members = tree.members[1:] // event
				raw, err := encode(nil, c.roots[k], tree, "")
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if !bytes.Equal(raw, e.AppendAvro(nil)) {
					t.Fatalf("%s reads back as something else", line)
				}
			})
		})
	}
}

// TestIngestingWhatWasPrintedGivesTheSameEvent goes the whole way of a person: what crossdock translate printed is fed.
func TestIngestingWhatWasPrintedGivesTheSameEvent(t *testing.T) {
	c := codec(t)
	for _, k := range event.Kinds() {
		if !input(k) {
			continue
		}
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := event.New(k)
				if err := e.DecodeAvro(draw(t, c.roots[k], nil)); err != nil {
					t.Fatal(err)
				}
				line, err := c.Append(nil, e)
				if err != nil {
					t.Fatal(err)
				}
				back, err := c.Read(line, feed(), 3)
				if bytes.Contains(line, []byte(`"dedupe_key":""`)) {
					t.Skip("an event without a dedupe key is not printed by anyone")
				}
				if err != nil {
					t.Fatalf("%s: %v", line, err)
				}
				if diff := cmp.Diff(e, back); diff != "" && !bytes.Equal(e.AppendAvro(nil), back.AppendAvro(nil)) {
					t.Fatalf("%s\n%s", line, diff)
				}
			})
		})
	}
}

func TestEveryFieldIsPrintedByItsNameInTheSchema(t *testing.T) {
	c := codec(t)
	for k, root := range c.roots {
		if root.name != k.String() || len(root.fields) == 0 {
			t.Errorf("%s has the schema %q with %d fields", k, root.name, len(root.fields))
		}
	}
	for _, k := range event.Kinds() {
		if _, err := c.Append(nil, event.New(k)); (err != nil) != (k == event.KindParkedEvent) {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func TestHandWrittenLineMayLeaveOutWhatFollows(t *testing.T) {
	e, err := codec(t).Read([]byte(`{"event":"InventoryMovement","header":{"source_doc_id":"GR-1","source_line":"2","event_time":"2026-11-02T08:40:00+01:00","site":"HAM1"},"sku":"TEA","type":"RECEIPT","qty_src":24.5,"uom_src":"CA","to":{"bucket":"AVAILABLE"}}`), feed(), 12)
	if err != nil {
		t.Fatal(err)
	}
	m := e.(*event.InventoryMovement)
	want := event.EventHeader{
		EventID: "raw.desk/0/7#12", DedupeKey: "desk||CANONICAL/InventoryMovement|GR-1|2|", CorrelationID: "GR-1", SourceSystem: "desk", SourceDocType: "CANONICAL/InventoryMovement",
		SourceDocID: "GR-1", SourceLine: event.Some("2"), EventTime: 1793605200000000, IngestTime: 1793988000000000, Site: "HAM1", RawRef: event.Some("raw.desk/0/7"),
	}
	if diff := cmp.Diff(want, m.Header); diff != "" {
		t.Error(diff)
	}
	if m.QtySrc != 24_500_000 || m.QtyDelta != 0 || m.Type != event.MovementTypeReceipt || m.To.Value.Bucket != event.BucketAvailable || m.From.Valid {
		t.Errorf("got %+v", m)
	}
}
