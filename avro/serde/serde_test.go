package serde

import (
	"errors"
	"strings"
	"testing"

	"crossdock/avro/event"
)

func sample() *event.InventoryMovement {
	m := &event.InventoryMovement{
		SKU:      "SKU-1",
		Type:     event.MovementTypePick,
		QtyDelta: -12_500_000,
		From:     event.Some(event.Place{Bucket: event.BucketAvailable, Location: event.Some("A-01 <&>")}),
		Expiry:   event.Some(event.Date(20_000)),
		Serials:  []string{"s1", "s2"},
	}
	m.Header.EventID = "e1"
	m.Header.EventTime = 1_700_000_000_123_456
	m.Header.Ext = []event.Pair{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}
	return m
}

func TestLocalRoundTripOfEveryKind(t *testing.T) {
	s := Local()
	for _, k := range event.Kinds() {
		value := s.Append(nil, event.New(k))
		got, err := s.Kind(value)
		if err != nil || got != k {
			t.Fatalf("Kind of a %s: %v, %v", k, got, err)
		}
		if err := s.Decode(value, event.New(k)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.JSON(value); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDecodeNamesWhatIsWrong(t *testing.T) {
	s := Local()
	value := s.Append(nil, sample())
	var framing *FramingError
	for _, bad := range [][]byte{nil, {0}, {0, 0, 0, 0}, {1, 0, 0, 0, 1, 5}, []byte(`{"sku":1}`)} {
		if err := s.Decode(bad, sample()); !errors.As(err, &framing) {
			t.Errorf("Decode(%q): %v, want a *FramingError", bad, err)
		}
	}
	var unknown *UnknownSchemaError
	if err := s.Decode([]byte{0, 0, 0, 1, 0, 5}, sample()); !errors.As(err, &unknown) || unknown.ID != 256 {
		t.Errorf("an unknown id: %v", err)
	}
	var kind *KindError
	if err := s.Decode(value, new(event.OrderRelease)); !errors.As(err, &kind) || kind.Have != event.KindInventoryMovement {
		t.Errorf("another kind: %v", err)
	}
	var decode *event.DecodeError
	if err := s.Decode(value[:len(value)-1], sample()); !errors.As(err, &decode) || decode.Field != "item_version" {
		t.Errorf("a cut record: %v", err)
	}
}

func TestJSONKeepsOrderAndExactNumbers(t *testing.T) {
	s := Local()
	got, err := s.JSON(s.Append(nil, sample()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"header":{"event_id":"e1","dedupe_key":"",`,
		`"event_time":"2023-11-14T22:13:20.123456Z"`,
		`"ext":{"a":"1","b":"2"}}`,
		`"type":"PICK","qty_delta":"-12.5","qty_src":"0"`,
		`"from":{"bucket":"AVAILABLE","location":"A-01 <&>","lpn":null},"to":null`,
		`"expiry":"2024-10-04","serials":["s1","s2"],`,
		`"item_version":null}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}
