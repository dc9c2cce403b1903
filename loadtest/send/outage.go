package send

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An Outage is a stretch of a run in which brokers were away: nothing was acknowledged for over a second while something
// was in flight, or a broker could not be connected to. The run goes on when it is over, and nothing is lost by it.
type Outage struct {
	From time.Time // of the last acknowledgement before it
	To   time.Time // of the first after it, or when the run was given up; exact to 20 ms
	What string    // in words, with the last error of a connection
}

const (
	// silence is how long nothing may be acknowledged.
	silence = time.Second
	// between is how far apart two outages are at least: closer ones are one.
	between = time.Second
)

// health collects what becomes of the client's connections. The client calls it from its goroutines.
type health struct {
	mu       sync.Mutex // guards all below
	failures int        // to connect, so far
	last     error      // of a connection
	at       time.Time
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h *health) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		h.note(fmt.Errorf("connect to %s: %w", brokerName(meta), err), 1)
	}
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect. Idle connections end too: it is no failure by itself.
func (h *health) OnBrokerDisconnect(meta kgo.BrokerMetadata, _ net.Conn) {
	h.note(fmt.Errorf("the connection to %s ended", brokerName(meta)), 0)
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (h *health) OnBrokerWrite(meta kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		h.note(fmt.Errorf("write to %s: %w", brokerName(meta), err), 0)
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (h *health) OnBrokerRead(meta kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		h.note(fmt.Errorf("read from %s: %w", brokerName(meta), err), 0)
	}
}

func brokerName(meta kgo.BrokerMetadata) string {
	where := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	if meta.NodeID < 0 { // the client numbers seeds below zero
		return "seed broker " + where
	}
	return fmt.Sprintf("broker %d, %s", meta.NodeID, where)
}

func (h *health) note(err error, failures int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures += failures
	// That a connection ended says less than the error that ended it.
	if errors.Unwrap(err) != nil || h.last == nil || errors.Unwrap(h.last) == nil {
		h.last = err
	}
	h.at = time.Now()
}

// since is how many connections failed so far, and the last error since a time, nil without one.
func (h *health) since(t time.Time) (failures int, last error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.Before(t) {
		return h.failures, nil
	}
	return h.failures, h.last
}

// forget starts anew.
func (h *health) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.last = 0, nil
}

// A watch finds outages. The run's goroutine uses it.
type watch struct {
	health *health
	log    *Log

	good     time.Time // when the brokers were last known to take things: an acknowledgement came, or nothing was in flight
	settled  int64
	failures int
	open     bool
}

// look is called every lookEvery.
func (w *watch) look(now time.Time) {
	settled := w.log.settledSoFar()
	grown := settled > w.settled
	w.settled = settled
	failures, last := w.health.since(w.good.Add(-between))
	failed := failures > w.failures
	w.failures = failures
	inFlight := settled < w.log.Made
	switch {
	case w.open && grown && !failed:
		w.close(now)
	case w.open:
		w.describe(now, last)
	case inFlight && (failed || !grown && now.Sub(w.good) > silence):
		w.begin(now, last)
	}
	if grown || !inFlight {
		w.good = now
	}
}

// begin opens an outage, or the last one again where that ended a moment ago.
func (w *watch) begin(now time.Time, last error) {
	l := w.log
	l.mu.Lock()
	if n := len(l.outages); n == 0 || w.good.Sub(l.outages[n-1].To) > between {
		l.outages = append(l.outages, Outage{From: w.good, What: "the brokers do not answer"})
	}
	l.mu.Unlock()
	w.open = true
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
		o.What = last.Error()
	}
}

func (w *watch) close(now time.Time) {
	w.describe(now, nil)
	w.open = false
}

// end closes what is open when the run is over.
func (w *watch) end(now time.Time) {
	if w.open {
		w.close(now)
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
		return fmt.Sprintf("no acknowledgement for %v: %s", quiet.Round(100*time.Millisecond), what)
	}
	return what
}
