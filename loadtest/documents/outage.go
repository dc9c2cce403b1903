package documents

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"crossdock/loadtest/send"
)

const (
	// silence is how long nothing may be taken, while something is on its way, before the ingress counts as away.
	silence = time.Second
	// between is how far apart two outages are at least: closer ones are one.
	between = time.Second
)

// A watch finds outages, as send does: stretches in which the ingress took nothing. The run's goroutine uses it.
type watch struct {
	log *Log

	good     time.Time // when the ingress was last known to take things
	taken    int64
	failures int64
	open     bool
}

func (w *watch) begin(now time.Time) { w.good = now }

// look is called every lookEvery.
func (w *watch) look(now time.Time) {
	taken, failures, inFlight, last := w.log.health()
	grown, failed := taken > w.taken, failures > w.failures
	w.taken, w.failures = taken, failures
	switch {
	case w.open && grown && !failed:
		w.describe(now, nil)
		w.open = false
	case w.open:
		w.describe(now, last)
	case inFlight > 0 && (failed || !grown && now.Sub(w.good) > silence):
		w.start(now, failed, last)
	}
	if grown || inFlight == 0 {
		w.good = now
	}
}

// start opens an outage, or the last one again where that ended a moment ago.
func (w *watch) start(now time.Time, failed bool, last error) {
	l := w.log
	l.mu.Lock()
	if n := len(l.outages); n == 0 || w.good.Sub(l.outages[n-1].To) > between {
		l.outages = append(l.outages, send.Outage{From: w.good, What: "the ingress does not answer"})
	}
	l.mu.Unlock()
	w.open = true
	if !failed {
		last = nil
	}
	w.describe(now, last)
}

// describe keeps the outage in hand up to date: its end so far, and the last error.
func (w *watch) describe(now time.Time, last error) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &l.outages[len(l.outages)-1]
	o.To = now
	if last != nil {
		o.What = plainly(last)
	}
}

// end closes what is open when the run is over.
func (w *watch) end(now time.Time) {
	if w.open {
		w.describe(now, nil)
		w.open = false
	}
}

// away says in words what is wrong, "" when nothing is.
func (w *watch) away(now time.Time) string {
	if !w.open {
		return ""
	}
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	what := l.outages[len(l.outages)-1].What
	if quiet := now.Sub(w.good); quiet >= silence/2 {
		return fmt.Sprintf("no document was taken for %v: %s", quiet.Round(100*time.Millisecond), what)
	}
	return what
}

// plainly is an error without the request that it came from: the URL is known.
func plainly(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// Outages are the times in which the ingress was away, in order.
func (l *Log) Outages() []send.Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.outages)
}
