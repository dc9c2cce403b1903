package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/topology/topics"
)

// A Config is what can be set. The zero value of a field means its default.
type Config struct {
	// App is the application id. The consumer group is App + "-sink". Required.
	App string
	// Instance names this process within the application, stable over restarts: the members of the group are then static
	// (group.instance.id) and a restart moves no partition. Empty: dynamic members.
	Instance string
	// ClickHouse is where the tables are.
	ClickHouse ClickHouse
	// FlushInterval is how long a row waits at most for others to be inserted with it. Default 1 s.
	FlushInterval time.Duration
	// MaxRows bounds the rows of an insert. Default 1,000,000; at most 1,048,448, so that the server makes one block of it
	// (min_insert_block_size_rows is 1,048,449).
	MaxRows int
	// MaxBytes bounds the records of an insert, in bytes of Avro; a table holds at most two inserts and one poll in memory.
	// Default 64 MiB.
	MaxBytes int
	// InsertTimeout is how long an insert may take, on the client and on the server (max_execution_time). Default 60 s.
	InsertTimeout time.Duration
	// RetryMin and RetryMax are the shortest and the longest wait before an insert is tried again; there is no last try.
	// Defaults 250 ms, 30 s.
	RetryMin, RetryMax time.Duration
	// StopTimeout is how long a stop waits for ClickHouse to take what has been read. Default 10 s. What it has not taken by
	// then is read again at the next start.
	StopTimeout time.Duration
	// ProgressInterval is how often freshness and lag are measured and written to sink_progress. Default 2 s.
	ProgressInterval time.Duration
	// SessionTimeout is after how much silence a member loses its partitions (session.timeout.ms). Default 45 s.
	SessionTimeout time.Duration
	// SkipMigrate makes Run check the tables instead of bringing them up to date: for users without the right to.
	SkipMigrate bool
}

// ClickHouse says how a server is reached.
type ClickHouse struct {
	// Addresses are native addresses, host:port; the first that answers is used. Required.
	Addresses []string
	// Database holds the tables; it is created where it is missing. Default "crossdock".
	Database string
	// Username and Password log in. Default user "default".
	Username, Password string
	// TLS secures the connection; nil: plain.
	TLS *tls.Config
	// Compression of blocks on the wire: "lz4", "zstd" or "none". Default "lz4".
	Compression string
}

// Deps are what a Sink gets from its process.
type Deps struct {
	// Kafka are the options that every client of the process has: brokers, TLS, SASL.
	Kafka []kgo.Opt
	// Topics names the topics.
	Topics topics.Naming
	// Serde decodes records. Required.
	Serde *serde.Serde
	// Log is where the sink tells what happens. Default: slog's default logger.
	Log *slog.Logger
	// Metrics registers crossdock_sink_*. Default: a registry of its own, which nobody reads.
	Metrics prometheus.Registerer
}

// mostRows keeps an insert below min_insert_block_size_rows, so that one block is one part.
const mostRows = 1_048_448

// EnsureDefaults sets what is not set.
func (c *Config) EnsureDefaults() {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&c.FlushInterval, time.Second)
	set(&c.InsertTimeout, time.Minute)
	set(&c.RetryMin, 250*time.Millisecond)
	set(&c.RetryMax, 30*time.Second)
	set(&c.StopTimeout, 10*time.Second)
	set(&c.ProgressInterval, 2*time.Second)
	set(&c.SessionTimeout, 45*time.Second)
	if c.MaxRows == 0 {
		c.MaxRows = 1_000_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.ClickHouse.Database == "" {
		c.ClickHouse.Database = "crossdock"
	}
	if c.ClickHouse.Username == "" {
		c.ClickHouse.Username = "default"
	}
	if c.ClickHouse.Compression == "" {
		c.ClickHouse.Compression = "lz4"
	}
}

// Validate reports every problem, each with its field and what would be right.
func (c *Config) Validate() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf("sink: "+format, args...)) }
	if c.App == "" {
		wrong("App is empty; give the application id, the consumer group is named after it")
	}
	if len(c.ClickHouse.Addresses) == 0 {
		wrong("ClickHouse.Addresses is empty; give at least one native address, host:port")
	}
	for _, a := range c.ClickHouse.Addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			wrong("ClickHouse.Addresses: %q is not host:port: %v", a, err)
		}
	}
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(c.ClickHouse.Database) {
		wrong("ClickHouse.Database: %q is no plain name; use letters, digits and _", c.ClickHouse.Database)
	}
	if _, err := compression(c.ClickHouse.Compression); err != nil {
		wrong("ClickHouse.Compression: %v", err)
	}
	if c.MaxRows < 1 || c.MaxRows > mostRows {
		wrong("MaxRows is %d; give 1 to %d", c.MaxRows, mostRows)
	}
	if c.MaxBytes < 1 {
		wrong("MaxBytes is %d; give at least 1", c.MaxBytes)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"FlushInterval", c.FlushInterval, time.Millisecond}, {"InsertTimeout", c.InsertTimeout, time.Second},
		{"RetryMin", c.RetryMin, time.Millisecond}, {"RetryMax", c.RetryMax, c.RetryMin},
		{"StopTimeout", c.StopTimeout, time.Millisecond}, {"ProgressInterval", c.ProgressInterval, 10 * time.Millisecond},
		{"SessionTimeout", c.SessionTimeout, time.Second},
	} {
		if d.value < d.least {
			wrong("%s is %v; give at least %v", d.name, d.value, d.least)
		}
	}
	return errors.Join(problems...)
}

// Group is the consumer group of an application's sink.
func (c *Config) Group() string { return c.App + "-sink" }
