package testservices

import (
	"context"
	"os"
	"testing"

	"crossdock/internal/embedded/broker"
	"crossdock/internal/testservices/daemon"
	"crossdock/internal/testservices/kafka"
)

// Kafka is the address of a real broker that all tests of the machine share: $CROSSDOCK_TEST_KAFKA, else one that is
// started when first needed. Topics are not created automatically.
func Kafka(t testing.TB) string {
	t.Helper()
	skipShort(t, "real Kafka")
	if addr := os.Getenv(daemon.KafkaEnv); addr != "" {
		return addr
	}
	return use(t, daemon.Kafka).Addresses["kafka"]
}

// OwnKafka is a real broker for this test alone, to be stopped, killed and started again. More lines of server.properties
// may be given.
func OwnKafka(t testing.TB, config ...string) *kafka.Broker {
	t.Helper()
	skipShort(t, "real Kafka")
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	b, err := kafka.Start(ctx, kafka.Options{Dir: t.TempDir(), Brief: true, Config: config, Progress: func(s string) { t.Log(s) }})
	Require(t, err)
	t.Cleanup(func() {
		if err := b.Kill9(); err != nil { // its data goes with the test: there is nothing to save
			t.Error(err)
		}
	})
	return b
}

// KafkaCluster is three real brokers for this test alone, with three replicas of everything of which two must take a write.
// Each broker has one listener more for each address of its entry of advertise: see kafka.Options.
func KafkaCluster(t testing.TB, advertise [3][]string, config ...string) *kafka.Cluster {
	t.Helper()
	skipShort(t, "a real Kafka cluster")
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := kafka.StartCluster(ctx, kafka.Options{Dir: t.TempDir(), Brief: true, Heap: "384m", Config: config, Progress: func(s string) { t.Log(s) }}, advertise[:])
	Require(t, err)
	t.Cleanup(func() {
		if err := c.Kill9(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Broker is the address of an embedded broker for this test alone.
func Broker(t testing.TB) string {
	t.Helper()
	return OwnBroker(t, broker.Options{}).Addrs()[0]
}

// OwnBroker is an embedded broker for this test alone, made as o says.
func OwnBroker(t testing.TB, o broker.Options) *broker.Broker {
	t.Helper()
	b, err := broker.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b
}

// A Cluster is where a test's Kafka client connects.
type Cluster struct {
	Kind   string // "embedded" or "kafka"
	Addr   string // host:port
	Prefix string // for names of topics, groups and transactional ids: nobody else uses it
}

// Real says whether it is Apache Kafka.
func (c Cluster) Real() bool { return c.Kind == "kafka" }

// Brokers runs f on the embedded broker and on real Kafka, as subtests of these names.
func Brokers(t *testing.T, f func(t *testing.T, c Cluster)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { f(t, Cluster{Kind: "embedded", Addr: Broker(t), Prefix: Prefix(t)}) })
	t.Run("kafka", func(t *testing.T) { f(t, Cluster{Kind: "kafka", Addr: Kafka(t), Prefix: Prefix(t)}) })
}
