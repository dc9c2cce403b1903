package main

import (
	"context"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/connectors/catalog"
	"crossdock/internal/config"
	"crossdock/internal/kafkaclient"
	"crossdock/internal/telemetry"
)

// commands lists what a person can ask for, in the order of a first day.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.demoCommand(), a.runCommand(), a.leaveCommand(), a.translateCommand(), a.ingestCommand(), a.parkedCommand(), a.topologyCommand(),
		a.schemaCommand(), a.queryCommand(), a.sinkCommand(), a.configCommand(), a.loadtestCommand(), a.benchCommand(), a.embeddedCommand(), a.versionCommand(),
	}
}

// dial connects to the configured brokers, and says so where none answers.
func dial(ctx context.Context, c *config.Config) (*kgo.Client, error) {
	common, err := kafkaclient.Options(c.Kafka)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(common...)
	if err != nil {
		return nil, err
	}
	if err := ping(ctx, client); err != nil {
		client.Close()
		return nil, &notReadyError{fmt.Errorf("no broker of %v answers: %w; start one (make services-up, or crossdock embedded broker), or set kafka.brokers", c.Kafka.Brokers, err)}
	}
	return client, nil
}

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run [stage...]",
		Short: "Run stages of the pipeline until interrupted; none named: all",
		Long: `Runs stages of the pipeline in this process until it is interrupted: ingress, translate, enrich, parking,
inventory, sink. None named: all. Any number of processes with the same app and different instance share the work.`,
		Example: "  crossdock run\n  crossdock run inventory --set instance=1 --set kafka.brokers=kafka-0:9092",
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			table, _, err := catalog.Table()
			if err != nil {
				return err
			}
			stages, err := pipeline.Stages(pipeline.Parts{Config: c.Config, Connectors: table})
			if err != nil {
				return &usageError{err}
			}
			if err := pipeline.CheckParts(stages, names); err != nil {
				return err
			}
			client, err := dial(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			client.Close()
			log := a.logger(&c.Config)
			p, err := pipeline.New(cmd.Context(), pipeline.Options{Config: c.Config, Parts: names, Connectors: table, Log: log, Metrics: telemetry.NewRegistry()})
			if err != nil {
				return err
			}
			log.Info("running", "parts", names, "ingress", p.Addr(), "query", p.QueryAddr(), "admin", p.AdminAddr())
			return p.Run(cmd.Context())
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which version this is", Args: cobra.NoArgs, Example: "  crossdock version",
		RunE: func(*cobra.Command, []string) error {
			return a.print(map[string]string{"version": version()}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, version())
				return err
			})
		},
	}
}

// metricsNobodyReads is for commands that end by themselves.
func metricsNobodyReads() *prometheus.Registry { return prometheus.NewRegistry() }
