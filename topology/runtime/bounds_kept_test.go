package runtime

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// hoarding is a processor that puts and emits what comes, and measures what its transactions hold at most. The clock of the test
// never stands still, so that a new time is a new transaction.
type hoarding struct {
	put, emit bool
	began     int64
	held      int64
	most      *atomic.Int64
}

func (p *hoarding) Process(ctx processors.Context, r *processors.Record) error {
	if now := ctx.Now(); now != p.began {
		p.began, p.held = now, 0
	}
	if p.put {
		ctx.Store(0).Put(r.Key, r.Value)
		p.held += int64(len(r.Value))
	}
	if p.emit {
		ctx.EmitRaw(topics.Ledger, r.Key, r.Value, nil)
		p.held += int64(len(r.Value))
	}
	if p.held > p.most.Load() {
		p.most.Store(p.held)
	}
	return nil
}

// I7: what a transaction puts (its overlay) and emits is bounded in bytes while it grows, however much was polled; what was too much
// comes again in smaller batches, and nothing is dropped.
func TestI7OverlayAndOutputsOfATransactionAreBounded(t *testing.T) {
	const size, records = 30_000, 600 // 18 MB, polled at once
	for name, p := range map[string]hoarding{"overlay": {put: true}, "outputs": {emit: true}} {
		t.Run(name, func(t *testing.T) {
			c := fake(t)
			sent := 0
			var most atomic.Int64
			p.most = &most
			r := newRig(t, c.ListenAddrs(), topology.Stage{
				Name: "hoarding", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Ledger},
				Stores: []topology.Store{{Name: "counts"}}, New: func() processors.Processor { own := p; return &own },
			}, 1)
			for range records / 20 { // a request takes less than a broker's message.max.bytes
				var all []*kgo.Record
				for range 20 {
					sent++
					all = append(all, &kgo.Record{Topic: r.input(), Key: fmt.Append(nil, sent), Value: noise(size)})
				}
				r.produce(all...)
			}
			cfg := r.config("a")
			cfg.Commit.MaxBytes = 1 << 20
			var now atomic.Int64
			proc := r.start(cfg, func(d *Deps) {
				d.Clock = func() time.Time { return time.UnixMicro(now.Add(1)) }
			})
			r.drained()
			if n := proc.metric("crossdock_transaction_aborts_total", "why=too_much"); n == 0 {
				t.Error("nothing was too much")
			}
			proc.close(t)
			if bound := int64(cfg.Commit.MaxBytes + checkEvery*size); most.Load() > bound {
				t.Errorf("a transaction held %d bytes, %d at most are allowed", most.Load(), bound)
			}
			topic := r.changelog()
			if p.emit {
				topic = r.naming.Topic(topics.Ledger)
			}
			if n := len(r.read(topic)); n != records {
				t.Errorf("%d records came of %d", n, records)
			}
		})
	}
}

// I7: a restore that is faster than its disk waits for it: what is in memory is bounded by the dirty bytes and one fetch, and all of
// the changelog is there in the end.
func TestI7RestoreIsBoundedByWhatTheDiskTakes(t *testing.T) {
	const size, keys, dirty = 100_000, 400, 1 << 20 // 40 MB
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	before := r.changelogProducer()
	value := append(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 5), 1), noise(size/8*8)...)
	var all []*kgo.Record
	for i := range keys {
		all = append(all, &kgo.Record{Topic: r.changelog(), Partition: int32(i % 2), Key: fmt.Append(nil, "k", i), Value: value})
	}
	if err := before.ProduceSync(t.Context(), all...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := before.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	o := r.diskOptions(discardLog())
	o.DirtyBytes, o.CacheBytes, o.FullTimeout = dirty, 8<<20, time.Hour
	o.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		// What a store is opened with has room, its tables have none.
		table := strings.HasSuffix(op.Path, ".sst") || strings.HasSuffix(op.Path, ".next") || strings.HasSuffix(op.Path, "room")
		if full.Load() && op.Kind == errorfs.OpFileWrite && table {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, err := store.Open("state", o)
	if err != nil {
		t.Fatal(err)
	}
	p := r.start(r.config("a"), func(d *Deps) { d.State = db })
	most := int64(0)
	looks := 0
	until(t, "the restore waits for the disk", func() bool {
		most = max(most, db.Figures().Dirty)
		if db.Full() && db.FullSince() > 0 {
			looks++
		}
		return looks > 50
	})
	if p.Ready() {
		t.Error("ready while what was restored cannot be written")
	}
	full.Store(false)
	until(t, "all is restored", func() bool {
		most = max(most, db.Figures().Dirty)
		return p.Ready()
	})
	if fetch := int64(8 << 20); most > dirty+2*fetch {
		t.Errorf("%d bytes waited for the disk, %d and a fetch of each partition at most are allowed", most, dirty)
	}
	if n := p.metric("crossdock_state_keys_count"); n != keys {
		t.Errorf("%v keys are restored, not %d", n, keys)
	}
	p.close(t)
	if err := db.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// I7: records that cannot be processed yet, since their schema is being asked for, are not heaped up: the partition is paused, the client
// gives its records back to the broker, and the others go on.
func TestI7PartitionThatWaitsHoldsNoRecords(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	s, _, d := registered(t)
	d.shut.Store(true)
	p := r.start(r.config("a"), func(deps *Deps) { deps.Serde = s })
	known := s.ID(event.KindInventoryMovement)
	framed := func(key, dedupe string, id int) *kgo.Record {
		rec := r.movement(key, dedupe, 1)
		binary.BigEndian.PutUint32(rec.Value[1:], uint32(id))
		return rec
	}
	knocked := d.knock.Load()
	r.produce(framed("waits", "first", 4711))
	until(t, "the registry is asked", func() bool { return d.knock.Load() > knocked })
	for round := range 3 {
		var all []*kgo.Record
		for i := range 10_000 {
			all = append(all, framed("waits", fmt.Sprint("w", round, "-", i), known))
		}
		for i := range 40 {
			all = append(all, framed(fmt.Sprint("goes", i), fmt.Sprint("g", round, "-", i), known))
		}
		r.produce(all...)
	}
	// Those that share the waiting partition wait with it.
	until(t, "the other partitions go on, and the client holds nothing", func() bool {
		client := p.workers[0].client.Load()
		return client != nil && client.BufferedFetchRecords() == 0 && len(r.read(r.naming.Topic(topics.Ledger))) >= 60
	})
	d.shut.Store(false)
	r.drained()
	p.close(t)
	if n := len(r.read(r.naming.Topic(topics.Ledger))); n != 30_120 {
		t.Errorf("%d postings, not 30120", n)
	}
}
