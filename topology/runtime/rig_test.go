package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// counting is a processor whose results are easy to recount: it sums the quantities of a key, drops what it has seen, posts
// each to the ledger and tells the balance once a commit.
type counting struct {
	movement event.InventoryMovement
	posting  event.LedgerPosting
	balance  event.InventoryBalance
	value    []byte
	hook     func(ctx processors.Context, m *event.InventoryMovement) error // may be nil
}

// counted is the state of a key.
type counted struct {
	sum, count int64
	seen       []uint64
}

const countedSeen = 64

func (c *counted) decode(b []byte) {
	*c = counted{seen: c.seen[:0]}
	if len(b) == 0 {
		return
	}
	c.sum, c.count = int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	for b = b[16:]; len(b) > 0; b = b[8:] {
		c.seen = append(c.seen, binary.LittleEndian.Uint64(b))
	}
}

func (p *counting) Process(ctx processors.Context, r *processors.Record) error {
	m := &p.movement
	if err := ctx.Decode(m); err != nil {
		return err
	}
	if p.hook != nil {
		if err := p.hook(ctx, m); err != nil {
			return err
		}
	}
	s := ctx.Store(0)
	old := s.Get(r.Key)
	var sum, count int64
	hash := xxhash.Sum64String(m.Header.DedupeKey)
	if old != nil {
		sum, count = int64(binary.LittleEndian.Uint64(old)), int64(binary.LittleEndian.Uint64(old[8:]))
		for b := old[16:]; len(b) > 0; b = b[8:] {
			if binary.LittleEndian.Uint64(b) == hash {
				return nil
			}
		}
		old = old[16:]
		if len(old) == 8*countedSeen {
			old = old[8:]
		}
	}
	sum, count = sum+int64(m.QtyDelta), count+1
	v := binary.LittleEndian.AppendUint64(p.value[:0], uint64(sum))
	v = binary.LittleEndian.AppendUint64(v, uint64(count))
	v = append(v, old...)
	v = binary.LittleEndian.AppendUint64(v, hash)
	p.value = v
	s.Put(r.Key, v)
	p.posting = event.LedgerPosting{DedupeKey: m.Header.DedupeKey, PostingNo: count, Qty: m.QtyDelta, SKU: m.SKU}
	ctx.Emit(topics.Ledger, r.Key, &p.posting)
	return nil
}

func (p *counting) BeforeCommit(ctx processors.Context, key, value []byte) error {
	p.balance = event.InventoryBalance{
		Available: event.Quantity(binary.LittleEndian.Uint64(value)), Version: int64(binary.LittleEndian.Uint64(value[8:])),
	}
	ctx.Emit(topics.Balances, key, &p.balance)
	return nil
}

func countingStage(hook func(processors.Context, *event.InventoryMovement) error) topology.Stage {
	return topology.Stage{
		Name: "counting", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances, topics.Ledger},
		Stores: []topology.Store{{Name: "counts"}},
		New:    func() processors.Processor { return &counting{hook: hook} },
	}
}

// A rig is a broker, an application's topics on it, and what was sent.
type rig struct {
	t       testing.TB
	brokers []string
	way     []kgo.Opt   // to them, where it is not the network
	client  *kgo.Client // produces and reads for the test
	naming  topics.Naming
	app     string
	stage   topology.Stage
	parts   int32
	workers int
	disks   string    // folder of the instances' state
	memory  bool      // they have none
	child   childWork // what processes are told beside the above
	sent    []sent
	next    int
	count   atomic.Int64 // of sent, for others than who sends
}

// sent is one movement given to the application.
type sent struct {
	key, dedupe string
	qty         int64
}

var rigs atomic.Int64

// newRig creates the topics of a stage for an application of its own.
func newRig(t testing.TB, brokers []string, stage topology.Stage, parts int32, way ...kgo.Opt) *rig {
	t.Helper()
	app := fmt.Sprintf("t%d-%d-%s", os.Getpid(), rigs.Add(1), stage.Name)
	r := &rig{t: t, brokers: brokers, way: way, app: app, naming: topics.Naming{Prefix: app + "."}, stage: stage, parts: parts, workers: 1, disks: t.TempDir()}
	client, err := kgo.NewClient(append(r.reach(), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerBatchMaxBytes(18<<20), kgo.MetadataMinAge(50*time.Millisecond), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		t.Fatal(err)
	}
	r.client = client
	t.Cleanup(client.Close)
	names := []string{r.changelog()}
	for _, s := range stage.Stores {
		if name := r.naming.Changelog(app, s.Name); name != r.changelog() {
			names = append(names, name)
		}
	}
	for _, id := range append(append([]topics.ID{topics.DeadLetters, topics.Items, topics.Sites}, stage.Inputs...), stage.Outputs...) {
		names = append(names, r.naming.Topic(id))
	}
	adm := kadm.NewClient(client)
	for _, name := range names {
		if _, err := adm.CreateTopic(t.Context(), parts, 1, r.topicConfig(name), name); err != nil {
			t.Fatalf("topic %s: %v", name, err)
		}
	}
	until(t, "the broker knows of the topics", func() bool {
		there, err := adm.ListTopics(t.Context(), names...)
		return err == nil && there.Error() == nil && len(there) == len(names)
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if client.Ping(ctx) == nil { // its broker may be gone
			_, _ = adm.DeleteTopics(ctx, names...)
			_, _ = adm.DeleteGroup(ctx, app)
		}
	})
	return r
}

func (r *rig) topicConfig(name string) map[string]*string {
	m := map[string]*string{}
	if strings.HasSuffix(name, "-changelog") {
		compact := "compact"
		m["cleanup.policy"] = &compact
	}
	if name == r.naming.Topic(topics.DeadLetters) {
		size := fmt.Sprint(topics.DeadLetters.Lookup().MaxMessage)
		m["max.message.bytes"] = &size
	}
	return m
}

// reach is how the test itself reaches the brokers.
func (r *rig) reach() []kgo.Opt { return append([]kgo.Opt{kgo.SeedBrokers(r.brokers...)}, r.way...) }

func (r *rig) changelog() string { return r.naming.Changelog(r.app, "counts") }

func (r *rig) input() string { return r.naming.Topic(r.stage.Inputs[0]) }

// movement is a record to send.
func (r *rig) movement(key, dedupe string, qty int64) *kgo.Record {
	return &kgo.Record{Topic: r.input(), Key: []byte(key), Value: serde.Local().Append(nil, &event.InventoryMovement{
		Header: event.EventHeader{DedupeKey: dedupe, EventID: dedupe}, SKU: key, QtyDelta: event.Quantity(qty),
	}), Headers: []kgo.RecordHeader{{Key: "source", Value: []byte("rig")}, {Key: "raw-ref", Value: []byte("raw/0/1")}}}
}

// send sends n movements of some keys, one in fifty twice.
func (r *rig) send(n, keys int) {
	r.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(r.next), 7))
	var records []*kgo.Record
	for range n {
		s := sent{key: fmt.Sprintf("k%d", rng.IntN(keys)), dedupe: fmt.Sprintf("d%d", r.next), qty: rng.Int64N(2000) - 1000}
		r.next++
		r.sent = append(r.sent, s)
		records = append(records, r.movement(s.key, s.dedupe, s.qty))
		if r.next%50 == 0 {
			records = append(records, r.movement(s.key, s.dedupe, s.qty))
		}
	}
	r.produce(records...)
}

func (r *rig) produce(records ...*kgo.Record) {
	r.t.Helper()
	defer func() { r.count.Add(int64(len(records))) }()
	if err := r.client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// config is for one instance of the application.
func (r *rig) config(instance string) Config {
	return Config{
		App: r.app, Instance: instance, Workers: r.workers, Naming: r.naming, Client: []kgo.Opt{kgo.SeedBrokers(r.brokers...)},
		Balancer: kgo.CooperativeStickyBalancer(), HeartbeatInterval: 100 * time.Millisecond, MetadataMinAge: 100 * time.Millisecond,
		RebalanceTimeout: 2 * time.Second, EndTimeout: 3 * time.Second, TransactionTimeout: 4 * time.Second, SessionTimeout: 10 * time.Second,
	}
}

// folder is where an instance has its state, also when it is started again.
func (r *rig) folder(instance string) string { return filepath.Join(r.disks, instance) }

// diskOptions make everything that happens at some size or age happen often.
func (r *rig) diskOptions(log *slog.Logger) store.Options {
	return store.Options{CacheBytes: 64 << 10, DirtyBytes: 64 << 10, FlushInterval: 20 * time.Millisecond, Logger: log}
}

// A process is a running instance.
type process struct {
	*Instance
	registry *prometheus.Registry
	stop     context.CancelFunc
	over     chan error
	disk     *store.DB // nil: state is in memory
	waited   bool
}

// start runs an instance until the test ends.
func (r *rig) start(cfg Config, deps ...func(*Deps)) *process {
	r.t.Helper()
	p := &process{registry: prometheus.NewRegistry(), over: make(chan error, 1)}
	level := slog.LevelError + 4
	if testing.Verbose() && os.Getenv("RIG_LOG") != "" {
		level = slog.LevelDebug
	}
	d := Deps{Serde: serde.Local(), Registerer: p.registry, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	var err error
	for _, f := range deps {
		f(&d)
	}
	if d.State == nil && r.stage.Stateful() && !r.memory {
		if p.disk, err = store.Open(r.folder(cfg.Instance), r.diskOptions(d.Logger)); err != nil {
			r.t.Fatal(err)
		}
		d.State = p.disk
	}
	if p.Instance, err = New(cfg, r.stage, d); err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		err := p.Run(ctx)
		if p.disk != nil {
			ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			err = errors.Join(err, p.disk.Close(ending))
			cancel()
		}
		p.over <- err
	}()
	r.t.Cleanup(func() {
		if !p.waited {
			p.close(r.t)
		}
	})
	return p
}

// close stops the instance and waits for it.
func (p *process) close(t testing.TB) {
	t.Helper()
	p.stop()
	if err := p.exit(t); err != nil {
		t.Errorf("the instance stopped with %v", err)
	}
}

// exit is what the instance stopped with by itself.
func (p *process) exit(t testing.TB) error {
	t.Helper()
	p.waited = true
	select {
	case err := <-p.over:
		p.stop()
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("the instance does not stop")
		return nil
	}
}

func (p *process) exitReason(t testing.TB) Reason {
	t.Helper()
	var x *ExitError
	if err := p.exit(t); !errors.As(err, &x) {
		t.Fatalf("the instance stopped with %v", err)
	}
	return x.Reason
}

// metric sums the series of a metric whose labels contain all of the given "name=value".
func (p *process) metric(name string, labels ...string) float64 {
	families, err := p.registry.Gather()
	if err != nil {
		panic(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(have, l) }) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// until waits for a condition.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		<-tick.C
	}
}

// drained waits until the group has committed all that was sent.
func (r *rig) drained() {
	r.t.Helper()
	adm := kadm.NewClient(r.client)
	ends, err := adm.ListEndOffsets(r.t.Context(), r.input())
	if err != nil || ends.Error() != nil {
		r.t.Fatal(err, ends.Error())
	}
	until(r.t, "all input is committed", func() bool {
		committed, err := adm.FetchOffsets(r.t.Context(), r.app)
		if err != nil {
			return false
		}
		ok := true
		ends.Each(func(e kadm.ListedOffset) {
			c, have := committed.Lookup(e.Topic, e.Partition)
			ok = ok && (e.Offset == 0 || have && c.At >= e.Offset)
		})
		return ok
	})
}

// read is all committed records of a topic, by partition in order. Its end is the high watermark: the markers of the last
// commit may still be on their way to the topic.
func (r *rig) read(topic string) []*kgo.Record {
	r.t.Helper()
	adm := kadm.NewClient(r.client)
	ends, err := adm.ListEndOffsets(r.t.Context(), topic)
	if err != nil || ends.Error() != nil {
		r.t.Fatal(err, ends.Error())
	}
	left := map[int32]int64{}
	at := map[int32]kgo.Offset{}
	ends.Each(func(e kadm.ListedOffset) {
		if e.Offset > 0 {
			left[e.Partition] = e.Offset
			at[e.Partition] = kgo.NewOffset().AtStart()
		}
	})
	if len(left) == 0 {
		return nil
	}
	c, err := kgo.NewClient(append(r.reach(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: at}))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	var all []*kgo.Record
	for len(left) > 0 {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("topic %s cannot be read to its end: %v left", topic, left)
		}
		f.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				all = append(all, rec)
			}
			if end, ok := left[rec.Partition]; ok && rec.Offset+1 >= end {
				delete(left, rec.Partition)
			}
		})
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return all
}

// verify recounts from what was sent, without the processor's code, and compares ledger, balances and changelog with it.
func (r *rig) verify(except ...string) {
	r.t.Helper()
	type total struct {
		sum, count int64
		order      []string
	}
	want := map[string]*total{}
	for _, s := range r.sent {
		if slices.Contains(except, s.dedupe) {
			continue
		}
		w := want[s.key]
		if w == nil {
			w = &total{}
			want[s.key] = w
		}
		w.sum, w.count, w.order = w.sum+s.qty, w.count+1, append(w.order, s.dedupe)
	}
	problems := 0
	complain := func(format string, args ...any) {
		if problems++; problems <= 10 {
			r.t.Errorf(format, args...)
		}
	}
	postings := map[string][]string{}
	for _, rec := range r.read(r.naming.Topic(topics.Ledger)) {
		var p event.LedgerPosting
		if err := serde.Local().Decode(rec.Value, &p); err != nil {
			r.t.Fatal(err)
		}
		key := string(rec.Key)
		postings[key] = append(postings[key], strings.Clone(p.DedupeKey))
		if n := int64(len(postings[key])); p.PostingNo != n {
			complain("ledger of %s: posting %d is in place %d", key, p.PostingNo, n)
		}
	}
	balances := map[string]event.InventoryBalance{}
	for _, rec := range r.read(r.naming.Topic(topics.Balances)) {
		var b event.InventoryBalance
		if err := serde.Local().Decode(rec.Value, &b); err != nil {
			r.t.Fatal(err)
		}
		if b.Version <= balances[string(rec.Key)].Version {
			complain("balance of %s: version %d comes after %d", rec.Key, b.Version, balances[string(rec.Key)].Version)
		}
		balances[string(rec.Key)] = b
	}
	states := map[string]counted{}
	for _, rec := range r.read(r.changelog()) {
		var c counted
		c.decode(rec.Value)
		states[string(rec.Key)] = c
	}
	for key, w := range want {
		if b := balances[key]; int64(b.Available) != w.sum || b.Version != w.count {
			complain("balance of %s is %d in version %d, recounted %d in version %d", key, b.Available, b.Version, w.sum, w.count)
		}
		if s := states[key]; s.sum != w.sum || s.count != w.count {
			complain("state of %s is %d of %d, recounted %d of %d", key, s.sum, s.count, w.sum, w.count)
		}
		if !slices.Equal(postings[key], w.order) {
			complain("ledger of %s has %d postings, sent %d, or they are in another order", key, len(postings[key]), len(w.order))
		}
	}
	if len(postings) != len(want) || len(states) != len(want) || len(balances) != len(want) {
		complain("%d keys sent, %d in the ledger, %d in the changelog, %d in balances", len(want), len(postings), len(states), len(balances))
	}
	if problems > 10 {
		r.t.Errorf("and %d problems more", problems-10)
	}
}

// fake starts an embedded broker.
func fake(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
