package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/kafkaclient"
	"crossdock/sink"
)

func (a *app) sinkCommand() *cobra.Command {
	migrate := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring ClickHouse's tables up to date",
		Example: "  crossdock sink migrate --set clickhouse.addresses=127.0.0.1:9000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSink(cmd.Context(), func(s *sink.Sink) error {
				if err := s.Migrate(cmd.Context()); err != nil {
					return err
				}
				list, err := s.Migrations(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(list, func(w io.Writer) error {
					for _, m := range list {
						fmt.Fprintf(w, "%s  applied %s\n", m.Name, m.AppliedAt.UTC().Format(time.RFC3339))
					}
					return nil
				})
			})
		},
	}
	status := &cobra.Command{
		Use:     "status",
		Short:   "Show rows, lag and freshness of every table",
		Example: "  crossdock sink status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withSink(cmd.Context(), func(s *sink.Sink) error {
				tables, err := s.Status(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(tables, func(w io.Writer) error {
					t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintln(t, "TABLE\tROWS\tLAG\tFRESHNESS\tLOST\tSTATE")
					for _, s := range tables {
						fresh := "never"
						if !s.CompleteUntil.IsZero() {
							fresh = s.Freshness.Round(time.Millisecond).String()
						}
						fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%d\t%s%s\n", s.Table, s.Rows, s.Lag, fresh, s.Lost, s.Waiting, s.Stopped)
					}
					return t.Flush()
				})
			})
		},
	}
	return group("sink", "ClickHouse: tables and their freshness", migrate, status)
}

// withSink connects to ClickHouse for one command. Neither of them writes an event, so no registry is asked.
func (a *app) withSink(ctx context.Context, f func(*sink.Sink) error) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if len(c.ClickHouse.Addresses) == 0 {
		return usagef("clickhouse.addresses: not set; name a server's native address, such as 127.0.0.1:9000")
	}
	opts, err := kafkaclient.Options(c.Kafka)
	if err != nil {
		return err
	}
	s, err := pipeline.NewSink(&c.Config, opts, serde.Local(), a.logger(&c.Config), metricsNobodyReads())
	if err != nil {
		return err
	}
	err = f(s)
	if closed := s.Close(); err == nil {
		err = closed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
