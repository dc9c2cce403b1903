package runtime

import (
	"fmt"
	"math"
)

// tablesLimit is how many events a task may emit in one transaction that a change of the tables makes; fewer where the batches
// are smaller.
const tablesLimit = 1000

// neverSeen is no generation of the tables: a new task looks at what waits in its stores once, whatever they hold.
const neverSeen = math.MaxUint64

// lookAgain lets one task whose tables have changed look again at what waits in its stores, in a transaction of its own
// that commits its present offset again (I5). more says that there is more of this to do at once.
func (w *worker) lookAgain() (more bool, err error) {
	if w.tables == nil {
		return false, nil
	}
	generation := w.tables.Generation()
	var due *run
	for _, r := range w.runs {
		if r.state == running && r.tablesSeen != generation && r.task.Watches() {
			if due != nil {
				more = true
				break
			}
			due = r
		}
	}
	if due == nil {
		return false, nil
	}
	if err := w.begin(); err != nil {
		return false, err
	}
	w.touch(due)
	limit := min(tablesLimit, w.bound.records)
	left, err := due.task.TablesChanged(limit)
	if err != nil {
		return false, w.abort(w.stopped(due, err))
	}
	if n := w.txn.bytes(); n > w.cfg.Commit.MaxBytes && limit > 1 {
		return true, w.abort(&abortion{why: abortTooMuch, err: fmt.Errorf("%d events that waited put and emit %d bytes, more than %d", limit, n, w.cfg.Commit.MaxBytes),
			action: func() error { w.bound.fell(limit, commitsBeforeRise); return nil }})
	}
	done := true
	if w.txn.bytes() == 0 {
		err = w.abandon() // nothing was done, so there is nothing to commit
	} else {
		number := due.number
		err = w.commit()
		done = due.number > number
	}
	if err != nil {
		return false, err
	}
	if done && !left {
		due.tablesSeen = generation
	}
	return more || due.tablesSeen != generation, nil
}

// abandon ends a transaction that has put and emitted nothing: the broker does not hear of it.
func (w *worker) abandon() error {
	err := w.endAborted()
	if err == nil {
		w.settle(false)
	}
	return err
}
