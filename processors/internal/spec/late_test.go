package spec

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// TestN3N5MasterDataMayComeLate plays one day twice: once with all master data known from the start, once with movements, items,
// sites and restarts in any order. Both end with the same stock and the same exceptions, and nothing waits.
func TestN3N5MasterDataMayComeLate(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		masters := []func(w *warehouse){
			itemVersion("TEA", 1, "", ""), itemVersion("TEA", 2, "CA", "4711"),
			itemVersion("CUP", 1, "CA", ""), itemVersion("CUP", 2, "CA", "4712"),
			siteVersion("DC1", 1, ""), siteVersion("DC1", 2, "1000"), siteVersion("DC2", 1, "2000"),
		}
		var scans []func(w *warehouse)
		for i := range rapid.IntRange(1, 40).Draw(rt, "scans") {
			m := &event.InventoryMovement{
				SKU:    rapid.SampledFrom([]string{"TEA", "4711", "CUP", "4712"}).Draw(rt, "item"),
				Type:   rapid.SampledFrom([]event.MovementType{event.MovementTypeReceipt, event.MovementTypePick, event.MovementTypePack, event.MovementTypeShip, event.MovementTypeAdjust}).Draw(rt, "type"),
				QtySrc: event.Quantity(rapid.Int64Range(-20, 20).Draw(rt, "halves")) * event.QuantityScale / 2, // odd ones do not come out even in EA
				UOMSrc: rapid.SampledFrom([]string{"", "EA", "CA"}).Draw(rt, "unit"),
			}
			id := fmt.Sprint("m", i)
			if i > 0 && rapid.IntRange(0, 9).Draw(rt, "again") == 0 {
				scans = append(scans, scans[rapid.IntRange(0, i-1).Draw(rt, "which")])
				continue
			}
			m.Header = event.EventHeader{EventID: id, DedupeKey: id, SourceSystem: "erp", EventTime: clock("08:00") + event.Micros(rapid.Int64Range(0, 1e9).Draw(rt, "time")),
				Site: rapid.SampledFrom([]string{"DC1", "1000", "2000"}).Draw(rt, "site")}
			scans = append(scans, func(w *warehouse) {
				w.process(w.enrich, processors.Record{Topic: "crossdock.movements", Key: topics.Key(nil, m.Header.SourceSystem, m.Header.Site, m.SKU), Value: w.enrich.Serde.Append(nil, m)})
				w.route(w.enrich.Commit())
			})
		}
		early := newWarehouse(t)
		for _, f := range slices.Concat(masters, scans) {
			f(early)
		}
		late := newWarehouse(t)
		for _, f := range rapid.Permutation(slices.Concat(masters, scans)).Draw(rt, "order") {
			f(late)
			switch rapid.IntRange(0, 5).Draw(rt, "then") {
			case 0:
				late.lookAgain(rapid.IntRange(1, 5).Draw(rt, "limit"))
			case 1:
				late.inventory, late.parking = late.inventory.Restarted(late.newInventory()), late.parking.Restarted(late.newParking())
			}
		}
		late.lookAgain(3)
		if n := late.parking.Store(0).Len() + late.parking.Store(1).Len(); n != 0 {
			rt.Fatalf("%v still wait", late.parking.Store(1).(interface{ Keys() []string }).Keys())
		}
		if e, l := sorted(early.troubles), sorted(late.troubles); !slices.Equal(e, l) {
			rt.Fatalf("exceptions %v, when master data came late %v", e, l)
		}
		if e, l := sorted(early.stock), sorted(late.stock); !slices.Equal(e, l) {
			rt.Fatalf("stock of %v, when master data came late of %v", e, l)
		}
		for key, e := range early.stock {
			l := late.stock[key]
			e.CauseEventID, l.CauseEventID = "", ""
			if e != l {
				rt.Fatalf("%s\n%+v, when master data came late\n%+v", key, e, l)
			}
		}
	})
}

func itemVersion(sku string, version int64, uom, alias string) func(w *warehouse) {
	e := &event.ItemMaster{SKU: sku, Version: version, BaseUOM: "EA", Integral: true}
	if uom != "" {
		e.UOMs = []event.ItemUnit{{UOM: uom, Num: 12, Den: 1}}
	}
	if alias != "" {
		e.Aliases = []event.ItemAlias{{System: event.Some("erp"), Code: alias}}
	}
	return func(w *warehouse) {
		if _, err := w.tables.ApplyItem(e); err != nil {
			w.t.Fatal(err)
		}
	}
}

func siteVersion(site string, version int64, alias string) func(w *warehouse) {
	e := &event.SiteMaster{Site: site, Version: version}
	if alias != "" {
		e.Aliases = []event.SiteAlias{{System: event.Some("erp"), Code: alias}}
	}
	return func(w *warehouse) {
		if _, err := w.tables.ApplySite(e); err != nil {
			w.t.Fatal(err)
		}
	}
}
