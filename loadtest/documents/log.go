package documents

import (
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// A Log is what one run sent: a byte for each document, and the seed and the shape for all else. The run must be over where it is
// not said otherwise.
type Log struct {
	Shape        Shape
	Naming       topics.Naming
	Planned      int64 // events of the whole run
	Made         int64 // events of the documents that were sent
	Documents    int64 // that were sent
	Formats      [formats]int64
	sent.Tally         // events made
	Bytes        int64 // of the bodies, each once
	Began, Ended time.Time
	// Late are the events whose documents left more than 10 ms after they were due, where the run is paced: because of the ingress, as
	// all connections waited for answers, or of the tool (sent.Backlog).
	Late                      int64
	LateMost                  time.Duration
	LateByTool, LateByIngress int64
	LateMostByTool            time.Duration
	// Throttled counts the answers 429 and Failed those of 500 and above and the attempts without an answer: all were repeated.
	Throttled, Failed int64

	kafka     []kgo.Opt
	generator *scans.Generator // never moved
	watch     *sent.Watch

	mu sync.Mutex // guards all below, and Throttled and Failed
	// copies is by number how often a document is in: 0 not, or it is not known; 255 that often or more.
	copies   []uint8
	doubtful map[int64]struct{} // documents that may be in more often than is known
	events   int64              // of the documents that are in
	taken    int64              // documents that are in
	answered int64              // documents that were answered, or given up
	handed   int64              // documents that were sent; Documents is the run's goroutine's own
	refused  error
	last     error     // of an attempt
	lastAt   time.Time // of it
}

func newLog(g *scans.Generator, o *Options) *Log {
	return &Log{
		Shape: o.Shape, Naming: o.Naming, Planned: o.Count, kafka: o.Kafka, generator: g.Again(), watch: newWatch(), doubtful: make(map[int64]struct{}),
	}
}

func newWatch() *sent.Watch {
	return sent.NewWatch(sent.Words{Silent: "the ingress does not answer", Nothing: "no document was taken"})
}

func (l *Log) begin(now time.Time) {
	l.Began = now
	l.watch.Begin(now)
}

// made takes note of a document that is about to leave.
func (l *Log) made(d *Document) { l.tally(d, 1) }

// unmade takes it back: the run was stopped before it left.
func (l *Log) unmade(d *Document) { l.tally(d, -1) }

func (l *Log) tally(d *Document, by int64) {
	l.Made += by * int64(len(d.scans))
	l.Documents += by
	l.Formats[d.Format] += by
	l.Bytes += by * int64(len(d.Body))
	for _, m := range d.scans {
		l.Count(m, by)
	}
	l.mu.Lock()
	l.handed += by
	l.mu.Unlock()
}

// settled takes an answer.
func (l *Log) settled(p posting, a answer, at time.Time, tell func(int, time.Time, time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered++
	if a.doubtful {
		l.doubtful[p.document.Number] = struct{}{}
	}
	switch {
	case a.taken:
		l.set(p.document.Number, 1)
		l.taken++
		l.events += int64(p.document.Events())
		if tell != nil {
			tell(p.document.Events(), p.intended, at)
		}
	case a.refused != nil && l.refused == nil:
		l.refused = a.refused
	}
}

// set wants mu held.
func (l *Log) set(number int64, copies int) {
	for int64(len(l.copies)) <= number {
		l.copies = append(l.copies, 0)
	}
	l.copies[number] = uint8(min(copies, 255))
}

func (l *Log) failing(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Failed++
	l.last, l.lastAt = plainly(err), time.Now()
}

// plainly is an error without the request that it came from: the URL is known.
func plainly(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (l *Log) throttle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Throttled++
}

// look is how the run goes, for the watch.
func (l *Log) look() sent.Look {
	l.mu.Lock()
	defer l.mu.Unlock()
	look := sent.Look{Settled: l.taken, Failures: l.Failed, InFlight: l.handed > l.answered}
	if !l.lastAt.Before(l.watch.Since()) {
		look.Last = l.last
	}
	return look
}

func (l *Log) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.handed - l.answered)
}

// Outages are the times in which the ingress was away, in order.
func (l *Log) Outages() []sent.Outage { return l.watch.Outages() }

func (l *Log) progress() (made, acknowledged int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Made, l.events
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// Acknowledged is how many events are in documents that are in.
func (l *Log) Acknowledged() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events
}

// Taken is how many documents are in.
func (l *Log) Taken() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// Unknown is how many events were sent of which it is not known that they are in. Resolve finds out.
func (l *Log) Unknown() int64 { return l.Made - l.Acknowledged() }

// Sent counts as a report does.
func (l *Log) Sent() report.Sent {
	s := report.Sent{Planned: l.Planned, Made: l.Made, Acknowledged: l.Acknowledged(), Unknown: l.Unknown(), Documents: l.Documents, Bytes: l.Bytes}
	l.Tell(&s)
	return s
}

// Bottleneck says in words that the load test itself set the limit: more than one event in a hundred was late by the tool.
// Empty: it did not.
func (l *Log) Bottleneck() string {
	return sent.Bottleneck(l.LateByTool, l.Made, l.LateMostByTool, "connections free")
}

// Generator is one of its own that stands at the run's start.
func (l *Log) Generator() *scans.Generator { return l.generator.Again() }

// Walk makes every document again that was begun until the last one was sent, and calls f with every part of it: copies is how
// often the document is in. What is said is valid during the call; an error of f ends the walk and is returned.
func (l *Log) Walk(f func(said *Said, copies int) error) error {
	l.mu.Lock()
	copies := slices.Clone(l.copies)
	l.mu.Unlock()
	var failed error
	cutter, err := NewCutter(l.generator.Again(), l.Shape, l.Planned, func(s *Said) {
		n := 0
		if s.Number < int64(len(copies)) {
			n = int(copies[s.Number])
		}
		if failed == nil {
			failed = f(s, n)
		}
	})
	if err != nil {
		return err
	}
	for number := int64(0); number < l.Documents && failed == nil; number++ {
		d := cutter.Next()
		if d == nil {
			break
		}
		cutter.Release(d)
	}
	return failed
}
