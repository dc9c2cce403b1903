package runtime

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology"
	"crossdock/topology/topics"
)

// A Config says how one process takes part in an application. The zero value of a field is its default, where it has one.
type Config struct {
	// App is the application: the consumer group (group.id), and the first part of transactional ids and of changelog
	// topics. Required.
	App string
	// Instance names this process among those of the application, and must be the same after a restart: the ordinal of a
	// StatefulSet, say. With App and a worker's number it makes group.instance.id and transactional.id. Required.
	Instance string
	// Workers is the number of goroutines that process, each a member of the group of its own. Kafka Streams:
	// num.stream.threads. Default 1.
	Workers int
	// Naming makes topics' names. Its zero value has no prefix.
	Naming topics.Naming
	// Sources are the raw topics that a stage with Raw reads, by source. None: all raw topics, new ones as they appear.
	Sources []string
	// Client has the options that all clients of the process share: addresses, TLS, SASL. Required.
	Client []kgo.Opt

	Commit Commit

	// Compression of outputs and changelogs: none, gzip, snappy, lz4 or zstd (compression.type). Default snappy: lz4
	// costs twice its CPU time here.
	Compression string
	// Linger is how long a partition's batch waits for more records while a transaction runs (linger.ms). Its end never
	// waits. Default 10 ms.
	Linger time.Duration

	// Four timeouts rise: rebalance < end < transaction < session. The first two follow from the third, so that who sets the
	// transaction and the session timeout has set them all: 10 s and 45 s are 5 < 8 < 10 < 45, and 4 s and 6 s, the least that
	// brokers allow as a rule, are 2 < 3.2 < 4 < 6. Each relation has a reason: the end of a transaction can wait for a rebalance,
	// so it outlasts one; the broker must not abort what is still being ended; and a worker's transaction must be over when
	// the group gives its partitions to others, or they wait for its offsets.

	// RebalanceTimeout is how long a member may take to give up partitions (rebalance.timeout.ms). At least three heartbeats.
	// Default: half of TransactionTimeout.
	RebalanceTimeout time.Duration
	// EndTimeout bounds the end of a transaction, which may have to wait for a rebalance. Default: four fifths of
	// TransactionTimeout.
	EndTimeout time.Duration
	// TransactionTimeout is when the broker aborts the transaction of a worker that is gone (transaction.timeout.ms), where no
	// other instance's fencer does so before. At least twice Commit.Interval. Default 10 s.
	TransactionTimeout time.Duration
	// SessionTimeout is when the group gives a silent member's partitions to others (session.timeout.ms): most of what a failover
	// takes, and how long a restart may take before partitions move. Default 45 s.
	SessionTimeout time.Duration
	// HeartbeatInterval is how often a member asks whether the group rebalances (heartbeat.interval.ms): the other members take
	// this long to hear of one. Default 500 ms, or a third of RebalanceTimeout where that is less.
	HeartbeatInterval time.Duration
	// MetadataMinAge is how soon a client may ask again who leads a partition, 100 to 500 ms: franz-go's default of 5 s
	// is most of a failover. Default 250 ms.
	MetadataMinAge time.Duration

	// StandbyReplicas is how many other instances keep the state of each partition up to date, so that a failover reads nothing
	// (num.standby.replicas). Default 0.
	StandbyReplicas int
	// WarmupLag is how many offsets of its changelogs an instance may have to read of a partition that is given to it while another
	// has its state (acceptable.recovery.lag). Default 10,000.
	WarmupLag int64
	// MaxWarmups is how many partitions of the application warm up at a time, beside standbys (max.warmup.replicas). Default 8.
	MaxWarmups int
	// ProbingInterval is when partitions move that have warmed up while others of the instance have not. When all have, they
	// move at once. Kafka Streams: probing.rebalance.interval.ms. Default 1 min.
	ProbingInterval time.Duration

	// PanicsPerMinute is how many records a worker may isolate in a minute because the processor panicked; more stop it
	// by name. Default 10.
	PanicsPerMinute int

	// Balancer shares partitions among members (partition.assignment.strategy). Every member of an application has the
	// same. Required.
	Balancer kgo.GroupBalancer
}

// Commit bounds a transaction: it ends when any of these holds.
type Commit struct {
	// MinInterval: the broker has no more records at hand, and this long has passed since the last commit. With several
	// workers at work it is counted for all of them together. Default 5 ms.
	MinInterval time.Duration
	// Interval: this long has passed since its first record (Kafka Streams: commit.interval.ms). Default 100 ms.
	Interval time.Duration
	// MaxRecords is the number of its input records. Default 20,000.
	MaxRecords int
	// MaxBytes is what it puts into stores and emits. A batch that passes it within one poll is aborted and polled again
	// at half the size; one record that passes it alone is rejected. Default 32 MiB.
	MaxBytes int
}

// EnsureDefaults fills fields that are zero.
func (c *Config) EnsureDefaults() {
	def(&c.Workers, 1)
	def(&c.Commit.MinInterval, 5*time.Millisecond)
	def(&c.Commit.Interval, 100*time.Millisecond)
	def(&c.Commit.MaxRecords, 20_000)
	def(&c.Commit.MaxBytes, 32<<20)
	def(&c.Compression, "snappy")
	def(&c.Linger, 10*time.Millisecond)
	def(&c.TransactionTimeout, 10*time.Second)
	def(&c.RebalanceTimeout, c.TransactionTimeout/2)
	def(&c.EndTimeout, c.TransactionTimeout/5*4)
	def(&c.SessionTimeout, 45*time.Second)
	def(&c.HeartbeatInterval, min(500*time.Millisecond, c.RebalanceTimeout/3))
	def(&c.MetadataMinAge, 250*time.Millisecond)
	def(&c.PanicsPerMinute, 10)
	def(&c.WarmupLag, 10_000)
	def(&c.MaxWarmups, 8)
	def(&c.ProbingInterval, time.Minute)
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every problem, joined.
func (c *Config) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf("runtime: "+format, args...))
		}
	}
	name := func(what, s string) {
		check(s != "", "%s is empty: name it", what)
		check(!strings.ContainsAny(s, "/ \t\n"), "%s %q has a slash or white space: it becomes part of names on the broker", what, s)
	}
	name("the application", c.App)
	name("the instance", c.Instance)
	check(len(c.Client) > 0, "no client options: at least the brokers' addresses are needed")
	check(c.Balancer != nil, "no balancer: every member of an application has the same")
	check(c.Workers > 0, "%d workers: at least one is needed", c.Workers)
	check(c.Commit.MinInterval > 0, "commit.min_interval is %v: it must be above 0", c.Commit.MinInterval)
	check(c.Commit.Interval >= c.Commit.MinInterval, "commit.interval %v is shorter than commit.min_interval %v", c.Commit.Interval, c.Commit.MinInterval)
	check(c.Commit.Interval*2 <= c.TransactionTimeout, "commit.interval %v is more than half of the transaction timeout %v", c.Commit.Interval, c.TransactionTimeout)
	check(c.Commit.MaxRecords > 0, "commit.max_records is %d: at least 1", c.Commit.MaxRecords)
	check(c.Commit.MaxBytes >= 1<<20, "commit.max_bytes is %d: at least 1 MiB, one message's default bound", c.Commit.MaxBytes)
	check(c.RebalanceTimeout < c.EndTimeout, "the rebalance timeout %v is not below the end timeout %v: the end of a transaction can wait for a rebalance", c.RebalanceTimeout, c.EndTimeout)
	check(c.EndTimeout < c.TransactionTimeout, "the end timeout %v is not below the transaction timeout %v: the broker would abort first", c.EndTimeout, c.TransactionTimeout)
	check(c.TransactionTimeout < c.SessionTimeout, "the transaction timeout %v is not below the session timeout %v: another member could wait for a dead worker's offsets", c.TransactionTimeout, c.SessionTimeout)
	check(c.HeartbeatInterval*3 <= c.RebalanceTimeout, "the heartbeat interval %v is more than a third of the rebalance timeout %v", c.HeartbeatInterval, c.RebalanceTimeout)
	check(c.MetadataMinAge >= 10*time.Millisecond, "metadata min age is %v: below 10 ms it floods the brokers", c.MetadataMinAge)
	check(c.StandbyReplicas >= 0, "%d standby replicas: not below 0", c.StandbyReplicas)
	check(c.WarmupLag >= 0, "warm-up lag is %d: not below 0", c.WarmupLag)
	check(c.MaxWarmups > 0, "%d warm-ups at a time: at least one is needed, or partitions never move", c.MaxWarmups)
	check(c.ProbingInterval > 0, "probing interval is %v: it must be above 0", c.ProbingInterval)
	check(c.PanicsPerMinute >= 0, "%d panics a minute: not below 0", c.PanicsPerMinute)
	if _, err := codec(c.Compression); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("runtime: unknown compression %q: none, gzip, snappy, lz4 or zstd", name)
}

// ApplicationID is the usual App of a stage.
func ApplicationID(prefix string, s topology.Stage) string { return prefix + s.Name }
