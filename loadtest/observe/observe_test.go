package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const run = "R1"

// A pipeline is made by hand: it writes what the test says, in transactions.
type pipeline struct {
	t       *testing.T
	cluster *kfake.Cluster
	kafka   []kgo.Opt
	naming  topics.Naming
	serde   *serde.Serde
	client  *kgo.Client
	began   time.Time
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{t: t, naming: topics.Naming{Prefix: "x."}, serde: serde.Local(), began: time.Now().Truncate(time.Millisecond)}
	var err error
	p.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, p.naming.Topic(topics.Balances), p.naming.Topic(topics.InventoryInbox)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cluster.Close)
	p.kafka = []kgo.Opt{kgo.SeedBrokers(p.cluster.ListenAddrs()...)}
	p.client, err = kgo.NewClient(append(p.kafka, kgo.TransactionalID("by-hand"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.client.Close)
	return p
}

// transaction writes records, and returns when they are on the topic: before they are committed, where commit is nil.
func (p *pipeline) transaction(how kgo.TransactionEndTry, records ...*kgo.Record) (offsets []int64) {
	p.t.Helper()
	end := p.open(&offsets, records...)
	end(how)
	return offsets
}

func (p *pipeline) open(offsets *[]int64, records ...*kgo.Record) (end func(kgo.TransactionEndTry)) {
	p.t.Helper()
	if err := p.client.BeginTransaction(); err != nil {
		p.t.Fatal(err)
	}
	for _, res := range p.client.ProduceSync(p.t.Context(), records...) {
		if res.Err != nil {
			p.t.Fatal(res.Err)
		}
		*offsets = append(*offsets, res.Record.Offset)
	}
	return func(how kgo.TransactionEndTry) {
		p.t.Helper()
		if err := p.client.EndTransaction(p.t.Context(), how); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *pipeline) balance(sku string, version int64) *kgo.Record {
	b := event.InventoryBalance{SKU: sku, Site: "DC1", Version: version}
	return &kgo.Record{Topic: p.naming.Topic(topics.Balances), Key: topics.Key(nil, sku, "DC1"), Value: p.serde.Append(nil, &b)}
}

// movement is on the inbox; intended is what the sender gave the record that it was made from.
func (p *pipeline) movement(sku, document string, intended time.Duration) *kgo.Record {
	m := event.InventoryMovement{SKU: sku}
	m.Header.SourceDocID, m.Header.Site = document, "DC1"
	return &kgo.Record{
		Topic: p.naming.Topic(topics.InventoryInbox), Key: topics.Key(nil, sku, "DC1"), Value: p.serde.Append(nil, &m),
		Timestamp: p.began.Add(intended),
	}
}

func (p *pipeline) observe(tracker *Tracker, o Options) *Observers {
	p.t.Helper()
	o.Kafka, o.Serde, o.Naming, o.Tracker = p.kafka, p.serde, p.naming, tracker
	x, err := Start(p.t.Context(), o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(x.Close)
	x.Begin(p.began)
	return x
}

func (p *pipeline) drain(x *Observers) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	if err := x.Drain(ctx); err != nil {
		p.t.Fatal(err)
	}
}

// until waits for a condition, each time that something was seen.
func (p *pipeline) until(x *Observers, what string, met func(Awaited) bool) {
	p.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		changed := x.tracker.changes()
		if met(x.Awaited()) {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			p.t.Fatalf("%s: still %v", what, x.Awaited())
		}
	}
}

func hopsOf(x *Observers) map[string]report.Hop {
	all := latency.New(latency.Options{})
	for _, r := range x.Recorders() {
		all.Merge(r)
	}
	hops := make(map[string]report.Hop)
	for _, h := range x.Complete(all.Hops()) {
		hops[h.Name] = h
	}
	return hops
}

func TestABalanceIsSeenWhenItsTransactionCommits(t *testing.T) {
	p := newPipeline(t)
	p.transaction(kgo.TryCommit, p.balance("R1-A", 7)) // before the run: an old balance says nothing of it
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{})
	for i := range 5 {
		tracker.Await("R1-A", "DC1", time.Duration(i)*time.Millisecond)
	}
	tracker.Await("R1-B", "DC1", 0)
	var offsets []int64
	end := p.open(&offsets, p.balance("R1-A", 5))
	end(kgo.TryAbort)
	p.transaction(kgo.TryCommit, p.balance("R1-A", 2))
	p.until(x, "version 2 holds two movements, and the aborted version 5 none", func(a Awaited) bool { return a.Balance == 4 })
	end = p.open(&offsets, p.balance("R1-A", 5))
	// Another partition is not held up by the open transaction, and shows that the observers have looked meanwhile.
	other := p.balance("R1-B", 1)
	other.Partition = 1
	plain, err := kgo.NewClient(append(p.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.ProduceSync(t.Context(), other).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p.until(x, "R1-B", func(a Awaited) bool { return a.Balance <= 3 })
	if a := x.Awaited(); a.Balance != 3 {
		t.Fatalf("%v: what is not committed was seen", a)
	}
	end(kgo.TryCommit)
	p.drain(x)
	h := hopsOf(x)["balance"]
	if h.Measured != 6 || h.Missing != 0 || h.Share != 1 {
		t.Errorf("%+v", h)
	}
}

func TestOtherKeysAreNotTheRuns(t *testing.T) {
	p := newPipeline(t)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{Entry: report.Movements})
	tracker.Await("R1-A", "DC1", 0)
	tracker.AwaitOnInbox()
	p.transaction(kgo.TryCommit,
		p.balance("R2-A", 1), p.balance("MILK", 1), p.balance("R10-A", 1), p.balance("R1-NEVERMADE", 4),
		p.movement("R2-A", "", 0), p.movement("MILK", "", 0), p.movement("R10-A", "", 0),
		p.balance("R1-A", 1), p.movement("R1-A", "", 0))
	p.drain(x)
	hops := hopsOf(x)
	if hops["balance"].Measured != 1 || hops["enriched"].Measured != 1 {
		t.Errorf("%+v", hops)
	}
}

// The record's timestamp is the time that was intended for it, not when it was written.
func TestAnEnrichedMovementCountsFromItsRecordsTime(t *testing.T) {
	p := newPipeline(t)
	p.began = p.began.Add(-time.Hour)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{Entry: report.Movements})
	for range 3 {
		tracker.AwaitOnInbox() // an original, and two repetitions: the enrich stage lets both pass
	}
	snapshot := event.InventorySnapshot{}
	record := p.movement("R1-A", "", 0)
	record.Value = p.serde.Append(nil, &snapshot) // the load test puts reports onto the inbox itself
	p.transaction(kgo.TryAbort, p.movement("R1-A", "", 0))
	p.transaction(kgo.TryCommit, record, p.movement("R1-A", "", 10*time.Minute), p.movement("R1-A", "", 20*time.Minute), p.movement("R1-A", "", 30*time.Minute))
	p.drain(x)
	h := hopsOf(x)["enriched"]
	if h.Measured != 3 || h.Latency.Max < (50*time.Minute).Microseconds() || h.Latency.Max > (52*time.Minute).Microseconds() {
		t.Errorf("%+v", h)
	}
	if h.Latency.P50 < (40*time.Minute).Microseconds()*99/100 || h.Latency.P50 > (42*time.Minute).Microseconds() {
		t.Errorf("p50 %v", time.Duration(h.Latency.P50)*time.Microsecond)
	}
}

func TestADocumentIsTranslatedWithTheLastOfItsEvents(t *testing.T) {
	p := newPipeline(t)
	p.began = p.began.Add(-time.Minute)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{Entry: report.Documents})
	tracker.Document("DOC1", 3, 30*time.Second)
	tracker.Document("DOC2", 1, 40*time.Second)
	tracker.Document("DOC3", 1, 50*time.Second)
	tracker.Document("EMPTY", 0, 0)
	p.transaction(kgo.TryCommit, p.movement("R1-A", "DOC1", 0), p.movement("R1-B", "DOC1", 0), p.movement("R1-C", "DOC2", 0))
	p.until(x, "DOC2", func(a Awaited) bool { return a.Translated == 2 })
	if n := x.Recorders()[0].Hops()[0].Measured; n != 1 {
		t.Fatalf("%d documents seen, one of three events is not whole", n)
	}
	// A repetition of what was seen whole is no news.
	p.transaction(kgo.TryCommit, p.movement("R1-C", "DOC2", 0), p.movement("R1-C", "DOC1", 0))
	p.until(x, "DOC1", func(a Awaited) bool { return a.Translated == 1 })
	h := hopsOf(x)["translated"]
	if h.Measured != 2 || h.Missing != 1 || h.Latency.Max < (30*time.Second).Microseconds() || h.Latency.Max > (32*time.Second).Microseconds() {
		t.Errorf("%+v", h)
	}
}

func TestDocumentsBeyondTheBoundHalveTheSample(t *testing.T) {
	d := documents{most: 1000, open: make(map[uint64]document)}
	for i := range 10_000 {
		d.add(hashOf(i), 1, 0)
	}
	if d.len() > 1000 || d.len() < 300 {
		t.Fatal(d.len())
	}
	var stands int64
	for i := range 10_000 {
		_, n, _ := d.seen(hashOf(i))
		stands += n
	}
	if stands < 8500 || stands > 11500 || d.len() != 0 {
		t.Errorf("they stand for %d of 10000", stands)
	}
	if s := d.share(); s < 0.03 || s > 0.1 {
		t.Errorf("share %g", s)
	}
}

// ClickHouse may be away, and behind: it never ends the run, and a row is seen when its offset can be read.
func TestARowIsSeenWhenItsOffsetIsVisible(t *testing.T) {
	p := newPipeline(t)
	tracker := NewTracker(TrackerOptions{Run: run})
	var visible atomic.Int64
	visible.Store(-1)
	var asked atomic.Int64
	x := p.observe(tracker, Options{RowsEvery: time.Millisecond, Rows: func(context.Context) (map[int32]int64, error) {
		if asked.Add(1) <= 2 {
			return nil, errors.New("code 210: connection refused")
		}
		if v := visible.Load(); v >= 0 {
			return map[int32]int64{0: v}, nil
		}
		return nil, nil
	}})
	for range 4 {
		tracker.Await("R1-A", "DC1", 0)
	}
	offsets := p.transaction(kgo.TryCommit, p.balance("R1-A", 1), p.balance("R1-A", 3))
	p.until(x, "balances", func(a Awaited) bool { return a.Balance == 1 })
	if a := x.Awaited(); a.Row != 4 {
		t.Fatal(a)
	}
	visible.Store(offsets[0])
	p.until(x, "the first row", func(a Awaited) bool { return a.Row == 3 })
	visible.Store(offsets[1])
	p.until(x, "the second row", func(a Awaited) bool { return a.Row == 1 })
	more := p.transaction(kgo.TryCommit, p.balance("R1-A", 4))
	visible.Store(more[0])
	p.drain(x)
	hops := hopsOf(x)
	if hops["row"].Measured != 4 || hops["balance"].Measured != 4 || hops["row"].Missing != 0 {
		t.Errorf("%+v", hops)
	}
	if notes := strings.Join(x.Notes(), "\n"); !strings.Contains(notes, "ClickHouse did not answer 2 times") || !strings.Contains(notes, "code 210") {
		t.Errorf("notes %q", notes)
	}
}

func TestWhatIsMissingIsSaidByHop(t *testing.T) {
	p := newPipeline(t)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{
		Entry: report.Movements, RowsEvery: time.Millisecond,
		Rows: func(context.Context) (map[int32]int64, error) { return nil, nil },
	})
	for range 3 {
		tracker.Await("R1-A", "DC1", 0)
		tracker.AwaitOnInbox()
	}
	p.transaction(kgo.TryCommit, p.balance("R1-A", 1), p.movement("R1-A", "", 0))
	p.until(x, "one of each", func(a Awaited) bool { return a == Awaited{Enriched: 2, Balance: 2, Row: 3} })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("given up after 30s"))
	err := x.Drain(ctx)
	if err == nil || err.Error() != "not seen: 2 at enriched, 2 at balance, 3 at row: given up after 30s" {
		t.Error(err)
	}
	hops := hopsOf(x)
	if hops["enriched"].Missing != 2 || hops["balance"].Missing != 2 || hops["row"].Missing != 3 || hops["row"].Measured != 0 {
		t.Errorf("%+v", hops)
	}
	if _, ok := hops["translated"]; ok {
		t.Error("translated was not observed")
	}
}

func TestRecordsThatCannotBeReadAreCountedAndPassedOver(t *testing.T) {
	p := newPipeline(t)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{Entry: report.Movements})
	tracker.Await("R1-A", "DC1", 0)
	spoiled, tombstone, unframed := p.balance("R1-A", 1), p.balance("R1-A", 1), p.movement("R1-A", "", 0)
	spoiled.Value, tombstone.Value, unframed.Value = spoiled.Value[:8], nil, []byte("{}")
	p.transaction(kgo.TryCommit, spoiled, tombstone, unframed, p.balance("R1-A", 1))
	p.drain(x)
	p.until(x, "the unframed one", func(Awaited) bool { return len(x.Notes()) > 0 })
	if notes := x.Notes(); !strings.Contains(notes[0], "could not be read") {
		t.Error(notes)
	}
}

func TestABrokerThatIsAwayEndsNothing(t *testing.T) {
	p := newPipeline(t)
	tracker := NewTracker(TrackerOptions{Run: run})
	x := p.observe(tracker, Options{})
	tracker.Await("R1-A", "DC1", 0)
	var cut atomic.Int64
	p.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		if cut.Add(1) <= 3 {
			return nil, errors.New("the connection is cut"), true
		}
		return nil, nil, false
	})
	p.transaction(kgo.TryCommit, p.balance("R1-A", 1))
	p.drain(x)
	if cut.Load() <= 3 {
		t.Error("no fetch was cut")
	}
}

func TestATopicThatDoesNotExistIsNamed(t *testing.T) {
	p := newPipeline(t)
	_, err := Start(t.Context(), Options{
		Kafka: p.kafka, Serde: p.serde, Naming: topics.Naming{Prefix: "other."}, Tracker: NewTracker(TrackerOptions{Run: run}), Entry: report.Movements,
	})
	if err == nil || !strings.Contains(err.Error(), "other.balances") || !strings.Contains(err.Error(), "other.inventory-inbox") {
		t.Fatal(err)
	}
}

func TestOriginalsThatMoveStockAreAwaitedAndNothingElse(t *testing.T) {
	load := scans.DefaultLoad(3)
	load.Run, load.SKUs, load.Sites, load.BusySites, load.Poison, load.Duplicates = run, 500, 10, 2, 0.05, 0.1
	load.Snapshots.Every = time.Second
	g, err := scans.NewRetailer(load)
	if err != nil {
		t.Fatal(err)
	}
	tracker := NewTracker(TrackerOptions{Run: run})
	tracker.inboxAwaited = true
	var originals, all, others int64
	versions := make(map[string]int64)
	for range 20_000 {
		s := g.Next()
		tracker.Made(g, s, 0)
		switch {
		case s.Poison != scans.NotPoison || !s.Kind.Movement():
			others++
		case s.Copy != scans.Original:
			all++
		default:
			all++
			originals++
			sku, site := g.Canonical()
			if !strings.HasPrefix(sku, string(tracker.prefix)) {
				t.Fatalf("SKU %s does not begin with %s", sku, tracker.prefix)
			}
			versions[string(topics.Key(nil, sku, site))]++
		}
	}
	if a := tracker.Awaited(); a.Balance != originals || a.Enriched != all || others == 0 || all == originals {
		t.Fatalf("%v awaited of %d originals, %d movements, %d others", a, originals, all, others)
	}
	for key, v := range versions {
		tracker.balance(hashOfKey(key), v, position{}, func(time.Duration, int64) {})
	}
	if a := tracker.Awaited(); a.Balance != 0 {
		t.Errorf("%v: the keys of balances are others", a)
	}
}

func TestTheSampleFollowsTheRate(t *testing.T) {
	for rate, share := range map[float64]float64{0: 1, FullRate: 1, FullRate + 1: 0.5, 4 * FullRate: 0.25} {
		tracker := NewTracker(TrackerOptions{Rate: rate})
		const n = 40_000
		for i := range n {
			tracker.Await(fmt.Sprint(i), "S", 0)
		}
		if got := tracker.complete(nil)[0].Share; got < share*0.95 || got > share*1.05 {
			t.Errorf("at %g/s a share of %g, want %g", rate, got, share)
		}
	}
}
