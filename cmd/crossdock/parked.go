package main

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/kafkaclient"
	"crossdock/loadtest/committed"
	"crossdock/processors/parking"
	"crossdock/topology/runtime/store"
)

// A waiting is what waits for one missing reference.
type waiting struct {
	Missing string    `json:"missing"` // ITEM, SITE, UNIT
	System  string    `json:"system"`
	Code    string    `json:"code"`
	SKU     string    `json:"sku,omitempty"` // of a unit
	Events  uint64    `json:"events"`
	Since   time.Time `json:"since"`
}

func (a *app) parkedCommand() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "Show what events wait for: items, sites and units that no master data knows yet",
		Long: `Reads the committed state of the parking stage from its changelog and shows each missing reference with the number
of events that wait for it and since when, the longest waiting first. Events go on by themselves when the master
data comes. What waits for longer than parking.limit becomes an exception and a dead letter.`,
		Example: "  crossdock parked list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			client, err := dial(cmd.Context(), &c.Config)
			if err != nil {
				return err
			}
			client.Close()
			opts, err := kafkaclient.Options(c.Kafka)
			if err != nil {
				return err
			}
			topic := pipeline.Naming(&c.Config).Changelog(pipeline.AppPrefix(&c.Config)+parking.Stage, "references")
			state := store.New()
			err = committed.Read(cmd.Context(), opts, topic, func(r *kgo.Record) error { return state.Restore(r.Key, r.Value) })
			if errors.Is(err, kerr.UnknownTopicOrPartition) {
				return fmt.Errorf("there is no topic %s, so nothing has ever waited: crossdock topology apply makes it, or app and kafka.brokers name another installation", topic)
			}
			if err != nil {
				return fmt.Errorf("reading %s: %w", topic, err)
			}
			all := []waiting{}
			var events uint64
			err = parking.List(state, func(w parking.Waiting) bool {
				all = append(all, waiting{w.Reference.Kind.String(), w.Reference.System, w.Reference.Code, w.Reference.SKU, w.Events, w.Since.Time()})
				events += w.Events
				return true
			})
			if err != nil {
				return err
			}
			sort.Slice(all, func(i, j int) bool { return all[i].Since.Before(all[j].Since) })
			return a.print(all, func(w io.Writer) error {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, r := range all {
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d events\tsince %s\n", r.Missing, r.System, r.Code, r.SKU, r.Events, r.Since.UTC().Format(time.RFC3339))
				}
				if err := t.Flush(); err != nil {
					return err
				}
				_, err := fmt.Fprintf(w, "waiting events: %d, missing references: %d\n", events, len(all))
				return err
			})
		},
	}
	return group("parked", "Events that wait for master data", list)
}
