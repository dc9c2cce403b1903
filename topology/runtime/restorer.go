package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/store"
)

// A restorer reads changelogs into stores, many partitions at a time, with a client and a goroutine of its own: the
// workers never wait for it, the partitions that it restores are paused and the others go on. Stores on disk are opened by
// goroutines of its own, since the lease before may have something left to write.
//
// It serves tasks and followers alike. A task's restore has an end, and is over there; a follower's has none, until a task goes on
// with its store (succeed), from where it stands.
type restorer struct {
	client *kgo.Client
	pool   *fetchPool
	log    *slog.Logger
	wake   waker

	life    context.Context
	kill    context.CancelFunc
	opening sync.WaitGroup

	mu     sync.Mutex
	asked  []*restore // begun or cancelled since the loop last looked
	closed bool       // the loop is over

	displaced []*restore // the loop's: those whose partition another one reads
}

// A restore fills one store from one partition of a changelog.
type restore struct {
	at     input
	span   span
	notify func() // called when it is done
	began  time.Time
	disk   *store.DB          // nil: the store is in memory
	claim  store.Claim        // what the store is leased with; of one in memory, what it is restored from
	stop   context.CancelFunc // of the opening; guarded by the restorer's mutex

	follower bool     // it has no end
	takes    *restore // whose store it goes on with; the loop's
	gives    *restore // the store is for this task of another worker, if it is not restored yet; the loop's
	heir     *restore // who goes on with its store once that is there; guarded by the restorer's mutex

	store     *store.Partition // the restorer's until done is closed
	from      atomic.Int64     // the offset where it began to read
	position  atomic.Int64     // next offset to read
	records   atomic.Int64
	inherited atomic.Int64 // records that a follower had read of it before
	atEnd     atomic.Int64 // when a follower was last known to be at its changelog's end, in nanoseconds
	cancelled atomic.Bool
	opened    bool          // the store is there; guarded by the restorer's mutex
	leased    chan struct{} // closed when its opening, the first one, has ended
	leasing   sync.Once
	left      sync.Once
	told      time.Time // when the log was last told how far it is, or a follower was looked after
	done      chan struct{}
	err       error // set before done is closed
}

// What is fetched for restores is used again, two or three fetches of it: 4 MiB of a changelog may be 130,000 records.
const (
	restoredBytes   = 64 << 20
	restoredRecords = 400_000
)

// newRestorer makes the client of a restorer, which Run closes.
func newRestorer(c *Config, log *slog.Logger) (*restorer, error) {
	pool := &fetchPool{maxBytes: restoredBytes, maxRecords: restoredRecords}
	life, kill := context.WithCancel(context.Background())
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), c.Client...),
		kgo.WithContext(life), // its end tells brokers nothing that they would not find out, and they may be away
		kgo.ClientID(c.App+"/"+c.Instance+"/restorer"),
		kgo.MetadataMinAge(c.MetadataMinAge),
		kgo.WithLogger(clientLog{log}),
		kgo.WithPools(pool),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                    // a changelog ends with a marker, and its tail may be nothing but aborted records
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // a changelog truncated under us is no changelog
		kgo.FetchMaxBytes(4<<20),
		kgo.FetchMaxPartitionBytes(1<<20),
		kgo.FetchMaxWait(fetchWait),
	)...)
	if err != nil {
		kill()
		return nil, exit(StageFailed, err, "Correct the client's options.", "the restorer's client cannot be made")
	}
	return &restorer{client: client, pool: pool, log: log, life: life, kill: kill}, nil
}

func newRestore(changelog string, partition int32, span span, notify func()) *restore {
	j := &restore{at: input{changelog, partition}, span: span, notify: notify, began: time.Now(), stop: func() {}, leased: make(chan struct{}), done: make(chan struct{})}
	j.begin(span.start)
	return j
}

func (j *restore) begin(at int64) {
	j.from.Store(at)
	j.position.Store(at)
}

// restore begins to fill a store in memory. It is done when the store has all that lay before the claim's end.
func (r *restorer) restore(changelog string, claim store.Claim, s *store.Partition, notify func()) *restore {
	j := newRestore(changelog, claim.Partition, span{claim.Start, claim.End}, notify)
	j.store, j.claim = s, claim
	r.start(j)
	return j
}

// lease begins to open a store on disk, and to read what it does not have.
func (r *restorer) lease(changelog string, disk *store.DB, claim store.Claim, notify func()) *restore {
	j := newRestore(changelog, claim.Partition, span{claim.Start, claim.End}, notify)
	j.disk, j.claim = disk, claim
	r.openStore(j)
	return j
}

// openStore leases the store of a restore.
func (r *restorer) openStore(j *restore) {
	ctx, stop := context.WithCancel(r.life)
	r.mu.Lock()
	j.stop = stop
	r.mu.Unlock()
	r.opening.Go(func() {
		s, err := j.disk.Lease(ctx, j.claim)
		defer j.leasing.Do(func() { close(j.leased) })
		if err == nil {
			j.store = s
			j.begin(s.Position().Changelog)
			r.start(j)
			return
		}
		r.mu.Lock()
		var told []*restore
		for heir := j; heir != nil; heir = heir.heir {
			heir.err = storeFailed(err)
			close(heir.done)
			told = append(told, heir)
		}
		r.mu.Unlock()
		for _, heir := range told {
			heir.notify()
		}
	})
}

// start lets the loop read for a restore whose store is there, or for who goes on with it.
func (r *restorer) start(j *restore) {
	r.mu.Lock()
	if heir := j.heir; heir != nil {
		r.mu.Unlock()
		r.bequeath(j, heir)
		return
	}
	j.opened = true
	cancelled, closed := j.cancelled.Load(), r.closed
	if !cancelled && !closed && j.position.Load() < j.span.end {
		r.asked = append(r.asked, j)
		r.mu.Unlock()
		r.wake.wake()
		return
	}
	r.mu.Unlock()
	switch {
	case cancelled:
		j.abandon()
	case closed:
		if j.follower {
			j.abandon()
		}
		j.end(context.Canceled)
	default:
		j.caughtUp()
		j.end(nil)
	}
}

// cancel gives a restore that is not over up, and its store with it.
func (r *restorer) cancel(j *restore) {
	r.mu.Lock()
	stop := j.stop
	j.cancelled.Store(true)
	opened, closed := j.opened, r.closed
	if opened && !closed {
		r.asked = append(r.asked, j)
	}
	r.mu.Unlock()
	stop()
	if opened && closed && j.takes == nil {
		j.abandon()
	}
	r.wake.wake()
}

func (r *restorer) isOpen(j *restore) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.opened
}

// abandon gives the store of a cancelled restore back: what it has is what the changelog said up to where it stands.
func (j *restore) abandon() { j.left.Do(j.store.Release) }

// caughtUp takes note that the store is its changelog's end, as of when the end was asked for.
func (j *restore) caughtUp() {
	j.store.Commit(store.Position{Changelog: j.position.Load(), Stamp: j.began})
}

// end says that the restore is over: the store is the worker's.
func (j *restore) end(err error) {
	j.err = err
	close(j.done)
	j.notify()
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
	defer r.leave(active)
	for ctx.Err() == nil {
		r.take(active)
		r.tell(active)
		if len(active) == 0 {
			r.pool.empty()
		}
		wait, release := r.wake.context(ctx, r.tend(active))
		fetches := r.client.PollFetches(wait)
		release()
		for _, e := range fetches.Errors() {
			r.failed(active, input{e.Topic, e.Partition}, e.Err)
		}
		for _, j := range applyAll(ctx, fetches, active) {
			r.finish(active, j, j.err)
		}
	}
	return nil
}

// leave ends what the loop has not: the stores are the workers' again.
func (r *restorer) leave(active map[input]*restore) {
	r.kill()
	r.mu.Lock()
	r.closed = true
	left := slices.Concat(r.asked, r.displaced)
	r.asked, r.displaced = nil, nil
	r.mu.Unlock()
	for _, j := range active {
		left = append(left, j)
	}
	for _, j := range left {
		switch over, _ := j.finished(); {
		case j.takes != nil: // whose store it would have gone on with is nobody's, or a follower that is among these
			if over, err := j.takes.finished(); over && err == nil && !j.takes.follower {
				j.takes.abandon()
			}
			if !over {
				j.end(context.Canceled)
			}
		case j.cancelled.Load():
			j.abandon()
		case !over:
			if j.follower {
				j.abandon()
			}
			j.end(context.Canceled)
		}
	}
}

// tellEvery is how often the log is told how far a restore is.
const tellEvery = 5 * time.Second

func (r *restorer) tell(active map[input]*restore) {
	for _, j := range active {
		if j.follower || time.Since(j.told) < tellEvery {
			continue
		}
		if !j.told.IsZero() {
			p := j.progress()
			r.log.Info("restoring", "changelog", j.at.String(), "records", p.records, "progress", fmt.Sprintf("%.1f%%", 100*p.ratio),
				"records_per_second", int64(p.rate), "remaining", p.remaining.Round(100*time.Millisecond).String())
		}
		j.told = time.Now()
	}
}

// progress is how far a restore is.
type progress struct {
	records   int64         // read, those of aborted transactions apart
	ratio     float64       // of what there was to read; 1 where there was nothing
	rate      float64       // records a second
	remaining time.Duration // at the pace so far
}

func (j *restore) progress() progress {
	p := progress{records: j.records.Load(), ratio: 1}
	from, at := j.from.Load(), min(j.position.Load(), j.span.end)
	took := time.Since(j.began)
	if total := j.span.end - from; total > 0 {
		p.ratio = float64(at-from) / float64(total)
	}
	if took > 0 {
		p.rate = float64(p.records) / took.Seconds()
	}
	if p.ratio > 0 {
		p.remaining = time.Duration(float64(took) * (1 - p.ratio) / p.ratio)
	}
	return p
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
		case j.takes != nil:
			r.inherit(active, j)
			continue
		case j.gives != nil:
			r.give(active, j)
			continue
		case j.cancelled.Load():
			if old == j {
				r.remove(active, j.at)
			}
			if r.isOpen(j) { // otherwise it is given up once it is
				j.abandon()
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
	switch {
	case err == nil:
		j.caughtUp()
	case j.follower:
		j.abandon() // nobody else will
	}
	j.end(err)
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
