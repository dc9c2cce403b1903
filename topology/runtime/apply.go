package runtime

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A fetched is what a poll has brought for one restore.
type fetched struct {
	*restore
	records []*kgo.Record
	over    bool
}

// applyAll puts what a poll has brought into the stores, several partitions at a time, and returns the restores that are over: each
// is done, or has failed. Nothing of a restore is used by anybody else meanwhile.
func applyAll(ctx context.Context, fetches kgo.Fetches, active map[input]*restore) (over []*restore) {
	var work []fetched
	of := map[*restore]int{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		j := active[input{p.Topic, p.Partition}]
		if j == nil {
			return
		}
		i, again := of[j]
		if !again {
			i = len(work)
			of[j] = i
			work = append(work, fetched{restore: j})
		}
		before := work[i].records
		if work[i].records = p.Records; again { // of two brokers, one after the other
			work[i].records = append(slices.Clip(before), p.Records...)
		}
	})
	var next atomic.Int64
	var applying sync.WaitGroup
	for range min(len(work), runtime.GOMAXPROCS(0)) {
		applying.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(work)); i = next.Add(1) - 1 {
				work[i].over = work[i].apply(ctx, work[i].records)
			}
		})
	}
	applying.Wait()
	for i := range work {
		if work[i].over {
			over = append(over, work[i].restore)
		}
	}
	return over
}

// applied is how many records are put between looks at what is unwritten, and at whether the restore is still wanted.
const applied = 2048

// apply puts committed records into the store and says whether the restore is over: its end has been passed, or j.err is why it
// cannot be. Aborted records never come here; their markers do. What is not put when ctx or the restore ends is not counted.
func (j *restore) apply(ctx context.Context, records []*kgo.Record) (over bool) {
	for len(records) > 0 {
		if ctx.Err() != nil || j.cancelled.Load() {
			return false
		}
		n := min(len(records), applied)
		if !j.put(records[:n]) {
			return true
		}
		records = records[n:]
		if j.disk == nil || !j.disk.Full() {
			continue
		}
		if err := j.disk.Wait(ctx, j.store); err != nil && ctx.Err() == nil { // I7
			j.err = storeFailed(err)
			return true
		}
	}
	return j.position.Load() >= j.span.end
}

// put is apply for some records, one at least; false says that j.err is set.
func (j *restore) put(records []*kgo.Record) bool {
	n := int64(0)
	for i, rec := range records {
		if i%warmed == 0 {
			warm(j.store, records[i:])
		}
		if rec.Attrs.IsControl() {
			continue
		}
		if err := j.store.Restore(rec.Key, rec.Value); err != nil {
			j.err = exit(ChangelogLost, err, "The changelog holds what no store has written: find its writer.", "changelog %v at offset %d", j.at, rec.Offset)
			return false
		}
		n++
	}
	j.position.Store(records[len(records)-1].Offset + 1)
	for _, rec := range records {
		rec.Recycle() // the store has its own copies
	}
	j.records.Add(n)
	j.store.Restored(j.position.Load())
	if err := j.store.Fault(); err != nil {
		j.err = storeFailed(err)
		return false
	}
	return true
}
