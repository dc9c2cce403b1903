package bench

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A shop is the master data of documents: every item and site has the names by which a real one is known beside its
// canonical one. Item and site number i are functions of i.
type shop struct {
	items []event.ItemMaster
	sites []event.SiteMaster
}

const (
	shopSites   = 220
	shopCentres = 20 // distribution centres: the busy sites
	perCase     = 12
)

func newShop(items int) *shop {
	s := &shop{items: make([]event.ItemMaster, items), sites: make([]event.SiteMaster, shopSites)}
	for i := range s.items {
		s.items[i] = shopItem(i)
	}
	for i := range s.sites {
		s.sites[i] = shopSite(i)
	}
	return s
}

func shopItem(i int) event.ItemMaster {
	sku := fmt.Sprintf("SKU%06d", i)
	return event.ItemMaster{
		Header: masterHeader("items", sku), SKU: sku, Version: 1, BaseUOM: "EA", Integral: true, LotTracked: i%10 < 3, Status: "ACTIVE",
		GTIN: event.Some(gs1(fmt.Sprintf("%013d", 400_638_000_000+i))),
		Aliases: []event.ItemAlias{
			{Code: vendorCode(i)},
			{System: event.Some("wms-north"), Code: fmt.Sprintf("N-%06d", i)},
			{System: event.Some("sap-ecc"), Code: fmt.Sprintf("%018d", 700_000+i)},
		},
		UOMs: []event.ItemUnit{{UOM: "CA", Num: perCase, Den: 1, GTIN: event.Some(gs1(fmt.Sprintf("1%012d", 400_638_000_000+i)))}},
	}
}

// vendorCode is what a third party's warehouse calls item i.
func vendorCode(i int) string { return fmt.Sprintf("V%06d", i) }

// siteCode is what every system beside its own calls site i.
func siteCode(i int) string { return fmt.Sprintf("W%04d", i) }

func shopSite(i int) event.SiteMaster {
	systems := [...]string{"sap-ecc", "wms-north", "wms-south", "shopify", "3pl-gs1"}
	s := event.SiteMaster{
		Header: masterHeader("sites", siteCode(i)), Site: fmt.Sprintf("ST%03d", i), Version: 1, Name: "Store " + siteCode(i),
		Type: event.SiteTypeStore, TimeZone: "UTC", NegativeStock: event.NegativeStockAllow,
		Aliases: []event.SiteAlias{{System: event.Some(systems[i%len(systems)]), Code: fmt.Sprintf("L%04d", i)}, {Code: siteCode(i)}},
	}
	if i < shopCentres {
		s.Site, s.Name, s.Type = fmt.Sprintf("DC%03d", i), "Distribution centre "+siteCode(i), event.SiteTypeDC
	}
	return s
}

func masterHeader(kind, name string) event.EventHeader {
	id := kind + "/" + name
	return event.EventHeader{EventID: id, DedupeKey: id, CorrelationID: id, SourceSystem: "pim", SourceDocType: "masterdata", SourceDocID: name}
}

// gs1 appends the check digit of a GTIN or an SSCC (GS1 General Specifications 7.9): from the right, digits weigh 3 and 1
// in turn.
func gs1(digits string) string {
	sum, weight := 0, 3
	for i := len(digits) - 1; i >= 0; i-- {
		sum += weight * int(digits[i]-'0')
		weight = 4 - weight
	}
	return digits + string(rune('0'+(10-sum%10)%10))
}

// teach puts the master data on its topics: before the backlog, as a shop would.
func (d *drain) teach(ctx context.Context, items []event.ItemMaster, sites []event.SiteMaster) error {
	p, err := d.producer()
	if err != nil {
		return err
	}
	put := func(id topics.ID, key string, e event.Record) {
		if err == nil {
			err = p.put(ctx, &kgo.Record{Topic: d.env.Naming.Topic(id), Key: topics.Key(nil, key), Value: d.options.Serde.Append(nil, e)}, 1)
		}
	}
	for i := range items {
		put(topics.Items, items[i].SKU, &items[i])
	}
	for i := range sites {
		put(topics.Sites, sites[i].Site, &sites[i])
	}
	if err != nil {
		p.abandon()
		return fmt.Errorf("master data: %w", err)
	}
	if _, err := p.done(ctx); err != nil {
		return fmt.Errorf("master data: %w", err)
	}
	return nil
}
