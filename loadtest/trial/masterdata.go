package trial

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/topology/topics"
)

// master publishes the master data of loads, waits until every task of the enrich stage works with it, and takes it back.
//
// How it knows: behind the load's last item it writes one canary item to every partition of topic items, and the same for
// sites; tables apply a partition in its order, so whoever knows the canary knows what came before it. Then it sends
// movements of nothing (quantity 0) of these items at these sites to every partition of topic movements, and so to every
// task. One that comes out on the inbox with no trace of having waited was resolved at once. A movement of nothing moves
// no stock and leaves no balance, and its keys are of no load: the oracle never meets it, and no name of a canary has the
// load's as a word of its own, so that one that waited for its item, as many do, is not taken for an event of the load that
// came out where it must not.
type master struct {
	kafka  []kgo.Opt
	serde  *serde.Serde
	naming topics.Naming
}

// canaryGroup begins the names of canaries.
const canaryGroup = "CANARY"

// source is the system that the master data and canaries name as theirs.
const source = "loadtest"

// A masterDataError is master data that did not reach the stages.
type masterDataError struct {
	stage         string // that does not work with it
	arrived, sent int
	err           error
}

func (e *masterDataError) Error() string {
	return fmt.Sprintf("the %s stage does not work with the run's items and sites: %d of %d trial movements came out on the inbox: %v; "+
		"is it running, with this app and prefix? Start it with crossdock run %s parking inventory, or give --start", e.stage, e.arrived, e.sent, e.err, e.stage)
}

func (e *masterDataError) Unwrap() error { return e.err }

// publish writes items and sites, and a canary for each partition behind them.
func (m *master) publish(ctx context.Context, space string, items iter.Seq[*event.ItemMaster], sites iter.Seq[*event.SiteMaster]) error {
	partitions, err := m.partitions(ctx, topics.Items, topics.Sites)
	if err != nil {
		return err
	}
	return m.write(ctx, func(put func(topic topics.ID, key string, value event.Record)) {
		for item := range items {
			put(topics.Items, item.SKU, item)
		}
		for site := range sites {
			put(topics.Sites, site.Site, site)
		}
	}, func(put func(topic topics.ID, partition int32, key string, value event.Record)) {
		for p := range partitions[topics.Items] {
			item := event.ItemMaster{SKU: canary(space, p), Version: 1, BaseUOM: "EA", Status: "ACTIVE"}
			name(&item.Header, "item "+item.SKU, event.MicrosOf(time.Now()))
			put(topics.Items, p, item.SKU, &item)
		}
		for p := range partitions[topics.Sites] {
			site := event.SiteMaster{Site: canary(space, p), Version: 1, Name: "canary of a load test", TimeZone: "UTC"}
			name(&site.Header, "site "+site.Site, event.MicrosOf(time.Now()))
			put(topics.Sites, p, site.Site, &site)
		}
	})
}

// retract deletes what publish wrote, by tombstones: a system that is tested again and again does not fill up.
func (m *master) retract(ctx context.Context, space string, items iter.Seq[*event.ItemMaster], sites iter.Seq[*event.SiteMaster]) error {
	partitions, err := m.partitions(ctx, topics.Items, topics.Sites)
	if err != nil {
		return err
	}
	return m.write(ctx, func(put func(topic topics.ID, key string, value event.Record)) {
		for item := range items {
			put(topics.Items, item.SKU, nil)
		}
		for site := range sites {
			put(topics.Sites, site.Site, nil)
		}
	}, func(put func(topic topics.ID, partition int32, key string, value event.Record)) {
		for _, topic := range []topics.ID{topics.Items, topics.Sites} {
			for p := range partitions[topic] {
				put(topic, p, canary(space, p), nil)
			}
		}
	})
}

func canary(space string, partition int32) string {
	return canaryGroup + space + "-" + strconv.Itoa(int(partition))
}

func name(h *event.EventHeader, id string, at event.Micros) {
	h.EventID, h.DedupeKey, h.CorrelationID, h.SourceSystem, h.SourceDocType, h.SourceDocID = id, id, id, source, "loadtest/canary", id
	h.EventTime, h.IngestTime = at, at
}

// write produces records where their keys put them, and then those that name their partition.
func (m *master) write(ctx context.Context, keyed func(put func(topics.ID, string, event.Record)), placed func(put func(topics.ID, int32, string, event.Record))) error {
	var mu sync.Mutex
	var first error
	done := func(_ *kgo.Record, err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
	}
	record := func(topic topics.ID, key string, value event.Record) *kgo.Record {
		r := &kgo.Record{Topic: m.naming.Topic(topic), Key: topics.Key(nil, key)}
		if value != nil {
			r.Value = m.serde.Append(nil, value)
		}
		return r
	}
	phase := func(partitioner kgo.Partitioner, produce func(*kgo.Client)) error {
		client, err := m.producer(partitioner)
		if err != nil {
			return err
		}
		defer client.Close()
		produce(client)
		if err := client.Flush(ctx); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return first
	}
	err := phase(kgo.StickyKeyPartitioner(nil), func(client *kgo.Client) {
		keyed(func(topic topics.ID, key string, value event.Record) {
			client.Produce(ctx, record(topic, key, value), done)
		})
	})
	if err == nil {
		err = phase(kgo.ManualPartitioner(), func(client *kgo.Client) {
			placed(func(topic topics.ID, p int32, key string, value event.Record) {
				r := record(topic, key, value)
				r.Partition = p
				client.Produce(ctx, r, done)
			})
		})
	}
	if err != nil {
		return fmt.Errorf("master data of the run: %w", err)
	}
	return nil
}

func (m *master) producer(partitioner kgo.Partitioner) (*kgo.Client, error) {
	return kgo.NewClient(append(m.kafka[:len(m.kafka):len(m.kafka)],
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(partitioner), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(50_000))...)
}

// partitions counts those of topics.
func (m *master) partitions(ctx context.Context, ids ...topics.ID) (map[topics.ID]int32, error) {
	client, err := kgo.NewClient(m.kafka...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, m.naming.Topic(id))
	}
	found, err := kadm.NewClient(client).ListTopics(ctx, names...)
	if err != nil {
		return nil, err
	}
	counts := map[topics.ID]int32{}
	for i, id := range ids {
		detail := found[names[i]]
		if detail.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", names[i], detail.Err)
		}
		counts[id] = int32(len(detail.Partitions))
	}
	return counts, nil
}

// roundLimit is how long the canaries of one round may take before others are sent: tables that lag park them.
const roundLimit = 2 * time.Second

// known waits until every task of the stage that canaries come to on a route resolves what publish wrote. ctx bounds it.
func (m *master) known(ctx context.Context, space string, way route) error {
	counts, err := m.partitions(ctx, topics.Items, topics.Sites)
	if err != nil {
		return err
	}
	tasks, err := way.tasks(ctx, m)
	if err != nil {
		return err
	}
	reader, err := m.inboxFromNow(ctx)
	if err != nil {
		return err
	}
	defer reader.CloseAllowingRebalance()
	send, end, err := way.open(m)
	if err != nil {
		return err
	}
	defer end()
	f := &flock{master: m, space: space, items: counts[topics.Items], sites: counts[topics.Sites], open: map[flight]bool{}}
	for p := range tasks {
		for k := range max(f.items, f.sites) {
			f.open[flight{p, k}] = true
		}
	}
	f.all = len(f.open)
	for round := 0; len(f.open) > 0; round++ {
		if err := send(ctx, f.canaries(round)); err != nil {
			var notReady *NotReadyError
			if errors.As(err, &notReady) {
				return err
			}
			return &masterDataError{way.stage(), f.all - len(f.open), f.all, err}
		}
		if err := f.watch(ctx, reader); err != nil {
			return &masterDataError{way.stage(), f.all - len(f.open), f.all, err}
		}
	}
	return nil
}

// inboxFromNow reads what comes to the inventory stage's inbox from now on.
func (m *master) inboxFromNow(ctx context.Context) (*kgo.Client, error) {
	client, err := kgo.NewClient(m.kafka...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	inbox := m.naming.Topic(topics.InventoryInbox)
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, inbox)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	from := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	return kgo.NewClient(append(m.kafka[:len(m.kafka):len(m.kafka)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{inbox: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond))...)
}

// A flight is the way of one canary: through which task, and by which canary item and site.
type flight struct{ task, canary int32 }

// A flock is the canaries that are still awaited.
type flock struct {
	*master
	space        string
	items, sites int32
	open         map[flight]bool
	all          int
}

// prefix begins the event ids of the flock: "CANARYSPACE ".
func (f *flock) prefix() string { return canaryGroup + f.space + " " }

// canaries are those that are still awaited, once more.
func (f *flock) canaries(round int) []canaryOf {
	all := make([]canaryOf, 0, len(f.open))
	for way := range f.open {
		m := &event.InventoryMovement{SKU: canary(f.space, way.canary%f.items), Type: event.MovementTypeReceipt, UOMSrc: "EA", To: event.Some(event.Place{Bucket: event.BucketAvailable})}
		name(&m.Header, fmt.Sprintf("%s%d %d %d", f.prefix(), way.task, way.canary, round), event.MicrosOf(time.Now()))
		m.Header.Site = canary(f.space, way.canary%f.sites)
		all = append(all, canaryOf{way.task, m})
	}
	return all
}

// watch reads the inbox until all have arrived, or the round is over.
func (f *flock) watch(ctx context.Context, reader *kgo.Client) error {
	round, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	var m event.InventoryMovement
	for len(f.open) > 0 {
		fetches := reader.PollFetches(round)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if round.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("reading the inbox: %w", e.Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if kind, err := f.serde.Kind(r.Value); err != nil || kind != event.KindInventoryMovement || f.serde.Decode(r.Value, &m) != nil {
				return // of others
			}
			var way flight
			var round int
			// What waited for master data says where it lay meanwhile (raw_ref): the task that sent it on did not know it.
			if n, err := fmt.Sscanf(m.Header.EventID, f.prefix()+"%d %d %d", &way.task, &way.canary, &round); n == 3 && err == nil && !m.Header.RawRef.Valid {
				delete(f.open, way)
			}
		})
	}
	return nil
}
