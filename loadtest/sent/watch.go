package sent

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// An Outage is a stretch of a run in which whoever takes its events was away: nothing was taken for over a second while
// something was in flight, or an attempt failed. The run goes on when it is over, and nothing is lost by it.
type Outage struct {
	From time.Time // when something was last taken before it
	To   time.Time // when something was first taken after it, or the run was given up; as exact as looks are frequent
	What string    // in words, with the last error
}

const (
	// silence is how long nothing may be taken.
	silence = time.Second
	// between is how far apart two outages are at least: closer ones are one.
	between = time.Second
)

// Words are how a Watch tells of an outage.
type Words struct {
	Silent  string // before any error says more: "the brokers do not answer"
	Nothing string // before " for 3.2s": "no acknowledgement"
}

// A Watch finds outages by looks at how a run goes. One goroutine looks; anyone may ask for Outages.
type Watch struct {
	words Words

	good     time.Time // when something was last known to be taken, or nothing was in flight
	settled  int64
	failures int64
	open     bool

	mu      sync.Mutex // guards outages
	outages []Outage
}

// NewWatch makes a Watch that has seen nothing.
func NewWatch(w Words) *Watch { return &Watch{words: w} }

// Restore takes the outages of a run that is over.
func (w *Watch) Restore(all []Outage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outages = slices.Clone(all)
}

// Begin says when the run begins.
func (w *Watch) Begin(now time.Time) { w.good = now }

// Since is from when on an error has something to do with an outage that would begin now.
func (w *Watch) Since() time.Time { return w.good.Add(-between) }

// A Look is how a run goes.
type Look struct {
	Settled  int64 // events, or documents, whose fate is known
	InFlight bool  // something is on its way
	Failures int64 // attempts that failed, since the run began
	Last     error // the last of their errors after Since; nil: none came
}

// Look takes a look.
func (w *Watch) Look(now time.Time, l Look) {
	grown, failed := l.Settled > w.settled, l.Failures > w.failures
	w.settled, w.failures = l.Settled, l.Failures
	switch {
	case w.open && grown && !failed:
		w.describe(now, nil)
		w.open = false
	case w.open:
		w.describe(now, l.Last)
	case l.InFlight && (failed || !grown && now.Sub(w.good) > silence):
		w.begin()
		w.describe(now, l.Last)
	}
	if grown || !l.InFlight {
		w.good = now
	}
}

// begin opens an outage, or the last one again where that ended a moment ago.
func (w *Watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.outages); n == 0 || w.good.Sub(w.outages[n-1].To) > between {
		w.outages = append(w.outages, Outage{From: w.good, What: w.words.Silent})
	}
	w.open = true
}

// describe keeps the outage in hand up to date: its end so far, and the last error.
func (w *Watch) describe(now time.Time, last error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := &w.outages[len(w.outages)-1]
	o.To = now
	if last != nil {
		o.What = last.Error()
	}
}

// End closes what is open when the run is over.
func (w *Watch) End(now time.Time) {
	if w.open {
		w.describe(now, nil)
		w.open = false
	}
}

// Away says in words what is wrong, "" when nothing is.
func (w *Watch) Away(now time.Time) string {
	if !w.open {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	what := w.outages[len(w.outages)-1].What
	if quiet := now.Sub(w.good); quiet >= silence/2 {
		return fmt.Sprintf("%s for %v: %s", w.words.Nothing, quiet.Round(100*time.Millisecond), what)
	}
	return what
}

// Outages are those so far, in order.
func (w *Watch) Outages() []Outage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.outages)
}
