package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"crossdock/cmd/crossdock/demo"
	"crossdock/internal/telemetry"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{Rate: 2000, For: time.Minute, Seed: 1, Ingress: "127.0.0.1:0", Query: "127.0.0.1:0", Admin: "127.0.0.1:0", Registry: "127.0.0.1:0"}
	keep, verbose := false, false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole pipeline on this machine, tell what happened, and recount it",
		Long: `Starts an embedded broker and the real ClickHouse engine, feeds documents of a small shop and a minute of scans through
the whole pipeline, and ends with a summary: stock before and after, what an order asked and what left, what a person must look
at, and a recount of every balance from what was sent. Exit code 1 where the recount fails. The engine is fetched from npm
the first time (178 MB).`,
		Example: "  crossdock demo\n  crossdock demo --rate 500 --for 10s --keep",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Rate < 1 || o.For < time.Second {
				return usagef("--rate %d --for %v: give at least one scan a second for a second", o.Rate, o.For)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			o.HostCommand = []string{self, "embedded", "clickhouse"}
			o.Out = a.stdout
			if f, ok := a.stdout.(*os.File); ok {
				o.Terminal = telemetry.CanDraw(f)
			}
			if verbose {
				o.Log = telemetry.NewLogger(os.Stderr, "info", "text")
			}
			if keep {
				o.BrokerPort, o.Ingress, o.Query, o.Admin, o.Registry = 9092, "127.0.0.1:8080", "127.0.0.1:8082", "127.0.0.1:9464", "127.0.0.1:8081"
				o.ClickHouseHTTP, o.ClickHouseTCP = "127.0.0.1:8123", "127.0.0.1:9000"
				o.Keep = a.keepRunning
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Rate, "rate", o.Rate, "scans a second")
	f.DurationVar(&o.For, "for", o.For, "how long scans come")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of the scans")
	f.BoolVar(&keep, "keep", false, "leave everything running on the usual ports, and print where")
	f.BoolVar(&verbose, "verbose", false, "show the log")
	return cmd
}

// keepRunning tells where everything answers, until a person has seen enough.
func (a *app) keepRunning(ctx context.Context, where demo.Addresses) {
	fmt.Fprintf(a.stdout, `
Everything is still running. Interrupt to end it.
  broker       %s
  registry     %s
  ingress      %s/v1/in/acme-3pl
  stock        %s/v1/inventory/LAMP/CHI
  metrics      %s/metrics
  ClickHouse   native %s, HTTP http://%s

  curl --data-binary @advice.edi %s/v1/in/acme-3pl
  curl 'http://%s/?database=crossdock' --data 'SELECT * FROM current_stock LIMIT 5 FORMAT PrettyCompact'
`, where.Broker, where.Registry, where.Ingress, where.Query, where.Admin, where.ClickHouseTCP, where.ClickHouseHTTP, where.Ingress, where.ClickHouseHTTP)
	<-ctx.Done()
}
