package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Keys in a random order out of a million, as records bring them, each looked up and put.
func BenchmarkGetPutWarmed(b *testing.B) {
	for _, warm := range []int{0, 8, 16, 64} {
		b.Run(fmt.Sprintf("warm=%d", warm), func(b *testing.B) {
			const keys, value = 1_000_000, 60
			p := New()
			fill(p, keys, value)
			order := rand.New(rand.NewPCG(1, 2)).Perm(keys)
			all := make([]byte, 0, 20*keys)
			for _, n := range order {
				all = append(all, keyed(nil, n)...)
			}
			v := make([]byte, value)
			ahead := make([][]byte, 0, 64)
			b.ResetTimer()
			defer perOp(b)()
			for i := range b.N {
				if warm > 0 && i%warm == 0 {
					ahead = ahead[:0]
					for j := range warm {
						k := (i + j) % keys
						ahead = append(ahead, all[20*k:20*k+20])
					}
					p.Warm(ahead)
				}
				k := i % keys
				key := all[20*k : 20*k+20]
				p.Savepoint(uint32(i))
				copy(v, p.Get(key))
				p.Put(key, v)
				if i%10_000 == 9_999 {
					for c := range p.Changes() {
						_ = c
					}
					p.Commit(Position{})
				}
			}
		})
	}
}
