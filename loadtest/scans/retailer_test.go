package scans

import (
	"testing"

	"crossdock/avro/serde"
)

func retail_(t testing.TB, change func(*Load)) *Generator {
	t.Helper()
	l := DefaultLoad(1)
	l.Run = "LT7F3K"
	if change != nil {
		change(&l)
	}
	g, err := NewRetailer(l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func BenchmarkRetailer(b *testing.B) {
	g := retail_(b, nil)
	s := serde.Local()
	var key, value []byte
	for range 200_000 {
		g.Next()
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
		key = g.AppendKey(key[:0])
		value = g.AppendValue(value[:0], s)
	}
}

func BenchmarkRetailerReplay(b *testing.B) {
	g := retail_(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
