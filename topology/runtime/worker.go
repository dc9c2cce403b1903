package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/processors"
	"crossdock/topology/runtime/store"
	"crossdock/topology/runtime/task"
	"crossdock/topology/topics"
)

// A worker is one goroutine with one client: it polls, begins, processes and ends, and nobody else does.
type worker struct {
	*Instance
	name  string // group.instance.id and transactional.id
	index int
	log   *slog.Logger
	pool  *fetchPool

	session   *session
	producing context.Context            // outlives a stop by stopGrace
	client    atomic.Pointer[kgo.Client] // the session's, for others than the worker
	runs      map[input]*run
	txn       *transaction
	bound     bound
	rejects   map[position]*processors.Rejection // records to reject when they come again
	panics    []time.Time                        // of the last minute
	fences    fences
	ready     atomic.Bool
	joined    atomic.Bool // the group, in this session
	pending   bool        // the last session was closed within a rebalance, which waits for it
	queries   queryQueue
	pulse     pulse
	stores    []*store.Partition // of tend
	quiet     time.Time          // since when no records have come; zero: they do
	due       []dueTask          // of fireTimers
	hurry     bool               // timers were due in this turn, so more may be
}

// A position is one input record.
type position struct {
	input
	offset int64
}

// A run is a task of this worker, from a grant to its end.
type run struct {
	input
	grant
	task     *task.Task
	state    runState
	restores []*restore
	home     *home
	learned  atomic.Bool // the schema id that it waits for has been asked for
	metrics  *taskMetrics
	alike    [topics.Count]bool // outputs with as many partitions as this input

	fetched []*kgo.Record // inputs of the transaction, by tag
	changes []*kgo.Record // by store: the last of the transaction to its changelog, nil where there is none
	at      []store.Position
	touched bool    // it is part of the transaction
	reached []int64 // by store: where its changelog's partition ends, as far as the task knows
	fired   int     // timers called in the transaction
	done    kgo.EpochOffset

	tablesSeen uint64 // generation of the tables that its processor has looked at to the end, or neverSeen
}

type runState uint8

const (
	restoring runState = iota
	running
	learning // it met a schema id that is being asked for
)

func newWorker(i *Instance, index int) *worker {
	name := fmt.Sprintf("%s/%s/%d", i.cfg.App, i.cfg.Instance, index)
	w := &worker{
		Instance: i, name: name, index: index, log: i.log.With("worker", index), pool: &fetchPool{},
		bound: newBound(i.cfg.Commit.MaxRecords, i.cfg.Commit.MaxBytes/4*3), rejects: map[position]*processors.Rejection{},
		fences: fences{window: i.cfg.SessionTimeout}, queries: queryQueue{waiting: make(chan *query, maxWaitingQueries)}, pulse: newPulse(),
	}
	return w
}

// maxRemakeBackoff bounds what a worker may sleep after the brokers have come back. An attempt takes its own time beside it.
const maxRemakeBackoff = 2 * time.Second

// run lives through sessions until ctx ends, which is no error, or an ExitError.
func (w *worker) run(ctx context.Context) error {
	again := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: maxRemakeBackoff}
	again.Reset()
	defer func() {
		if ctx.Err() != nil {
			w.giveUp()
		}
	}()
	for {
		lived, err := w.live(ctx)
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		if e := w.fatal(ctx, err); e != nil {
			return e
		}
		if w.removed(ctx, w.session, err) {
			w.metrics.sessions.Inc()
			w.stayOut(ctx)
			continue
		}
		if lived {
			again.Reset()
		}
		wait := again.NextBackOff()
		w.metrics.sessions.Inc()
		w.log.Warn("the session is made anew", "error", err, "backoff", wait.String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// fatal is err if it stops the instance, nil if a new session may help.
func (w *worker) fatal(ctx context.Context, err error) *ExitError {
	var x *ExitError
	if errors.As(err, &x) {
		return x
	}
	if fenced(err) {
		if w.lostToItself(ctx) {
			w.log.Warn("this worker lost its name to an old request of its own: it joins again", "error", err)
			return nil
		}
		if w.fences.isTaken(time.Now()) {
			return exit(NameTaken, err, "Give each process of the application an instance name of its own.",
				"another process is %s too", w.name)
		}
		return nil
	}
	return asExit(err, w.name)
}

// fences tells a member that lost its name to an old request of its own from one that shares it with another process.
type fences struct {
	window  time.Duration // an old request may come this long after a session was made
	created time.Time
	last    time.Time // when the name was lost before
}

// isTaken takes note that the name was lost.
func (f *fences) isTaken(now time.Time) bool {
	own := now.Sub(f.created) < f.window
	again := !f.last.IsZero() && now.Sub(f.last) < 2*f.window
	f.last = now
	return !own || again
}

// live is one session. lived says that it got as far as processing.
func (w *worker) live(ctx context.Context) (lived bool, err error) {
	unsettled := w.txn != nil && w.txn.unsettled
	w.txn = newTransaction()
	w.txn.unsettled = unsettled // until the producer id is loaded, which aborts it
	w.runs = map[input]*run{}
	w.quiet = time.Time{}
	w.pulse.last.Store(0)
	w.fences.created = time.Now()
	w.session, err = newSession(ctx, w)
	if err != nil {
		return false, err
	}
	w.txn.unsettled = false
	var stop context.CancelFunc
	w.producing, stop = outliving(ctx, stopGrace)
	defer stop()
	w.client.Store(w.session.client)
	if w.tables != nil {
		defer w.tables.watch(w.session.wake.wake)()
	}
	defer func() {
		w.ready.Store(false)
		w.joined.Store(false)
		w.client.Store(nil)
		w.turnAway()
		if w.txn.open {
			// What is left open holds back everybody who reads committed records, until the broker's timeout.
			if err := w.endAborted(); err != nil {
				w.log.Warn("a transaction is left open", "error", err)
			} else {
				w.txn.unsettled = false
			}
		}
		for _, r := range w.runs {
			w.drop(r)
		}
		w.pending = w.session.close(ctx)
	}()
	for ctx.Err() == nil {
		if err := w.turn(ctx); err != nil {
			return lived, err
		}
		lived = lived || w.ready.Load()
	}
	return lived, nil
}

// outliving is a context that ends some time after its parent: the transaction at hand is finished when the instance stops,
// but a client whose buffers are full because the brokers are away must not hold it up for ever.
func outliving(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() { stop(); cancel() }
}

// idleWait bounds a wait for records: events end it early.
const idleWait = time.Second

// turn is one transaction, or a wait for records in vain.
func (w *worker) turn(ctx context.Context) error {
	if w.session.interrupted.Swap(false) {
		// The session remembers the interruption until the next End, which it would abort.
		if err := w.endAborted(); err != nil {
			return err
		}
	}
	if err := w.reconcile(ctx); err != nil {
		return err
	}
	asked := w.answerQueries()
	if full, err := w.tend(ctx); err != nil || full {
		return err
	}
	more, err := w.lookAgain()
	if err != nil {
		return err
	}
	wait, err := w.fireTimers()
	if err != nil {
		return err
	}
	w.queries.idle.Store(&w.session.wake)
	if more || asked || w.queries.asked.Load() > 0 {
		wait = 0
	}
	began := time.Now()
	fetches, err := w.poll(ctx, w.bound.records, wait)
	w.queries.idle.Store(nil)
	if err != nil {
		return err
	}
	if fetches.NumRecords() == 0 {
		if w.quiet.IsZero() {
			w.quiet = began
		}
		if time.Since(w.quiet) >= caughtUpAfter {
			for _, r := range w.runs {
				if r.state == running {
					r.metrics.caughtUp()
				}
			}
		}
		return nil
	}
	w.quiet = time.Time{}
	return w.transact(ctx, fetches)
}

// caughtUpAfter is how long nothing must have come before a task counts as caught up: its last offset is not the log's end
// where the log ends with markers.
const caughtUpAfter = 100 * time.Millisecond

// poll returns at most n records, at once for a wait of 0. Errors are those that end the session.
func (w *worker) poll(ctx context.Context, n int, wait time.Duration) (kgo.Fetches, error) {
	var fetches kgo.Fetches
	if wait <= 0 {
		fetches = w.session.PollRecords(nil, n) //nolint:staticcheck // nil is franz-go's way to say: do not wait
	} else {
		waitCtx, release := w.session.wake.context(ctx, wait)
		fetches = w.session.PollRecords(waitCtx, n)
		release()
	}
	var err error
	fetches.EachError(func(topic string, partition int32, e error) {
		var lost *kgo.ErrGroupSession
		switch {
		case errors.Is(e, context.Canceled), errors.Is(e, context.DeadlineExceeded):
		case errors.Is(e, kgo.ErrClientClosed):
			err = &sessionError{"the client is closed", e}
		case errors.As(e, &lost):
			w.log.Warn("the group was left", "error", e)
			var x *ExitError // of a callback
			removed := errors.Is(e, kerr.UnknownMemberID) && w.session.contact.steady()
			if errors.As(e, &x) || fenced(e) || removed || asExit(e, w.name) != nil {
				err = &sessionError{"the group was left", e}
			}
		default:
			w.log.Warn("an input cannot be read", "topic", topic, "partition", partition, "error", e)
			if x := asExit(e, fmt.Sprintf("input %s/%d", topic, partition)); x != nil {
				err = x
			}
		}
	})
	return fetches, err
}

// reconcile makes the tasks those of the real assignment, whatever callbacks came or did not.
func (w *worker) reconcile(ctx context.Context) error {
	s := w.session
	owned := s.client.CommittedOffsets()
	for _, r := range w.runs {
		if !w.owns(r, owned) {
			w.drop(r)
			delete(w.runs, r.input)
			w.log.Info("task closed", "input", r.input.String())
		}
	}
	ready := s.joined.Load() && !s.awaiting.Load()
	for topic, parts := range owned {
		for p := range parts {
			at := input{topic, p}
			r := w.runs[at]
			if r == nil {
				g := s.grantOf(at)
				if g.sequence == 0 {
					continue
				}
				r = w.open(at, g)
				w.runs[at] = r
			}
			if err := w.advance(ctx, r); err != nil {
				return err
			}
			ready = ready && r.state != restoring
		}
	}
	w.joined.Store(s.joined.Load())
	w.ready.Store(ready)
	return nil
}

// owns says whether a task is of the grant by which its partition is among the owned ones, those that the client knows.
func (w *worker) owns(r *run, owned map[string]map[int32]kgo.EpochOffset) bool {
	_, ok := owned[r.topic][r.partition]
	return ok && w.session.grantOf(r.input).sequence == r.sequence
}

// open makes a task and begins to restore its stores.
func (w *worker) open(at input, g grant) *run {
	r := &run{input: at, grant: g, metrics: w.metrics.task(at), tablesSeen: neverSeen}
	for i := range w.topics.changelogs {
		s := slot{i, at.partition}
		r.restores = append(r.restores, w.keeper.open(s, w.claim(s, g.ids[i], g.ends[i]), w.session.wake.wake))
	}
	r.changes = make([]*kgo.Record, len(r.restores))
	r.home = &home{worker: w, restores: r.restores}
	if len(r.restores) > 0 {
		w.homes.open(at.partition, r.home)
	}
	r.done = kgo.EpochOffset{Epoch: g.epoch, Offset: g.offset}
	for _, out := range topics.All() {
		r.alike[out.ID] = w.topics.alike(at.topic, out.ID)
	}
	w.log.Info("task opened", "input", at.String(), "offset", g.offset, "commit", g.number, "changelogs", fmt.Sprint(g.ends))
	return r
}

// advance lets a task run that has what it waited for.
func (w *worker) advance(_ context.Context, r *run) error {
	switch r.state {
	case running:
		return nil
	case restoring:
		for _, j := range r.restores {
			over, err := j.finished()
			if err != nil {
				return err
			}
			r.metrics.restore(j)
			if !over {
				return nil
			}
		}
		r.task = w.newTask(r)
		if len(r.restores) > 0 {
			size := r.size()
			read, before := int64(0), int64(0)
			for _, j := range r.restores {
				read, before = read+j.records.Load(), before+j.inherited.Load()
			}
			w.log.Info("task restored", "input", r.input.String(), "keys", size.Keys, "bytes", size.Bytes, "records", read+before, "followed", before, "took", time.Since(r.restores[0].began))
			r.metrics.size = size // a store's counts go on where another task had it
			r.metrics.stateSize(size)
		}
	case learning:
		if !r.learned.Swap(false) {
			return nil
		}
	}
	r.state = running
	r.home.running.Store(true)
	w.session.client.ResumeFetchPartitions(map[string][]int32{r.topic: {r.partition}})
	return nil
}

// pause keeps an input from being fetched until its task runs.
func (w *worker) pause(at input) {
	w.session.client.PauseFetchPartitions(map[string][]int32{at.topic: {at.partition}})
}

// size is the size of a task's stores. Only its owner may ask.
func (r *run) size() (sum store.Stats) {
	for _, p := range r.task.Stores() {
		s := p.Stats()
		sum.Keys += s.Keys
		sum.Bytes += s.Bytes
		sum.Lookups += s.Lookups
		sum.Reads += s.Reads
	}
	return sum
}

// drop ends a task: its partition may have another owner by now, and its state is worth nothing.
func (w *worker) drop(r *run) {
	w.homes.close(r.partition, r.home)
	for i, j := range r.restores {
		w.keeper.close(slot{i, r.partition}, j) // it has what was committed, and the next owner reads the tail alone
	}
	for p := range w.rejects {
		if p.input == r.input {
			delete(w.rejects, p)
		}
	}
	if _, owned := w.session.client.CommittedOffsets()[r.topic][r.partition]; !owned {
		// Pauses outlive assignments.
		w.session.client.ResumeFetchPartitions(map[string][]int32{r.topic: {r.partition}})
	}
	r.metrics.drop()
}

func (s *session) grantOf(at input) grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants[at]
}

// endContext bounds the end of a transaction, which a stop does not cut short at once.
func (w *worker) endContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.producing, w.cfg.EndTimeout)
}

// producerLost says that the transactional id has another owner, or none that the broker knows.
func producerLost(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) ||
		errors.Is(err, kerr.InvalidProducerIDMapping) || errors.Is(err, kerr.UnknownProducerID)
}
