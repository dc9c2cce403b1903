package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// keyed is a key of 20 bytes.
func keyed(b []byte, n int) []byte {
	b = append(b[:0], "SKU-0000|SITE-00"...)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// fill commits keys with a value of the size given.
func fill(p *Partition, keys, value int) {
	var key []byte
	v := make([]byte, value)
	for i := range keys {
		key = keyed(key, i)
		p.Savepoint(0)
		p.Put(key, v)
		if i%10_000 == 9_999 {
			p.Commit(Position{})
		}
	}
	p.Commit(Position{})
}

// The target of the design is 250 bytes a key in memory at rest.
func TestBytesPerKeyAtRest(t *testing.T) {
	if testing.Short() {
		t.Skip("fills two million keys")
	}
	for _, keys := range []int{100_000, 1_000_000, 1_400_000} {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p := New()
		fill(p, keys, 60)
		runtime.GC()
		runtime.ReadMemStats(&after)
		heap := float64(after.HeapAlloc-before.HeapAlloc) / float64(keys)
		own := float64(p.Stats().Bytes) / float64(keys)
		t.Logf("%d keys of 20 bytes, values of 60: %.1f bytes a key by the heap, %.1f by Stats", keys, heap, own)
		if heap > 250 || own > 250 {
			t.Errorf("%d keys: %.1f bytes a key", keys, heap)
		}
		runtime.KeepAlive(p)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	p := New()
	fill(p, 10_000, 60)
	value := make([]byte, 64)
	var key []byte
	batch := func() {
		for i := range 1000 {
			p.Savepoint(uint32(i))
			key = keyed(key, i%700)
			copy(value, p.Get(key))
			p.Put(key, value)
			if i%100 == 0 {
				p.Rollback()
			}
		}
		for c := range p.Changes() {
			_ = c.Tag
		}
		p.Commit(Position{})
	}
	batch()
	if n := testing.AllocsPerRun(20, batch); n > 1 {
		t.Errorf("a transaction of 1000 records allocates %.0f times", n)
	}
}

// One record: savepoint, get, put; a commit each 10,000.
func BenchmarkGetPut(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		for _, value := range []int{60, 300} {
			b.Run(fmt.Sprintf("keys=%d/value=%d", keys, value), func(b *testing.B) {
				p := New()
				fill(p, keys, value)
				order := rand.New(rand.NewPCG(1, 2)).Perm(keys)
				v := make([]byte, value)
				var key []byte
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					key = keyed(key, order[i%keys])
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
}

// A record that opens a key, growth of every structure included.
func BenchmarkNewKey(b *testing.B) {
	p := New()
	v := make([]byte, 60)
	var key []byte
	b.ReportAllocs()
	for i := range b.N {
		key = keyed(key, i)
		p.Savepoint(0)
		if p.Get(key) == nil {
			p.Put(key, v)
		}
		if i%10_000 == 9_999 {
			p.Commit(Position{})
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	p := New()
	v := make([]byte, 60)
	var key []byte
	b.ReportAllocs()
	for i := range b.N {
		key = keyed(key, i%1_000_000)
		if err := p.Restore(key, v); err != nil {
			b.Fatal(err)
		}
	}
}

// One record of a partition on disk with all keys in memory, or a quarter of them, in the order of a Zipf-free worst case:
// every key alike.
func BenchmarkGetPutOnDisk(b *testing.B) {
	for _, cached := range []string{"all", "quarter"} {
		b.Run("cached="+cached, func(b *testing.B) {
			const keys = 1_000_000
			o := Options{Logger: quiet()}
			if cached == "quarter" {
				o.CacheBytes = 32 << 20
			}
			db, err := Open(b.TempDir(), o)
			if err != nil {
				b.Fatal(err)
			}
			p, err := db.Lease(b.Context(), claim(1<<40))
			if err != nil {
				b.Fatal(err)
			}
			at := int64(0)
			commit := func() {
				at++
				p.Commit(Position{Changelog: at})
				if err := db.Wait(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
			v := make([]byte, 60)
			var key []byte
			for i := range keys {
				key = keyed(key, i)
				p.Put(key, v)
				if i%10_000 == 9_999 {
					commit()
				}
			}
			eventually(b, p, "all is written", func() bool { return p.Stats().Dirty == 0 })
			order := rand.New(rand.NewPCG(1, 2)).Perm(keys)
			b.ReportAllocs()
			b.ResetTimer()
			reads := p.Stats().Reads
			spent := perOp(b)
			for i := range b.N {
				key = keyed(key, order[i%keys])
				p.Savepoint(uint32(i))
				copy(v, p.Get(key))
				p.Put(key, v)
				if i%10_000 == 9_999 {
					commit()
				}
			}
			b.StopTimer()
			spent()
			b.ReportMetric(float64(p.Stats().Reads-reads)/float64(b.N), "reads/op")
			p.Release()
			if err := db.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// A changelog of 1.6 times as many records as keys into an empty partition on disk, bounded writes included.
func BenchmarkRestoreOnDisk(b *testing.B) {
	db, err := Open(b.TempDir(), Options{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	p, err := db.Lease(b.Context(), claim(1<<40))
	if err != nil {
		b.Fatal(err)
	}
	v := make([]byte, 60)
	var key []byte
	b.ReportAllocs()
	b.ResetTimer()
	defer perOp(b)()
	for i := range b.N {
		key = keyed(key, i*5/8)
		if err := p.Restore(key, v); err != nil {
			b.Fatal(err)
		}
		if i%10_000 == 9_999 {
			p.Restored(int64(i))
			if err := db.Wait(b.Context(), p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	p.Release()
	if err := db.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
