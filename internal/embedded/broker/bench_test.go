package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
)

// BenchmarkCarry produces and consumes records of 240 bytes: what the embedded broker can carry, in records.
func BenchmarkCarry(b *testing.B) {
	addr := testservices.Broker(b)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("t"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(b.Context(), 8, 1, nil, "t"); err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 240)
	b.SetBytes(int64(len(value)))
	failed := make(chan error, 1)
	b.ResetTimer()
	for range b.N {
		cl.Produce(b.Context(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := cl.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	for seen := 0; seen < b.N; {
		select {
		case err := <-failed:
			b.Fatal(err)
		default:
		}
		fs := cl.PollFetches(b.Context())
		if err := fs.Err(); err != nil {
			b.Fatal(err)
		}
		seen += fs.NumRecords()
	}
}
