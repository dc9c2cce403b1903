// Package demo runs the whole pipeline on one machine and tells what happened in words that a shopkeeper reads: an
// embedded broker, the real ClickHouse engine, documents of a small shop and a minute of scans at its warehouses, and at
// the end a recount of everything from what was sent.
package demo

import (
	"embed"
	"fmt"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/internal/config"
)

//go:embed documents
var documents embed.FS

// The sources of the story, and what the configuration says of them.
const (
	sourceMaster    = "masterdata"
	sourceERP       = "erp"
	sourceWarehouse = "wms"
	source3PL       = "acme-3pl"
)

func sources() map[string]config.Source {
	return map[string]config.Source{
		sourceMaster:    {TimeZone: "UTC", ShipFrom: "AVAILABLE"},
		sourceERP:       {TimeZone: "America/Chicago", ShipFrom: "AVAILABLE"},
		sourceWarehouse: {TimeZone: "UTC", ShipFrom: "AVAILABLE", System: "scanner-chi"},
		source3PL:       {TimeZone: "America/Chicago", ShipFrom: "AVAILABLE"},
	}
}

// A posting is what one line of a document must do to the stock, written down by hand from the document: the recount must not
// read documents with the code that it checks.
type posting struct {
	at       string // RFC 3339
	sku      string
	from, to event.Bucket
	qty      string // base unit
}

const site = "CHI"

// What receipts.jsonl says: 20 cases of 12, 10 of 12, 12 of 4, a pallet of 400, 50 cases of 6, 30 bags of half a kilogram; and
// its last line repeats the first.
func receipts() []posting {
	return []posting{
		{"2026-11-23T14:00:00Z", "MUG-BLUE", event.BucketExternal, event.BucketAvailable, "240"},
		{"2026-11-23T14:01:00Z", "MUG-RED", event.BucketExternal, event.BucketAvailable, "120"},
		{"2026-11-23T14:02:00Z", "KETTLE", event.BucketExternal, event.BucketAvailable, "48"},
		{"2026-11-23T15:00:00Z", "TOWEL-L", event.BucketExternal, event.BucketAvailable, "400"},
		{"2026-11-23T15:01:00Z", "OLIVE-OIL", event.BucketExternal, event.BucketAvailable, "300"},
		{"2026-11-23T16:00:00Z", "COFFEE-KG", event.BucketExternal, event.BucketAvailable, "15"},
	}
}

// What adjustments.jsonl, advice-945.edi and broken-945.edi say. Of adjustments.jsonl half a kettle is no posting; of
// broken-945.edi the first advice is none. Chicago's 16:45 is 22:45 UTC in November.
func movements() []posting {
	return []posting{
		{"2026-11-24T09:10:00Z", "MUG-BLUE", event.BucketAvailable, event.BucketDamaged, "5"},
		{"2026-11-24T09:11:00Z", "OLIVE-OIL", event.BucketAvailable, event.BucketDamaged, "6"},
		{"2026-11-24T09:20:00Z", "OLIVE-OIL", event.BucketAvailable, event.BucketQC, "6"},
		{"2026-11-24T09:40:00Z", "LAMP-DESK", event.BucketExternal, event.BucketAvailable, "8"},
		{"2026-11-24T22:45:00Z", "MUG-BLUE", event.BucketAvailable, event.BucketExternal, "48"},
		{"2026-11-24T22:45:00Z", "MUG-RED", event.BucketAvailable, event.BucketExternal, "52"},
		{"2026-11-24T22:45:00Z", "KETTLE", event.BucketAvailable, event.BucketExternal, "10"},
		{"2026-11-24T22:45:00Z", "OLIVE-OIL", event.BucketAvailable, event.BucketExternal, "24"},
		{"2026-11-24T22:55:00Z", "KETTLE", event.BucketAvailable, event.BucketExternal, "2"},
	}
}

// orderNumber is the order of order-940.edi.
const orderNumber = "SO-50017"

// movement is the posting as the inventory stage's inbox would carry it.
func (p posting) movement(id string) (*event.InventoryMovement, error) {
	at, err := time.Parse(time.RFC3339, p.at)
	if err != nil {
		return nil, err
	}
	qty, err := event.ParseQuantity(p.qty)
	if err != nil {
		return nil, err
	}
	m := &event.InventoryMovement{SKU: p.sku, QtyDelta: qty, QtySrc: qty}
	m.Header.EventID, m.Header.DedupeKey, m.Header.Site, m.Header.EventTime = id, id, site, event.MicrosOf(at)
	if p.from != event.BucketExternal {
		m.From = event.Some(event.Place{Bucket: p.from})
	}
	if p.to != event.BucketExternal {
		m.To = event.Some(event.Place{Bucket: p.to})
	}
	return m, nil
}

// shop is the assortment that the scans move, beside the items of the story: three hundred articles with a case of six or
// twelve, some in lots, at the three sites.
func shop() ([]event.ItemMaster, []event.SiteMaster) {
	var items []event.ItemMaster
	for i := range 300 {
		item := event.ItemMaster{
			SKU: fmt.Sprintf("ART-%04d", i), BaseUOM: "EA", Integral: true, LotTracked: i%10 == 3, Status: "ACTIVE",
			UOMs:    []event.ItemUnit{{UOM: "CA", Num: int64(6 + 6*(i%2)), Den: 1}},
			Aliases: []event.ItemAlias{{System: event.Some("scanner-rno"), Code: fmt.Sprintf("R%06d", 100000+i)}},
		}
		items = append(items, item)
	}
	sites := []event.SiteMaster{
		{Site: "CHI", Type: event.SiteTypeDC, Aliases: []event.SiteAlias{{System: event.Some("scanner-chi"), Code: "CHICAGO-1"}}},
		{Site: "RNO", Type: event.SiteTypeDC, Aliases: []event.SiteAlias{{System: event.Some("scanner-rno"), Code: "RENO-1"}}},
		{Site: "STO-014", Type: event.SiteTypeStore, Aliases: []event.SiteAlias{{System: event.Some("scanner-sto"), Code: "STORE-14"}}},
	}
	return items, sites
}

// shopCSV is the assortment as a file that a person would keep.
func shopCSV(items []event.ItemMaster) []byte {
	var b strings.Builder
	b.WriteString("sku,description,base_uom,units,integral,aliases,lot_tracked\n")
	for i := range items {
		lots := "no"
		if items[i].LotTracked {
			lots = "yes"
		}
		fmt.Fprintf(&b, "%s,Article %d,EA,CA=%d,yes,%s:%s,%s\n", items[i].SKU, i, items[i].UOMs[0].Num, items[i].Aliases[0].System.Value, items[i].Aliases[0].Code, lots)
	}
	return []byte(b.String())
}
