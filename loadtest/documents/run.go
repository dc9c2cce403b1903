package documents

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// Options of a run.
type Options struct {
	URL   string // of the ingress, such as http://127.0.0.1:8080
	Shape Shape
	// Kafka and Naming tell where the ingress puts what it takes: Log.Resolve reads it.
	Kafka  []kgo.Opt
	Naming topics.Naming
	Count  int64 // how many events; 0: those of the load's plan
	// Paced sends each document when it is due, counted from the start of the run; otherwise they go as fast as the ingress
	// takes them.
	Paced bool
	// Connections bounds the documents that are not answered yet; default 64. Each has a connection of its own, which is kept.
	Connections int
	// Grace is how long a run that is stopped, or at its end, waits for what is not answered; default 30 s.
	Grace time.Duration
	// Progress is send.Options.Progress: it counts events, and Away says what is wrong with the ingress.
	Progress func(send.Progress)
	// Made, where given, is told of each document before it is sent, from the run's goroutine, with the time at which it was to
	// leave. The document is valid during the call.
	Made func(d *Document, intended time.Time)
	// Settled, where given, is told of each document that was taken: one call at a time, from the goroutines that send.
	Settled func(events int, intended, at time.Time)
}

const (
	progressEvery = 250 * time.Millisecond
	lookEvery     = 20 * time.Millisecond
)

// Run sends the documents of the first o.Count events of a generator that stands at its start. It returns what was sent as well
// where it fails or ctx ends before all is out: what is not answered then gets Grace. The error wraps the context's cause, or says
// what the ingress refused.
func Run(ctx context.Context, g *scans.Generator, o Options) (*Log, error) {
	where, err := o.complete(g)
	if err != nil {
		return nil, err
	}
	cutter, err := NewCutter(g.Again(), o.Shape, o.Count, nil)
	if err != nil {
		return nil, err
	}
	l := newLog(g, &o)
	lasting, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	sending, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{
		options: &o, cutter: cutter, log: l, poster: newPoster(where, cutter.Targets(), o.Connections),
		work: make(chan posting), stop: stop, timer: time.NewTimer(time.Hour),
	}
	defer r.timer.Stop()
	var workers sync.WaitGroup
	for range o.Connections {
		workers.Go(func() { r.send(lasting) })
	}
	err = r.all(sending)
	if err != nil && ctx.Err() == nil && errors.Is(err, errRefused) {
		err = nil // the refusal itself says more
	}
	close(r.work)
	if left := r.drain(&workers, giveUp); left > 0 {
		unknown := fmt.Errorf("%d documents were not answered within %v, and it is unknown whether the ingress has them", left, o.Grace)
		if why := l.watch.Away(time.Now()); why != "" {
			unknown = fmt.Errorf("%w: %s", unknown, why)
		}
		err = errors.Join(err, unknown)
	}
	r.poster.client.CloseIdleConnections()
	l.Ended = time.Now()
	l.watch.End(l.Ended)
	if o.Progress != nil {
		r.report(l.Ended)
	}
	if first := l.failure(); first != nil {
		err = errors.Join(first, err)
	}
	if err != nil {
		return l, fmt.Errorf("send documents to %s: %w", o.URL, err)
	}
	return l, nil
}

// complete sets what was left open, and returns where documents go, without the source.
func (o *Options) complete(g *scans.Generator) (string, error) {
	if plan := g.Load().Pace; o.Count == 0 && plan != nil {
		o.Count = plan.Count()
	}
	if o.Count <= 0 {
		return "", fmt.Errorf("send documents: %d events: give a number above 0", o.Count)
	}
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Grace <= 0 {
		o.Grace = 30 * time.Second
	}
	return o.where()
}

// where is the path of documents, without the source.
func (o *Options) where() (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("ingress %q: %w", o.URL, errNoURL)
	}
	return strings.TrimSuffix(o.URL, "/") + "/v1/in/", nil
}

// A posting is a document on its way.
type posting struct {
	document *Document
	intended time.Time
}

// A run is Run's own state. One goroutine uses what is not said to be shared.
type run struct {
	options *Options
	cutter  *Cutter
	log     *Log // shared
	poster  *poster
	work    chan posting // shared
	stop    context.CancelCauseFunc

	timer    *time.Timer
	now      time.Time
	behind   time.Duration
	waited   time.Duration // for a free connection, so far
	backlog  sent.Backlog
	looked   time.Time
	reported time.Time
}

var errRefused = errors.New("a document was refused")

// all makes the documents and hands them out.
func (r *run) all(ctx context.Context) error {
	r.now = time.Now()
	r.log.begin(r.now)
	r.looked, r.reported = r.now, r.now
	for ctx.Err() == nil {
		d := r.cutter.Next()
		if d == nil {
			return nil
		}
		intended := d.Due
		if r.options.Paced {
			for due := d.Due - r.elapsed(); due > 0 && ctx.Err() == nil; due = d.Due - r.elapsed() {
				r.pause(ctx, due)
			}
		}
		if ctx.Err() != nil {
			break
		}
		if !r.options.Paced {
			intended = r.elapsed()
		}
		p := posting{d, r.log.Began.Add(intended)}
		if !r.hand(ctx, p) {
			break
		}
	}
	return context.Cause(ctx)
}

// hand gives a document to a connection that is free.
func (r *run) hand(ctx context.Context, p posting) bool {
	events := int64(p.document.Events()) // whoever sends it gives it back
	if r.options.Made != nil {
		r.options.Made(p.document, p.intended)
	}
	r.log.made(p.document)
	select {
	case r.work <- p:
	default:
		from := time.Now()
		for handed := false; !handed; {
			r.timer.Reset(lookEvery)
			select {
			case r.work <- p:
				handed = true
			case <-r.timer.C:
				r.look()
			case <-ctx.Done():
				r.log.unmade(p.document)
				return false
			}
		}
		r.look()
		r.waited += r.now.Sub(from)
	}
	if r.options.Paced {
		r.settleLate(p.intended.Sub(r.log.Began), events)
	}
	if r.now = time.Now(); r.now.Sub(r.looked) >= lookEvery {
		r.look()
	}
	return true
}

func (r *run) elapsed() time.Duration { return r.now.Sub(r.log.Began) }

// pause waits until something is due, or it is time to look around.
func (r *run) pause(ctx context.Context, d time.Duration) {
	r.timer.Reset(min(d, lookEvery))
	select {
	case <-r.timer.C:
	case <-ctx.Done():
	}
	r.look()
}

// look reads the clock, and tells how it goes when it is time to.
func (r *run) look() {
	r.now = time.Now()
	if r.now.Sub(r.looked) >= lookEvery {
		r.looked = r.now
		r.log.watch.Look(r.now, r.log.look())
	}
	if r.options.Progress != nil && r.now.Sub(r.reported) >= progressEvery {
		r.report(r.now)
	}
}

func (r *run) report(now time.Time) {
	r.reported = now
	made, acked := r.log.progress()
	r.options.Progress(send.Progress{
		Made: made, Acknowledged: acked, Count: r.options.Count,
		Elapsed: now.Sub(r.log.Began), Behind: max(0, r.behind), Away: r.log.watch.Away(now),
	})
}

// settleLate takes note of a document that leaves late.
func (r *run) settleLate(intended time.Duration, events int64) {
	elapsed := time.Since(r.log.Began)
	r.behind = elapsed - intended
	late, byIngress := r.backlog.Leave(intended, elapsed, r.waited)
	if !late {
		return
	}
	l := r.log
	l.Late += events
	l.LateMost = max(l.LateMost, r.behind)
	if byIngress {
		l.LateByIngress += events
		return
	}
	l.LateByTool += events
	l.LateMostByTool = max(l.LateMostByTool, r.behind)
}

// drain waits, as long as grace lets it, until all is answered, and returns how many documents are not.
func (r *run) drain(workers *sync.WaitGroup, giveUp context.CancelCauseFunc) int {
	idle := make(chan struct{})
	go func() { workers.Wait(); close(idle) }()
	grace := time.NewTimer(r.options.Grace)
	defer grace.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-idle:
			return 0
		case <-look.C:
			r.look()
		case <-grace.C:
			left := r.log.inFlight()
			giveUp(errGivenUp)
			<-idle
			return left
		}
	}
}

var errGivenUp = errors.New("the run was given up")

// send posts documents until there are no more.
func (r *run) send(ctx context.Context) {
	for p := range r.work {
		answer := r.poster.post(ctx, p.document, r.log)
		at := time.Now()
		r.log.settled(p, answer, at, r.options.Settled)
		if answer.refused != nil {
			r.stop(errRefused)
		}
		r.cutter.Release(p.document)
	}
}
