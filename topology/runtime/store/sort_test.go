package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A table takes keys in order alone: short ones, those that begin alike for longer than the sort looks at first, zero bytes.
func TestBatchIsInKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := bytes.Repeat([]byte("p"), rapid.IntRange(0, 20).Draw(t, "prefix"))
		letters := rapid.SliceOfN(rapid.ByteRange(0, byte(rapid.IntRange(0, 255).Draw(t, "letters"))), 0, 20)
		keys := rapid.SliceOfDistinct(letters, func(k []byte) string { return string(k) }).Draw(t, "keys")
		var b batch
		for i, k := range keys {
			b.add(append(slices.Clone(prefix), k...), fmt.Append(nil, i), i%7 == 0)
		}
		want := slices.Clone(b.entries)
		slices.SortFunc(want, func(x, y entry) int { return bytes.Compare(b.key(&x), b.key(&y)) })
		b.sort()
		for i := range want {
			if got := &b.entries[i]; !bytes.Equal(b.key(got), b.key(&want[i])) || got.at != want[i].at || got.value != want[i].value {
				t.Fatalf("at %d is %q, want %q", i, b.key(got), b.key(&want[i]))
			}
		}
	})
}

func BenchmarkSort(b *testing.B) {
	const keys = 40_000
	var all batch
	for i := range keys {
		n := i * 7919 % 1_000_003
		all.add(fmt.Appendf(nil, "SKU%06d|ST%03d", n/5, n%5*44), make([]byte, 45), false)
	}
	shuffled := slices.Clone(all.entries)
	b.ResetTimer()
	defer perOp(b)()
	for range b.N {
		copy(all.entries, shuffled)
		all.sort()
	}
}
