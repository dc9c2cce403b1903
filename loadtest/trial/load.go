package trial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/observe"
	"crossdock/loadtest/pace"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/series"
	"crossdock/loadtest/watch"
	"crossdock/topology/topics"
)

// A load is one stretch of events that was sent: the run, or an attempt of a search.
type load struct {
	part      Part
	profile   *profile.Profile
	entry     report.Entry
	plan      *pace.Plan
	generator *scans.Generator // never moved
	log       sentLog
	stopped   string // why not all of the plan was sent; empty: it was

	course    *course
	recorders []*latency.Recorder // accepted, and those of the observers
	observers *observe.Observers
	watch     *watch.Watch
	inbox     map[int32]int64 // where the inventory stage's inbox ended before the load; nil: the sender counts by partition
	skew      []int64         // what came to the inbox since, by partition
	sinks     map[string]bool // groups that fill ClickHouse
	rows      bool            // ClickHouse was looked at

	drained   bool
	ended     time.Time            // when the last output was seen, or was given up
	lagEnd    int64                // of the stages together when the last event was sent; -1: unknown
	lags      series.Series[point] // of the stages together, while it was sent
	warmUp    time.Duration
	afterWarm *latency.Snapshot // what was seen when the warm-up ended; nil: there was none
	notes     []string
}

// observed are the hops that were looked at.
func (l *load) observed() map[string]bool { return hopsOf(l.entry, l.rows) }

// hopsOf are the hops of an entry; rows says whether ClickHouse is looked at.
func hopsOf(entry report.Entry, rows bool) map[string]bool {
	return map[string]bool{
		latency.Accepted.String(): true, latency.Balance.String(): true, latency.Row.String(): rows,
		latency.Enriched.String(): entry == report.Movements, latency.Translated.String(): entry == report.Documents,
	}
}

// errStageEnded says that a stage ended by itself while the load was sent.
type errStageEnded struct{ err error }

func (e *errStageEnded) Error() string { return e.err.Error() }
func (e *errStageEnded) Unwrap() error { return e.err }

// one sends one load and waits until it has come out. What was sent of it is added to t.sent, with an error as well.
func (t *trial) one(ctx context.Context, name, file string, p *profile.Profile, warmUp *time.Duration) error {
	l := &load{profile: p, entry: t.o.Entry, lagEnd: -1, lags: series.New[point](maxPoints), part: Part{Name: name, Space: t.space(len(t.sent)), Seed: t.o.Seed, Log: file, ProfileText: p.YAML()}}
	if warmUp != nil {
		l.warmUp = *warmUp
	}
	var err error
	if l.plan, err = p.Plan(); err != nil {
		return &UnfitError{err}
	}
	l.part.Rate = l.plan.Peak()
	t.tell(Progress{Phase: Preparing, Part: name})
	g, err := t.generator(l, time.Now())
	if err != nil {
		return err
	}
	l.generator = g
	if err = t.prepare(ctx, l, g); err == nil {
		err = t.send(ctx, l)
	}
	if l.log == nil {
		l.drained = true // nothing of it is on the way
		t.retract(ctx, l)
		if ctx.Err() != nil {
			err = errInterrupted
		}
		return err
	}
	if err != nil {
		l.stopped = reasonOf(ctx, err)
		t.o.Step(fmt.Sprintf("%s: stopped (%s); what is on the way is waited for", name, l.stopped))
	}
	t.sent = append(t.sent, l)
	t.drain(ctx, l)
	t.retract(ctx, l)
	if l.stopped != "" {
		return fmt.Errorf("%s: %s", name, l.stopped)
	}
	return nil
}

// errInterrupted says that nobody wants the run any more, before anything of it was sent.
var errInterrupted = errors.New("interrupted before anything was sent: there is nothing to report")

// reasonOf says in words why a load ended before its plan did.
func reasonOf(ctx context.Context, err error) string {
	var ended *errStageEnded
	switch {
	case errors.As(err, &ended):
		return ended.Error()
	case ctx.Err() != nil:
		return "interrupted"
	}
	return err.Error()
}

// generator makes that of a load whose first event is due at a time.
func (t *trial) generator(l *load, start time.Time) (*scans.Generator, error) {
	shape, err := l.profile.Load(l.part.Seed, l.part.Space)
	if err != nil {
		return nil, &UnfitError{err}
	}
	shape.Start, shape.Pace = start.UTC().Truncate(time.Microsecond), l.plan
	l.part.Began = shape.Start
	g, err := scans.NewRetailer(shape)
	if err != nil {
		return nil, &UnfitError{err}
	}
	return g, nil
}

// masterDataWithin bounds the wait until the stages know a load's master data, once it is written.
const masterDataWithin = time.Minute

// prepare publishes the load's master data.
func (t *trial) prepare(ctx context.Context, l *load, g *scans.Generator) error {
	if err := t.master.publish(ctx, l.part.Space, g.Items(), t.sites(g)); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeoutCause(ctx, masterDataWithin, fmt.Errorf("not within %v", masterDataWithin))
	defer cancel()
	if err := t.master.known(waiting, l.part.Space, t.canaryRoute()); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var unknown *masterDataError
		if errors.As(err, &unknown) {
			return &NotReadyError{err}
		}
		return err
	}
	return nil
}

// send sends the load while everything is watched. An error comes with l.log where something was sent.
func (t *trial) send(ctx context.Context, l *load) error {
	options := latency.Options{}
	accepted := latency.New(options)
	tracker := observe.NewTracker(observe.TrackerOptions{Run: l.part.Space, Rate: l.plan.Peak()})
	lasting := context.WithoutCancel(ctx) // they go on until the load is drained
	oo := observe.Options{Kafka: t.o.Kafka, Serde: t.o.Serde, Naming: t.o.Naming, Tracker: tracker, Entry: t.o.Entry, Latency: options}
	if t.o.Tables != nil {
		oo.Rows, l.rows = t.rows(), true
	}
	var err error
	if l.observers, err = observe.Start(lasting, oo); err != nil {
		return err
	}
	l.recorders = append([]*latency.Recorder{accepted}, l.observers.Recorders()...)
	var groups []string
	l.sinks = map[string]bool{}
	for _, g := range t.o.Groups {
		groups = append(groups, g.Name)
		l.sinks[g.Name] = g.Sink
	}
	if l.watch, err = watch.Start(lasting, watch.Options{Targets: t.o.Watch, Kafka: t.o.Kafka, Groups: groups}); err != nil {
		l.observers.Close()
		return err
	}
	if l.generator, err = t.generator(l, time.Now()); err != nil {
		l.close(lasting)
		return err
	}
	l.course = newCourse()
	g := l.generator.Again()
	var began atomic.Int64 // nanoseconds of Unix time, when the first event is due; 0: not yet
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var telling sync.WaitGroup
	done := make(chan struct{})
	telling.Go(func() { t.follow(l, &began, stop, done) })
	v := &view{load: l, accepted: accepted, tracker: tracker, began: &began}
	if t.o.Entry == report.Documents {
		l.log, err = t.sendDocuments(sending, g, v)
	} else {
		l.log, err = t.sendMovements(sending, g, v)
	}
	close(done)
	telling.Wait()
	if l.log == nil || l.log.totals().made == 0 {
		l.log = nil
		l.close(lasting)
		if err == nil {
			err = errors.New("nothing was sent")
		}
		return err
	}
	l.ended = time.Now()
	l.lagEnd = l.lag()
	return err
}

// rows asks ClickHouse how far the balances are.
func (t *trial) rows() func(context.Context) (map[int32]int64, error) {
	topic := t.o.Naming.Topic(topics.Balances)
	return func(ctx context.Context) (map[int32]int64, error) { return t.o.Tables.Watermarks(ctx, topic) }
}

// lag is how many records the stages together are behind; -1 where it is not known. The sink's group does not count: it
// gathers rows for seconds, and no stage waits for it.
func (l *load) lag() int64 {
	behind, _ := l.watch.Lag()
	sum := int64(-1)
	for name, n := range behind {
		if !l.sinks[name] {
			sum = max(0, sum) + n
		}
	}
	return sum
}

// followEvery is how often a person, and a bar, are told how far it is.
const followEvery = 250 * time.Millisecond

// recent is over how long a rate and a quantile of progress are.
const recent = 5 * time.Second

// follow tells of progress while a load is sent, keeps what a search asks for, and stops the sending where a stage has
// ended. It ends when done is closed.
func (t *trial) follow(l *load, began *atomic.Int64, stop context.CancelCauseFunc, done <-chan struct{}) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	var window *latency.Window
	hop := t.hop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if t.alive != nil {
			if err := t.alive(); err != nil {
				stop(&errStageEnded{err})
				return
			}
		}
		origin := began.Load()
		if origin == 0 {
			continue
		}
		elapsed := time.Since(time.Unix(0, origin))
		if window == nil {
			window = latency.NewWindow(recent, elapsed, l.recorders...)
		}
		if l.warmUp > 0 && l.afterWarm == nil && elapsed >= l.warmUp {
			l.afterWarm = latency.Look(l.recorders...)
		}
		sum := l.lag()
		if sum >= 0 {
			l.lags.Add(point{elapsed, sum})
		}
		quantiles, _ := window.Look(elapsed).Latency(hop)
		made := l.course.latest()
		t.o.Progress(Progress{
			Phase: Sending, Part: l.part.Name, Elapsed: elapsed, Of: l.plan.Duration(), Rate: l.plan.Rate(elapsed),
			Made: made.Made, Planned: l.plan.Count(), MadeRate: l.course.recently(), Behind: made.Behind,
			Lag: sum, P99: time.Duration(quantiles.P99) * time.Microsecond, Hop: hop.String(), Away: made.Away,
		})
	}
}

// hop is the one whose p99 progress tells.
func (t *trial) hop() latency.Hop {
	for _, h := range latency.All() {
		if t.o.FindMax != nil && h.String() == t.o.FindMax.Hop {
			return h
		}
	}
	return latency.Balance
}

// close ends what watches the load.
func (l *load) close(ctx context.Context) {
	l.observers.Close()
	if l.watch != nil {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		l.watch.Stop(ctx)
	}
}

func (t *trial) tell(p Progress) {
	if p.Lag == 0 {
		p.Lag = -1
	}
	t.o.Progress(p)
}

// outages are those of the load, as a report tells them.
func (l *load) outages() []report.Outage {
	var all []report.Outage
	for _, o := range l.log.Outages() {
		all = append(all, report.Outage{At: max(0, o.From.Sub(l.log.totals().began).Seconds()), Seconds: o.To.Sub(o.From).Seconds(), What: o.What})
	}
	return all
}
