package bench

import (
	"context"
	"slices"

	"crossdock/topology/topics"
)

// A Kind of benchmark: the stage that drains.
type Kind string

// The kinds.
const (
	Inventory Kind = "inventory" // movements to balances
	Enrich    Kind = "enrich"    // movements in a source's codes and units to the inbox
	Translate Kind = "translate" // native documents to the inboxes
	Sink      Kind = "sink"      // postings and balances to ClickHouse
)

// Kinds lists them, in the order of the data's way.
func Kinds() []Kind { return []Kind{Translate, Enrich, Inventory, Sink} }

func (k Kind) known() bool { return slices.Contains(Kinds(), k) }

// A job is what the phases of a run are for one kind. One job serves one run.
type job interface {
	// fill puts the backlog on the topics.
	fill(context.Context) (backlog, Measure, error)
	// limit measures what no stage can leave out, on the same backlog.
	limit(context.Context) (Measure, error)
	// verify recounts what the stage made.
	verify(context.Context) (Outcome, error)
	// close lets go of what the job made beside topics.
	close(context.Context) error
}

// A plan says what a kind is.
type plan struct {
	kind     Kind
	stage    string // ends the consumer group's name
	unit     string // what is counted, in the plural
	workload string // a sentence for whoever reads a result
	limit    string // likewise
	topics   []topics.ID
	sources  []string // of raw documents: each has a topic
	new      func(*drain) job
}

func planOf(k Kind) plan {
	enriched := []topics.ID{topics.Items, topics.Sites, topics.InventoryInbox, topics.ParkingInbox, topics.Exceptions, topics.DeadLetters}
	switch k {
	case Inventory:
		return plan{
			kind: k, stage: "inventory", unit: "movements",
			workload: "canonical movements of the SKUs at 220 sites, Zipf 0.9, 1 % repeated, 3 % late",
			limit:    "a loop that writes as many bytes as a balance has for each movement, in transactions; no decoding, no state, no changelog",
			topics:   []topics.ID{topics.InventoryInbox, topics.Balances, topics.Ledger, topics.Exceptions, topics.DeadLetters},
			new:      func(d *drain) job { return &inventoryJob{drain: d} },
		}
	case Enrich:
		return plan{
			kind: k, stage: "enrich", unit: "movements",
			workload: enrichWorkload,
			limit:    "a loop that writes each movement's own bytes again, in transactions; no decoding, no look-up",
			topics:   append(enriched, topics.Movements),
			new:      func(d *drain) job { return &enrichJob{drain: d} },
		}
	case Translate:
		return plan{
			kind: k, stage: "translate", unit: "canonical events",
			workload: translateWorkload,
			limit:    "a loop that writes as many records of a canonical event's size for each document, in transactions; no parsing, no encoding, no look-up",
			topics:   append(enriched, topics.OrdersInbox, topics.ShipmentsInbox, topics.ReturnsInbox),
			sources:  []string{DocumentSource},
			new:      func(d *drain) job { return &translateJob{drain: d} },
		}
	case Sink:
		return plan{
			kind: k, stage: "sink", unit: "rows",
			workload: "a ledger posting and a balance of each movement of the inventory's workload, in equal numbers",
			limit:    "native inserts of the same rows, whose columns are ready, into tables of the same shape, both tables at once; no Kafka, no decoding",
			topics:   []topics.ID{topics.Ledger, topics.Balances, topics.Exceptions, topics.DeadLetters},
			new:      func(d *drain) job { return &sinkJob{drain: d} },
		}
	}
	return plan{}
}
