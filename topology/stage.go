// Package topology says which processor runs where: stages, the topics between them, their stores. runtime, below it,
// runs stages on Kafka; testdriver runs them without a broker.
package topology

import (
	"crossdock/processors"
	"crossdock/topology/topics"
)

// A Stage is one application of the pipeline, in Kafka Streams' words a sub-topology: a consumer group of its own whose
// tasks, one per input partition, each run a processor.
type Stage struct {
	Name    string      // "inventory"; the application id is made of it
	Doc     string      // one line for describe and help
	Inputs  []topics.ID // a stateful stage has exactly one
	Raw     bool        // it reads the raw topics of the configured sources too
	Outputs []topics.ID // dead letters aside, which every stage may write
	Stores  []Store     // keyed state, each with a changelog topic
	Tables  bool        // it looks up master data: no record is processed before the tables have been read to their end
	// New makes the processor of one task. It is called once per assignment of a partition.
	New func() processors.Processor
}

// A Store is the declaration of one keyed state store.
type Store struct {
	Name string // unique within the application; the changelog is named after it
	Doc  string
	// Timers: it holds the stage's timers (processors.TimerHandler), and the processor does not use it otherwise. At most one
	// store does, and not the first, whose keys a processors.CommitHook is told of.
	Timers bool
}

// Stateful says whether the stage has stores.
func (s Stage) Stateful() bool { return len(s.Stores) > 0 }

// TimerStore is the index of the store that holds the stage's timers, -1 where it has none.
func (s Stage) TimerStore() int {
	for i := range s.Stores {
		if s.Stores[i].Timers {
			return i
		}
	}
	return -1
}
