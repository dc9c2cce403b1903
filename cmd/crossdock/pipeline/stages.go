// Package pipeline knits the parts of Crossdock into stages, and stages into a running process.
package pipeline

import (
	"context"
	"sort"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/connectors"
	"crossdock/internal/config"
	"crossdock/processors"
	"crossdock/processors/enrich"
	"crossdock/processors/inventory"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/processors/translate"
	"crossdock/topology"
	"crossdock/topology/apply"
	"crossdock/topology/topics"
)

// The parts of a process beside the stages of the graph.
const (
	Ingress = "ingress" // the HTTP entry
	Sink    = "sink"    // ClickHouse
)

// Inventory is the stage whose state can be asked for.
const Inventory = "inventory"

// Parts are what stages are made of.
type Parts struct {
	Config     config.Config
	Connectors *connectors.Table
	Serde      *serde.Serde       // may be nil where the stages are only described
	Tables     *masterdata.Tables // likewise
	Metrics    prometheus.Registerer
}

// Naming makes the names of topics.
func Naming(c *config.Config) topics.Naming { return topics.Naming{Prefix: c.Kafka.Prefix} }

// AppPrefix begins the application id of every stage.
func AppPrefix(c *config.Config) string { return c.App + "-" }

// Sources lists the configured sources by name.
func Sources(c *config.Config) []string {
	names := make([]string, 0, len(c.Sources))
	for name := range c.Sources {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Stages is the pipeline: every stage that runs on Kafka's groups and transactions, in the order of the data's way.
func Stages(p Parts) ([]topology.Stage, error) {
	if p.Metrics == nil {
		p.Metrics = prometheus.NewRegistry()
	}
	if p.Connectors == nil { // the stages are only described
		p.Connectors = &connectors.Table{}
	}
	translator, err := newTranslator(p.Connectors, &p.Config)
	if err != nil {
		return nil, err
	}
	counted := newCounters(p.Metrics)
	routed := []topics.ID{topics.InventoryInbox, topics.OrdersInbox, topics.ShipmentsInbox, topics.ReturnsInbox, topics.ParkingInbox, topics.Exceptions}
	return []topology.Stage{
		{
			Name: translate.Stage, Doc: "native documents to canonical events, enriched",
			Raw: true, Tables: true, Outputs: append([]topics.ID{topics.Items, topics.Sites}, routed...),
			New: func() processors.Processor {
				return translate.New(translate.Options{
					Translator: translator, Enricher: enrich.NewResolver(p.Tables), Naming: Naming(&p.Config), Counters: &counted.translate,
				})
			},
		},
		{
			Name: "enrich", Doc: "movements in a source's codes and units to SKU, site and base unit",
			Inputs: []topics.ID{topics.Movements}, Tables: true, Outputs: []topics.ID{topics.InventoryInbox, topics.ParkingInbox, topics.Exceptions},
			New: func() processors.Processor { return enrich.New(p.Tables) },
		},
		{
			Name: parking.Stage, Doc: "events that wait for an item, a site or a unit",
			Inputs: []topics.ID{topics.ParkingInbox}, Tables: true, Outputs: routed,
			Stores: []topology.Store{
				{Name: "references", Doc: "what is missing, and how many events wait for it"},
				{Name: "events", Doc: "the waiting events, in their order"},
				{Name: "timers", Doc: "when what waits goes on, or is given up", Timers: true},
			},
			New: func() processors.Processor {
				return parking.New(parking.Options{
					Tables: p.Tables, Finisher: enrich.NewResolver(p.Tables), Codec: p.Serde, Naming: Naming(&p.Config), Limit: p.Config.Parking.Limit, Counters: &counted.parking,
				})
			},
		},
		{
			Name: Inventory, Doc: "stock by SKU and site, double entry",
			Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances, topics.Ledger},
			Stores: []topology.Store{{Name: "stock", Doc: "buckets, version and the dedupe memory of a key"}},
			New: func() processors.Processor {
				return inventory.New(inventory.Options{NoLedger: !p.Config.Inventory.Ledger, Counters: &counted.inventory})
			},
		},
	}, nil
}

// Graph lays the pipeline out for a configuration, without a broker.
func Graph(c *config.Config) (*topology.Graph, error) {
	stages, err := Stages(Parts{Config: *c})
	if err != nil {
		return nil, usagef("configuration:\n%v", err)
	}
	return topology.NewGraph(stages, topology.Params{
		Naming: Naming(c), AppPrefix: AppPrefix(c), Partitions: c.Kafka.Partitions, Sources: Sources(c),
	})
}

// PlanTopics compares the broker's topics with what the pipeline wants.
func PlanTopics(ctx context.Context, client *kgo.Client, c *config.Config) (*apply.Plan, error) {
	g, err := Graph(c)
	if err != nil {
		return nil, err
	}
	return apply.Compute(ctx, client, g.Topics, apply.Replication{Factor: c.Kafka.ReplicationFactor, MinInsync: c.Kafka.MinInsyncReplicas})
}

// Names lists every part that a process can run.
func Names(stages []topology.Stage) []string {
	names := []string{Ingress}
	for _, s := range stages {
		names = append(names, s.Name)
	}
	return append(names, Sink)
}

// CheckParts says which of the names is no part of the pipeline.
func CheckParts(stages []topology.Stage, names []string) error {
	_, err := choose(stages, names)
	return err
}

// choose checks names of parts; none are all.
func choose(stages []topology.Stage, names []string) (map[string]bool, error) {
	all := Names(stages)
	chosen := map[string]bool{}
	if len(names) == 0 {
		names = all
	}
	for _, name := range names {
		known := false
		for _, a := range all {
			known = known || a == name
		}
		if !known {
			return nil, usagef("there is no stage %q; there are %s", name, strings.Join(all, ", "))
		}
		chosen[name] = true
	}
	return chosen, nil
}
