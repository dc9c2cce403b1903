package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"crossdock/avro/registry"
	"crossdock/internal/embedded/broker"
	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/telemetry"
)

func (a *app) embeddedCommand() *cobra.Command {
	port, partitions := 9092, broker.DefaultPartitions
	kafka := &cobra.Command{
		Use:     "broker",
		Short:   "Run an in-memory broker that speaks Kafka's protocol; what it holds is gone when it ends",
		Example: "  crossdock embedded broker --port 9092",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return usagef("--port %d: a port is between 0 (any) and 65535", port)
			}
			return broker.Serve(cmd.Context(), broker.Options{Port: port, Partitions: partitions}, func(addrs []string) {
				fmt.Fprintf(a.stdout, "broker: %v\n", addrs)
			})
		},
	}
	kafka.Flags().IntVar(&port, "port", port, "port on 127.0.0.1")
	kafka.Flags().IntVar(&partitions, "partitions", partitions, "partitions of topics that are created without a number")

	listen, file := "127.0.0.1:8081", ""
	schemas := &cobra.Command{
		Use:     "registry",
		Short:   "Run a schema registry that speaks Confluent's API",
		Example: "  crossdock embedded registry --listen 127.0.0.1:8081 --file registry.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			folder := filepath.Dir(file)
			if _, err := os.Stat(folder); err != nil {
				return usagef("--file %s: there is no folder %s", file, folder)
			}
			r, err := registry.Open(file)
			if err != nil {
				return err
			}
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "registry: http://%s\n", l.Addr())
			return telemetry.Serve(cmd.Context(), l, r, time.Second)
		},
	}
	schemas.Flags().StringVar(&listen, "listen", listen, "address")
	schemas.Flags().StringVar(&file, "file", file, "JSON file that keeps the schemas over restarts (default: memory only)")

	var flags strings.Builder
	clickhouse.PrintFlags(&flags)
	engine := &cobra.Command{
		Use:                "clickhouse [flags]",
		Short:              "Run the real ClickHouse engine as a library, on HTTP and native TCP (needs npm, once)",
		Long:               "Runs the real ClickHouse engine as a library until it is interrupted. npm fetches it the first time.\n\n" + flags.String(),
		Example:            "  crossdock embedded clickhouse --path ./clickhouse-data",
		DisableFlagParsing: true, // the host has flags of its own
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if arg == "--help" || arg == "-h" {
					return cmd.Help()
				}
			}
			err := clickhouse.Main(cmd.Context(), args)
			if errors.Is(err, clickhouse.ErrUsage) {
				return usagef("%v; see %s --help", err, cmd.CommandPath())
			}
			return err
		},
	}
	return group("embedded", "Services for a trial on one machine: broker, registry, clickhouse", kafka, schemas, engine)
}
