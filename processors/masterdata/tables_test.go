package masterdata_test

import (
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/processors/masterdata"
)

func item(sku string, version int64, more ...func(*event.ItemMaster)) *event.ItemMaster {
	e := &event.ItemMaster{SKU: sku, Version: version, BaseUOM: "EA", Integral: true, Status: "ACTIVE"}
	for _, f := range more {
		f(e)
	}
	return e
}

func alias(system, code string) func(*event.ItemMaster) {
	return func(e *event.ItemMaster) {
		a := event.ItemAlias{Code: code}
		if system != "" {
			a.System = event.Some(system)
		}
		e.Aliases = append(e.Aliases, a)
	}
}

func base(gtin string) func(*event.ItemMaster) {
	return func(e *event.ItemMaster) { e.GTIN = event.Some(gtin) }
}

func unit(uom string, num, den int64, gtin string) func(*event.ItemMaster) {
	return func(e *event.ItemMaster) {
		u := event.ItemUnit{UOM: uom, Num: num, Den: den}
		if gtin != "" {
			u.GTIN = event.Some(gtin)
		}
		e.UOMs = append(e.UOMs, u)
	}
}

func tables(t testing.TB, items ...*event.ItemMaster) *masterdata.Tables {
	var tables masterdata.Tables
	for _, e := range items {
		if _, err := tables.ApplyItem(e); err != nil {
			t.Fatal(err)
		}
	}
	return &tables
}

func TestItemIsFoundByEveryNameItHas(t *testing.T) {
	tb := tables(t,
		item("TEA-01", 1, base("4006381333931"), unit("CA", 12, 1, "14006381333938"), alias("vendor-a", "EG100"), alias("", "OLD-77")),
		item("000000000000012345", 1, alias("sap", "0000000815")),
		item("12346", 1, base("96385074"), base("96385074")),
	)
	tests := []struct {
		system, code, sku, unit string
	}{
		{"wms", "TEA-01", "TEA-01", ""},
		{"vendor-a", "EG100", "TEA-01", ""},
		{"wms", "EG100", "", ""}, // another system's alias
		{"wms", "OLD-77", "TEA-01", ""},
		{"wms", "4006381333931", "TEA-01", ""},    // GTIN-13
		{"wms", "04006381333931", "TEA-01", ""},   // the same in 14 digits
		{"wms", "14006381333938", "TEA-01", "CA"}, // the case's own GTIN
		{"wms", "4006381333932", "", ""},          // a wrong check digit
		{"wms", "96385074", "12346", ""},          // GTIN-8
		{"wms", "000096385074", "12346", ""},      // GTIN-8 as 12 digits
		{"wms", "00000096385074", "12346", ""},    // and as 14
		{"wms", "12345", "000000000000012345", ""},
		{"wms", "0012345", "000000000000012345", ""},
		{"wms", "000000000000012346", "12346", ""},
		{"sap", "815", "000000000000012345", ""}, // an alias without its zeros
		{"wms", "815", "", ""},
		{"wms", "tea-01", "", ""}, // case matters
		{"wms", "", "", ""},
		{"wms", "0", "", ""},
	}
	for _, tt := range tests {
		m := tb.Item(tt.system, tt.code)
		if m.Item.SKU != tt.sku || m.Unit != tt.unit || (m.Finding == masterdata.Found) != (tt.sku != "") {
			t.Errorf("%s says %q: found %q unit %q (%d), want %q unit %q", tt.system, tt.code, m.Item.SKU, m.Unit, m.Finding, tt.sku, tt.unit)
		}
	}
}

func TestCodeOfTwoItemsIsAmbiguousNeverAGuess(t *testing.T) {
	tests := map[string]struct {
		items []*event.ItemMaster
		code  string
		want  masterdata.Finding
		sku   string
	}{
		"an SKU and an own alias": {[]*event.ItemMaster{item("A", 1), item("B", 1, alias("wms", "A"))}, "A", masterdata.Ambiguous, ""},
		"two own aliases":         {[]*event.ItemMaster{item("A", 1, alias("wms", "X")), item("B", 1, alias("wms", "X"))}, "X", masterdata.Ambiguous, ""},
		"own before any":          {[]*event.ItemMaster{item("A", 1, alias("wms", "X")), item("B", 1, alias("", "X"))}, "X", masterdata.Found, "A"},
		"two of any":              {[]*event.ItemMaster{item("A", 1, alias("", "X")), item("B", 1, alias("", "X"))}, "X", masterdata.Ambiguous, ""},
		"another's alias":         {[]*event.ItemMaster{item("X", 1), item("B", 1, alias("erp", "X"))}, "X", masterdata.Found, "X"},
		"two GTINs":               {[]*event.ItemMaster{item("A", 1, base("4006381333931")), item("B", 1, base("04006381333931"))}, "4006381333931", masterdata.Ambiguous, ""},
		"a GTIN and a case":       {[]*event.ItemMaster{item("A", 1, base("4006381333931")), item("B", 1, unit("CA", 6, 1, "4006381333931"))}, "4006381333931", masterdata.Ambiguous, ""},
		"two units of one item":   {[]*event.ItemMaster{item("A", 1, unit("CA", 6, 1, "4006381333931"), unit("PL", 60, 1, "4006381333931"))}, "4006381333931", masterdata.Ambiguous, "A"},
		"two by leading zeros":    {[]*event.ItemMaster{item("00123", 1), item("0123", 1)}, "123", masterdata.Ambiguous, ""},
		"one exactly":             {[]*event.ItemMaster{item("00123", 1), item("0123", 1)}, "0123", masterdata.Found, "0123"},
		"one item twice":          {[]*event.ItemMaster{item("00123", 1, alias("wms", "0123"), alias("", "123"))}, "000123", masterdata.Found, "00123"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for range 2 { // whatever the order in which they came
				m := tables(t, tt.items...).Item("wms", tt.code)
				if m.Finding != tt.want || tt.want == masterdata.Found && m.Item.SKU != tt.sku {
					t.Errorf("found %q (%d), want %q (%d)", m.Item.SKU, m.Finding, tt.sku, tt.want)
				}
				if tt.want == masterdata.Ambiguous && (m.Rival == "" || tt.sku == "" && m.Rival == m.Item.SKU) {
					t.Errorf("%q and %q are told as rivals", m.Item.SKU, m.Rival)
				}
				for i, j := 0, len(tt.items)-1; i < j; i, j = i+1, j-1 {
					tt.items[i], tt.items[j] = tt.items[j], tt.items[i]
				}
			}
		})
	}
}

func TestOlderVersionIsIgnoredAndTombstoneForgets(t *testing.T) {
	tb := tables(t, item("A", 2, alias("", "NEW")))
	g := tb.Generation()
	if changed, _ := tb.ApplyItem(item("A", 1, alias("", "OLD"))); changed || tb.Generation() != g {
		t.Error("an older version changed the tables")
	}
	if tb.Item("wms", "OLD").Finding != masterdata.Unknown || tb.Item("wms", "NEW").Finding != masterdata.Found {
		t.Error("an older version's names are found, or the newer's are not")
	}
	if changed, _ := tb.ApplyItem(item("A", 3, alias("", "NEWER"))); !changed || tb.Generation() == g {
		t.Error("a newer version changed nothing")
	}
	if tb.Item("wms", "NEW").Finding != masterdata.Unknown {
		t.Error("a name that the newer version does not have is found")
	}
	if !tb.DeleteItem("A") || tb.DeleteItem("A") || tb.Items() != 0 || tb.Item("wms", "NEWER").Finding != masterdata.Unknown {
		t.Error("a tombstone left something, or was taken twice")
	}
}

func TestUnitWithoutARatioIsLeftOutAndNamed(t *testing.T) {
	var tb masterdata.Tables
	changed, err := tb.ApplyItem(item("A", 1, unit("CA", 12, 0, ""), unit("BX", 6, 1, ""), unit("PL", -1, 1, "")))
	if !changed || err == nil || !strings.Contains(err.Error(), "CA is 12/0") || !strings.Contains(err.Error(), "PL is -1/1") {
		t.Errorf("changed %t, error %v", changed, err)
	}
	a, _ := tb.ItemBySKU("A")
	for uom, want := range map[string]bool{"CA": false, "PL": false, "BX": true, "EA": true} {
		if _, ok := a.Unit(uom); ok != want {
			t.Errorf("unit %s known: %t", uom, ok)
		}
	}
}

func TestSites(t *testing.T) {
	var tb masterdata.Tables
	for _, s := range []*event.SiteMaster{
		{Site: "DC1", Version: 1, Aliases: []event.SiteAlias{{System: event.Some("sap"), Code: "1000"}, {Code: "LYON"}},
			Owners: []event.FactOwner{{Fact: "PICK", System: "wms"}}},
		{Site: "DC2", Version: 1, Aliases: []event.SiteAlias{{System: event.Some("wms"), Code: "1000"}, {System: event.Some("x"), Code: "DC1"}}},
		{Site: "DC3", Version: 1, Aliases: []event.SiteAlias{{Code: "BOTH"}}},
		{Site: "DC4", Version: 1, Aliases: []event.SiteAlias{{Code: "BOTH"}}},
	} {
		if _, err := tb.ApplySite(s); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		system, code, site string
		f                  masterdata.Finding
	}{
		{"sap", "1000", "DC1", masterdata.Found},
		{"wms", "1000", "DC2", masterdata.Found},
		{"y", "1000", "", masterdata.Unknown},
		{"y", "LYON", "DC1", masterdata.Found},
		{"y", "DC1", "DC1", masterdata.Found},
		{"x", "DC1", "", masterdata.Ambiguous},
		{"y", "BOTH", "", masterdata.Ambiguous},
		{"sap", "01000", "", masterdata.Unknown},
	}
	for _, tt := range tests {
		if s, f := tb.Site(tt.system, tt.code); s.Name != tt.site || f != tt.f {
			t.Errorf("%s says %s: %q (%d), want %q (%d)", tt.system, tt.code, s.Name, f, tt.site, tt.f)
		}
	}
	if s, _ := tb.SiteByName("DC1"); s.Owner("PICK") != "wms" || s.Owner("SHIP") != "" {
		t.Errorf("owners of DC1: %q, %q", s.Owner("PICK"), s.Owner("SHIP"))
	}
	if changed, _ := tb.ApplySite(&event.SiteMaster{Site: "DC1", Version: 0}); changed {
		t.Error("an older version of a site was applied")
	}
	tb.DeleteSite("DC4")
	if s, f := tb.Site("y", "BOTH"); f != masterdata.Found || s.Name != "DC3" || tb.Sites() != 3 {
		t.Errorf("after DC4 is gone: %q (%d) of %d", s.Name, f, tb.Sites())
	}
}

// TestLookUpsAreThoseOfAPlainList holds the packed tables against a list that is searched from end to end, through updates,
// deletions and compactions.
func TestLookUpsAreThoseOfAPlainList(t *testing.T) {
	codes := []string{"1", "01", "001", "12", "012", "A", "B", "4006381333931", "04006381333931", "14006381333938", "96385074", "000096385074"}
	code := rapid.SampledFrom(codes)
	system := rapid.SampledFrom([]string{"", "s", "t"})
	rapid.Check(t, func(rt *rapid.T) {
		var tb masterdata.Tables
		list := map[string]*event.ItemMaster{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			sku := code.Draw(rt, "sku")
			if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
				if got := tb.DeleteItem(sku); got != (list[sku] != nil) {
					rt.Fatalf("deleting %s: %t", sku, got)
				}
				delete(list, sku)
			} else {
				e := item(sku, rapid.Int64Range(1, 5).Draw(rt, "version"))
				if rapid.Bool().Draw(rt, "gtin") {
					e.GTIN = event.Some(code.Draw(rt, "gtin"))
				}
				for i := range rapid.IntRange(0, 2).Draw(rt, "units") {
					unit(fmt.Sprint("U", i), 6, 1, code.Draw(rt, "unit's gtin"))(e)
				}
				for range rapid.IntRange(0, 3).Draw(rt, "aliases") {
					alias(system.Draw(rt, "alias of"), code.Draw(rt, "alias"))(e)
				}
				_, _ = tb.ApplyItem(e) // what is no GTIN is named, and left out here as well
				if old := list[sku]; old == nil || e.Version >= old.Version {
					list[sku] = e
				}
			}
			if tb.Items() != len(list) {
				rt.Fatalf("%d items, want %d", tb.Items(), len(list))
			}
			for _, c := range codes {
				for _, s := range []string{"s", "t", "u"} {
					f, sku, unit := search(list, s, c)
					m := tb.Item(s, c)
					if m.Finding != f || f == masterdata.Found && (m.Item.SKU != sku || m.Unit != unit) {
						rt.Fatalf("%s says %s: %q unit %q (%d), want %q unit %q (%d)", s, c, m.Item.SKU, m.Unit, m.Finding, sku, unit, f)
					}
				}
			}
		}
	})
}

// search is Tables.Item by reading everything.
func search(list map[string]*event.ItemMaster, system, code string) (masterdata.Finding, string, string) {
	trim := func(s string) string {
		if strings.Trim(s, "0123456789") != "" {
			return s
		}
		if n := strings.TrimLeft(s, "0"); n != "" {
			return n
		}
		return "0"
	}
	valid := func(s string) bool {
		if l := len(s); l != 8 && l != 12 && l != 13 && l != 14 || strings.Trim(s, "0123456789") != "" {
			return false
		}
		s = strings.Repeat("0", 14-len(s)) + s
		sum := 0
		for i, c := range s {
			w := 1
			if i%2 == 0 {
				w = 3
			}
			sum += w * int(c-'0')
		}
		return sum%10 == 0
	}
	same := func(g event.Optional[string]) bool {
		return g.Valid && valid(g.Value) && valid(code) && trim(g.Value) == trim(code)
	}
	ranks := []func(e *event.ItemMaster) (bool, []string){
		func(e *event.ItemMaster) (bool, []string) {
			ok := e.SKU == code
			for _, a := range e.Aliases {
				ok = ok || a.System.Valid && a.System.Value == system && a.Code == code
			}
			return ok, nil
		},
		func(e *event.ItemMaster) (bool, []string) {
			for _, a := range e.Aliases {
				if !a.System.Valid && a.Code == code {
					return true, nil
				}
			}
			return false, nil
		},
		func(e *event.ItemMaster) (bool, []string) {
			if same(e.GTIN) {
				return true, nil
			}
			var units []string
			for _, u := range e.UOMs {
				if same(u.GTIN) {
					units = append(units, u.UOM)
				}
			}
			return len(units) > 0, units
		},
		func(e *event.ItemMaster) (bool, []string) {
			digits := strings.Trim(code, "0123456789") == ""
			ok := digits && trim(e.SKU) == trim(code)
			for _, a := range e.Aliases {
				ok = ok || digits && (!a.System.Valid || a.System.Value == system) && trim(a.Code) == trim(code)
			}
			return ok, nil
		},
	}
	for _, rank := range ranks {
		var skus, units []string
		for sku, e := range list {
			if ok, u := rank(e); ok {
				skus, units = append(skus, sku), append(units, u...)
			}
		}
		switch {
		case len(skus) > 1 || len(units) > 1:
			return masterdata.Ambiguous, "", ""
		case len(skus) == 1 && len(units) == 1:
			return masterdata.Found, skus[0], units[0]
		case len(skus) == 1:
			return masterdata.Found, skus[0], ""
		}
	}
	return masterdata.Unknown, "", ""
}

func TestN10ConversionIsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := masterdata.Ratio{Num: rapid.Int64Range(1, 1<<62).Draw(rt, "num"), Den: rapid.Int64Range(1, 1<<62).Draw(rt, "den")}
		if rapid.Bool().Draw(rt, "small") {
			r = masterdata.Ratio{Num: rapid.Int64Range(1, 1000).Draw(rt, "small num"), Den: rapid.Int64Range(1, 1000).Draw(rt, "small den")}
		}
		q := event.Quantity(rapid.Int64().Draw(rt, "millionths"))
		if rapid.Bool().Draw(rt, "whole") {
			q = event.Quantity(rapid.Int64Range(-100_000, 100_000).Draw(rt, "units")) * event.QuantityScale
		}
		integral := rapid.Bool().Draw(rt, "integral")
		exact := new(big.Rat).Mul(big.NewRat(int64(q), 1), big.NewRat(r.Num, r.Den))
		want := masterdata.Exact
		limit := new(big.Rat).SetInt64(int64(event.MaxQuantity))
		whole := exact.IsInt()
		if whole && integral {
			whole = new(big.Int).Rem(exact.Num(), big.NewInt(event.QuantityScale)).Sign() == 0
		}
		got, how := r.Convert(q, integral)
		if new(big.Rat).Abs(exact).Cmp(limit) > 0 {
			// Beyond the bound either is true; the bound is told where the result is a number at all.
			if how == masterdata.Exact {
				rt.Fatalf("%s x %d/%d = %s, beyond 18 digits", q, r.Num, r.Den, got)
			}
			return
		}
		if !whole {
			want = masterdata.Remainder
		}
		if how != want || how == masterdata.Exact && exact.Cmp(big.NewRat(int64(got), 1)) != 0 {
			rt.Fatalf("%d millionths x %d/%d: got %d (%d), want %s (%d)", q, r.Num, r.Den, got, how, exact, want)
		}
	})
}

func TestViewStaysAsItWasWhileTheTablesChange(t *testing.T) {
	tb := tables(t, item("A", 1, unit("CA", 12, 1, "")))
	view, _ := tb.ItemBySKU("A")
	for v := int64(2); v < 100_000; v++ { // enough to compact several times
		if _, err := tb.ApplyItem(item("A", v, unit("CA", v, 1, ""), alias("", strings.Repeat("x", 40)))); err != nil {
			t.Fatal(err)
		}
	}
	if r, ok := view.Unit("CA"); view.SKU != "A" || view.Version != 1 || !ok || r.Num != 12 {
		t.Errorf("the view changed to %s, version %d, CA %d", view.SKU, view.Version, r.Num)
	}
}

func TestReadersAndOneWriter(t *testing.T) {
	tb := tables(t, item("A", 1, unit("CA", 12, 1, "")))
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m := tb.Item("wms", "A")
				if r, ok := m.Item.Unit("CA"); m.Finding != masterdata.Found || !ok || r.Num != m.Item.Version+11 {
					t.Errorf("version %d has %d in a case", m.Item.Version, r.Num)
					return
				}
			}
		})
	}
	for v := int64(2); v < 20_000; v++ {
		if _, err := tb.ApplyItem(item("A", v, unit("CA", v+11, 1, ""), alias("", strings.Repeat("x", 100)))); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	readers.Wait()
}

func TestLookUpAllocatesNothing(t *testing.T) {
	tb := tables(t, item("TEA-01", 1, base("4006381333931"), unit("CA", 12, 1, "14006381333938")), item("000000000000012345", 1))
	for _, code := range []string{"TEA-01", "14006381333938", "12345", "nothing"} {
		if n := testing.AllocsPerRun(100, func() {
			m := tb.Item("wms", code)
			_, _ = m.Item.Unit("CA")
		}); n != 0 {
			t.Errorf("looking up %s allocates %v times", code, n)
		}
	}
}
