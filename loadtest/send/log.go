package send

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/wire"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/scans"
)

// A Log is what one run sent: a bit for each movement, and the seed for all else.
type Log struct {
	Topic        string
	Made         int64                        // movements handed to the producer
	Copies       [scans.ReEnveloped + 1]int64 // of those, by scans.Copy
	Bytes        int64                        // of their keys and values, before compression
	Began, Ended time.Time
	Late         int64         // paced: movements that left more than 10 ms after they were due
	LateMost     time.Duration // paced: and the latest of them

	load      scans.Load
	start     event.Micros
	kafka     []kgo.Opt
	generator *scans.Generator // never moved: it makes those that replay

	mu         sync.Mutex // guards what the client's goroutine settles
	acked      []uint64   // a bit for each movement
	partitions []int64    // acknowledged, by partition
	failed     int64
	first      error
}

func newLog(g *scans.Generator, o Options) *Log {
	return &Log{
		Topic: o.Topic, load: g.Load(), start: event.MicrosOf(g.Load().Start), kafka: o.Kafka, generator: g.Again(),
		acked: make([]uint64, (o.Count+63)/64),
	}
}

func (l *Log) settled(seq int64, partition int32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		if l.first == nil {
			l.first = err
		}
		return
	}
	l.acked[seq/64] |= 1 << (seq % 64)
	for int(partition) >= len(l.partitions) {
		l.partitions = append(l.partitions, 0)
	}
	l.partitions[partition]++
}

func (l *Log) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		return nil
	}
	return fmt.Errorf("%d of %d movements failed, the first with: %w", l.failed, l.Made, l.first)
}

// Acknowledged is how many movements the broker has acknowledged.
func (l *Log) Acknowledged() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, n64 := range l.partitions {
		n += n64
	}
	return n
}

// Unknown is how many were made and not acknowledged: each may be on the topic or not. Resolve finds out.
func (l *Log) Unknown() int64 { return l.Made - l.Acknowledged() }

// Partitions counts what was acknowledged, by partition: how skewed the load is.
func (l *Log) Partitions() []int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int64(nil), l.partitions...)
}

// Replay makes every movement again that the broker has, in the order in which they were sent, for the oracle. A movement
// is valid during the call; an error of f ends the replay and is returned.
func (l *Log) Replay(f func(*scans.Scan) error) error {
	return l.each(true, f)
}

func (l *Log) each(acked bool, f func(*scans.Scan) error) error {
	l.mu.Lock()
	has := append([]uint64(nil), l.acked...)
	l.mu.Unlock()
	g := l.generator.Again()
	for seq := range l.Made {
		scan := g.Next()
		if has[seq/64]>>(seq%64)&1 == 1 == acked {
			if err := f(scan); err != nil {
				return err
			}
		}
	}
	return nil
}

// Resolve reads the topic to find out which of the unknown movements it has, and counts those as acknowledged. It must
// run when nothing sends any more, on a topic that no other run of the same seed has written. Where all was acknowledged
// it does nothing.
func (l *Log) Resolve(ctx context.Context) error {
	if l.Unknown() == 0 {
		return nil
	}
	// By event id: a movement repeated as it was has that of its original.
	type copies struct {
		acked   int // on the topic for sure
		unknown []int64
	}
	open := make(map[string]*copies)
	err := l.each(false, func(scan *scans.Scan) error {
		id := scan.Movement.Header.EventID
		if open[id] == nil {
			open[strings.Clone(id)] = &copies{}
		}
		open[id].unknown = append(open[id].unknown, scan.Seq)
		return nil
	})
	if err != nil {
		return err
	}
	err = l.each(true, func(scan *scans.Scan) error {
		if c := open[scan.Movement.Header.EventID]; c != nil {
			c.acked++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return committed.Read(ctx, l.kafka, l.Topic, func(r *kgo.Record) error {
		id, ok := "", false
		if _, payload, err := wire.Split(r.Value); err == nil {
			id, ok = event.PeekEventID(payload)
		}
		c := open[id]
		switch {
		case !ok || c == nil: // not ours
		case c.acked > 0:
			c.acked--
		case len(c.unknown) > 0:
			l.settled(c.unknown[0], r.Partition, nil)
			c.unknown = c.unknown[1:]
		}
		return nil
	})
}

// Rate is how many movements a second were sent.
func (l *Log) Rate() float64 {
	took := l.Ended.Sub(l.Began).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(l.Made) / took
}
