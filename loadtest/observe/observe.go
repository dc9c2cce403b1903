// Package observe sees the events of a load test come out of the pipeline: on the inventory stage's inbox, in the balances,
// and as rows of ClickHouse. It knows topics and events, and nothing of how the pipeline is made: the load's keys are the
// run's own, so that version v of a key's balance is known to hold the first v of its movements.
//
// Invariants:
//
//   - An event is seen when it can be read committed, never earlier; how long it took counts from its intended time.
//   - All that is kept is bounded. A pipeline that stands still makes the sample smaller, by whole keys, and never the tool
//     larger; an event of the sample then stands for several, so that those that were let go are not taken for fast ones.
//   - Nothing that the pipeline or ClickHouse does ends the run: what cannot be read is counted, tried again and told.
package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/report"
	"crossdock/topology/topics"
)

// Options of Start.
type Options struct {
	Kafka   []kgo.Opt    // how the brokers are reached
	Serde   *serde.Serde // knows, or can learn, the writers' schemas
	Naming  topics.Naming
	Tracker *Tracker
	// Entry is where the events enter: Movements are seen on the inbox as enriched, Documents as translated. Empty: the
	// events are put onto the inbox themselves, and are not looked for there.
	Entry report.Entry
	// Latency are the options of the recorders, those of the run.
	Latency latency.Options
	// Rows, where given, asks ClickHouse for the highest _offset that a query sees in inventory_balances, by _partition.
	// A partition without rows is missing from it.
	Rows func(context.Context) (map[int32]int64, error)
	// RowsEvery is how often it is asked, while rows are awaited; default 100 ms. It is how exact the hop is.
	RowsEvery time.Duration
}

// rowsWithin bounds one look at ClickHouse, and rowsRetry the wait between two that fail.
const (
	rowsWithin = 10 * time.Second
	rowsRetry  = 5 * time.Second
)

// Observers watch one run.
type Observers struct {
	options Options
	tracker *Tracker
	began   atomic.Pointer[time.Time] // nil: the run has not begun
	clients []*kgo.Client
	cancel  context.CancelFunc
	running sync.WaitGroup
	// Each has one writer.
	inbox, balances, rows *latency.Recorder
	troubles              troubles
}

// Start takes the topics' ends as of now and observes what comes after them, until Close or ctx's end. It fails where the
// brokers cannot be reached or a topic does not exist.
func Start(ctx context.Context, o Options) (*Observers, error) {
	names := []string{o.Naming.Topic(topics.Balances)}
	if o.Entry != "" {
		names = append(names, o.Naming.Topic(topics.InventoryInbox))
	}
	ends, err := endsOf(ctx, o.Kafka, names)
	if err != nil {
		return nil, fmt.Errorf("observe the pipeline: %w", err)
	}
	return startAt(ctx, o, ends)
}

// startAt observes topics from offsets on.
func startAt(ctx context.Context, o Options, from map[string]map[int32]kgo.Offset) (*Observers, error) {
	if o.RowsEvery <= 0 {
		o.RowsEvery = 100 * time.Millisecond
	}
	x := &Observers{
		options: o, tracker: o.Tracker,
		inbox: latency.New(o.Latency), balances: latency.New(o.Latency), rows: latency.New(o.Latency),
	}
	o.Tracker.rowsAwaited = o.Rows != nil
	o.Tracker.inboxAwaited, o.Tracker.documentsAwaited = o.Entry == report.Movements, o.Entry == report.Documents
	ctx, x.cancel = context.WithCancel(ctx)
	consumers := map[string]handler{
		o.Naming.Topic(topics.Balances):       &balanceReader{observers: x},
		o.Naming.Topic(topics.InventoryInbox): &inboxReader{observers: x},
	}
	for topic, offsets := range from {
		client, err := kgo.NewClient(append(append([]kgo.Opt(nil), o.Kafka...),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			// What retention has removed cannot be observed; what stands behind it can.
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchMaxWait(time.Second),
		)...)
		if err != nil {
			x.Close()
			return nil, fmt.Errorf("observe %s: %w", topic, err)
		}
		x.clients = append(x.clients, client)
		x.running.Go(func() { x.consume(ctx, client, topic, consumers[topic]) })
	}
	if o.Rows != nil {
		x.running.Go(func() { x.watchRows(ctx) })
	}
	return x, nil
}

func endsOf(ctx context.Context, kafka []kgo.Opt, names []string) (map[string]map[int32]kgo.Offset, error) {
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends := make(map[string]map[int32]kgo.Offset)
	var problems []error
	for _, topic := range names {
		ends[topic] = make(map[int32]kgo.Offset)
		for p, end := range listed[topic] {
			if end.Err != nil {
				problems = append(problems, fmt.Errorf("topic %s: %w", topic, end.Err))
				break
			}
			ends[topic][p] = kgo.NewOffset().At(end.Offset)
		}
		if len(listed[topic]) == 0 {
			problems = append(problems, fmt.Errorf("topic %s has no partitions: is it the pipeline's?", topic))
		}
	}
	return ends, errors.Join(problems...)
}

// Begin says from when the run's times count: the intended time of its first event. It is called before that event is
// sent; what is seen before is not the run's.
func (x *Observers) Begin(began time.Time) { x.began.Store(&began) }

// Recorders are what was seen: one for each observer. They may be looked at (latency.Look) while the run goes on, and are
// merged with the sender's at its end.
func (x *Observers) Recorders() []*latency.Recorder {
	return []*latency.Recorder{x.inbox, x.balances, x.rows}
}

// Awaited is how many events are still to be seen.
func (x *Observers) Awaited() Awaited { return x.tracker.Awaited() }

// Drain waits until all that was made has been seen at every hop. When ctx ends before, it says what is missing. It is
// called when nothing is sent any more.
func (x *Observers) Drain(ctx context.Context) error {
	for {
		changed := x.tracker.changes()
		left := x.tracker.Awaited()
		if left.None() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("not seen: %v: %w", left, context.Cause(ctx))
		}
	}
}

// Complete fills in, for each hop that was observed, what share of its events was measured and how many were never seen.
// A hop at which nothing at all was seen is added. It is called after Drain.
func (x *Observers) Complete(hops []report.Hop) []report.Hop {
	return x.tracker.complete(hops)
}

// Notes says in words what went wrong while observing, for the report.
func (x *Observers) Notes() []string { return x.troubles.notes() }

// Close ends the observers and waits for them.
func (x *Observers) Close() {
	x.cancel()
	x.running.Wait()
	for _, c := range x.clients {
		c.Close()
	}
}

// elapsed is the run's time now; false: it has not begun.
func (x *Observers) elapsed() (now time.Duration, began time.Time, ok bool) {
	at := x.began.Load()
	if at == nil {
		return 0, time.Time{}, false
	}
	return time.Since(*at), *at, true
}
