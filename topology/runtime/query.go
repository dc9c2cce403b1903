package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Bounds of queries.
const (
	// MaxQueryKeys is how many keys one query may name.
	MaxQueryKeys = 1000
	// maxWaitingQueries is how many queries may wait for one worker.
	maxWaitingQueries = 64
	// queryKeysATurn is after how many keys a worker goes back to its records: a few milliseconds.
	queryKeysATurn = 4 * MaxQueryKeys
)

// Errors of a query that asking again cures.
var (
	ErrNotRunning  = errors.New("runtime: the instance does not run: it is starting or stopping")
	ErrQueriesWait = errors.New("runtime: too many queries wait for the worker that has the partition")
	// ErrCutOff is a worker that the group may have given up: somebody else could have changed the state by now.
	ErrCutOff = errors.New("runtime: the group's coordinator does not confirm the worker that had the partition")
)

// A RestoringError is a partition of this instance whose state is being read from its changelog.
type RestoringError struct {
	Partition int32
	Progress  float64 // from 0 to 1
}

func (e *RestoringError) Error() string {
	return fmt.Sprintf("runtime: the state of partition %d is being restored, %.0f %% of it is read", e.Partition, e.Progress*100)
}

// A Found is what a query found for one key.
type Found struct {
	Partition int32  // of the stage's input, by the key: murmur2, as Kafka's clients do
	Here      bool   // this instance has the partition; otherwise Owner says who may
	Value     []byte // nil: the store has no such key. The caller's own
}

// Query reads keys of a store of the stage, those of other instances' partitions aside. It may be called from any
// goroutine. The keys must stay as they are, also after an early return.
//
// Values are committed state: the worker that has a partition answers, between two transactions (I1). So a query that is
// made after a reader of committed records has seen an output of the stage finds the state that made it, or a later one.
// It waits for the transaction at hand, which is commit.interval and the time of its end at most while brokers are well, and
// never makes one end earlier.
//
// Errors beside those of ctx: *RestoringError, ErrNotRunning, ErrQueriesWait, ErrCutOff, which pass; others do not.
func (i *Instance) Query(ctx context.Context, store string, keys [][]byte) ([]Found, error) {
	number := -1
	for n := range i.stage.Stores {
		if i.stage.Stores[n].Name == store {
			number = n
		}
	}
	if number < 0 {
		return nil, fmt.Errorf("runtime: stage %s has no store %q", i.stage.Name, store)
	}
	if len(keys) > MaxQueryKeys {
		return nil, fmt.Errorf("runtime: a query of %d keys, at most %d at once", len(keys), MaxQueryKeys)
	}
	if !i.up.Load() {
		return nil, ErrNotRunning
	}
	found := make([]Found, len(keys))
	i.locate(keys, found)
	var queries []*query
	for k := range found {
		h := i.homes.find(found[k].Partition)
		if h == nil {
			continue
		}
		if !h.running.Load() {
			return nil, h.restoring(found[k].Partition)
		}
		queries = h.worker.add(queries, k)
	}
	for _, q := range queries {
		if err := q.worker.prove(ctx); err != nil {
			return nil, err
		}
		q.ctx, q.store, q.keys, q.found = ctx, number, keys, found
		if err := q.worker.ask(q); err != nil {
			return nil, err
		}
	}
	for _, q := range queries {
		select {
		case err := <-q.done:
			if err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-i.over:
			return nil, ErrNotRunning
		}
	}
	return found, nil
}

// locate computes the partitions of keys. The stage has stores, so it has one input.
func (i *Instance) locate(keys [][]byte, found []Found) {
	topic := i.topics.inputs[0]
	by, n := partitioner{}.ForTopic(topic), int(i.topics.counts[topic])
	r := kgo.Record{Partition: anyPartition}
	for k := range keys {
		if r.Key = keys[k]; r.Key == nil {
			r.Key = []byte{}
		}
		found[k].Partition = int32(by.Partition(&r, n))
	}
}

// A query is the part of one that a worker answers.
type query struct {
	worker *worker
	ctx    context.Context
	store  int
	keys   [][]byte
	found  []Found
	at     []int // places of keys and found that are the worker's to answer
	done   chan error
}

// add gives a key to the worker's query among some.
func (w *worker) add(queries []*query, key int) []*query {
	for _, q := range queries {
		if q.worker == w {
			q.at = append(q.at, key)
			return queries
		}
	}
	return append(queries, &query{worker: w, at: []int{key}, done: make(chan error, 1)})
}

// queryQueue is where queries wait for a worker. The worker looks at asked once a turn, which is all that it pays where
// nobody asks.
type queryQueue struct {
	waiting chan *query
	asked   atomic.Int32          // of those in waiting
	idle    atomic.Pointer[waker] // of the worker's wait for records outside a transaction, nil at other times
}

// ask hands a query to the worker. It ends no transaction early: otherwise who asks would decide how small they are.
func (w *worker) ask(q *query) error {
	select {
	case w.queries.waiting <- q:
	default:
		return ErrQueriesWait
	}
	w.queries.asked.Add(1)
	if k := w.queries.idle.Load(); k != nil {
		k.wake()
	}
	if w.client.Load() == nil { // the session has ended, and may have turned away who waited before this one came
		return &RestoringError{Partition: q.found[q.at[0]].Partition}
	}
	return nil
}

// answerQueries answers what waits, between two transactions. left says that more waits.
func (w *worker) answerQueries() (left bool) {
	for keys := 0; w.queries.asked.Load() > 0; {
		if keys >= queryKeysATurn || w.session.interrupted.Load() {
			return true // partitions that were taken away are another's to answer for: the next turn drops them first
		}
		select {
		case q := <-w.queries.waiting:
			w.queries.asked.Add(-1)
			keys += len(q.at)
			q.done <- w.answer(q)
		default:
			return false
		}
	}
	return false
}

// answer reads what a query asks for.
func (w *worker) answer(q *query) error {
	if err := q.ctx.Err(); err != nil {
		return err
	}
	if !w.pulse.within(w.cfg.SessionTimeout / 3 * 2) {
		return ErrCutOff
	}
	topic := w.topics.inputs[0]
	for _, k := range q.at {
		f := &q.found[k]
		r := w.runs[input{topic, f.Partition}]
		if r == nil {
			continue // it has gone since it was asked for
		}
		if r.state == restoring {
			return r.home.restoring(f.Partition)
		}
		f.Here = true
		s := r.task.Stores()[q.store]
		v := s.Get(q.keys[k])
		if s.Fault() != nil { // the worker's next turn opens the task anew
			return &RestoringError{Partition: f.Partition}
		}
		if v != nil {
			f.Value = append(make([]byte, 0, len(v)), v...)
		}
	}
	return nil
}

// turnAway ends the wait of queries when the session does: the state that they ask for is thrown away with it.
func (w *worker) turnAway() {
	for {
		select {
		case q := <-w.queries.waiting:
			w.queries.asked.Add(-1)
			q.done <- &RestoringError{Partition: q.found[q.at[0]].Partition}
		default:
			return
		}
	}
}

// A pulse is when the group's coordinator last confirmed that a worker is a member. A broker gives a member's partitions
// away no sooner than a session timeout after that, or when the member gives them up: until then it is their only owner.
// Only queries ask for it, so it costs nothing where there are none.
type pulse struct {
	asking chan struct{} // holds one
	base   time.Time
	last   atomic.Int64 // nanoseconds after base; 0: never
}

func newPulse() pulse {
	return pulse{asking: make(chan struct{}, 1), base: time.Now().Add(-time.Nanosecond)}
}

// proofTimeout bounds the question to the coordinator.
const proofTimeout = 2 * time.Second

func (p *pulse) within(limit time.Duration) bool {
	last := p.last.Load()
	return last != 0 && time.Since(p.base)-time.Duration(last) <= limit
}

// prove sees to it that the worker's pulse is young, with a heartbeat of its own where it is not: the client's tell nobody how
// they ended.
func (w *worker) prove(ctx context.Context) error {
	p := &w.pulse
	young := w.cfg.SessionTimeout / 3
	if p.within(young) {
		return nil
	}
	select {
	case p.asking <- struct{}{}:
		defer func() { <-p.asking }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if p.within(young) {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	for range 3 { // the generation may be a new one since it was read
		client := w.client.Load()
		if client == nil {
			return ErrCutOff
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.InstanceID = w.cfg.App, &w.name
		req.MemberID, req.Generation = client.GroupMetadata()
		sent := time.Since(p.base)
		resp, err := req.RequestWith(asking, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		switch {
		case err == nil, errors.Is(err, kerr.RebalanceInProgress):
			p.last.Store(int64(sent))
			return nil
		case errors.Is(err, kerr.IllegalGeneration):
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			w.log.Warn("the group's coordinator does not confirm the worker: queries are refused", "error", err)
			return ErrCutOff
		}
	}
	return ErrCutOff
}

// homes say which worker of an instance has which partition, for those who ask from outside. Workers write them when they
// open and close a task.
type homes struct {
	mu sync.RWMutex
	of map[int32]*home
}

// A home is a task as others see it.
type home struct {
	worker   *worker
	restores []*restore
	running  atomic.Bool // its state is restored
}

func (h *homes) find(partition int32) *home {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.of[partition]
}

func (h *homes) open(partition int32, at *home) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[partition] = at
}

// close forgets a home, unless another worker of the instance has opened one in its place.
func (h *homes) close(partition int32, at *home) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of[partition] == at {
		delete(h.of, partition)
	}
}

// restoring tells how far the restore of a home's stores is.
func (h *home) restoring(partition int32) *RestoringError {
	e := &RestoringError{Partition: partition, Progress: 1}
	var read, total int64
	for _, j := range h.restores {
		from := j.from.Load()
		read += min(j.position.Load(), j.span.end) - from
		total += max(0, j.span.end-from)
	}
	if total > 0 {
		e.Progress = math.Max(0, float64(read)/float64(total))
	}
	return e
}
