package sink

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
)

func TestValidateReportsEveryProblem(t *testing.T) {
	c := Config{
		ClickHouse: ClickHouse{Addresses: []string{"nowhere"}, Database: "a b", Compression: "gzip"}, MaxRows: 2_000_000, MaxBytes: -1,
		FlushInterval: -1, RetryMin: time.Minute, RetryMax: time.Second,
	}
	c.EnsureDefaults()
	err := c.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, field := range []string{"App", "ClickHouse.Addresses", "ClickHouse.Database", "ClickHouse.Compression", "MaxRows", "MaxBytes", "FlushInterval", "RetryMax"} {
		if !strings.Contains(err.Error(), "sink: "+field) {
			t.Errorf("nothing about %s in:\n%v", field, err)
		}
	}
	good := Config{App: "a", ClickHouse: ClickHouse{Addresses: []string{"127.0.0.1:9000"}}}
	good.EnsureDefaults()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	if good.Group() != "a-sink" {
		t.Errorf("group %s", good.Group())
	}
}

// A second sink in the same registry of metrics is an error, no panic, and leaves nothing behind.
func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	c := Config{App: "a", ClickHouse: ClickHouse{Addresses: []string{"127.0.0.1:1"}}}
	if _, err := New(c, Deps{}); err == nil {
		t.Error("without a serde")
	}
	deps := Deps{Kafka: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Serde: serde.Local(), Metrics: prometheus.NewRegistry()}
	s, err := New(c, deps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(c, deps); err == nil || !strings.Contains(err.Error(), "registry") {
		t.Errorf("twice in one registry: %v", err)
	}
	if err := s.Ready(); err == nil {
		t.Error("ready before Run")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
