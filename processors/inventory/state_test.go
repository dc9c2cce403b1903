package inventory

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
)

func drawState(rt *rapid.T) state {
	s := state{
		postings:  rapid.Int64Range(0, 1<<62).Draw(rt, "postings"),
		asOf:      event.Micros(rapid.Int64().Draw(rt, "as of")),
		postedAt:  event.Micros(rapid.Int64().Draw(rt, "posted at")),
		hasPolicy: rapid.Bool().Draw(rt, "policy"),
	}
	if s.hasPolicy {
		s.policyVersion = rapid.Int64Range(0, 1<<62).Draw(rt, "policy version")
		s.safetyStock = event.Quantity(rapid.Int64().Draw(rt, "safety stock"))
	}
	for i := 1; i < buckets; i++ {
		s.bucket[i] = event.Quantity(rapid.Int64().Draw(rt, "bucket"))
	}
	for range rapid.IntRange(0, remembered).Draw(rt, "hashes") {
		s.memory = binary.LittleEndian.AppendUint64(s.memory, rapid.Uint64().Draw(rt, "hash"))
	}
	if len(s.memory) == remembered*hashSize {
		s.oldest = byte(rapid.IntRange(0, remembered-1).Draw(rt, "oldest"))
	}
	return s
}

func TestPackedStateOpensAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawState(rt)
		packed := want.appendTo(nil)
		var got state
		if err := got.open(packed); err != nil {
			rt.Fatal(err)
		}
		memory := got.memory
		if string(memory) != string(want.memory) {
			rt.Fatal("the memory differs")
		}
		got.memory, want.memory = nil, nil
		if got.postings != want.postings || got.asOf != want.asOf || got.postedAt != want.postedAt || got.bucket != want.bucket ||
			got.policyVersion != want.policyVersion || got.safetyStock != want.safetyStock || got.oldest != want.oldest {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestCutStateIsAnErrorAndNeverAPanic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawState(rt)
		packed := s.appendTo(nil)
		var got state
		if err := got.open(packed[:rapid.IntRange(0, len(packed)-1).Draw(rt, "length")]); err == nil {
			rt.Fatal("a cut state was read")
		}
		_ = got.open(rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "noise"))
	})
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	var s state
	var packed []byte
	for i := range uint64(200) {
		packed = s.appendWith(nil, i)
		if err := s.open(packed); err != nil {
			t.Fatal(err)
		}
		for j := range i + 1 {
			if want := j+remembered > i; s.remembers(j) != want {
				t.Fatalf("after %d: hash %d remembered: %t, want %t", i, j, !want, want)
			}
		}
	}
	if len(packed) > 600 {
		t.Errorf("a full memory packs into %d bytes", len(packed))
	}
}
