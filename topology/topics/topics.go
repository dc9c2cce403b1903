// Package topics is the one table of Crossdock's topics: names, keys, partitions, cleanup, retention and schemas. It knows
// nothing of a broker; topology applies the table to one.
package topics

import (
	"fmt"
	"strings"
	"time"
)

// An ID names a topic of the table. Families that are keyed by a system's name (raw, outbound) and changelogs are not in
// it: see Naming.
type ID uint8

// The topics, in the order of the table.
const (
	Items ID = iota
	Sites
	Movements
	InventoryInbox
	Balances
	Ledger
	OrdersInbox
	ShipmentsInbox
	ReturnsInbox
	ParkingInbox
	Exceptions
	DeadLetters
	Count int = iota
)

// Cleanup is what a broker does with old records, in Kafka's own words (cleanup.policy).
type Cleanup string

// The policies in use.
const (
	Delete  Cleanup = "delete"
	Compact Cleanup = "compact"
)

// A Topic is one row of the table.
type Topic struct {
	ID         ID
	Name       string        // without the prefix
	Key        string        // what the key is made of
	Inbox      bool          // it has the application's partition count; others have FewPartitions
	Cleanup    Cleanup       //
	Retention  time.Duration // 0 for compacted topics
	MaxMessage int           // bytes; 0: the broker's default of 1 MiB
	Schemas    []string      // full names of the records that it carries
	Doc        string
}

const (
	day = 24 * time.Hour
	// FewPartitions is the partition count of topics that carry little: master data, exceptions, dead letters.
	FewPartitions = 4
	// MinCompactionLag keeps an update readable for a while after a newer one, so that a reader who is an hour late
	// still sees each version (min.compaction.lag.ms).
	MinCompactionLag = time.Hour
	// MaxRawMessage bounds one document on a raw topic, and so what ingress accepts: larger ones are cut or refused.
	MaxRawMessage = 16 << 20
	// RawRetention is how long bytes as received can be replayed.
	RawRetention = 14 * day
)

var table = [Count]Topic{
	Items:          {Items, "items", "sku", false, Compact, 0, 0, []string{"ItemMaster"}, "Item master data"},
	Sites:          {Sites, "sites", "site", false, Compact, 0, 0, []string{"SiteMaster"}, "Site master data, and which system owns which fact"},
	Movements:      {Movements, "movements", "source|location|item as received", true, Delete, 7 * day, 0, []string{"InventoryMovement"}, "Canonical movements before enrichment"},
	InventoryInbox: {InventoryInbox, "inventory-inbox", "sku|site", true, Delete, 7 * day, 0, []string{"InventoryMovement", "InventorySnapshot", "Reservation", "ReservationRequest", "InventoryPolicy"}, "All that touches the stock of one SKU at one site"},
	Balances:       {Balances, "balances", "sku|site", true, Compact, 0, 0, []string{"InventoryBalance"}, "Current stock: one record per key and commit"},
	Ledger:         {Ledger, "ledger", "sku|site", true, Delete, 30 * day, 0, []string{"LedgerPosting"}, "Every posting, double entry, with its cause"},
	OrdersInbox:    {OrdersInbox, "orders-inbox", "order|site", true, Delete, 7 * day, 0, []string{"OrderRelease", "ReservationResult"}, "Releases and warehouse answers"},
	ShipmentsInbox: {ShipmentsInbox, "shipments-inbox", "shipment", true, Delete, 7 * day, 0, []string{"InboundNotice", "ShipmentMilestone"}, "Confirmations, inbound notices, milestones"},
	ReturnsInbox:   {ReturnsInbox, "returns-inbox", "rma", true, Delete, 7 * day, 0, []string{"ReturnEvent"}, "Authorisations, receipts, gradings"},
	ParkingInbox:   {ParkingInbox, "parking-inbox", "missing reference", true, Delete, 7 * day, 0, []string{"ParkedEvent"}, "Events that wait for an item, a site or a unit"},
	Exceptions:     {Exceptions, "exceptions", "reference", false, Delete, 30 * day, 0, []string{"LogisticsException"}, "What a person must look at"},
	DeadLetters:    {DeadLetters, "dead-letters", "key of the failed record", false, Delete, 30 * day, MaxRawMessage + 1<<20, []string{"DeadLetter"}, "What could not be processed, with its bytes and cause"},
}

// All returns the table, by ID.
func All() []Topic { return append([]Topic(nil), table[:]...) }

// Lookup returns the row of a topic.
func (id ID) Lookup() Topic { return table[id] }

// String is the topic's name without the prefix.
func (id ID) String() string {
	if int(id) >= Count {
		return fmt.Sprintf("topic(%d)", uint8(id))
	}
	return table[id].Name
}

// Naming makes the names that a broker sees.
type Naming struct {
	Prefix string // "crossdock."
}

// Topic is the broker's name of a topic of the table.
func (n Naming) Topic(id ID) string { return n.Prefix + table[id].Name }

// Raw is the topic of the bytes that a source sent.
func (n Naming) Raw(source string) string { return n.Prefix + "raw." + source }

// RawSource is Raw's reverse; ok is false for other topics.
func (n Naming) RawSource(topic string) (source string, ok bool) {
	return strings.CutPrefix(topic, n.Prefix+"raw.")
}

// Outbound is the topic of the native documents to deliver to a system.
func (n Naming) Outbound(system string) string { return n.Prefix + "outbound." + system }

// Changelog is the topic that makes a store of an application durable.
func (n Naming) Changelog(app, store string) string { return app + "-" + store + "-changelog" }

// Key joins the parts of a key with "|". A "|" or "\" within a part is escaped with a "\", so that different parts never
// make the same key.
func Key(b []byte, parts ...string) []byte {
	for i, p := range parts {
		if i > 0 {
			b = append(b, '|')
		}
		for j := 0; j < len(p); j++ {
			if p[j] == '|' || p[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, p[j])
		}
	}
	return b
}

// SplitKey is Key's reverse.
func SplitKey(key []byte) []string {
	var parts []string
	var part []byte
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == '\\' && i+1 < len(key):
			i++
			part = append(part, key[i])
		case key[i] == '|':
			parts = append(parts, string(part))
			part = part[:0]
		default:
			part = append(part, key[i])
		}
	}
	return append(parts, string(part))
}
