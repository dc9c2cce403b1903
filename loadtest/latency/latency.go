// Package latency keeps how long events took, from the time that was intended for them to the time at which they were seen,
// for each hop of their way. It knows no broker and no clock.
//
// Invariants:
//
//   - Latency counts from the intended time, never from when an event was really sent: what had to wait because the
//     pipeline, or the tool, stood still has waited (no coordinated omission).
//   - What was measured stands in the histogram of the whole run with three significant digits. Nothing is dropped: what
//     took longer than is told apart counts as the longest, and is counted beside.
//   - A run of any length has at most MaxSlices slices.
package latency

// A Hop is a point of an event's way.
type Hop uint8

// The hops, in their order.
const (
	Accepted   Hop = iota // acknowledged by all in-sync replicas: the producer's acknowledgement, or the ingress's 202
	Translated            // a document's events stand on the inbox, read committed
	Enriched              // a canonical movement stands on the inventory stage's inbox, read committed
	Balance               // the balance that contains it stands on topic balances, read committed
	Row                   // its row answers a query in ClickHouse
	Hops       = iota
)

// String is the hop's name in a report.
func (h Hop) String() string {
	return [Hops]string{"accepted", "translated", "enriched", "balance", "row"}[h]
}

// Doc says what it means that an event is there.
func (h Hop) Doc() string {
	return [Hops]string{
		"acknowledged by all in-sync replicas",
		"the events of its document stand on the inventory inbox, read committed",
		"it stands on the inventory inbox in canonical terms, read committed; up to 1 ms too long, as Kafka keeps milliseconds",
		"the balance that contains it stands on topic balances, read committed",
		"the row of that balance answers a query in ClickHouse, which is asked ten times a second",
	}[h]
}

// All are the hops, in their order.
func All() []Hop { return []Hop{Accepted, Translated, Enriched, Balance, Row} }
