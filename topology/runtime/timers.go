package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// timersLimit is how many records the timers of a task may emit in one transaction; fewer where the batches are smaller.
const timersLimit = 1000

// A dueTask has timers that are due.
type dueTask struct {
	*run
	at int64
}

// fireTimers calls what is due, in a transaction of its own that commits the present offsets of its tasks again (I5): a process
// that was replaced while it slept finds out, though its inbox may be empty. Every task with timers that are due takes part, the
// longest due first, with a bounded share; what a processor asks for meanwhile comes in the next, and the records at hand come in
// between. wait is how long nothing will be due: 0 says that something was.
func (w *worker) fireTimers() (wait time.Duration, err error) {
	w.hurry = false
	wait, err = w.dueTimers()
	if err != nil || len(w.due) == 0 {
		return wait, err
	}
	w.hurry = true
	if err := w.begin(); err != nil {
		return 0, err
	}
	limit := min(timersLimit, w.bound.records)
	fired := 0
	for _, d := range w.due {
		if fired > 0 && (time.Since(w.txn.began) >= w.cfg.Commit.Interval || w.txn.bytes()+w.txn.loaded() >= w.cfg.Commit.MaxBytes/2) {
			break // the others are the longest due next time
		}
		w.touch(d.run)
		n, err := d.task.FireTimers(limit)
		if err != nil {
			return 0, w.abort(w.stopped(d.run, err))
		}
		d.fired += n
		fired += n
	}
	if n := w.txn.bytes(); n > w.cfg.Commit.MaxBytes && limit > 1 {
		return 0, w.abort(&abortion{why: abortTooMuch, err: fmt.Errorf("%d timers put and emit %d bytes, more than %d", fired, n, w.cfg.Commit.MaxBytes),
			action: func() error { w.bound.fell(limit, commitsBeforeRise); return nil }})
	}
	if fired == 0 { // what looked due was not: the clock went back meanwhile
		return 0, w.abandon()
	}
	return 0, w.commit()
}

// dueTimers collects the tasks that have timers due, the longest due first, and says how long to wait for the next where none has.
func (w *worker) dueTimers() (wait time.Duration, err error) {
	wait = idleWait
	if w.stage.TimerStore() < 0 {
		return wait, nil
	}
	now := w.clock()
	w.due = w.due[:0]
	for _, r := range w.runs {
		if r.state != running {
			continue
		}
		at, set, err := r.task.NextTimer()
		if err != nil {
			return 0, w.failedBetween(r, err)
		}
		overdue := time.Duration(0)
		if set {
			left := time.UnixMicro(at).Sub(now)
			if overdue = max(0, -left); left <= 0 {
				w.due = append(w.due, dueTask{r, at})
			}
			wait = min(wait, max(0, left))
		}
		r.metrics.timers(r.task.Timers(), overdue)
	}
	slices.SortFunc(w.due, func(a, b dueTask) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.partition, b.partition))
	})
	return wait, nil
}

// failedBetween is stopped for an error outside of a transaction: there is none to abort.
func (w *worker) failedBetween(r *run, err error) error {
	var a *abortion
	if err = w.stopped(r, err); errors.As(err, &a) {
		return &sessionError{"the timers of " + r.input.String() + " cannot be read", a.err}
	}
	return err
}
