package oracle

import (
	"strings"
	"testing"

	"crossdock/avro/event"
)

func teaShop(t *testing.T) *Catalogue {
	t.Helper()
	c, err := NewCatalogue([]event.ItemMaster{
		{
			SKU: "TEA", BaseUOM: "EA", Integral: true, GTIN: event.Some("4006381333931"),
			Aliases: []event.ItemAlias{{System: event.Some("wms"), Code: "000123"}, {Code: "ANY"}},
			UOMs:    []event.ItemUnit{{UOM: "CS", Num: 12, Den: 1}, {UOM: "THIRD", Num: 1, Den: 3}, {UOM: "BAD", Num: 1}, {UOM: "BOX", Num: 6, Den: 1, GTIN: event.Some("14006381333938")}},
		},
		{SKU: "MILK", BaseUOM: "L", LotTracked: true, Aliases: []event.ItemAlias{{Code: "SAME"}}, UOMs: []event.ItemUnit{{UOM: "CUP", Num: 1, Den: 4}}},
		{SKU: "CUP", BaseUOM: "EA", Aliases: []event.ItemAlias{{Code: "SAME"}}},
	}, []event.SiteMaster{
		{
			Site: "DC1", Aliases: []event.SiteAlias{{System: event.Some("wms"), Code: "WH1"}, {Code: "TWO"}},
			Owners: []event.FactOwner{{Fact: "COUNT", System: "wms"}},
		},
		{Site: "DC2", Aliases: []event.SiteAlias{{Code: "TWO"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAReceivedMovementIsWhatTheMasterDataSays(t *testing.T) {
	for _, c := range []struct {
		name, system, site, item, unit, qty, lot string
		sku, want                                string // "" and the refusal
	}{
		{"by SKU in the base unit", "wms", "WH1", "TEA", "", "3", "", "TEA", "3"},
		{"by GTIN in cases", "wms", "WH1", "4006381333931", "CS", "2", "", "TEA", "24"},
		{"by GTIN in 14 digits", "wms", "DC1", "04006381333931", "EA", "2", "", "TEA", "2"},
		{"by the system's own code", "wms", "WH1", "000123", "EA", "1", "", "TEA", "1"},
		{"with other leading zeros", "wms", "WH1", "00000000123", "EA", "1", "", "TEA", "1"},
		{"by any system's code", "sap", "DC1", "ANY", "EA", "-1", "", "TEA", "-1"},
		{"by the GTIN of a box, without a unit", "wms", "WH1", "14006381333938", "", "2", "", "TEA", "12"},
		{"by the GTIN of a box, in pieces", "wms", "WH1", "14006381333938", "EA", "2", "", "TEA", "2"},
		{"by a GTIN with a wrong check digit", "wms", "WH1", "4006381333932", "EA", "2", "", "", "unknown item"},
		{"at a code of two sites", "wms", "TWO", "TEA", "EA", "1", "", "", "ambiguous site"},
		{"a third that comes out even", "wms", "WH1", "TEA", "THIRD", "9", "", "TEA", "3"},
		{"a third that does not", "wms", "WH1", "TEA", "THIRD", "10", "", "", "remainder in the base unit"},
		{"half a piece", "wms", "WH1", "TEA", "EA", "0.5", "", "", "remainder in the base unit"},
		{"half a litre", "wms", "WH1", "MILK", "L", "0.5", "L1", "MILK", "0.5"},
		{"a cup of milk", "wms", "WH1", "MILK", "CUP", "1", "L1", "MILK", "0.25"},
		{"milk without a lot", "wms", "WH1", "MILK", "L", "1", "", "", "no lot"},
		{"another system's code", "sap", "DC1", "000123", "EA", "1", "", "", "unknown item"},
		{"a code of two items", "wms", "WH1", "SAME", "EA", "1", "", "", "ambiguous item"},
		{"an unknown unit", "wms", "WH1", "TEA", "PALLET", "1", "", "", "unknown unit"},
		{"a unit that divides by zero", "wms", "WH1", "TEA", "BAD", "1", "", "", "unknown unit"},
		{"another system's site", "sap", "WH1", "TEA", "EA", "1", "", "", "unknown site"},
		{"more than 18 digits", "wms", "WH1", "TEA", "CS", "999999999999", "", "", "more than 18 digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := New(Options{Catalogue: teaShop(t)})
			qty, err := event.ParseQuantity(c.qty)
			if err != nil {
				t.Fatal(err)
			}
			m := move("d", c.item, c.site, event.BucketExternal, event.BucketAvailable, 0, 5)
			m.Header.EventID, m.Header.SourceSystem, m.UOMSrc, m.QtySrc = "e", c.system, c.unit, qty
			if c.lot != "" {
				m.Lot = event.Some(c.lot)
			}
			fate, err := o.Received(m)
			if err != nil {
				t.Fatal(err)
			}
			if c.sku == "" {
				if fate != Refused || o.Refusals()[c.want] != 1 {
					t.Errorf("%v, refused for %v", fate, o.Refusals())
				}
				return
			}
			s, ok := o.Expected(c.sku, "DC1")
			if got := s.Buckets.Of(event.BucketAvailable).String(); !ok || got != c.want || fate != Counted {
				t.Errorf("%v, %v %s, not %s", fate, ok, got, c.want)
			}
			if s.Buckets.Of(event.BucketExternal) != -s.Buckets.Of(event.BucketAvailable) {
				t.Error("the world outside is not the other half")
			}
		})
	}
}

func TestWithoutMasterDataNothingReceivedIsCounted(t *testing.T) {
	o := New(Options{})
	if fate, err := o.Received(move("d", "TEA", "DC1", event.BucketExternal, event.BucketAvailable, 1, 1)); fate != Refused || err != nil {
		t.Error(fate, err)
	}
}

func TestASiteThatBlocksIsNotVerifiable(t *testing.T) {
	_, err := NewCatalogue(nil, []event.SiteMaster{{Site: "DC9", NegativeStock: event.NegativeStockBlock}})
	if err == nil || !strings.Contains(err.Error(), "DC9") {
		t.Error(err)
	}
}

func TestAPlaceThatTheSourceLeavesOutIsTheUsualOne(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     event.MovementType
		from, to event.Bucket // EXTERNAL: left out
		pair     string
		qty      int64
		want     string // bucket by bucket, or the refusal
	}{
		{"a receipt of nothing said", event.MovementTypeReceipt, 0, 0, "", 3, "AVAILABLE 3"},
		{"a receipt into quality control", event.MovementTypeReceipt, 0, event.BucketQC, "", 3, "QC 3"},
		{"a pick", event.MovementTypePick, 0, 0, "", 3, "AVAILABLE -3 PICKED 3"},
		{"a pick that was allocated", event.MovementTypePick, event.BucketAllocated, 0, "", 3, "ALLOCATED -3 PICKED 3"},
		{"a shipment", event.MovementTypeShip, 0, 0, "", 3, "STAGED -3"},
		{"a shipment from the shelf", event.MovementTypeShip, event.BucketAvailable, 0, "", 3, "AVAILABLE -3"},
		{"a move between bins", event.MovementTypePutaway, 0, 0, "", 3, ""},
		{"a transfer", event.MovementTypeTransferOut, 0, 0, "", 3, "AVAILABLE -3 IN_TRANSIT_OUT 3"},
		{"a half of a transfer", event.MovementTypeTransferOut, 0, 0, "p", 3, "AVAILABLE -3 CLEARING 3"},
		{"its other half", event.MovementTypeTransferIn, 0, 0, "p", 3, "AVAILABLE 3 CLEARING -3"},
		{"damage", event.MovementTypeAdjust, event.BucketAvailable, event.BucketDamaged, "", 3, "AVAILABLE -3 DAMAGED 3"},
		{"an adjustment downwards", event.MovementTypeAdjust, 0, 0, "", -3, "AVAILABLE -3"},
		{"a scrapping", event.MovementTypeScrap, 0, 0, "", 3, "DAMAGED -3"},
		{"a reversal", event.MovementTypeReversal, 0, event.BucketAvailable, "", 3, "AVAILABLE -3"},
		{"a reversal of nothing said", event.MovementTypeReversal, 0, 0, "", 3, "refused: neither from nor to"},
		{"a change of status without a quantity", event.MovementTypeStatusChange, event.BucketQC, event.BucketHold, "", 0, "refused: a change of status without a quantity"},
		{"a count by who does not own counts", event.MovementTypeCount, 0, 0, "", 3, "refused: another system owns the fact"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := New(Options{Catalogue: teaShop(t)})
			m := move("d", "TEA", "DC1", c.from, c.to, 0, 5)
			m.Header.EventID, m.Header.SourceSystem, m.Type, m.QtySrc = "e", "sap", c.kind, event.Quantity(c.qty)*micro
			if c.pair != "" {
				m.PairID = event.Some(c.pair)
			}
			if _, err := o.Received(m); err != nil {
				t.Fatal(err)
			}
			var got []string
			s, _ := o.Expected("TEA", "DC1")
			for b := event.BucketAvailable; int(b) <= held; b++ {
				if q := s.Buckets.Of(b); q != 0 {
					got = append(got, b.String()+" "+q.String())
				}
			}
			for reason := range o.Refusals() {
				got = append(got, "refused: "+reason)
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("%q, not %q", text, c.want)
			}
		})
	}
}
