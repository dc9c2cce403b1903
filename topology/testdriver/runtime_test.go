package testdriver_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/apply"
	"crossdock/topology/runtime"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledgered tells each record with the count of its key, and the count again at each commit. It refuses some.
type ledgered struct{ counter }

func (p ledgered) Process(ctx processors.Context, r *processors.Record) error {
	if err := p.counter.Process(ctx, r); err != nil {
		return err
	}
	ctx.EmitRaw(topics.Ledger, r.Key, fmt.Appendf(nil, "%s after %s", ctx.Store(0).Get(r.Key), r.Value), r.Headers)
	return nil
}

// BeforeCommit tells every count, however high.
func (ledgered) BeforeCommit(ctx processors.Context, key, value []byte) error {
	ctx.EmitRaw(topics.Balances, key, value, nil)
	return nil
}

// The first stage gives records new keys, so that they change partitions, but no two of one partition the same: between
// partitions there is no order. The second keeps state.
func twoStages() []topology.Stage {
	return []topology.Stage{
		stage("rekey", topics.Movements, func(ctx processors.Context, r *processors.Record) error {
			if bytes.HasSuffix(r.Value, []byte("5")) {
				return processors.Rejectf("FIVE", "", "it ends in five")
			}
			if bytes.HasSuffix(r.Value, []byte("7")) {
				ctx.EmitRaw(topics.InventoryInbox, r.Key, []byte("reject"), r.Headers)
				return nil
			}
			ctx.EmitRaw(topics.InventoryInbox, append([]byte("key-"), r.Key...), r.Value, r.Headers)
			return nil
		}, topics.InventoryInbox),
		{Name: "count", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Ledger, topics.Balances},
			Stores: []topology.Store{{Name: "counts"}}, New: func() processors.Processor { return ledgered{} }},
	}
}

// told is what a topic holds, in a form that does not depend on where transactions ended: its records by partition, or the
// newest of each key.
func told(records []processors.Record, latest bool, prefix string) string {
	var lines []string
	if latest {
		newest := map[string]processors.Record{}
		for _, r := range records {
			newest[string(r.Key)] = r
		}
		records = nil
		for _, r := range newest {
			records = append(records, r)
		}
	}
	for _, r := range records {
		value := string(r.Value)
		var d event.DeadLetter
		if serde.Local().Decode(r.Value, &d) == nil {
			value = strings.TrimPrefix(d.Topic, prefix) + " " + d.Cause + " " + string(d.Value.Value) + " " + d.Stage
		}
		lines = append(lines, fmt.Sprintf("%d %s=%s %v", r.Partition, r.Key, value, r.Headers))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// The same records through the same stages: what the driver shows is what the runtime does on a broker, partitions, headers
// and dead letters included. Topics are made by apply, partitions are shared out by the assignor.
func TestDriverShowsWhatTheRuntimeDoes(t *testing.T) {
	const partitions = 3
	stages := twoStages()
	inputs := func(topic string) (records []*kgo.Record) {
		for i := range 400 {
			records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "in-%d", i*i%53), Value: fmt.Append(nil, i),
				Headers: []kgo.RecordHeader{{Key: "source", Value: []byte("test")}}})
		}
		return records
	}

	d := newDriver(t, testdriver.Options{Stages: stages, Partitions: partitions, Aborts: 1})
	err := d.Together(func() error {
		for _, r := range inputs("") {
			if err := d.Input(topics.Movements).PipeBytes(r.Key, r.Value, processors.Header(r.Headers[0])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		naming := topics.Naming{Prefix: c.Prefix}
		results := []topics.ID{topics.Ledger, topics.Balances, topics.DeadLetters}
		client, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
			kgo.ConsumeTopics(naming.Topic(results[0]), naming.Topic(results[1]), naming.Topic(results[2])),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		made := makeTopics(ctx, t, client, stages, naming, partitions)
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			_, _ = kadm.NewClient(client).DeleteTopics(ctx, made...)
		}()

		stop := start(t, stages, naming, c.Addr)
		defer stop()
		if err := client.ProduceSync(ctx, inputs(naming.Topic(topics.Movements))...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, id := range results {
			want[naming.Topic(id)] = told(d.Output(id).Rest(), id == topics.Balances, "")
		}
		got := map[string][]processors.Record{}
		for {
			different := ""
			for _, id := range results {
				name := naming.Topic(id)
				if told(got[name], id == topics.Balances, c.Prefix) != want[name] {
					different = name
				}
			}
			if different == "" {
				return
			}
			fetches := client.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("%s has\n%s\nwant\n%s", different, told(got[different], strings.HasSuffix(different, "balances"), c.Prefix), want[different])
			}
			fetches.EachRecord(func(r *kgo.Record) {
				p := processors.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
				for _, h := range r.Headers {
					p.Headers = append(p.Headers, processors.Header(h))
				}
				got[r.Topic] = append(got[r.Topic], p)
			})
		}
	})
}

// makeTopics applies the stages' part of the graph.
func makeTopics(ctx context.Context, t *testing.T, client *kgo.Client, stages []topology.Stage, naming topics.Naming, partitions int) (made []string) {
	t.Helper()
	g, err := topology.NewGraph(stages, topology.Params{Naming: naming, AppPrefix: naming.Prefix, Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	g.Topics = slices.DeleteFunc(g.Topics, func(topic topology.GraphTopic) bool { return len(topic.WrittenBy)+len(topic.ReadBy) == 0 })
	plan, err := apply.Compute(ctx, client, g.Topics, apply.Replication{Factor: 1, MinInsync: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Apply(ctx, client, nil); err != nil {
		t.Fatal(err)
	}
	for _, topic := range g.Topics {
		made = append(made, topic.Name)
	}
	return made
}

// start runs an instance of each stage, of two workers.
func start(t *testing.T, stages []topology.Stage, naming topics.Naming, addr string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	for _, s := range stages {
		i, err := runtime.New(runtime.Config{
			App: runtime.ApplicationID(naming.Prefix, s), Instance: "0", Workers: 2, Naming: naming,
			Client: []kgo.Opt{kgo.SeedBrokers(addr)}, Balancer: assignor.New("0"), HeartbeatInterval: 100 * time.Millisecond,
		}, s, runtime.Deps{Serde: serde.Local(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		go func() { over <- i.Run(ctx) }()
	}
	return func() {
		cancel()
		for range stages {
			if err := <-over; err != nil {
				t.Error(err)
			}
		}
	}
}
