package runtime

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/store"
)

// A restorer reads changelogs into stores, many partitions at a time, with a client and a goroutine of its own: the
// workers never wait for it, the partitions that it restores are paused and the others go on.
type restorer struct {
	client *kgo.Client
	log    *slog.Logger
	wake   waker

	mu    sync.Mutex
	asked []*restore // begun or cancelled since the loop last looked

	displaced []*restore // the loop's: those whose partition another one reads
}

// A restore fills one store from one partition of a changelog.
type restore struct {
	at     input
	store  *store.Partition // the restorer's until done is closed
	span   span
	notify func() // called when it is done

	position  atomic.Int64 // next offset to read
	records   atomic.Int64
	cancelled atomic.Bool
	began     time.Time
	done      chan struct{}
	err       error // set before done is closed
}

// newRestorer makes the client of a restorer, which Run closes.
func newRestorer(c *Config, log *slog.Logger) (*restorer, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), c.Client...),
		kgo.ClientID(c.App+"/"+c.Instance+"/restorer"),
		kgo.MetadataMinAge(c.MetadataMinAge),
		kgo.WithLogger(clientLog{log}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                    // a changelog ends with a marker, and its tail may be nothing but aborted records
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a changelog truncated under us is no changelog
		kgo.FetchMaxPartitionBytes(8<<20),
		kgo.FetchMaxWait(fetchWait),
	)...)
	if err != nil {
		return nil, exit(StageFailed, err, "Correct the client's options.", "the restorer's client cannot be made")
	}
	return &restorer{client: client, log: log}, nil
}

// restore begins to fill a store. It is done when the store has all that lay before the span's end.
func (r *restorer) restore(changelog string, partition int32, s *store.Partition, span span, notify func()) *restore {
	j := &restore{at: input{changelog, partition}, store: s, span: span, notify: notify, began: time.Now(), done: make(chan struct{})}
	j.position.Store(span.start)
	if span.end <= span.start {
		close(j.done)
		return j
	}
	r.ask(j)
	return j
}

// cancel gives a restore up. Its store must not be used.
func (r *restorer) cancel(j *restore) {
	j.cancelled.Store(true)
	r.ask(j)
}

func (r *restorer) ask(j *restore) {
	r.mu.Lock()
	r.asked = append(r.asked, j)
	r.mu.Unlock()
	r.wake.wake()
}

// finished says whether the restore is over, and how.
func (j *restore) finished() (bool, error) {
	select {
	case <-j.done:
		return true, j.err
	default:
		return false, nil
	}
}

// run reads until ctx ends.
func (r *restorer) run(ctx context.Context) error {
	defer r.client.Close()
	active := map[input]*restore{}
	for ctx.Err() == nil {
		r.take(active)
		wait, release := r.wake.context(ctx, time.Minute)
		fetches := r.client.PollFetches(wait)
		release()
		for _, e := range fetches.Errors() {
			r.failed(active, input{e.Topic, e.Partition}, e.Err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := input{p.Topic, p.Partition}
			if j := active[at]; j != nil && !j.cancelled.Load() && j.apply(p.Records) {
				r.finish(active, j, j.err)
			}
		})
	}
	return nil
}

// take looks at what was asked for. Only here are partitions added and removed, so that no batch of an old restore ever
// reaches a new one.
func (r *restorer) take(active map[input]*restore) {
	r.mu.Lock()
	asked := r.asked
	r.asked = nil
	r.mu.Unlock()
	for _, j := range asked {
		old := active[j.at]
		switch {
		case j.cancelled.Load():
			if old == j {
				r.remove(active, j.at)
			}
			continue
		case old != nil:
			// Two workers of the instance: one of them has lost the partition, and will say so. Who asked last need not
			// be the one that has it.
			r.remove(active, j.at)
			r.displaced = append(r.displaced, old)
		}
		r.begin(active, j)
	}
	waiting := r.displaced
	r.displaced = nil
	for _, j := range waiting {
		switch {
		case j.cancelled.Load():
		case active[j.at] != nil:
			r.displaced = append(r.displaced, j)
		default:
			r.begin(active, j)
		}
	}
}

// begin reads a restore's partition from where it stands.
func (r *restorer) begin(active map[input]*restore, j *restore) {
	active[j.at] = j
	r.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{
		j.at.topic: {j.at.partition: kgo.NewOffset().At(j.position.Load())},
	})
}

func (r *restorer) remove(active map[input]*restore, at input) {
	delete(active, at)
	r.client.RemoveConsumePartitions(map[string][]int32{at.topic: {at.partition}})
}

func (r *restorer) finish(active map[input]*restore, j *restore, err error) {
	r.remove(active, j.at)
	j.err = err
	close(j.done)
	j.notify()
}

// failed ends a restore whose error will return; the client tries again by itself after others.
func (r *restorer) failed(active map[input]*restore, at input, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	j := active[at]
	if j == nil {
		return
	}
	e := asExit(err, "changelog "+at.String())
	if e == nil {
		r.log.Warn("a changelog cannot be read just now", "changelog", at.String(), "error", err)
		return
	}
	if e.Reason == DataLoss {
		e.Reason, e.Remedy = ChangelogLost, "The changelog was truncated or made anew while it was read: its topic must be compacted, without retention. Restart to read it again."
	}
	r.finish(active, j, e)
}

// apply puts committed records into the store and says whether the end has been passed. Aborted ones never come here;
// their markers do.
func (j *restore) apply(records []*kgo.Record) (over bool) {
	n := int64(0)
	for _, rec := range records {
		if !rec.Attrs.IsControl() {
			if err := j.store.Restore(rec.Key, rec.Value); err != nil {
				j.err = exit(ChangelogLost, err, "The changelog holds what no store has written: find its writer.", "changelog %v at offset %d", j.at, rec.Offset)
				return true
			}
			n++
		}
	}
	if len(records) > 0 {
		j.position.Store(records[len(records)-1].Offset + 1)
		j.records.Add(n)
	}
	return j.position.Load() >= j.span.end
}
