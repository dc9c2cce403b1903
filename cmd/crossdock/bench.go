package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"crossdock/avro/registry"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/kafkaclient"
	"crossdock/internal/telemetry"
	"crossdock/loadtest/bench"
)

func (a *app) benchCommand() *cobra.Command {
	o := bench.Options{Records: 2_000_000, Seed: 1, Runs: 3}
	out, brokerPID, workers := "bench/results", 0, runtime.GOMAXPROCS(0)
	inventory := &cobra.Command{
		Use:   "inventory",
		Short: "Drain a backlog of movements through the inventory stage, exactly once, and verify every balance",
		Long: `Fills an inbox with movements, starts the inventory stage as a process of its own, waits until it has committed all
of them, and recounts every balance from what was sent. Beside each run it measures the limit: a loop that copies the
same bytes in transactions on the same broker. Topics are made and deleted. Writes JSON into --out.`,
		Example: "  crossdock bench inventory --runs 1 --records 200000 --set kafka.brokers=127.0.0.1:9092",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.benchInventory(cmd.Context(), o, out, brokerPID, workers)
		},
	}
	f := inventory.Flags()
	f.Int64Var(&o.Records, "records", o.Records, "movements")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of the generator")
	f.IntVar(&o.Runs, "runs", o.Runs, "runs; medians are told")
	f.BoolVar(&o.Ledger, "ledger", false, "write the ledger topic too")
	f.IntVar(&workers, "workers", workers, "workers of the stage")
	f.StringVar(&out, "out", out, "folder for the result as JSON")
	f.IntVar(&brokerPID, "broker-pid", brokerPID, "process of the broker, whose CPU is told too (default: CROSSDOCK_SERVICES_KAFKA_PID)")
	return group("bench", "Benchmarks", inventory)
}

func (a *app) benchInventory(ctx context.Context, o bench.Options, out string, brokerPID, workers int) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	client, err := dial(ctx, &c.Config)
	if err != nil {
		return err
	}
	client.Close()
	if o.Kafka, err = kafkaclient.Options(c.Kafka); err != nil {
		return err
	}
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
	if o.Serde, err = pipeline.Serde(ctx, &c.Config); err != nil {
		return err
	}
	o.BrokerPID = brokerPID
	if pid := os.Getenv("CROSSDOCK_SERVICES_KAFKA_PID"); o.BrokerPID == 0 && pid != "" {
		if o.BrokerPID, err = strconv.Atoi(pid); err != nil {
			return usagef("CROSSDOCK_SERVICES_KAFKA_PID: %v", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Prefix = fmt.Sprintf("bench-%d-", time.Now().Unix())
	o.Partitions = int32(c.Kafka.Partitions)
	o.Stores, o.Revision = []string{"stock"}, revision()
	o.Command = func(env bench.Env) (*exec.Cmd, error) {
		args := []string{
			"run", "inventory", "--set", "instance=bench", "--set", "admin.listen=", "--set", "registry.url=" + c.Registry.URL,
			"--set", "app=" + env.App[:len(env.App)-len("-inventory")], "--set", "kafka.prefix=" + env.Naming.Prefix,
			"--set", fmt.Sprintf("runtime.workers=%d", workers), "--set", fmt.Sprintf("inventory.ledger=%v", o.Ledger), "--set", "log.level=warn",
		}
		for _, b := range c.Kafka.Brokers {
			args = append(args, "--set", "kafka.brokers="+b)
		}
		return exec.CommandContext(context.WithoutCancel(ctx), self, args...), nil // the benchmark ends it
	}
	o.Progress = benchProgress(a.stderr)
	result, err := bench.Inventory(ctx, o)
	if len(result.Runs) > 0 {
		path, writeErr := result.Write(out)
		if writeErr != nil {
			return writeErr
		}
		if err := a.print(&result, result.Table); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "written: %s\n", path)
	}
	return err
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
		fmt.Fprintf(w, "run %d of %d: %-6s %9d of %d, %.1f s\n", p.Run, p.Runs, p.Phase, p.Done, p.Total, p.Elapsed.Seconds())
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
