package send

import (
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/loadtest/machine"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// One core must make and send 250,000 events a second:
//
//	GOMAXPROCS=1 taskset -c 0 go test -run '^$' -bench Send -benchtime 2000000x ./loadtest/send
func BenchmarkSend(b *testing.B) {
	for name, shape := range map[string]func(scans.Load) (*scans.Generator, error){"enriched": scans.NewEnriched, "retailer": scans.NewRetailer} {
		b.Run(name, func(b *testing.B) { benchmark(b, shape) })
	}
}

func benchmark(b *testing.B, shape func(scans.Load) (*scans.Generator, error)) {
	kafka := []kgo.Opt{kgo.SeedBrokers(testservices.Kafka(b))}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	naming := topics.Naming{Prefix: testservices.Prefix(b)}
	var names []string
	for _, row := range topics.All() {
		names = append(names, naming.Topic(row.ID))
	}
	if _, err := admin.CreateTopics(b.Context(), 8, 1, nil, names...); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if _, err := admin.DeleteTopics(b.Context(), names...); err != nil {
			b.Error(err)
		}
	}()
	g, err := shape(scans.DefaultLoad(1))
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	before, _ := machine.CPUSeconds(os.Getpid())
	l, err := Run(b.Context(), g, Options{
		Kafka: kafka, Serde: serde.Local(), Naming: naming, Count: int64(b.N),
		Made: func(*scans.Scan, time.Time) {}, Settled: func(int64, time.Time, time.Time, error) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	if after, ok := machine.CPUSeconds(os.Getpid()); ok {
		b.ReportMetric((after-before)*1e6/float64(b.N), "cpu-s/million")
	}
	b.ReportMetric(l.Rate(), "events/s")
}
