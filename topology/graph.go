package topology

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"crossdock/topology/topics"
)

// Params are what the same pipeline has of its own in each installation.
type Params struct {
	Naming     topics.Naming
	AppPrefix  string   // before a stage's name, it makes the application id (application.id): consumer group and changelogs
	Partitions int      // of every inbox and of raw topics: 2 x expected peak instances x workers
	Sources    []string // whose raw topics are read
}

// A Graph is the pipeline of an installation: stages, the topics between them, and what each topic is on a broker. It is
// data: Text and Mermaid draw it, its JSON is for programs, and package apply makes its topics.
type Graph struct {
	Stages []GraphStage `json:"stages"`
	Topics []GraphTopic `json:"topics"`
}

// A GraphStage is a Stage with the names that a broker sees.
type GraphStage struct {
	Name        string       `json:"name"`
	Doc         string       `json:"doc,omitempty"`
	App         string       `json:"app"` // application id: the consumer group
	Inputs      []string     `json:"inputs"`
	Tables      []string     `json:"tables,omitempty"`
	Outputs     []string     `json:"outputs,omitempty"`
	DeadLetters string       `json:"dead_letters"`
	Stores      []GraphStore `json:"stores,omitempty"`
}

// A GraphStore is a store and the topic that makes it durable.
type GraphStore struct {
	Name      string `json:"name"`
	Doc       string `json:"doc,omitempty"`
	Changelog string `json:"changelog"`
}

// A TopicKind says where a topic's definition comes from.
type TopicKind string

// The kinds of topics.
const (
	FromTable   TopicKind = "table"     // a row of topics.All
	FromSource  TopicKind = "raw"       // the bytes that a source sent
	OfChangelog TopicKind = "changelog" // of a store
)

// A GraphTopic is a topic as the pipeline wants it.
type GraphTopic struct {
	Name       string            `json:"name"`
	Kind       TopicKind         `json:"kind"`
	Doc        string            `json:"doc,omitempty"`
	Key        string            `json:"key"`
	Schemas    []string          `json:"schemas,omitempty"`
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs"` // Kafka's names and values
	WrittenBy  []string          `json:"written_by,omitempty"`
	ReadBy     []string          `json:"read_by,omitempty"`
}

const (
	// changelogSegment makes compaction, which leaves the newest segment alone, worth its while: a restore reads what it
	// leaves. (Kafka's default is 1 GiB, Kafka Streams sets 50 MiB for its changelogs.)
	changelogSegment = 64 << 20
	// rawOverhead is what key, headers and batch add to a document of the largest size.
	rawOverhead = 64 << 10
)

// NewGraph lays out stages for an installation. Its error lists every stage that cannot run as declared.
func NewGraph(stages []Stage, p Params) (*Graph, error) {
	if err := Check(stages); err != nil {
		return nil, err
	}
	if p.Partitions < 1 {
		return nil, fmt.Errorf("topology: %d partitions; an inbox needs at least one", p.Partitions)
	}
	g := &Graph{}
	at := map[string]int{}
	add := func(t GraphTopic) {
		at[t.Name] = len(g.Topics)
		g.Topics = append(g.Topics, t)
	}
	for _, t := range topics.All() {
		add(tableTopic(t, p))
	}
	for _, source := range p.Sources {
		add(rawTopic(source, p))
	}
	for _, s := range stages {
		gs := GraphStage{Name: s.Name, Doc: s.Doc, App: p.AppPrefix + s.Name, DeadLetters: p.Naming.Topic(topics.DeadLetters)}
		for _, id := range s.Inputs {
			gs.Inputs = append(gs.Inputs, p.Naming.Topic(id))
		}
		if s.Raw {
			for _, source := range p.Sources {
				gs.Inputs = append(gs.Inputs, p.Naming.Raw(source))
			}
			if len(p.Sources) == 0 {
				gs.Inputs = append(gs.Inputs, p.Naming.Raw("*"))
			}
		}
		if s.Tables {
			gs.Tables = []string{p.Naming.Topic(topics.Items), p.Naming.Topic(topics.Sites)}
		}
		for _, id := range s.Outputs {
			gs.Outputs = append(gs.Outputs, p.Naming.Topic(id))
		}
		for _, store := range s.Stores {
			name := p.Naming.Changelog(gs.App, store.Name)
			gs.Stores = append(gs.Stores, GraphStore{store.Name, store.Doc, name})
			in := g.Topics[at[gs.Inputs[0]]]
			add(changelogTopic(name, s, store, in))
			g.Topics[at[name]].WrittenBy = []string{s.Name}
			g.Topics[at[name]].ReadBy = []string{s.Name}
		}
		for _, name := range slices.Concat(gs.Inputs, gs.Tables) {
			if i, ok := at[name]; ok {
				g.Topics[i].ReadBy = append(g.Topics[i].ReadBy, s.Name)
			}
		}
		for _, name := range append(slices.Clone(gs.Outputs), gs.DeadLetters) {
			g.Topics[at[name]].WrittenBy = append(g.Topics[at[name]].WrittenBy, s.Name)
		}
		g.Stages = append(g.Stages, gs)
	}
	for i := range g.Topics {
		g.Topics[i].WrittenBy = slices.Compact(g.Topics[i].WrittenBy)
	}
	return g, nil
}

// Check says what is wrong with the declarations of stages, all of it.
func Check(stages []Stage) error {
	var problems []error
	wrong := func(s Stage, format string, args ...any) {
		problems = append(problems, fmt.Errorf("stage %q: "+format, append([]any{s.Name}, args...)...))
	}
	names := map[string]bool{}
	for _, s := range stages {
		if s.Name == "" || names[s.Name] {
			wrong(s, "the name is empty or taken: it makes the application id, which is one stage's")
		}
		names[s.Name] = true
		if len(s.Inputs) == 0 && !s.Raw {
			wrong(s, "it has no input")
		}
		if s.Stateful() && (len(s.Inputs) != 1 || s.Raw) {
			wrong(s, "it has stores, so it must have exactly one input: one partition is one task")
		}
		if s.New == nil {
			wrong(s, "it makes no processor (New is nil)")
		}
		inputs := map[topics.ID]bool{}
		for _, id := range s.Inputs {
			if int(id) >= topics.Count {
				wrong(s, "input %v is not in the table of topics", id)
			}
			if inputs[id] {
				wrong(s, "input %v is named twice", id)
			}
			inputs[id] = true
		}
		for _, id := range s.Outputs {
			if int(id) >= topics.Count {
				wrong(s, "output %v is not in the table of topics", id)
			}
		}
		stores := map[string]bool{}
		for i, store := range s.Stores {
			if store.Name == "" || stores[store.Name] {
				wrong(s, "store name %q is empty or taken: it makes the changelog's name", store.Name)
			}
			stores[store.Name] = true
			if store.Timers && (i == 0 || i != s.TimerStore()) {
				wrong(s, "store %q cannot hold the timers: one store does, and not the first", store.Name)
			}
		}
	}
	return errors.Join(problems...)
}

func tableTopic(t topics.Topic, p Params) GraphTopic {
	g := GraphTopic{
		Name: p.Naming.Topic(t.ID), Kind: FromTable, Doc: t.Doc, Key: t.Key, Schemas: t.Schemas,
		Partitions: topics.FewPartitions,
		Configs:    map[string]string{"cleanup.policy": string(t.Cleanup)},
	}
	if t.Inbox {
		g.Partitions = p.Partitions
	}
	if t.Cleanup == topics.Compact {
		g.Configs["min.compaction.lag.ms"] = ms(topics.MinCompactionLag)
	}
	if t.Retention > 0 {
		g.Configs["retention.ms"] = ms(t.Retention)
	}
	if t.MaxMessage > 0 {
		g.Configs["max.message.bytes"] = strconv.Itoa(t.MaxMessage)
	}
	return g
}

func rawTopic(source string, p Params) GraphTopic {
	return GraphTopic{
		Name: p.Naming.Raw(source), Kind: FromSource, Doc: "Bytes as received from " + source, Key: "ordering key, else the source",
		Partitions: p.Partitions,
		Configs: map[string]string{
			"cleanup.policy":    string(topics.Delete),
			"retention.ms":      ms(topics.RawRetention),
			"max.message.bytes": strconv.Itoa(topics.MaxRawMessage + rawOverhead),
		},
	}
}

// changelogTopic has the partitions of the stage's input, since partition n holds the state of task n.
func changelogTopic(name string, s Stage, store Store, in GraphTopic) GraphTopic {
	return GraphTopic{
		Name: name, Kind: OfChangelog, Doc: "State of stage " + s.Name + ", store " + store.Name, Key: in.Key,
		Partitions: in.Partitions,
		Configs: map[string]string{
			"cleanup.policy":        string(topics.Compact),
			"min.compaction.lag.ms": ms(topics.MinCompactionLag),
			"compression.type":      "snappy",
			"segment.bytes":         strconv.Itoa(changelogSegment),
		},
	}
}

func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
