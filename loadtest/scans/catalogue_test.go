package scans

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// masterData is a small shop: items with a GTIN, a vendor's code and cases, two distribution centres and four stores.
func masterData() ([]event.ItemMaster, []event.SiteMaster) {
	var items []event.ItemMaster
	for i := range 12 {
		it := event.ItemMaster{
			SKU: fmt.Sprintf("TEA-%02d", i), BaseUOM: "EA", Integral: true, LotTracked: i%4 == 0,
			Aliases: []event.ItemAlias{{System: event.Some("wms-north"), Code: fmt.Sprintf("V%05d", i)}},
		}
		if i%3 == 0 {
			it.GTIN = event.Some(fmt.Sprintf("%013d", 4_006_381_000_000+i))
		}
		if i%2 == 0 {
			it.UOMs = []event.ItemUnit{{UOM: "CS", Num: 12, Den: 1}, {UOM: "HALF", Num: 1, Den: 2}}
		}
		items = append(items, it)
	}
	var sites []event.SiteMaster
	for i := range 6 {
		s := event.SiteMaster{Site: fmt.Sprintf("S%d", i), Type: event.SiteTypeStore}
		if i < 2 {
			s.Type = event.SiteTypeDC
			s.Aliases = []event.SiteAlias{{System: event.Some("wms-north"), Code: fmt.Sprintf("WH%d", i)}}
		}
		sites = append(sites, s)
	}
	return items, sites
}

func scanned(t testing.TB, change func(*Load)) *Generator {
	t.Helper()
	c, err := NewCatalogue(masterData())
	if err != nil {
		t.Fatal(err)
	}
	l := DefaultLoad(1)
	l.Rate = 2000
	if change != nil {
		change(&l)
	}
	g, err := NewScans(l, c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestScansNeverTakeWhatIsNotThere(t *testing.T) {
	g := scanned(t, nil)
	ratios := map[string]int64{"EA": 1, "CS": 12}
	stock := map[string]int64{}
	seen := map[string]bool{}
	var units, picks, negative int
	for range 100_000 {
		scan := g.Next()
		m := &scan.Movement
		if m.QtyDelta != 0 || m.ItemVersion.Valid {
			t.Fatalf("movement %d is enriched already: %+v", scan.Seq, m)
		}
		if seen[m.Header.DedupeKey] {
			continue
		}
		seen[strings.Clone(m.Header.DedupeKey)] = true
		ratio, ok := ratios[m.UOMSrc]
		if !ok {
			t.Fatalf("movement %d is in %q, which is no whole number of base units", scan.Seq, m.UOMSrc)
		}
		qty := int64(m.QtySrc) / event.QuantityScale * ratio
		if qty == 0 {
			t.Fatalf("movement %d moves nothing", scan.Seq)
		}
		if ratio > 1 {
			units++
		}
		if scan.Kind == Pick {
			picks++
		}
		if qty < 0 {
			negative++
		}
		key := string(g.AppendKey(nil))
		move := func(p event.Optional[event.Place], by int64) {
			if !p.Valid {
				return
			}
			k := key + p.Value.Bucket.String()
			if stock[k] += by; stock[k] < 0 {
				t.Fatalf("movement %d (%v of %d) leaves %d in %s", scan.Seq, scan.Kind, qty, stock[k], k)
			}
		}
		move(m.From, -qty)
		move(m.To, qty)
	}
	if units == 0 || negative == 0 || picks < 30_000 {
		t.Errorf("%d movements in cases, %d picks, %d below zero", units, picks, negative)
	}
}

// What remembers the last DuplicateDepth happenings of a key drops every repetition, on the hottest key too.
func TestScansRepeatNothingFromDeeperThanTheDepth(t *testing.T) {
	const depth = 8
	g := scanned(t, func(l *Load) { l.DuplicateDepth = depth; l.Duplicates = 0.1 })
	history := map[string][]string{}
	repeated := 0
	for range 50_000 {
		scan := g.Next()
		key := string(g.AppendKey(nil))
		was := history[key]
		if scan.Copy == Original {
			history[key] = append(was, strings.Clone(scan.Movement.Header.DedupeKey))
			continue
		}
		repeated++
		found := false
		for _, k := range was[max(0, len(was)-depth-1):] {
			found = found || k == scan.Movement.Header.DedupeKey
		}
		if !found {
			t.Fatalf("movement %d repeats what is not among the last %d of %s", scan.Seq, depth+1, key)
		}
	}
	near(t, "duplicates", repeated, 50_000, 0.1)
}

func TestAScannersKeyForAnItemAtASiteIsAlwaysTheSame(t *testing.T) {
	items, sites := masterData()
	g := scanned(t, nil)
	keys := map[string][2]int32{}
	codes := map[string]bool{}
	dcs := 0
	const n = 20_000
	for range n {
		scan := g.Next()
		f := &g.recent[(g.originals-1)%int64(cap(g.recent))]
		if scan.Copy != Original {
			continue
		}
		key := string(g.AppendKey(nil))
		pair := [2]int32{f.item, f.site}
		if other, ok := keys[key]; ok && other != pair {
			t.Fatalf("key %s is used for the pairs %v and %v", key, other, pair)
		}
		keys[key] = pair
		codes[strings.Clone(scan.Movement.SKU)] = true
		if items[f.item].LotTracked != scan.Movement.Lot.Valid {
			t.Fatalf("item %s, lot tracked %v: lot %v", items[f.item].SKU, items[f.item].LotTracked, scan.Movement.Lot)
		}
		if sites[f.site].Type == event.SiteTypeDC {
			dcs++
			if scan.Movement.Header.SourceSystem != "wms-north" {
				t.Fatalf("site %s speaks through %s", sites[f.site].Site, scan.Movement.Header.SourceSystem)
			}
		}
	}
	if len(keys) != len(items)*len(sites) {
		t.Errorf("%d keys of %d pairs", len(keys), len(items)*len(sites))
	}
	if len(codes) <= len(items) {
		t.Errorf("%d codes for %d items: other names than the SKU must occur", len(codes), len(items))
	}
	if share := float64(dcs) / n; math.Abs(share-0.7) > 0.03 {
		t.Errorf("the distribution centres have a share of %.3f, not 0.7", share)
	}
}

// The alias table draws every index with its weight to within 2^-32.
func TestAPickerDrawsByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Float64Range(0, 1000), 1, 300).Draw(t, "weights")
		weights[rapid.IntRange(0, len(weights)-1).Draw(t, "sure")] = 1
		p := newPicker(weights)
		sum := 0.0
		for _, w := range weights {
			sum += w
		}
		n := float64(len(weights))
		got := make([]float64, len(weights))
		for i, c := range p.columns {
			got[i] += float64(c.keep) / pickerOne / n
			got[c.alias] += (pickerOne - float64(c.keep)) / pickerOne / n
		}
		for i, w := range weights {
			if math.Abs(got[i]-w/sum) > 1e-6 {
				t.Fatalf("index %d of weight %g is drawn with %g, not %g", i, w, got[i], w/sum)
			}
		}
	})
}

func TestACatalogueOfNothingIsRefused(t *testing.T) {
	items, sites := masterData()
	if _, err := NewCatalogue(nil, sites); err == nil {
		t.Error("no items, no error")
	}
	if _, err := NewCatalogue(items, nil); err == nil {
		t.Error("no sites, no error")
	}
}
