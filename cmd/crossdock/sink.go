package main

import (
	"context"
	"fmt"
	"io"
	"strings"
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
				applied := make([]migration, 0, len(list))
				for _, m := range list {
					applied = append(applied, migration{m.Version, m.Name, m.Checksum, m.AppliedAt.UTC()})
				}
				return a.print(applied, func(w io.Writer) error {
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
				all := make([]tableStatus, 0, len(tables))
				for i := range tables {
					all = append(all, statusOf(&tables[i]))
				}
				return a.print(all, func(w io.Writer) error {
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

// A migration is what sink migrate --json tells of each.
type migration struct {
	Version   int       `json:"version"`
	Name      string    `json:"name"`
	Checksum  string    `json:"checksum"` // SHA-256, hexadecimal
	AppliedAt time.Time `json:"applied_at"`
}

// A tableStatus is what sink status --json tells of each table.
type tableStatus struct {
	Table            string     `json:"table"`
	Topic            string     `json:"topic"`
	Rows             uint64     `json:"rows"`
	Lag              int64      `json:"lag_records"`
	FreshnessSeconds *float64   `json:"freshness_seconds"` // null: no sink has said so yet
	CompleteUntil    *time.Time `json:"complete_until"`    // likewise
	NewestEvent      *time.Time `json:"newest_event"`      // null: there is none
	Lost             int64      `json:"lost_records"`
}

func statusOf(s *sink.TableStatus) tableStatus {
	out := tableStatus{Table: s.Table, Topic: s.Topic, Rows: s.Rows, Lag: s.Lag, Lost: s.Lost}
	if !s.CompleteUntil.IsZero() {
		fresh := s.Freshness.Seconds()
		out.FreshnessSeconds, out.CompleteUntil = &fresh, &s.CompleteUntil
	}
	if !s.NewestEvent.IsZero() {
		out.NewestEvent = &s.NewestEvent
	}
	return out
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
	err = pipeline.Away(f(s), fmt.Sprintf("ClickHouse (%s) or the brokers (%s) do not answer; start them, or correct clickhouse.addresses and kafka.brokers",
		strings.Join(c.ClickHouse.Addresses, ", "), strings.Join(c.Kafka.Brokers, ", ")))
	if closed := s.Close(); err == nil {
		err = closed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
