package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"crossdock/cmd/crossdock/pipeline"
)

func (a *app) topologyCommand() *cobra.Command {
	format := "text"
	describe := &cobra.Command{
		Use:     "describe",
		Short:   "Show stages, topics and stores",
		Example: "  crossdock topology describe\n  crossdock topology describe --format mermaid",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			g, err := pipeline.Graph(&c.Config)
			if err != nil {
				return err
			}
			if a.json {
				format = "json"
			}
			switch format {
			case "text":
				return g.Text(a.stdout)
			case "json":
				return g.JSON(a.stdout)
			case "mermaid":
				return g.Mermaid(a.stdout)
			}
			return usagef("--format %s: write text, json or mermaid", format)
		},
	}
	describe.Flags().StringVar(&format, "format", format, "text, json or mermaid")

	dryRun, yes := false, false
	applyTopics := &cobra.Command{
		Use:   "apply",
		Short: "Make the broker's topics what the pipeline wants; shows the plan, and does it with --yes",
		Long: `Compares the broker's topics with the pipeline's and shows what would be done. Nothing is ever deleted, and the
partition count of a topic that has had records is left alone. With --yes the plan is done.`,
		Example: "  crossdock topology apply --dry-run\n  crossdock topology apply --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun && yes {
				return usagef("--dry-run shows the plan and --yes does it: give one of them")
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			client, err := dial(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			defer client.Close()
			plan, err := pipeline.PlanTopics(cmd.Context(), client, &c.Config)
			if err != nil {
				return err
			}
			if err := a.show(plan); err != nil {
				return err
			}
			if len(plan.Refused) > 0 {
				return errors.New("the plan has refusals, so nothing of it is done")
			}
			if !yes {
				if !plan.Empty() && !a.json {
					fmt.Fprintln(a.stdout, "\nNothing was changed. Do it with: crossdock topology apply --yes")
				}
				return nil
			}
			return plan.Apply(cmd.Context(), client, func(step string) {
				if !a.json {
					fmt.Fprintln(a.stdout, "done:", step)
				}
			})
		},
	}
	applyTopics.Flags().BoolVar(&dryRun, "dry-run", false, "only show the plan (as without --yes)")
	applyTopics.Flags().BoolVar(&yes, "yes", false, "do what the plan says")
	return group("topology", "Stages and topics", describe, applyTopics)
}

// drawing is what shows itself to people and to programs.
type drawing interface {
	Text(io.Writer) error
	JSON(io.Writer) error
}

func (a *app) show(d drawing) error {
	if a.json {
		return d.JSON(a.stdout)
	}
	return d.Text(a.stdout)
}
