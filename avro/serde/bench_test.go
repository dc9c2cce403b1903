package serde

import (
	"testing"

	"crossdock/avro/event"
)

// What a worker does for every record, beyond the codec: find the schema by its id.
func BenchmarkServe(b *testing.B) {
	s := Local()
	value := s.Append(nil, sample())
	var m event.InventoryMovement
	b.Run("kind", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Kind(value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Decode(value, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			value = s.Append(value[:0], &m)
		}
	})
}

func TestServingAllocatesNothing(t *testing.T) {
	s := Local()
	value := s.Append(nil, sample())
	var m event.InventoryMovement
	if err := s.Decode(value, &m); err != nil { // the slices grow once
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		if _, err := s.Kind(value); err != nil {
			t.Fatal(err)
		}
		if err := s.Decode(value, &m); err != nil {
			t.Fatal(err)
		}
		value = s.Append(value[:0], &m)
	}); allocs != 0 {
		t.Errorf("%v allocations a record, want 0", allocs)
	}
}
