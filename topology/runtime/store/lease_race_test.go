package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// I8: many owners want few partitions, at random and at once; they release, drop, give up waiting, and come back as zombies of leases
// that have ended. A partition has one owner at a time, the next one finds what the last has committed, or an earlier commit where
// that one was dropped, and never anything of a zombie. Run it under the race detector.
func TestI8LeasesOfManyOwnersNeverOverlap(t *testing.T) {
	const partitions, owners = 3, 8
	turns := 60
	if testing.Short() {
		turns = 15
	}
	db, _ := openDB(t, Options{FlushInterval: time.Millisecond, DirtyBytes: 32 << 10, CacheBytes: 256 << 10})
	type ground struct {
		owned    atomic.Int32
		released int64 // the commit at which it was released last; guarded by being the owner
		dropped  bool  // since
	}
	var grounds [partitions]ground
	var refused atomic.Int64
	var all sync.WaitGroup
	for owner := range owners {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(owner), 8))
			for range turns {
				n := rng.IntN(partitions)
				g := &grounds[n]
				c := claim(1 << 40)
				c.Partition = int32(n)
				ctx, cancel := t.Context(), func() {}
				if rng.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
				}
				p, err := db.Lease(ctx, c)
				cancel()
				if errors.Is(err, context.DeadlineExceeded) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !g.owned.CompareAndSwap(0, 1) {
					t.Errorf("partition %d has two owners", n)
				}
				at := p.Position().Changelog
				if why := p.Dropped(); why != "" || at > g.released || !g.dropped && at != g.released {
					t.Errorf("partition %d stands at %d, and was released at %d (dropped since: %v); its folder was of no use: %q", n, at, g.released, g.dropped, why)
				}
				if got := number(p.Get(keyed(nil, 0))); got != at {
					t.Errorf("partition %d stands at %d and has the state of commit %d", n, at, got)
				}
				if v := p.Get(keyed(nil, 1)); v != nil {
					t.Errorf("partition %d has what a zombie put: %q", n, v)
				}
				for range rng.IntN(20) {
					at++
					p.Savepoint(0)
					p.Put(keyed(nil, 0), binary.LittleEndian.AppendUint64(nil, uint64(at)))
					put(p, 2+rng.IntN(500), fmt.Sprintf("%d, and some more of it", at))
					p.Commit(Position{Changelog: at, Stamp: time.Now()})
					if err := db.Wait(t.Context(), p); err != nil {
						t.Error(err)
					}
				}
				g.released, g.dropped = at, rng.IntN(3) == 0
				g.owned.Store(0)
				if g.dropped {
					p.Drop()
				} else {
					p.Release()
				}
				if rng.IntN(2) == 0 { // it slept through that, and hands over what it had in hand
					b := &batch{lease: p.disk.lease, meta: meta{changelog: c.Changelog, name: c.name(), at: Position{Changelog: at + 1000, Stamp: time.Now()}}}
					b.add(keyed(nil, 1), []byte("zombie"), false)
					db.submit(p.disk.folder, b)
					refused.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := db.Figures().Refused; int64(n) < refused.Load() {
		t.Errorf("%d batches of leases that had ended were refused, of %d", n, refused.Load())
	}
}

func number(b []byte) int64 {
	if b == nil {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b))
}
