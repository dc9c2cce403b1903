package send

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/wire"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// Replay makes every event again that the brokers have, in the order in which they were sent, for the oracle. An event is
// valid during the call; an error of f ends the replay and is returned.
func (l *Log) Replay(f func(*scans.Scan) error) error {
	return l.each(true, func(_ *scans.Generator, s *scans.Scan) error { return f(s) })
}

// ReplayFrom is Replay for those who ask the generator about the event in hand: its record, its canonical key.
func (l *Log) ReplayFrom(f func(*scans.Generator, *scans.Scan) error) error { return l.each(true, f) }

func (l *Log) each(acked bool, f func(*scans.Generator, *scans.Scan) error) error {
	return l.Walk(func(g *scans.Generator, s *scans.Scan, has bool) error {
		if has != acked {
			return nil
		}
		return f(g, s)
	})
}

// Generator is one of its own that stands at the run's start.
func (l *Log) Generator() *scans.Generator { return l.generator.Again() }

// Walk is ReplayFrom for every event that was made; acked says whether the brokers have it.
func (l *Log) Walk(f func(g *scans.Generator, s *scans.Scan, acked bool) error) error {
	l.mu.Lock()
	has := slices.Clone(l.acked)
	l.mu.Unlock()
	g := l.generator.Again()
	for seq := range l.Made {
		scan := g.Next()
		if err := f(g, scan, has[seq/64]>>(seq%64)&1 == 1); err != nil {
			return err
		}
	}
	return nil
}

// fingerprint tells records apart by what is in them. The schema's id is left out: another registry gives another one.
// Copies that are equal byte by byte are alike: which of them is on the topic makes no difference.
func fingerprint(d *xxhash.Digest, key, value []byte) uint64 {
	d.Reset()
	_, _ = d.Write(key) // it never fails
	_, _ = d.Write([]byte{0})
	_, _ = d.Write(value[min(wire.Size, len(value)):])
	return d.Sum64()
}

// Resolve reads the topics to find out which of the unknown events they have, and counts those as acknowledged. It must run
// when nothing sends any more, on topics that no other run of the same name and seed has written. Where all was
// acknowledged it does nothing.
func (l *Log) Resolve(ctx context.Context) error {
	if l.Unknown() == 0 {
		return nil
	}
	type copies struct {
		acked   int // on the topic for sure
		unknown []int64
	}
	var open [topics.Count]map[uint64]*copies
	d := xxhash.New()
	var buffer []byte
	markOf := func(g *scans.Generator, s *scans.Scan) (topics.ID, uint64) {
		buffer = g.AppendKey(buffer[:0])
		key := len(buffer)
		buffer = g.AppendValue(buffer, l.serde)
		return l.topicOf(s), fingerprint(d, buffer[:key], buffer[key:])
	}
	err := l.each(false, func(g *scans.Generator, s *scans.Scan) error {
		topic, mark := markOf(g, s)
		if open[topic] == nil {
			open[topic] = map[uint64]*copies{}
		}
		if open[topic][mark] == nil {
			open[topic][mark] = &copies{}
		}
		open[topic][mark].unknown = append(open[topic][mark].unknown, s.Seq)
		return nil
	})
	if err != nil {
		return err
	}
	err = l.each(true, func(g *scans.Generator, s *scans.Scan) error {
		if open[l.topicOf(s)] == nil {
			return nil
		}
		topic, mark := markOf(g, s)
		if c := open[topic][mark]; c != nil {
			c.acked++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id := range topics.ID(topics.Count) {
		if open[id] == nil {
			continue
		}
		err := committed.Read(ctx, l.kafka, l.name(id), func(r *kgo.Record) error {
			c := open[id][fingerprint(d, r.Key, r.Value)]
			switch {
			case c == nil: // not ours
			case c.acked > 0:
				c.acked--
			case len(c.unknown) > 0:
				l.settled(id, c.unknown[0], r.Partition, nil)
				c.unknown = c.unknown[1:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	// existTimeout bounds the look for the topics before a run begins.
	existTimeout = 30 * time.Second
	// appearWithin is how long a topic may be unknown to a broker that has just been told to create it.
	appearWithin = 3 * time.Second
	askAgain     = 100 * time.Millisecond
)

// topicsAreThere refuses a run to topics that nobody has created, before it begins.
func (l *Log) topicsAreThere(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeoutCause(ctx, existTimeout, fmt.Errorf("no broker answers within %v", existTimeout))
	defer cancel()
	admin := kadm.NewClient(client)
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for began := time.Now(); ; {
		err := l.lookForTopics(ctx, admin)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) || time.Since(began) > appearWithin {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (l *Log) lookForTopics(ctx context.Context, admin *kadm.Client) error {
	names := l.destinations()
	found, err := admin.ListTopics(ctx, names...)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return fmt.Errorf("ask the brokers for the topics: %w", err)
	}
	var problems []error
	for _, name := range names {
		switch t, ok := found[name]; {
		case !ok, errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			problems = append(problems, fmt.Errorf("topic %s is not there: create it first (crossdock topology apply): %w", name, kerr.UnknownTopicOrPartition))
		case t.Err != nil:
			problems = append(problems, fmt.Errorf("topic %s: %w", name, t.Err))
		}
	}
	return errors.Join(problems...)
}

// destinations are the topics that the run may write to.
func (l *Log) destinations() []string {
	if l.Topic != "" {
		return []string{l.Topic}
	}
	load, ids := l.generator.Load(), []topics.ID{l.generator.Topic()}
	retailer := false
	for range l.generator.Sites() {
		retailer = true // the older shapes have movements alone
		break
	}
	for id, goes := range map[topics.ID]bool{
		topics.ShipmentsInbox: load.Mix.Milestone > 0, topics.OrdersInbox: load.Mix.Order > 0, topics.Items: load.Mix.Item > 0,
		topics.InventoryInbox: load.Snapshots.Every > 0,
	} {
		if retailer && goes {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = l.Naming.Topic(id)
	}
	return names
}
