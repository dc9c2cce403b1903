package scans

import (
	"strconv"

	"crossdock/avro/event"
)

// A Kind is what a worker did, as the mix names it, or what else was told.
type Kind uint8

// The kinds of movement, in the order of a parcel's life.
const (
	Receive Kind = iota
	Putaway
	Pick
	Pack
	Ship
	Adjust
	Count
	Return
	kinds = iota
)

// The kinds of event that are no movements: Retailer alone makes them.
const (
	Milestone Kind = kinds + iota // a carrier's word about a shipment
	Order                         // an order that a site must ship
	Item                          // a new version of an item's master data that changes nothing of its meaning
	Snapshot                      // a row of a site's stock report
	allKinds  = kinds + iota
)

// A work says how one kind looks as a movement.
type work struct {
	name     string
	movement event.MovementType
	document string // its native document's type
	from, to event.Bucket
	// least and most are its quantity in base units. Those of the default mix let as much in as out: what 45 picks take, 6
	// receipts bring.
	least, most int
	// before is the kind that fills its from-bucket: what a worker did instead where there is nothing to take. A kind
	// that takes from the world outside is its own.
	before    Kind
	ordered   bool   // it names an order
	reason    string // as the source codes it; "" for none
	canonical string
}

// works is indexed by Kind.
func works() [kinds]work {
	return [kinds]work{
		Receive: {"receive", event.MovementTypeReceipt, "ASN", event.BucketExternal, event.BucketQC, 12, 26, Receive, false, "", ""},
		Putaway: {"putaway", event.MovementTypePutaway, "TASK", event.BucketQC, event.BucketAvailable, 12, 26, Receive, false, "", ""},
		Pick:    {"pick", event.MovementTypePick, "TASK", event.BucketAvailable, event.BucketPicked, 1, 4, Putaway, true, "", ""},
		Pack:    {"pack", event.MovementTypePack, "TASK", event.BucketPicked, event.BucketStaged, 6, 24, Pick, true, "", ""},
		Ship:    {"ship", event.MovementTypeShip, "DELIVERY", event.BucketStaged, event.BucketExternal, 6, 24, Pack, true, "", ""},
		Adjust:  {"adjust", event.MovementTypeAdjust, "ADJ", event.BucketAvailable, event.BucketDamaged, 1, 3, Putaway, false, "AU", "DAMAGE"},
		Count:   {"count", event.MovementTypeCount, "COUNT", event.BucketExternal, event.BucketAvailable, 1, 3, Count, false, "AA", "COUNT"},
		Return:  {"return", event.MovementTypeReturn, "RMA", event.BucketExternal, event.BucketReturned, 1, 2, Return, true, "", ""},
	}
}

// Movement says whether the kind is a movement.
func (k Kind) Movement() bool { return k < kinds }

// String is the kind's name in a mix.
func (k Kind) String() string {
	switch k {
	case Milestone:
		return "milestone"
	case Order:
		return "order"
	case Item:
		return "item"
	case Snapshot:
		return "snapshot"
	}
	if k < kinds {
		return works()[k].name
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// A Copy says whether a movement was sent before.
type Copy uint8

// The three answers.
const (
	Original    Copy = iota
	Exact            // the same bytes again
	ReEnveloped      // the same happening under a new event id and control number
)
