package send

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// A Log is what one run sent: a bit for each event, and the seed for all else.
type Log struct {
	Topic        string                       // of all events; empty: each went to its own, by Naming
	Naming       topics.Naming                //
	Planned      int64                        // events of the whole run
	Made         int64                        // events handed to the producer
	Copies       [scans.ReEnveloped + 1]int64 // of those, by scans.Copy
	Bytes        int64                        // of their keys and values, before compression
	Began, Ended time.Time
	// Late are the events that left more than 10 ms after they were due, where the run is paced, and LateMost is how late
	// the latest left.
	Late     int64
	LateMost time.Duration
	// LateByTool and LateByBroker part Late by what held the event up. The brokers did where at least half of the time
	// since the backlog began, which is since the first of the late events in a row was due, was spent with all of
	// Options.InFlight unacknowledged. Else the tool did: it had room to send, and did not come to it.
	LateByTool, LateByBroker int64
	LateMostByTool           time.Duration

	kinds     [256]int64 // made, by scans.Kind
	poison    [256]int64 // made, by scans.Poison
	offline   int64      // made, that a device kept while it had no network
	outOfTime int64      // made, original movements that happened before they were due, offline ones left out

	start     event.Micros
	kafka     []kgo.Opt
	serde     *serde.Serde
	generator *scans.Generator // never moved: it makes those that replay

	mu         sync.Mutex            // guards all below, which the client's goroutine settles
	acked      []uint64              // a bit for each event
	count      int64                 // of those bits
	partitions [topics.Count][]int64 // acknowledged, by topic (the first stands for Topic) and partition
	refused    int64
	unsettled  int64 // the client was closed on them
	first      error
	outages    []Outage
}

func newLog(g *scans.Generator, o *Options) *Log {
	return &Log{
		Topic: o.Topic, Naming: o.Naming, Planned: o.Count, kafka: o.Kafka, serde: o.Serde, generator: g.Again(),
		start: event.MicrosOf(g.Load().Start), acked: make([]uint64, (o.Count+63)/64),
	}
}

// tally adds an event that is made to what is counted of all.
func (l *Log) tally(scan *scans.Scan) {
	l.Copies[scan.Copy]++
	l.kinds[scan.Kind]++
	l.poison[scan.Poison]++
	switch {
	case scan.Offline:
		l.offline++
	case scan.Kind.Movement() && scan.Copy == scans.Original && scan.Movement.Header.EventTime < scan.At:
		l.outOfTime++
	}
}

// topicOf is where an event goes.
func (l *Log) topicOf(scan *scans.Scan) topics.ID {
	if l.Topic != "" {
		return 0
	}
	return scan.Topic
}

func (l *Log) name(id topics.ID) string {
	if l.Topic != "" {
		return l.Topic
	}
	return l.Naming.Topic(id)
}

func (l *Log) settled(topic topics.ID, seq int64, partition int32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if errors.Is(err, kgo.ErrClientClosed) { // the run gave up on it: nobody knows
			l.unsettled++
			return
		}
		l.refused++
		if l.first == nil {
			l.first = fmt.Errorf("%s: %w", l.name(topic), err)
		}
		return
	}
	l.acked[seq/64] |= 1 << (seq % 64)
	l.count++
	for int(partition) >= len(l.partitions[topic]) {
		l.partitions[topic] = append(l.partitions[topic], 0)
	}
	l.partitions[topic][partition]++
}

// settledSoFar is how many events have an answer.
func (l *Log) settledSoFar() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count + l.refused + l.unsettled
}

// failed says that the brokers have refused an event for good.
func (l *Log) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first != nil
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d events failed, the first on topic %w", l.refused, l.Made, l.first)
}

// Acknowledged is how many events the brokers have acknowledged.
func (l *Log) Acknowledged() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Unknown is how many were made and not acknowledged: each may be on its topic or not. Resolve finds out.
func (l *Log) Unknown() int64 { return l.Made - l.Acknowledged() }

// Topics are the names of the topics that something was acknowledged on, the busiest first.
func (l *Log) Topics() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := l.busiest()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = l.name(id)
	}
	return names
}

// Partitions counts what was acknowledged on the busiest topic, by partition: how skewed the load is.
func (l *Log) Partitions() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := l.busiest()
	if len(ids) == 0 {
		return nil
	}
	return slices.Clone(l.partitions[ids[0]])
}

// busiest wants mu held.
func (l *Log) busiest() []topics.ID {
	var ids []topics.ID
	var sums [topics.Count]int64
	for id, counts := range l.partitions {
		for _, n := range counts {
			sums[id] += n
		}
		if sums[id] > 0 {
			ids = append(ids, topics.ID(id))
		}
	}
	slices.SortStableFunc(ids, func(a, b topics.ID) int { return int(min(1, max(-1, sums[b]-sums[a]))) })
	return ids
}

// Outages are the times in which brokers were away, in order.
func (l *Log) Outages() []Outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.outages)
}

// Sent counts as a report does. What it says of kinds, copies and poison is of all that was made.
func (l *Log) Sent() report.Sent {
	s := report.Sent{
		Planned: l.Planned, Made: l.Made, Acknowledged: l.Acknowledged(), Unknown: l.Unknown(), Bytes: l.Bytes, Offline: l.offline, Late: l.outOfTime,
		Kinds: map[string]int64{}, Copies: map[string]int64{}, Poison: map[string]int64{},
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

// Bottleneck says in words that the load test itself, and not the brokers or what is behind them, set the limit: more than
// one event in a hundred was late by the tool. Empty: it did not.
func (l *Log) Bottleneck() string {
	if l.LateByTool*100 <= l.Made {
		return ""
	}
	return fmt.Sprintf("the load test did not keep its own pace: %d of %d events left more than %v late, up to %v, while it had room to send; lower the rate, or give it a core of its own",
		l.LateByTool, l.Made, lateAfter, l.LateMostByTool.Round(time.Millisecond))
}

// Rate is how many events a second were sent.
func (l *Log) Rate() float64 {
	took := l.Ended.Sub(l.Began).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(l.Made) / took
}
