package observe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/machine"
	"crossdock/topology/topics"
)

// BenchmarkBalances is what it costs to see a million balances on real Kafka, the awaiting of their movements left out: it
// must stay small beside what the pipeline spends on them.
func BenchmarkBalances(b *testing.B) {
	const n, keys, perTransaction = 1_000_000, 100_000, 2_000
	kafka := []kgo.Opt{kgo.SeedBrokers(testservices.Kafka(b))}
	naming := topics.Naming{Prefix: fmt.Sprintf("observe-bench-%d.", time.Now().UnixNano())}
	topic := naming.Topic(topics.Balances)
	client, err := kgo.NewClient(append(kafka, kgo.TransactionalID(topic), kgo.ProducerBatchCompression(kgo.SnappyCompression()))...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(b.Context(), 8, 1, nil, topic); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = admin.DeleteTopics(context.WithoutCancel(b.Context()), topic) }()
	local := serde.Local()
	versions := make([]int64, keys)
	made := make([]int, n)
	rng := rand.New(rand.NewPCG(7, 8))
	for at := 0; at < n; at += perTransaction {
		if err := client.BeginTransaction(); err != nil {
			b.Fatal(err)
		}
		for i := at; i < at+perTransaction; i++ {
			k := rng.IntN(keys)
			made[i] = k
			versions[k]++
			sku := fmt.Sprintf("run-SKU%06d", k)
			x := event.InventoryBalance{SKU: sku, Site: "DC001", Version: versions[k], Available: 1_000_000, OnHand: 1_000_000, CauseEventID: "0190b0d2-7c2f-7d6a-9f2a-2f2f2f2f2f2f"}
			client.Produce(b.Context(), &kgo.Record{Topic: topic, Key: topics.Key(nil, sku, "DC001"), Value: local.Append(nil, &x)}, nil)
		}
		if err := client.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := client.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
			b.Fatal(err)
		}
	}
	from := make(map[int32]kgo.Offset)
	for p := range int32(8) {
		from[p] = kgo.NewOffset().At(0)
	}
	for _, rate := range []float64{FullRate, 16 * FullRate} {
		b.Run(fmt.Sprintf("rate=%g", rate), func(b *testing.B) {
			var spent float64
			for b.Loop() {
				tracker := NewTracker(TrackerOptions{Run: "run", Rate: rate})
				began := time.Now()
				for _, k := range made {
					tracker.Await(fmt.Sprintf("run-SKU%06d", k), "DC001", 0)
				}
				before, _ := machine.CPUSeconds(os.Getpid())
				x, err := startAt(b.Context(), Options{Kafka: kafka, Serde: local, Naming: naming, Tracker: tracker}, map[string]map[int32]kgo.Offset{topic: from})
				if err != nil {
					b.Fatal(err)
				}
				x.Begin(began)
				if err := x.Drain(b.Context()); err != nil {
					b.Fatal(err)
				}
				after, _ := machine.CPUSeconds(os.Getpid())
				spent += after - before
				x.Close()
				if _, seen := latency.Look(x.Recorders()...).Latency(latency.Balance); rate == FullRate && seen != n {
					b.Fatal(seen)
				}
			}
			b.ReportMetric(spent/float64(b.N), "cpu-s/million")
		})
	}
}
