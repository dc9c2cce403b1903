// Package send produces the movements of a generator to a topic, at the pace of their load or as fast as it goes, and knows
// afterwards exactly which of them the broker has: the oracle counts those and no others.
//
// Pace is open loop: when a movement is to leave follows from its place in the run alone, and a broker that is slow makes
// the tool late, never the load smaller. What is late is counted and reported.
//
// The package knows the events and topics, and nothing of who reads them.
package send

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
)

// Options of a run.
type Options struct {
	Kafka []kgo.Opt    // how the brokers are reached
	Serde *serde.Serde // whose schema ids are written
	Topic string       // as the broker names it
	Count int64        // how many movements
	// Paced sends each movement when it is due by the load's rate, counted from the start of the run; otherwise they go
	// as fast as the broker takes them.
	Paced bool
	// InFlight bounds the movements that are not acknowledged yet; default 20,000. Each costs about 700 bytes.
	InFlight int
	// Grace is how long a run that is stopped, or at its end, waits for what is in flight; default 30 s.
	Grace time.Duration
	// Progress, where given, is told how it goes about four times a second, from the run's goroutine.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Made, Acknowledged, Count int64
	Elapsed                   time.Duration
	Behind                    time.Duration // how late the movement made last is; 0 where the run is not paced
}

const (
	// tick is how exact the pace is: all that is due within it leaves together, so that no movement needs a timer.
	tick          = time.Millisecond
	progressEvery = 250 * time.Millisecond
	// lateAfter is from where on a movement counts as late: the tool, not the pipeline, would be what is measured.
	lateAfter = 10 * time.Millisecond
	// burst is how many movements are made between two looks at the clock when nothing is paced.
	burst = 512
)

// Run sends the first o.Count movements of a generator that stands at its start. It returns what was sent as well where
// it fails or ctx ends before all is out: what is in flight then gets Grace to be acknowledged. The error wraps the
// context's cause, or the first that the broker gave.
func Run(ctx context.Context, g *scans.Generator, o Options) (*Log, error) {
	if o.Count <= 0 {
		return nil, fmt.Errorf("send to %s: %d movements: give a number above 0", o.Topic, o.Count)
	}
	if o.InFlight <= 0 {
		o.InFlight = 20_000
	}
	if o.Grace <= 0 {
		o.Grace = 30 * time.Second
	}
	linger := 10 * time.Millisecond
	if o.Paced {
		linger = tick
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), o.Kafka...),
		kgo.RequiredAcks(kgo.AllISRAcks()),                   // an idempotent producer: nothing is lost or doubled on the way by itself
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own clients
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(o.InFlight+1), // the slots are the bound: Produce never blocks
	)...)
	if err != nil {
		return nil, fmt.Errorf("send to %s: %w", o.Topic, err)
	}
	l := newLog(g, o)
	// The records themselves carry no deadline, so that a stop does not leave them between sent and not sent.
	lasting := context.WithoutCancel(ctx)
	r := &run{options: o, lasting: lasting, client: client, generator: g, log: l, slots: newSlots(o.InFlight, l)}
	err = r.all(ctx)
	grace, cancel := context.WithTimeout(lasting, o.Grace)
	defer cancel()
	if flush := client.Flush(grace); flush != nil {
		err = errors.Join(err, fmt.Errorf("%d movements were not acknowledged within %v: %w", client.BufferedProduceRecords(), o.Grace, flush))
	}
	client.Close() // what is still in flight fails now, and stays unknown
	r.slots.settle()
	l.Ended = time.Now()
	if o.Progress != nil {
		r.report(l.Ended)
	}
	if first := l.failure(); first != nil {
		err = errors.Join(err, first)
	}
	if err != nil {
		return l, fmt.Errorf("send to %s: %w", o.Topic, err)
	}
	return l, nil
}

// A run is Run's own state. One goroutine uses it.
type run struct {
	options   Options
	lasting   context.Context
	client    *kgo.Client
	generator *scans.Generator
	log       *Log
	slots     *slots
	behind    time.Duration
	reported  time.Time
}

func (r *run) all(ctx context.Context) error {
	r.log.Began = time.Now()
	r.reported = r.log.Began
	var wait *time.Ticker
	if r.options.Paced {
		wait = time.NewTicker(tick)
		defer wait.Stop()
	}
	for r.log.Made < r.options.Count {
		now := time.Now()
		n := min(burst, r.options.Count-r.log.Made)
		if r.options.Paced {
			n = min(r.options.Count, r.dueBy(now)) - r.log.Made
		}
		for range n {
			if err := r.one(ctx, now); err != nil {
				return err
			}
		}
		if r.options.Progress != nil && now.Sub(r.reported) >= progressEvery {
			r.report(now)
		}
		if err := r.log.failure(); err != nil {
			return nil // Run reports it
		}
		if wait == nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wait.C:
		}
	}
	return nil
}

// dueBy is how many movements are due at a time.
func (r *run) dueBy(now time.Time) int64 {
	elapsed, rate := now.Sub(r.log.Began).Microseconds(), int64(r.log.load.Rate)
	return elapsed/1_000_000*rate + elapsed%1_000_000*rate/1_000_000 + 1
}

// one makes and produces the next movement.
func (r *run) one(ctx context.Context, now time.Time) error {
	s, err := r.slots.take(ctx)
	if err != nil {
		return err
	}
	scan := r.generator.Next()
	r.log.Made++
	r.log.Copies[scan.Copy]++
	at := now
	if r.options.Paced {
		at = r.log.Began.Add(time.Duration(scan.At-r.log.start) * time.Microsecond)
		if r.behind = now.Sub(at); r.behind > lateAfter {
			r.log.Late++
			r.log.LateMost = max(r.log.LateMost, r.behind)
		}
	}
	s.buffer = r.generator.AppendKey(s.buffer[:0])
	key := len(s.buffer)
	s.buffer = r.options.Serde.Append(s.buffer, &scan.Movement)
	s.seq = scan.Seq
	s.record = kgo.Record{Topic: r.options.Topic, Key: s.buffer[:key:key], Value: s.buffer[key:], Timestamp: at}
	r.log.Bytes += int64(len(s.buffer))
	r.client.Produce(r.lasting, &s.record, s.promise)
	return nil
}

func (r *run) report(now time.Time) {
	r.reported = now
	r.options.Progress(Progress{
		Made: r.log.Made, Acknowledged: r.log.Acknowledged(), Count: r.options.Count,
		Elapsed: now.Sub(r.log.Began), Behind: max(0, r.behind),
	})
}
