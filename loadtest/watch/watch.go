// Package watch looks once a second at what a load test runs against, and at the load test itself: CPU time and memory of
// the processes, by the process table or by their metrics; how far consumer groups are behind; and the transactions of the
// pipeline's stages.
//
// Invariants:
//
//   - What cannot be seen is a gap, never a zero and never the end of the run: a process that is away, a broker that does
//     not answer, a group that does not exist yet.
//   - A counter that starts anew with its process goes on where it was: what counts is the sum of what was added.
//   - What is kept is bounded, however long the run: looks are thinned out, and cumulated values lose nothing by it.
package watch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/series"
)

// A Target is one process to watch.
type Target struct {
	Name string
	// PID is its number in this machine's process table; 0: it is not asked.
	PID int
	// Metrics is the URL of its /metrics, which tells of transactions too; empty: it is not asked. Where a PID is given as
	// well, CPU time and memory are the process table's.
	Metrics string
}

// Options of Start.
type Options struct {
	Targets []Target      // beside the own process, "loadtest", which is always one
	Kafka   []kgo.Opt     // how the brokers are reached; nil: groups are not watched
	Groups  []string      // consumer groups
	Every   time.Duration // between two looks; default 1 s
}

// Own is the name of the own process.
const Own = "loadtest"

// maxLooks is how many looks are kept. A run of 600 slices has two for each, as long as it is a short one.
const maxLooks = 1200

// A Watch looks at one run.
type Watch struct {
	options Options
	http    *http.Client
	groups  *groups // nil: groups are not watched
	targets []*target
	cancel  context.CancelFunc
	stopped chan struct{}
	started time.Time

	mu    sync.Mutex // guards all below
	began time.Time
	base  look // the last one before the run began
	last  look
	looks series.Series[look]
	total int     // since the watch started, for the notes
	peaks []int64 // by target, bytes, since the run began
	fault map[string]*fault
}

// look is what one look saw.
type look struct {
	at      time.Time
	targets []sample         // by target
	stages  map[string]stage // by application id, all targets together, since the watch started
	commits float64          // of all of them
	lag     map[string]int64 // by group; those that could not be seen are missing
}

// stage is what the transactions of one application add up to.
type stage struct {
	commits, aborted, records float64
	buckets                   map[float64]float64 // cumulative, by upper edge in seconds
}

// A fault is what could not be seen, for the report's notes.
type fault struct {
	times int
	last  error
}

// Start takes a first look and goes on looking until Stop or ctx's end. It fails only where an option is wrong.
func Start(ctx context.Context, o Options) (*Watch, error) {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	o.Targets = append([]Target{{Name: Own, PID: os.Getpid()}}, o.Targets...)
	w := &Watch{
		options: o, http: &http.Client{Transport: &http.Transport{}}, stopped: make(chan struct{}),
		started: time.Now(), looks: series.New[look](maxLooks), fault: make(map[string]*fault),
	}
	w.began = w.started
	names := make(map[string]bool)
	for _, t := range o.Targets {
		switch {
		case names[t.Name]:
			return nil, fmt.Errorf("watch: two processes named %q: give each its own name", t.Name)
		case t.Name == "", t.PID <= 0 && t.Metrics == "":
			return nil, fmt.Errorf("watch: process %q: give a name, and a process id or the URL of its metrics", t.Name)
		}
		names[t.Name] = true
		w.targets = append(w.targets, newTarget(t))
	}
	w.peaks = make([]int64, len(w.targets))
	if len(o.Kafka) > 0 && len(o.Groups) > 0 {
		client, err := kgo.NewClient(o.Kafka...)
		if err != nil {
			return nil, fmt.Errorf("watch consumer groups: %w", err)
		}
		w.groups = newGroups(o.Kafka, client, o.Groups)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.look(ctx)
	w.base = w.last
	go func() {
		defer close(w.stopped)
		tick := time.NewTicker(o.Every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.look(ctx)
			}
		}
	}()
	return w, nil
}

// look takes one look. It is called by one goroutine at a time.
func (w *Watch) look(ctx context.Context) {
	l := look{at: time.Now(), targets: make([]sample, len(w.targets))}
	var looking sync.WaitGroup
	errs := make([]error, len(w.targets))
	for i, t := range w.targets {
		looking.Go(func() { l.targets[i], errs[i] = t.look(ctx, w.http, float64(w.started.UnixMilli())/1000) })
	}
	var lagErr error
	if w.groups != nil {
		l.lag, lagErr = w.groups.lag(ctx)
	}
	looking.Wait()
	l.stages, l.commits = w.stages()
	if ctx.Err() != nil && (lagErr != nil || errors.Join(errs...) != nil) {
		return // it was cut off
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, err := range errs {
		w.failed(w.targets[i].Name, err)
		w.peaks[i] = max(w.peaks[i], l.targets[i].bytes)
	}
	w.failed("the consumer groups", lagErr)
	w.keep(l)
}

func (w *Watch) failed(what string, err error) {
	if err == nil {
		return
	}
	if w.fault[what] == nil {
		w.fault[what] = &fault{}
	}
	w.fault[what].times++
	w.fault[what].last = err
}

// keep adds a look.
func (w *Watch) keep(l look) {
	w.last = l
	w.total++
	l.stages = nil // only what the run began and ended with is needed whole
	w.looks.Add(l)
}

// stages adds up the targets.
func (w *Watch) stages() (stages map[string]stage, commits float64) {
	stages = make(map[string]stage)
	for _, t := range w.targets {
		for app, x := range t.stages {
			s, ok := stages[app]
			if !ok {
				s.buckets = make(map[float64]float64)
			}
			s.commits, s.aborted, s.records = s.commits+x.commits.sum, s.aborted+x.aborted.sum, s.records+x.records.sum
			for edge, c := range x.buckets {
				s.buckets[edge] += c.sum
			}
			stages[app] = s
			commits += x.commits.sum
		}
	}
	return stages, commits
}

// Begin says from when the run's times count, where that is not when the watch started. What was spent before the last
// look before it does not count.
func (w *Watch) Begin(began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.base = began, w.last
	w.looks = series.New[look](maxLooks)
	for i, t := range w.last.targets {
		w.peaks[i] = t.bytes
	}
}

// Stop takes a last look, which ctx bounds, and ends the watch. It is called once.
func (w *Watch) Stop(ctx context.Context) {
	w.cancel()
	<-w.stopped
	w.look(ctx)
	w.http.CloseIdleConnections()
	if w.groups != nil {
		w.groups.close()
	}
}
