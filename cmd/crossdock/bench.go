package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"crossdock/avro/registry"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/internal/kafkaclient"
	"crossdock/internal/telemetry"
	"crossdock/loadtest/bench"
)

// benchFlags are those of all benchmarks.
type benchFlags struct {
	records              int64
	seed                 uint64
	runs, skus           int
	workers              int
	out, profile         string
	brokerPID, enginePID int
	ledger               bool
	kill, restore        bool
}

func (f *benchFlags) add(flags *pflag.FlagSet, kinds ...bench.Kind) {
	f.workers = runtime.GOMAXPROCS(0)
	flags.Int64Var(&f.records, "records", 2_000_000, "movements, canonical events or rows of a backlog")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the generator")
	flags.IntVar(&f.runs, "runs", 3, "runs; medians are told")
	flags.IntVar(&f.skus, "skus", 200_000, "SKUs that move, and of the item master")
	flags.IntVar(&f.workers, "workers", f.workers, "workers of the stage")
	flags.StringVar(&f.out, "out", "bench/results", "folder for the results as JSON")
	flags.IntVar(&f.brokerPID, "broker-pid", 0, "process of the broker, whose CPU is told too (default: CROSSDOCK_SERVICES_KAFKA_PID)")
	for _, k := range kinds {
		switch k {
		case bench.Inventory:
			flags.BoolVar(&f.ledger, "ledger", false, "the inventory stage writes the ledger topic too")
			if len(kinds) == 1 {
				flags.BoolVar(&f.kill, "kill", false, "kill the stage with -9 when half is committed, and start it again: figures are of the process after that")
				flags.BoolVar(&f.restore, "restore", false, "after the drain remove the state (state.dir), start the stage again, and tell how long it restores")
			}
		case bench.Sink:
			flags.IntVar(&f.enginePID, "clickhouse-pid", 0, "process of ClickHouse, whose CPU is told too (default: CROSSDOCK_SERVICES_CLICKHOUSE_PID)")
		}
	}
	if len(kinds) == 1 {
		flags.StringVar(&f.profile, "profile", "", "write the stage's CPU profile of the last run to this file; go tool pprof -top FILE shows it")
	}
}

func (f *benchFlags) check() error {
	for _, n := range []struct {
		flag  string
		value int64
	}{{"records", f.records}, {"runs", int64(f.runs)}, {"skus", int64(f.skus)}, {"workers", int64(f.workers)}} {
		if n.value <= 0 {
			return usagef("--%s %d: give a number above 0", n.flag, n.value)
		}
	}
	for _, pid := range []struct {
		flag, env string
		to        *int
	}{{"broker-pid", "CROSSDOCK_SERVICES_KAFKA_PID", &f.brokerPID}, {"clickhouse-pid", "CROSSDOCK_SERVICES_CLICKHOUSE_PID", &f.enginePID}} {
		text := os.Getenv(pid.env)
		if *pid.to != 0 || text == "" {
			continue
		}
		var err error
		if *pid.to, err = strconv.Atoi(text); err != nil {
			return usagef("%s=%s: give the process by its number, or --%s", pid.env, text, pid.flag)
		}
	}
	return nil
}

func (a *app) benchCommand() *cobra.Command {
	one := func(k bench.Kind, short, long, more string) *cobra.Command {
		f := &benchFlags{}
		c := &cobra.Command{
			Use: string(k), Short: short, Long: long + benchLong, Args: cobra.NoArgs,
			Example: "  crossdock bench " + string(k) + " --runs 1 --records 200000 --set kafka.brokers=127.0.0.1:9092" + more,
			RunE:    func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), f, k) },
		}
		f.add(c.Flags(), k)
		return c
	}
	f := &benchFlags{}
	all := &cobra.Command{
		Use: "all", Short: "Run the four benchmarks, one after the other", Args: cobra.NoArgs,
		Long:    "Runs translate, enrich, inventory and sink, one after the other, each with its own result." + benchLong,
		Example: "  crossdock bench all --set kafka.brokers=127.0.0.1:9092 --set clickhouse.addresses=127.0.0.1:9000",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.bench(cmd.Context(), f, bench.Kinds()...) },
	}
	f.add(all.Flags(), bench.Kinds()...)
	return group("bench", "Benchmarks: drain a backlog through a stage, exactly, beside its limit",
		one(bench.Translate, "Drain native documents through the translate stage, and verify every line", "Fills a raw topic with X12 shipping advices.", ""),
		one(bench.Enrich, "Drain movements in sources' codes and units through the enrich stage, and verify each", "Fills topic movements as scanners do.", ""),
		one(bench.Inventory, "Drain a backlog of movements through the inventory stage, exactly once, and verify every balance", "Fills an inbox with movements.", ""),
		one(bench.Sink, "Drain postings and balances into ClickHouse, and verify every row", "Fills topics ledger and balances.", " --set clickhouse.addresses=127.0.0.1:9000"),
		all)
}

const benchLong = `

Starts the stage as a process of its own, waits until it has committed the backlog, and recounts what it made from what was
sent. Beside each run it measures the limit: what no stage can leave out, on the same services. Topics and tables are made
and dropped. Writes JSON into --out.`

// bench runs benchmarks and writes their results.
func (a *app) bench(ctx context.Context, f *benchFlags, kinds ...bench.Kind) error {
	if err := f.check(); err != nil {
		return err
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	for _, k := range kinds {
		if k == bench.Sink && len(c.ClickHouse.Addresses) == 0 {
			return usagef("clickhouse.addresses: not set; name a server's native address, such as 127.0.0.1:9000")
		}
	}
	client, err := dial(ctx, &c.Config)
	if err != nil {
		return err
	}
	client.Close()
	// The stage's process and this one must agree on the schemas' ids.
	if c.Registry.URL == "" {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		url, wait, err := serveRegistry(ctx)
		if err != nil {
			return err
		}
		defer func() { stop(); wait() }()
		c.Registry.URL = url
	}
	b := &stageBench{flags: f, config: &c.Config, log: a}
	if b.serde, err = pipeline.Serde(ctx, &c.Config); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	for _, k := range kinds {
		o, err := b.options(ctx, k)
		if err != nil {
			return err
		}
		result, err := bench.Run(ctx, k, o)
		if len(result.Runs) > 0 {
			path, writeErr := result.Write(f.out)
			if writeErr != nil {
				return writeErr
			}
			if err := a.print(&result, result.Table); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "written: %s\n", path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// benchInstance is the stage's name among those of its application, which is of the run.
const benchInstance = "bench"

// A stageBench is what the benchmarks of one command have in common.
type stageBench struct {
	flags  *benchFlags
	config *config.Config
	serde  *serde.Serde
	self   string // this program, which is also the stage's
	log    *app
}

func (b *stageBench) options(ctx context.Context, k bench.Kind) (bench.Options, error) {
	f, c := b.flags, b.config
	o := bench.Options{
		Serde: b.serde, BrokerPID: f.brokerPID, Prefix: fmt.Sprintf("bench-%s-%d-", k, time.Now().Unix()),
		Records: f.records, Seed: f.seed, SKUs: f.skus, Partitions: int32(c.Kafka.Partitions), Runs: f.runs, Ledger: f.ledger, Profile: f.profile,
		Revision: revision(), Progress: benchProgress(b.log.stderr),
		Command: func(env bench.Env) (*exec.Cmd, error) {
			return exec.CommandContext(context.WithoutCancel(ctx), b.self, b.arguments(k, &env)...), nil // the benchmark ends it
		},
	}
	var err error
	if o.Kafka, err = kafkaclient.Options(c.Kafka); err != nil {
		return o, err
	}
	switch k {
	case bench.Inventory:
		o.Stores = []string{"stock"}
		o.Kill, o.Restore = f.kill, f.restore
		o.Wipe = func(env bench.Env) error {
			if c.State.Dir == "" {
				return nil
			}
			return os.RemoveAll(filepath.Join(c.State.Dir, benchInstance, env.Group))
		}
	case bench.Sink:
		o.ClickHouse, err = benchClickHouse(c, f.enginePID)
		o.Tables = b.tables
	}
	return o, err
}

// arguments are the stage's command line. What is not among them it takes from the same file and environment.
func (b *stageBench) arguments(k bench.Kind, env *bench.Env) []string {
	c := b.config
	args := []string{"run", string(k)}
	set := func(key, value string) { args = append(args, "--set", key+"="+value) }
	set("instance", benchInstance)
	set("admin.listen", env.Admin)
	set("query.listen", "")
	set("registry.url", c.Registry.URL)
	set("app", env.App)
	set("kafka.prefix", env.Naming.Prefix)
	set("runtime.workers", strconv.Itoa(b.flags.workers))
	set("log.level", "warn")
	for _, broker := range c.Kafka.Brokers {
		set("kafka.brokers", broker)
	}
	switch k {
	case bench.Inventory:
		set("inventory.ledger", strconv.FormatBool(b.flags.ledger))
		set("state.dir", c.State.Dir)
		set("state.cache_bytes", strconv.FormatInt(c.State.CacheBytes, 10))
		set("state.dirty_bytes", strconv.FormatInt(c.State.DirtyBytes, 10))
		set("state.flush_interval", c.State.FlushInterval.String())
	case bench.Translate:
		set("sources."+bench.DocumentSource+".system", bench.DocumentSource)
	case bench.Sink:
		set("clickhouse.database", env.Database)
		for _, address := range c.ClickHouse.Addresses {
			set("clickhouse.addresses", address)
		}
	}
	return args
}

// tables makes the sink's tables.
func (b *stageBench) tables(ctx context.Context, env bench.Env) error {
	c := *b.config
	c.App, c.Kafka.Prefix, c.ClickHouse.Database, c.Log.Level = env.App, env.Naming.Prefix, env.Database, "warn"
	opts, err := kafkaclient.Options(c.Kafka)
	if err != nil {
		return err
	}
	s, err := pipeline.NewSink(&c, opts, b.serde, b.log.logger(&c), metricsNobodyReads())
	if err != nil {
		return err
	}
	err = s.Migrate(ctx)
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

func benchClickHouse(c *config.Config, pid int) (bench.ClickHouse, error) {
	server := bench.ClickHouse{Addresses: c.ClickHouse.Addresses, Username: c.ClickHouse.Username, PID: pid}
	var err error
	if server.Password, err = c.ClickHouse.Password.Resolve(); err != nil {
		return server, fmt.Errorf("clickhouse.password: %w", err)
	}
	if c.ClickHouse.TLS.Enabled {
		if server.TLS, err = kafkaclient.TLS(c.ClickHouse.TLS); err != nil {
			return server, fmt.Errorf("clickhouse.tls: %w", err)
		}
	}
	return server, nil
}

// benchProgress tells each phase's start and a line every few seconds.
func benchProgress(w io.Writer) func(bench.Progress) {
	var phase bench.Phase
	var run int
	var told time.Time
	return func(p bench.Progress) {
		if p.Phase == phase && p.Run == run && time.Since(told) < progressEvery {
			return
		}
		phase, run, told = p.Phase, p.Run, time.Now()
		fmt.Fprintf(w, "%s, run %d of %d: %-6s %9d of %d, %.1f s\n", p.Kind, p.Run, p.Runs, p.Phase, p.Done, p.Total, p.Elapsed.Seconds())
	}
}

// serveRegistry serves a registry in memory until ctx ends; wait returns when it has.
func serveRegistry(ctx context.Context) (url string, wait func(), err error) {
	r, err := registry.Open("")
	if err != nil {
		return "", nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = telemetry.Serve(ctx, l, r, time.Second) // it ends with ctx, and whoever asks it sees what fails
	}()
	return "http://" + l.Addr().String(), func() { <-done }, nil
}
