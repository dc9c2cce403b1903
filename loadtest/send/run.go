package send

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// A run is Run's own state. One goroutine uses it.
type run struct {
	options   *Options
	lasting   context.Context
	client    *kgo.Client
	generator *scans.Generator
	log       *Log
	slots     *slots
	health    *health
	names     [topics.Count]string // of the topics, where there is more than one

	start    event.Micros
	hand     *scans.Scan // made, and not due yet
	now      time.Time   // of the last look at the clock
	behind   time.Duration
	waited   time.Duration // for slots, so far
	backlog  sent.Backlog
	timer    *time.Timer
	looked   time.Time
	reported time.Time
}

func newRun(g *scans.Generator, o *Options, client *kgo.Client, l *Log, h *health) *run {
	r := &run{
		options: o, client: client, generator: g, log: l, health: h, slots: newSlots(o, l), start: event.MicrosOf(g.Load().Start),
		timer: time.NewTimer(time.Hour),
	}
	for id := range topics.Count {
		r.names[id] = o.Naming.Topic(topics.ID(id))
		if o.Topic != "" {
			r.names[id] = o.Topic
		}
	}
	return r
}

// all makes and produces the run's events.
func (r *run) all(ctx context.Context) error {
	defer r.timer.Stop()
	r.now = time.Now()
	r.log.Began, r.looked, r.reported = r.now, r.now, r.now
	r.log.watch.Begin(r.now)
	for r.log.Made < r.options.Count {
		if r.log.failed() {
			return nil // Run reports it
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		due, err := r.burst(ctx)
		if err != nil {
			return err
		}
		if due > 0 {
			r.pause(ctx, max(due, tick))
		}
		r.look()
	}
	return nil
}

// burst makes the next events, and returns how long it is until the next one is due; 0: it is.
func (r *run) burst(ctx context.Context) (due time.Duration, err error) {
	elapsed := r.now.Sub(r.log.Began)
	for n := min(burst, r.options.Count-r.log.Made); n > 0; n-- {
		if r.hand == nil {
			r.hand = r.generator.Next()
		}
		intended := elapsed
		if r.options.Paced {
			intended = time.Duration(r.hand.At-r.start) * time.Microsecond
			if intended > elapsed {
				return intended - elapsed, nil
			}
		}
		s := r.slots.take()
		if s == nil {
			if s, err = r.slot(ctx); s == nil {
				return 0, err
			}
			elapsed = r.now.Sub(r.log.Began)
			if !r.options.Paced {
				intended = elapsed
			}
		}
		if r.options.Paced {
			r.settleLate(intended, elapsed)
		}
		r.one(s, r.log.Began.Add(intended))
	}
	return 0, nil
}

// slot waits for a free one; nil without an error: the run has failed meanwhile.
func (r *run) slot(ctx context.Context) (*slot, error) {
	from := time.Now()
	for {
		r.timer.Reset(lookEvery)
		select {
		case <-r.slots.wake:
		case <-r.timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		r.look()
		s := r.slots.take()
		if s != nil {
			r.waited += r.now.Sub(from)
		}
		if s != nil || r.log.failed() {
			return s, nil
		}
	}
}

// one produces the event in hand.
func (r *run) one(s *slot, intended time.Time) {
	scan := r.hand
	r.hand = nil
	if r.options.Made != nil {
		r.options.Made(scan, intended)
	}
	l := r.log
	l.Made++
	l.Count(sent.MadeOf(scan), 1)
	s.seq, s.intended, s.topic = scan.Seq, intended, l.topicOf(scan)
	s.buffer = r.generator.AppendKey(s.buffer[:0])
	key := len(s.buffer)
	s.buffer = r.generator.AppendValue(s.buffer, l.serde)
	s.record = kgo.Record{Topic: r.names[s.topic], Key: s.buffer[:key:key], Value: s.buffer[key:], Timestamp: intended}
	l.Bytes += int64(len(s.buffer))
	r.client.Produce(r.lasting, &s.record, s.promise)
}

// pause waits until something is due, or it is time to look around.
func (r *run) pause(ctx context.Context, d time.Duration) {
	r.timer.Reset(min(d, lookEvery))
	select {
	case <-r.timer.C:
	case <-ctx.Done():
	}
}

// look reads the clock, and tells how it goes when it is time to.
func (r *run) look() {
	r.now = time.Now()
	if r.now.Sub(r.looked) >= lookEvery {
		r.looked = r.now
		w, settled := r.log.watch, r.log.settledSoFar()
		failures, last := r.health.since(w.Since())
		w.Look(r.now, sent.Look{Settled: settled, InFlight: settled < r.log.Made, Failures: failures, Last: last})
	}
	if r.options.Progress != nil && r.now.Sub(r.reported) >= progressEvery {
		r.report(r.now)
	}
}

func (r *run) report(now time.Time) {
	r.reported = now
	r.options.Progress(Progress{
		Made: r.log.Made, Acknowledged: r.log.Acknowledged(), Count: r.options.Count,
		Elapsed: now.Sub(r.log.Began), Behind: max(0, r.behind), Away: r.log.watch.Away(now),
	})
}

// drain waits, as long as grace lets it, until all is settled, and returns how many events are not. The client's linger
// ends by itself.
func (r *run) drain() int {
	grace := time.NewTimer(r.options.Grace)
	defer grace.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		left := r.slots.inFlight()
		if left == 0 {
			return 0
		}
		select {
		case <-look.C:
			r.look()
		case <-r.slots.wake:
		case <-grace.C:
			return r.slots.inFlight()
		}
	}
}

// settleLate takes note of an event that leaves late.
func (r *run) settleLate(intended, elapsed time.Duration) {
	r.behind = elapsed - intended
	late, byBroker := r.backlog.Leave(intended, elapsed, r.waited)
	if !late {
		return
	}
	l := r.log
	l.Late++
	l.LateMost = max(l.LateMost, r.behind)
	if byBroker {
		l.LateByBroker++
		return
	}
	l.LateByTool++
	l.LateMostByTool = max(l.LateMostByTool, r.behind)
}
