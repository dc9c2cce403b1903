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
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// A Log is what one run sent: a bit for each event, and the seed for all else.
type Log struct {
	Topic        string        // of all events; empty: each went to its own, by Naming
	Naming       topics.Naming //
	Planned      int64         // events of the whole run
	Made         int64         // events handed to the producer
	sent.Tally                 // of those
	Bytes        int64         // of their keys and values, before compression
	Began, Ended time.Time
	// Late are the events that left more than 10 ms after they were due, where the run is paced, and LateMost is how late
	// the latest left.
	Late     int64
	LateMost time.Duration
	// LateByTool and LateByBroker part Late by what held the event up (sent.Backlog): the brokers, with all of
	// Options.InFlight unacknowledged, or the tool, which had room to send and did not come to it.
	LateByTool, LateByBroker int64
	LateMostByTool           time.Duration

	start     event.Micros
	kafka     []kgo.Opt
	serde     *serde.Serde
	generator *scans.Generator // never moved: it makes those that replay
	watch     *sent.Watch

	mu         sync.Mutex            // guards all below, which the client's goroutine settles
	acked      []uint64              // a bit for each event
	count      int64                 // of those bits
	partitions [topics.Count][]int64 // acknowledged, by topic (the first stands for Topic) and partition
	refused    int64
	unsettled  int64 // the client was closed on them
	first      error
}

func newLog(g *scans.Generator, o *Options) *Log {
	return &Log{
		Topic: o.Topic, Naming: o.Naming, Planned: o.Count, kafka: o.Kafka, serde: o.Serde, generator: g.Again(),
		start: event.MicrosOf(g.Load().Start), acked: make([]uint64, (o.Count+63)/64), watch: newWatch(),
	}
}

func newWatch() *sent.Watch {
	return sent.NewWatch(sent.Words{Silent: "the brokers do not answer", Nothing: "no acknowledgement"})
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
func (l *Log) Outages() []sent.Outage { return l.watch.Outages() }

// Sent counts as a report does. What it says of kinds, copies and poison is of all that was made.
func (l *Log) Sent() report.Sent {
	s := report.Sent{Planned: l.Planned, Made: l.Made, Acknowledged: l.Acknowledged(), Unknown: l.Unknown(), Bytes: l.Bytes}
	l.Tell(&s)
	return s
}

// Bottleneck says in words that the load test itself, and not the brokers or what is behind them, set the limit: more than
// one event in a hundred was late by the tool. Empty: it did not.
func (l *Log) Bottleneck() string {
	return sent.Bottleneck(l.LateByTool, l.Made, l.LateMostByTool, "room to send")
}

// Rate is how many events a second were sent.
func (l *Log) Rate() float64 {
	took := l.Ended.Sub(l.Began).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(l.Made) / took
}
