package documents

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
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
	Copies       [scans.ReEnveloped + 1]int64 // events made, by scans.Copy
	Bytes        int64                        // of the bodies, each once
	Began, Ended time.Time
	// Late are the events whose documents left more than 10 ms after they were due, where the run is paced. The ingress did it where at
	// least half of the time since the backlog began all connections waited for answers, else the tool.
	Late                      int64
	LateMost                  time.Duration
	LateByTool, LateByIngress int64
	LateMostByTool            time.Duration
	// Throttled counts the answers 429 and Failed those of 500 and above and the attempts without an answer: all were repeated.
	Throttled, Failed int64

	kinds     [256]int64 // events made, by scans.Kind
	poison    [256]int64
	offline   int64
	outOfTime int64

	kafka     []kgo.Opt
	generator *scans.Generator // never moved

	mu sync.Mutex // guards all below, and Throttled and Failed
	// copies is by number how often a document is in: 0 not, or it is not known; 255 that often or more.
	copies   []uint8
	doubtful map[int64]struct{} // documents that may be in more often than is known
	events   int64              // of the documents that are in
	taken    int64              // documents that are in
	answered int64              // documents that were answered, or given up
	handed   int64              // documents that were sent; Documents is the run's goroutine's own
	refused  error
	last     error
	outages  []send.Outage
}

func newLog(g *scans.Generator, o *Options) *Log {
	return &Log{
		Shape: o.Shape, Naming: o.Naming, Planned: o.Count, kafka: o.Kafka, generator: g.Again(), doubtful: make(map[int64]struct{}),
	}
}

func (l *Log) begin(now time.Time) { l.Began = now }

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
		l.Copies[m.copy] += by
		l.kinds[m.kind] += by
		l.poison[m.poison] += by
		switch {
		case m.offline:
			l.offline += by
		case m.late:
			l.outOfTime += by
		}
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
	l.last = err
}

func (l *Log) throttle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Throttled++
}

// health is what a watch looks at.
func (l *Log) health() (taken, failures, inFlight int64, last error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken, l.Failed, l.handed - l.answered, l.last
}

func (l *Log) inFlight() int {
	_, _, n, _ := l.health()
	return int(n)
}

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
	s := report.Sent{
		Planned: l.Planned, Made: l.Made, Acknowledged: l.Acknowledged(), Unknown: l.Unknown(), Documents: l.Documents, Bytes: l.Bytes,
		Offline: l.offline, Late: l.outOfTime, Kinds: map[string]int64{}, Copies: map[string]int64{}, Poison: map[string]int64{},
	}
	for k, n := range l.kinds {
		if n > 0 {
			s.Kinds[scans.Kind(k).String()] = n
		}
	}
	for p, n := range l.poison {
		if p := scans.Poison(p); n > 0 && p != scans.NotPoison {
			s.Poison[p.String()] = n
		}
	}
	for c, n := range l.Copies {
		if n > 0 {
			s.Copies[scans.Copy(c).String()] = n
		}
	}
	return s
}

// Bottleneck says in words that the load test itself set the limit: more than one event in a hundred was late by the tool.
// Empty: it did not.
func (l *Log) Bottleneck() string {
	if l.LateByTool*100 <= l.Made {
		return ""
	}
	return fmt.Sprintf("the load test did not keep its own pace: %d of %d events left in their documents more than %v late, up to %v, while it had connections free; lower the rate, or give it a core of its own",
		l.LateByTool, l.Made, lateAfter, l.LateMostByTool.Round(time.Millisecond))
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
	for sent := int64(0); sent < l.Documents && failed == nil; sent++ {
		d := cutter.Next()
		if d == nil {
			break
		}
		cutter.Release(d)
	}
	return failed
}
