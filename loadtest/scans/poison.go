package scans

import "strconv"

// A Poison is a way in which a movement must not be applied. Each has one expected end, so that a run can be held to
// it: as many dead letters, exceptions and parked events as were sent, by cause. Poison is always an original, and is
// never repeated.
type Poison uint8

// The kinds of poison.
const (
	NotPoison        Poison = iota
	BadFraming              // JSON, not framed Avro
	UnknownSchema           // the id of a schema that no registry has
	Truncated               // the end of the record is missing
	WrongKind               // a milestone on the topic of movements
	NoIdentity              // no dedupe key
	OutsideToOutside        // from the world outside to the world outside
	Remainder               // half a piece of an item that comes in whole ones
	Overflow                // more than 18 digits in the base unit
	LotMissing              // an item that is kept by lot, without a lot
	NotOwner                // told by a system that does not own the fact at the site
	NoBucket                // a change of status that says neither where from nor where to
	UnknownItem             // a code that no item has, nor will have
	UnknownSite             // a location that no site has
	UnknownUnit             // a unit that the item does not have
	poisons          = iota
)

// An Outcome is what must become of an event.
type Outcome uint8

// The outcomes.
const (
	Applied    Outcome = iota // it counts, a repetition of it no second time
	DeadLetter                // on topic dead-letters, with Cause as its cause
	Exception                 // on topic exceptions, with Cause as its class
	Parked                    // on topic parking-inbox for good, with Cause as the kind of what is missing
)

// String names the outcome.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "Outcome(" + strconv.Itoa(int(o)) + ")"
}

var outcomeNames = [...]string{"applied", "dead letter", "exception", "parked"}

// poisonFacts describes each poison by its number: the causes are those of docs/runtime.md (dead letters), of the enrich
// stage's classes (exceptions) and of the schema MissingKind (parked).
var poisonFacts = [poisons]struct {
	name   string
	expect Outcome
	cause  string
}{
	NotPoison:        {"", Applied, ""},
	BadFraming:       {"bad framing", DeadLetter, "BAD_FRAMING"},
	UnknownSchema:    {"unknown schema", DeadLetter, "UNKNOWN_SCHEMA"},
	Truncated:        {"truncated", DeadLetter, "BAD_RECORD"},
	WrongKind:        {"wrong kind", DeadLetter, "UNEXPECTED_KIND"},
	NoIdentity:       {"no identity", DeadLetter, "NO_IDENTITY"},
	OutsideToOutside: {"outside to outside", DeadLetter, "BAD_MOVEMENT"},
	Remainder:        {"remainder", Exception, "UNIT_REMAINDER"},
	Overflow:         {"overflow", Exception, "QTY_OVERFLOW"},
	LotMissing:       {"lot missing", Exception, "LOT_MISSING"},
	NotOwner:         {"not the owner", Exception, "REPORTED_BY_OTHER_SYSTEM"},
	NoBucket:         {"no bucket", Exception, "MISSING_BUCKET"},
	UnknownItem:      {"unknown item", Parked, "ITEM"},
	UnknownSite:      {"unknown site", Parked, "SITE"},
	UnknownUnit:      {"unknown unit", Parked, "UNIT"},
}

// Expect is what must become of an event with this poison.
func (p Poison) Expect() Outcome { return poisonFacts[p].expect }

// Cause is the code under which it must end there; "" for NotPoison.
func (p Poison) Cause() string { return poisonFacts[p].cause }

// String names the poison as a report does; "" for NotPoison.
func (p Poison) String() string {
	if p < poisons {
		return poisonFacts[p].name
	}
	return "Poison(" + strconv.Itoa(int(p)) + ")"
}
