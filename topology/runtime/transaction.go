package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/processors"
	"crossdock/topology/runtime/task"
)

// A transaction is what a worker needs for one, used again for the next.
type transaction struct {
	arena   *task.Arena
	slab    slab
	headers []processors.Header
	failure failure
	promise func(*kgo.Record, error)
	touched []*run
	current *run
	began   time.Time
	ended   time.Time // when the last one was committed
	inputs  int       // records polled
	open    bool      // begun, and its end not tried yet
	// unsettled: begun, and no end is known that the broker has taken.
	unsettled bool
	now       time.Time
}

func newTransaction() *transaction {
	t := &transaction{arena: &task.Arena{}}
	t.promise = t.failure.promise
	return t
}

// bytes is what the transaction has put and emitted.
func (t *transaction) bytes() int {
	n := t.arena.Bytes()
	for _, r := range t.touched {
		n += r.task.OverlayBytes()
	}
	return n
}

// loaded is what the transaction has read from the disk of its stores.
func (t *transaction) loaded() int {
	n := 0
	for _, r := range t.touched {
		n += r.task.LoadedBytes()
	}
	return n
}

// An abortion is why a transaction is aborted and its batch polled again.
type abortion struct {
	why    string // a label of metrics, so it is one of a few
	err    error
	action func() error // after the abort; may be nil
}

func (a *abortion) Error() string { return a.why + ": " + a.err.Error() }

// Reasons of an abort.
const (
	abortInterrupted = "rebalance"
	abortSchema      = "unknown_schema"
	abortPanic       = "panic"
	abortRejected    = "rejected_at_commit"
	abortTooMuch     = "too_much"
	abortTooSlow     = "too_slow"
	abortProduce     = "produce"
	abortRefused     = "commit_refused"
)

// loadedRecords is how many records make a transaction one of a busy time: it waits for commit.interval then, so that
// thousands share the cost of its end.
const loadedRecords = 2000

// transact is one transaction, from the records of its first poll to its end.
func (w *worker) transact(ctx context.Context, fetches kgo.Fetches) error {
	if err := w.begin(); err != nil {
		return err
	}
	t := w.txn
	asked := w.bound.records
	for {
		n := fetches.NumRecords()
		t.inputs += n
		if err := w.process(fetches); err != nil {
			return w.abort(err)
		}
		if t.inputs >= w.bound.records || t.bytes()+t.loaded() >= w.cfg.Commit.MaxBytes/2 || ctx.Err() != nil || w.session.interrupted.Load() {
			break
		}
		wait := w.cfg.Commit.Interval - time.Since(t.began)
		if n*4 < asked && t.inputs < loadedRecords {
			wait = min(wait, w.pace.interval(w.cfg.Commit.MinInterval)-time.Since(t.ended))
		}
		if wait <= 0 || w.hurry { // timers that are due are not kept waiting for records that may come
			break
		}
		asked = w.bound.records - t.inputs
		var err error
		if fetches, err = w.poll(ctx, asked, wait); err != nil {
			return err
		}
		if fetches.NumRecords() == 0 {
			break
		}
	}
	if w.session.interrupted.Load() { // End would abort it all the same, and leave its outcome to be asked for
		return w.abort(&abortion{why: abortInterrupted, err: errors.New("partitions were taken away")})
	}
	return w.commit()
}

func (w *worker) begin() error {
	t := w.txn
	if err := w.session.Begin(); err != nil {
		return &sessionError{"a transaction cannot begin", err}
	}
	t.open, t.unsettled = true, true
	t.now = w.clock()
	t.began = time.Now()
	t.inputs = 0
	t.failure.reset()
	return nil
}

// checkEvery is how many records are processed between looks at the transaction's size: each is bounded by itself.
const checkEvery = 64

// stopEvery is how many records are processed between looks at whether the instance stops: a slow record takes milliseconds.
const stopEvery = 8

// process runs all records of a poll.
func (w *worker) process(fetches kgo.Fetches) error {
	t := w.txn
	since := 0
	for f := range fetches {
		for i := range fetches[f].Topics {
			topic := &fetches[f].Topics[i]
			for j := range topic.Partitions {
				p := &topic.Partitions[j]
				if len(p.Records) == 0 {
					continue
				}
				r := w.runs[input{topic.Topic, p.Partition}]
				if r == nil || r.state != running {
					return &abortion{why: abortInterrupted, err: fmt.Errorf("records of %s/%d came without a task", topic.Topic, p.Partition),
						action: func() error { w.pause(input{topic.Topic, p.Partition}); return nil }}
				}
				r.metrics.polled(p)
				w.touch(r)
				near := nearby{stores: r.task.Stores()}
				for i, rec := range p.Records {
					near.bring(p.Records, i)
					if err := w.one(r, rec); err != nil {
						return err
					}
					if since++; since%stopEvery == 0 && w.producing.Err() != nil {
						return &sessionError{"the instance stops, and the batch at hand takes longer than it may", w.producing.Err()}
					}
					if since >= checkEvery {
						since = 0
						if n := t.bytes(); n > w.cfg.Commit.MaxBytes && t.inputs > 1 {
							return w.tooMuch(n)
						}
						if w.tooSlow() && t.inputs > 1 {
							return &abortion{why: abortTooSlow, err: fmt.Errorf("%d records take longer than half of the transaction timeout %v", t.inputs, w.cfg.TransactionTimeout)}
						}
					}
				}
			}
		}
	}
	if n := t.bytes(); n > w.cfg.Commit.MaxBytes && t.inputs > 1 {
		return w.tooMuch(n)
	}
	w.tooSlow() // but processed: it may still commit
	return nil
}

// tooSlow says that the transaction is on its way to the broker's timeout, and makes the next batches smaller at once: where
// the broker was faster, no abort but a new session follows, which would run into the same.
func (w *worker) tooSlow() bool {
	if time.Since(w.txn.began) <= w.cfg.TransactionTimeout/2 {
		return false
	}
	w.bound.fell(w.txn.inputs, commitsBeforeRise)
	return true
}

// commitsBeforeRise keeps a batch size that was halved for its bytes for a while.
const commitsBeforeRise = 16

func (w *worker) tooMuch(n int) error {
	polled := w.txn.inputs
	return &abortion{why: abortTooMuch, err: fmt.Errorf("%d records put and emit %d bytes, more than %d", polled, n, w.cfg.Commit.MaxBytes),
		action: func() error { w.bound.fell(polled, commitsBeforeRise); return nil }}
}

// touch makes a task part of the transaction.
func (w *worker) touch(r *run) {
	w.txn.current = r
	if !r.touched {
		r.touched = true
		w.txn.touched = append(w.txn.touched, r)
		r.task.Begin(w.txn.now.UnixMicro())
	}
}

// one processes one record.
func (w *worker) one(r *run, rec *kgo.Record) error {
	r.fetched = append(r.fetched, rec)
	in := processors.Record{
		Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Time: rec.Timestamp.UnixMicro(),
		Key: rec.Key, Value: rec.Value,
	}
	if len(rec.Headers) > 0 {
		in.Headers = w.txn.headersOf(rec)
	}
	if len(w.rejects) > 0 {
		if why := w.rejects[position{r.input, rec.Offset}]; why != nil {
			r.task.Reject(&in, why)
			return nil
		}
	}
	if err := r.task.Process(&in); err != nil {
		return w.stopped(r, err)
	}
	if why := r.task.Rejected(); why != nil {
		w.log.Warn("record rejected", "topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset, "cause", why.Cause)
	}
	return nil
}

func (t *transaction) headersOf(rec *kgo.Record) []processors.Header {
	from := len(t.headers)
	for _, h := range rec.Headers {
		t.headers = append(t.headers, processors.Header(h))
	}
	return t.headers[from:len(t.headers):len(t.headers)]
}

// abort ends the transaction for err, and acts on it. The batch is polled again from its start (I6).
func (w *worker) abort(err error) error {
	var a *abortion
	if !errors.As(err, &a) {
		return err // the session ends, and with it the transaction
	}
	if err := w.endAborted(); err != nil {
		return err
	}
	w.log.Info("transaction aborted", "why", a.why, "error", a.err, "records", w.txn.inputs)
	w.settle(false)
	w.metrics.aborts.WithLabelValues(a.why).Inc()
	if a.action != nil {
		return a.action()
	}
	return nil
}

// endAborted tells the broker, and acknowledges what interrupted the session.
func (w *worker) endAborted() error {
	w.txn.open = false
	endCtx, cancel := w.endContext()
	defer cancel()
	if _, err := w.session.End(endCtx, kgo.TryAbort); err != nil {
		return &sessionError{"an abort failed", err}
	}
	return nil
}

// commit ends the transaction, and merges what it put only when End says so (I1).
func (w *worker) commit() error {
	t := w.txn
	for _, r := range t.touched {
		t.current = r
		if err := r.task.Flush(); err != nil {
			return w.abort(w.stopped(r, err))
		}
	}
	endCtx, cancel := w.endContext()
	defer cancel()
	// A failed produce does not fail End, so every promise is heard before it.
	if err := w.session.client.Flush(endCtx); err != nil {
		return &sessionError{"outputs cannot be flushed", err}
	}
	if f := t.failure.first(); f != nil {
		return w.abort(w.refused(f))
	}
	t.open = false
	committed, err := w.session.End(kgo.PreTxnCommitFnContext(endCtx, w.numberOffsets), kgo.TryCommit)
	switch {
	case err != nil:
		return w.unknown(err)
	case !committed:
		return w.notCommitted(endCtx)
	}
	bytes := t.bytes()
	w.settle(true)
	w.bound.held(t.inputs, bytes)
	return nil
}

// unknown is an outcome that nothing may be assumed of (I4).
func (w *worker) unknown(err error) error {
	if x := asExit(err, "the commit of "+w.name); x != nil {
		return x
	}
	what := "the outcome of a commit is unknown"
	if producerLost(err) {
		what = "the producer is fenced"
	}
	return &sessionError{what, err}
}

// notCommitted is (false, nil): the group's offsets tell whether the transaction was aborted (I4). It is one transaction,
// so what holds for a partition that is still ours holds for those that are not.
func (w *worker) notCommitted(ctx context.Context) error {
	owned := w.session.client.CommittedOffsets()
	var ask []input
	for _, r := range w.txn.touched {
		if w.owns(r, owned) {
			ask = append(ask, r.input)
		}
	}
	if len(ask) > 0 {
		numbers, err := w.session.committedNumbers(ctx, ask)
		if err != nil {
			return &sessionError{"the outcome of a commit cannot be read", err}
		}
		for _, at := range ask {
			if n, ok := numbers[at]; !ok || n != w.runs[at].number {
				return &sessionError{what: fmt.Sprintf("the outcome of a commit is unknown: %v is at commit %d, not at %d as before", at, n, w.runs[at].number)}
			}
		}
	}
	w.log.Info("transaction aborted", "why", abortRefused, "records", w.txn.inputs)
	w.metrics.aborts.WithLabelValues(abortRefused).Inc()
	w.settle(false)
	return nil
}

// numberOffsets gives every offset of a commit the number of its task's commit, and adds the present offset of tasks that
// were touched without a record (I5). The client looks after the partitions of records alone, so it is asked here whether
// a task without one is still this worker's: the request has its generation by now, and no member joins a later one
// before its client has forgotten what it gave up. A commit of that generation is refused, or the next owner waits for it.
func (w *worker) numberOffsets(req *kmsg.TxnOffsetCommitRequest) error {
	seen := map[input]bool{}
	for t := range req.Topics {
		topic := &req.Topics[t]
		for p := range topic.Partitions {
			part := &topic.Partitions[p]
			at := input{topic.Topic, part.Partition}
			r := w.runs[at]
			if r == nil || !r.touched {
				return fmt.Errorf("offset %d of %v would be committed, but no record of it was processed", part.Offset, at)
			}
			part.Metadata = r.mark()
			seen[at] = true
		}
	}
	owned := w.session.client.CommittedOffsets()
	for _, r := range w.txn.touched {
		if seen[r.input] {
			continue
		}
		if !w.owns(r, owned) {
			return fmt.Errorf("%v was taken away: %w", r.input, kerr.IllegalGeneration) // End aborts for it
		}
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic = r.topic
		part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.LeaderEpoch = r.partition, r.done.Offset, r.done.Epoch
		part.Metadata = r.mark()
		topic.Partitions = append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
	}
	return nil
}

// settle ends the transaction here, as the broker ended it there, and takes back what it used.
func (w *worker) settle(committed bool) {
	t := w.txn
	t.unsettled = false
	now := time.Now()
	for _, r := range t.touched {
		if committed {
			r.number++
			if n := len(r.fetched); n > 0 {
				last := r.fetched[n-1]
				r.done = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
			}
			r.task.Commit(r.positions(now)...)
			r.metrics.committed(r, r.size())
			r.metrics.fired(r.fired)
		} else {
			r.task.Abort()
			r.metrics.aborted()
		}
		for _, rec := range r.fetched {
			rec.Recycle()
		}
		clear(r.fetched)
		clear(r.changes)
		r.fetched = r.fetched[:0]
		r.touched, r.fired = false, 0
	}
	if committed {
		for p := range w.rejects {
			if r := w.runs[p.input]; r == nil || p.offset < r.done.Offset {
				delete(w.rejects, p)
			}
		}
		t.ended = now
		w.pace.committed(w.index, now)
		w.metrics.commitSeconds.Observe(now.Sub(t.began).Seconds())
	}
	t.touched = t.touched[:0]
	t.current = nil
	t.arena.Reset()
	t.slab.reset()
	clear(t.headers)
	t.headers = t.headers[:0]
}
