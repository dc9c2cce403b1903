// Package send produces the events of a generator to their topics, at the pace of their load or as fast as it goes, and
// knows afterwards exactly which of them the brokers have: the oracle counts those and no others.
//
// Pace is open loop: when an event is to leave follows from its place in the run alone, and a broker that is slow or away
// makes the tool late, never the load smaller. What is late is counted and put down to the tool or to the brokers.
//
// The package knows the events and topics, and nothing of who reads them. Invariants:
//
//   - Every event is made once, in the generator's order, and none is dropped: a broker that goes away holds the run up
//     until it is back, or until the run is stopped.
//   - An event counts as acknowledged only when the brokers said so, or when it was found on its topic (Log.Resolve).
//   - Memory is bounded by Options.InFlight, and by one bit for each event.
package send

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// Options of a run.
type Options struct {
	Kafka []kgo.Opt    // how the brokers are reached
	Serde *serde.Serde // whose schema ids are written
	// Topic is one topic for all events, as the broker names it. Empty: each event goes to its own, by Naming.
	Topic  string
	Naming topics.Naming
	Count  int64 // how many events; 0: those of the load's plan
	// Paced sends each event when it is due by the load's rate or plan, counted from the start of the run; otherwise they
	// go as fast as the brokers take them.
	Paced bool
	// InFlight bounds the events that are not acknowledged yet; default 20,000. Each costs about 700 bytes.
	InFlight int
	// Grace is how long a run that is stopped, or at its end, waits for what is in flight; default 30 s.
	Grace time.Duration
	// Progress, where given, is told how it goes about four times a second, from the run's goroutine, also while nothing
	// moves.
	Progress func(Progress)
	// Made, where given, is told of each event before it is produced, from the run's goroutine, with the time at which it
	// was to leave (not paced: the time at which it leaves). The scan is valid during the call.
	Made func(s *scans.Scan, intended time.Time)
	// Settled, where given, is told of each event whose fate is known: err is nil where the brokers have it. It is called
	// from the client's goroutine, one call at a time, in the order of the answers; kgo.ErrClientClosed says that nobody
	// knows.
	Settled func(seq int64, intended, at time.Time, err error)
}

// Progress is how far a run is.
type Progress struct {
	Made, Acknowledged, Count int64
	Elapsed                   time.Duration
	Behind                    time.Duration // how late the event made last was; 0 where the run is not paced
	// Away says what is wrong while no broker takes anything: "no acknowledgement for 3.2s: dial tcp ...: connection
	// refused". Empty: they do.
	Away string
}

const (
	// tick is how exact the pace is: all that is due within it leaves together, so that no event needs a timer of its own.
	// Where few are due, most of what the load test costs is waking up and asking the brokers: at 3,000 a second 71 CPU
	// seconds a million with 1 ms, and as much lingering in the client, and 49 with 2 ms and none, at no higher latency.
	tick          = 2 * time.Millisecond
	progressEvery = 250 * time.Millisecond
	// lookEvery is how often the run looks whether the brokers answer: how exact an outage's ends are.
	lookEvery = 20 * time.Millisecond
	// burst is how many events are made between two looks at the clock: about a millisecond's worth at the highest rate.
	burst = 256
	// unknownTopicRetries lets a topic be unknown while brokers come back, some half a minute; a run to a topic that is
	// not there at all is refused at its start.
	unknownTopicRetries = 100
)

// Run sends the first o.Count events of a generator that stands at its start. It returns what was sent as well where it
// fails or ctx ends before all is out: what is in flight then gets Grace to be acknowledged. The error wraps the context's
// cause, or the first that the broker gave.
func Run(ctx context.Context, g *scans.Generator, o Options) (*Log, error) {
	if err := o.complete(g); err != nil {
		return nil, err
	}
	where := o.where()
	h := &health{}
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), o.Kafka...), o.producer(h)...)...)
	if err != nil {
		return nil, fmt.Errorf("send to %s: %w", where, err)
	}
	l := newLog(g, &o)
	if err := l.topicsAreThere(ctx, client); err != nil {
		client.Close()
		return nil, fmt.Errorf("send to %s: %w", where, err)
	}
	h.forget()
	r := newRun(g, &o, client, l, h)
	// The records themselves carry no deadline, so that a stop does not leave them between sent and not sent.
	r.lasting = context.WithoutCancel(ctx)
	err = r.all(ctx)
	if left := r.drain(); left > 0 {
		unknown := fmt.Errorf("%d events were not acknowledged within %v, and it is unknown whether the brokers have them", left, o.Grace)
		if why := l.watch.Away(time.Now()); why != "" {
			unknown = fmt.Errorf("%w: %s", unknown, why)
		}
		err = errors.Join(err, unknown)
	}
	client.Close() // what is still in flight fails now, and stays unknown
	r.slots.settle()
	l.Ended = time.Now()
	l.watch.End(l.Ended)
	if o.Progress != nil {
		r.report(l.Ended)
	}
	if first := l.failure(); first != nil {
		err = errors.Join(err, first)
	}
	if err != nil {
		return l, fmt.Errorf("send to %s: %w", where, err)
	}
	return l, nil
}

// complete sets what was left open.
func (o *Options) complete(g *scans.Generator) error {
	if plan := g.Load().Pace; o.Count == 0 && plan != nil {
		o.Count = plan.Count()
	}
	if o.Count <= 0 {
		return fmt.Errorf("send to %s: %d events: give a number above 0", o.where(), o.Count)
	}
	if o.InFlight <= 0 {
		o.InFlight = 20_000
	}
	if o.Grace <= 0 {
		o.Grace = 30 * time.Second
	}
	return nil
}

func (o *Options) where() string {
	if o.Topic != "" {
		return o.Topic
	}
	return "the topics of prefix " + fmt.Sprintf("%q", o.Naming.Prefix)
}

// producer are the client's settings.
func (o *Options) producer(h *health) []kgo.Opt {
	linger := 10 * time.Millisecond
	if o.Paced {
		linger = 0 // what is due has gathered already
	}
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),                   // an idempotent producer: nothing is lost or doubled on the way by itself
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own clients
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(linger),
		kgo.MaxBufferedRecords(o.InFlight + 1), // the slots are the bound: Produce never blocks
		kgo.UnknownTopicRetries(unknownTopicRetries),
		kgo.WithHooks(h),
		// A broker that is back is to be found at once: the client's own pauses grow to 2.5 s, and it asks who leads at most
		// every 5 s.
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(func(tries int) time.Duration {
			return min(50*time.Millisecond<<min(tries, 10), 500*time.Millisecond)
		}),
	}
}
