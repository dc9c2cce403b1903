package topology_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/topics"
)

var update = flag.Bool("update", false, "write the golden files anew")

func noProcessor() processors.Processor { return nil }

// A small pipeline of every shape: raw and tables, stateless, stateful with two stores.
var stages = []topology.Stage{
	{Name: "translate", Doc: `Documents become "events"`, Inputs: nil, Raw: true, Tables: true,
		Outputs: []topics.ID{topics.InventoryInbox, topics.Exceptions}, New: noProcessor},
	{Name: "enrich", Inputs: []topics.ID{topics.Movements}, Tables: true,
		Outputs: []topics.ID{topics.InventoryInbox, topics.ParkingInbox}, New: noProcessor},
	{Name: "inventory", Doc: "Keeps stock", Inputs: []topics.ID{topics.InventoryInbox},
		Outputs: []topics.ID{topics.Balances, topics.Ledger},
		Stores:  []topology.Store{{Name: "stock", Doc: "Stock by SKU and site"}, {Name: "open"}}, New: noProcessor},
}

func graph(t *testing.T, sources ...string) *topology.Graph {
	t.Helper()
	g, err := topology.NewGraph(stages, topology.Params{
		Naming: topics.Naming{Prefix: "crossdock."}, AppPrefix: "crossdock-", Partitions: 12, Sources: sources,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGraphIsDrawnAsTheGoldenFilesShow(t *testing.T) {
	g := graph(t, "acme", "wms-1")
	for name, draw := range map[string]func(*bytes.Buffer) error{
		"graph.txt":  func(b *bytes.Buffer) error { return g.Text(b) },
		"graph.json": func(b *bytes.Buffer) error { return g.JSON(b) },
		"graph.mmd":  func(b *bytes.Buffer) error { return g.Mermaid(b) },
	} {
		var got bytes.Buffer
		if err := draw(&got); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s has changed; if it should, run the test with -update:\n%s", name, got.Bytes())
		}
	}
}

func TestGraphSurvivesJSON(t *testing.T) {
	g := graph(t, "acme")
	var b bytes.Buffer
	if err := g.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back topology.Graph
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, g) {
		t.Errorf("%v\n%+v\n%+v", err, back, g)
	}
}

func find(t *testing.T, g *topology.Graph, name string) topology.GraphTopic {
	t.Helper()
	for _, topic := range g.Topics {
		if topic.Name == name {
			return topic
		}
	}
	t.Fatalf("no topic %s", name)
	return topology.GraphTopic{}
}

// Partition n of a changelog holds the state of task n, so it has as many as the stage's input.
func TestChangelogHasTheInputsPartitions(t *testing.T) {
	g := graph(t)
	for _, name := range []string{"crossdock-inventory-stock-changelog", "crossdock-inventory-open-changelog"} {
		c := find(t, g, name)
		if c.Partitions != 12 || c.Configs["cleanup.policy"] != "compact" || c.Configs["compression.type"] != "snappy" ||
			c.Configs["min.compaction.lag.ms"] != "3600000" || c.Configs["retention.ms"] != "" {
			t.Errorf("%+v", c)
		}
	}
}

// A raw topic takes a document of the largest size that ingress accepts, with its headers.
func TestRawTopicTakesTheLargestDocument(t *testing.T) {
	c := find(t, graph(t, "acme"), "crossdock.raw.acme")
	if c.Configs["max.message.bytes"] != "16842752" || c.Configs["retention.ms"] != "1209600000" || c.Partitions != 12 {
		t.Errorf("%+v", c)
	}
}

// Without named sources a stage follows every raw topic there is: the graph shows a pattern, and no topic is made of it.
func TestStageWithoutNamedSourcesReadsAPattern(t *testing.T) {
	g := graph(t)
	if in := g.Stages[0].Inputs; len(in) != 1 || in[0] != "crossdock.raw.*" {
		t.Errorf("inputs are %v", in)
	}
	for _, topic := range g.Topics {
		if strings.Contains(topic.Name, "*") {
			t.Errorf("topic %s", topic.Name)
		}
	}
}

func TestEveryProblemOfADeclarationIsReported(t *testing.T) {
	bad := []topology.Stage{
		{Name: "a", Inputs: []topics.ID{topics.Movements, topics.InventoryInbox}, Stores: []topology.Store{{Name: "s"}, {Name: "s"}}},
		{Name: "a", New: noProcessor},
		{Name: "", Inputs: []topics.ID{topics.Movements}, Outputs: []topics.ID{200}, New: noProcessor},
		{Name: "t", Inputs: []topics.ID{topics.Movements}, Stores: []topology.Store{{Name: "first", Timers: true}, {Name: "second", Timers: true}}, New: noProcessor},
	}
	_, err := topology.NewGraph(bad, topology.Params{Partitions: 1})
	if err == nil {
		t.Fatal("it passes")
	}
	for _, want := range []string{"exactly one input", `"s" is empty or taken`, "New is nil", "the name is empty or taken", "no input", "topic(200)", `"first" cannot hold the timers`, `"second" cannot hold the timers`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if _, err := topology.NewGraph(stages, topology.Params{}); err == nil {
		t.Error("no partitions pass")
	}
}
