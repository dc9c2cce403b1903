package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
)

// Options of a benchmark. Kafka, Serde, Prefix and Command are required, for the sink also ClickHouse and Tables.
type Options struct {
	Kafka     []kgo.Opt    // how the brokers are reached
	Serde     *serde.Serde // whose schema ids the stage's process knows
	BrokerPID int          // the broker's process on this machine; 0: its CPU is not told
	// Prefix starts the names of all topics and groups of the benchmark: each run has its own, and deletes its topics at
	// its end.
	Prefix     string
	Records    int64  // units of the backlog: movements, canonical events or rows; default 2,000,000
	Seed       uint64 // default 1
	SKUs       int    // that move, and of the item master; default 200,000
	Partitions int32  // default 8
	Runs       int    // default 3
	// Command makes the stage's process of one run: it must process what stands on Env.Naming's topics as the consumer
	// group Env.Group, from the start, until it gets SIGTERM, and answer at Env.Admin as every process does
	// (/readyz, /metrics, /debug/pprof). The benchmark starts it; its output is kept for errors.
	Command func(Env) (*exec.Cmd, error)
	// Stores are the names of the stage's stores: each has a changelog topic, which the benchmark creates.
	Stores []string
	// Ledger says that the inventory stage writes the ledger: it is verified too.
	Ledger bool
	// Kill has the stage killed with -9 when half of the backlog is committed, and started again: the figures are those of the
	// process that goes on, and its first commit is of records that nobody had committed.
	Kill bool
	// Restore has the stage's state removed after the drain, and the stage started once more until it is ready.
	Restore bool
	// Wipe removes what the stage keeps on disk. It is called after each run, and for Restore, which requires it.
	Wipe func(Env) error
	// ClickHouse is the server of the sink's tables, and Tables makes them in Env.Database, which it creates.
	ClickHouse ClickHouse
	Tables     func(context.Context, Env) error
	// Profile, where given, is the file to which a CPU profile of the stage in the last run is written (pprof).
	Profile string
	// Revision of the source, for the result, where the build does not carry it (go build -buildvcs=false).
	Revision string
	// Timeout bounds each step of a run; default 5 min.
	Timeout time.Duration
	// Progress, where given, is told how it goes, from one goroutine.
	Progress func(Progress)
}

// ClickHouse is how the server is reached.
type ClickHouse struct {
	Addresses []string // native, host:port; the first that answers is used
	Username  string
	Password  string
	TLS       *tls.Config
	PID       int // the engine's process on this machine; 0: its CPU is not told
}

// Progress is how far a benchmark is.
type Progress struct {
	Kind        Kind
	Run, Runs   int
	Phase       Phase
	Done, Total int64 // units; Verify tells its start and end alone
	Elapsed     time.Duration
}

func (o *Options) validate(k Kind) error {
	if o.Records == 0 {
		o.Records = 2_000_000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.SKUs == 0 {
		o.SKUs = 200_000
	}
	if o.Partitions == 0 {
		o.Partitions = 8
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New("bench: "+problem))
		}
	}
	check(k.known(), fmt.Sprintf("no benchmark %q: there are %v", k, Kinds()))
	check(len(o.Kafka) > 0, "no Kafka options: say how the brokers are reached")
	check(o.Serde != nil, "no Serde: its schema ids must be those that the stage knows")
	check(o.Prefix != "", "no Prefix: the topics are deleted afterwards, so they must be the benchmark's own")
	check(o.Command != nil, "no Command: say how the stage is started")
	check(o.Records > 0, fmt.Sprintf("%d records: give a number above 0", o.Records))
	check(o.SKUs > 0, fmt.Sprintf("%d SKUs: give a number above 0", o.SKUs))
	check(o.Partitions > 0, fmt.Sprintf("%d partitions: give a number above 0", o.Partitions))
	check(o.Runs > 0, fmt.Sprintf("%d runs: give a number above 0", o.Runs))
	check(o.Timeout > 0, fmt.Sprintf("a timeout of %v: give a time above 0", o.Timeout))
	check(!o.Restore || o.Wipe != nil, "no Wipe: say how the state to be restored is removed")
	if k == Sink {
		check(len(o.ClickHouse.Addresses) > 0, "no ClickHouse address: say where the sink's tables are")
		check(o.Tables != nil, "no Tables: say how the sink's tables are made")
	}
	return errors.Join(problems...)
}
