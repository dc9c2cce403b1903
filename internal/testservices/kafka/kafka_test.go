package kafka_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is what testservices.StartKafka does; that package cannot be imported from here.
func start(ctx context.Context, t *testing.T) *kafka.Broker {
	t.Helper()
	if testing.Short() {
		t.Skip("a real Kafka is left out with -short")
	}
	b, err := kafka.Start(ctx, kafka.Options{Dir: t.TempDir(), Brief: true, Progress: func(s string) { t.Log(s) }})
	var missing *artifact.Unavailable
	if errors.As(err, &missing) && os.Getenv("CROSSDOCK_REQUIRE_SERVICES") != "1" {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Kill9(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestAcknowledgedRecordsSurviveKill9(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b := start(ctx, t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("scans"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "scans"); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "scans", Value: []byte("before")}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	addr, pid := b.Addr(), b.Pid()
	if err := b.Kill9(); err != nil {
		t.Fatal(err)
	}
	if b.Pid() != 0 {
		t.Error("a killed broker has a process id")
	}
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if b.Addr() != addr || b.Pid() == pid {
		t.Errorf("after the restart: %s (was %s), pid %d (was %d)", b.Addr(), addr, b.Pid(), pid)
	}
	got := cl.PollRecords(ctx, 1)
	if err := got.Err(); err != nil {
		t.Fatal(err)
	}
	if rs := got.Records(); len(rs) != 1 || string(rs[0].Value) != "before" {
		t.Errorf("records after kill -9: %v", rs)
	}
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestClusterTakesWritesWithoutOneOfThree(t *testing.T) {
	if testing.Short() {
		t.Skip("a real Kafka is left out with -short")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	c, err := kafka.StartCluster(ctx, kafka.Options{
		Dir: t.TempDir(), Brief: true, Heap: "384m", Config: []string{"broker.session.timeout.ms=2000", "broker.heartbeat.interval.ms=500"},
	}, make([][]string, 3))
	var missing *artifact.Unavailable
	if errors.As(err, &missing) && os.Getenv("CROSSDOCK_REQUIRE_SERVICES") != "1" {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Kill9(); err != nil {
			t.Error(err)
		}
	}()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, 6, 3, nil, "scans"); err != nil {
		t.Fatal(err)
	}
	for down, b := range c.Brokers {
		if err := b.Kill9(); err != nil {
			t.Fatal(err)
		}
		for p := range int32(6) { // those too whose leader it was
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "scans", Partition: p, Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatalf("without broker %d: %v", down+1, err)
			}
		}
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
