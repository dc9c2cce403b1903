// Package latency keeps how long events took, from the time that was intended for them to the time at which they were seen,
// for each hop of their way. It knows no broker and no clock.
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
