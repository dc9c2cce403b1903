package scans

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crossdock/avro/event"
)

// meaning is what codes mean by the master data, read the slow and obvious way.
type meaning struct {
	items  map[string]map[string]bool // system, a blank, code or GTIN of 14 digits or number without zeros: SKUs
	units  map[string]map[string]int64
	boxes  map[string]string // GTIN of 14 digits of a packing unit: the unit
	sites  map[string]map[string]bool
	owners map[string]map[string]string
	lots   map[string]bool
}

func newMeaning() *meaning {
	return &meaning{
		items: map[string]map[string]bool{}, units: map[string]map[string]int64{}, boxes: map[string]string{},
		sites: map[string]map[string]bool{}, owners: map[string]map[string]string{}, lots: map[string]bool{},
	}
}

func put(m map[string]map[string]bool, k, v string) {
	if m[k] == nil {
		m[k] = map[string]bool{}
	}
	m[k][v] = true
}

func isGTIN(code string) bool {
	if len(code) != 13 && len(code) != 14 || strings.Trim(code, "0123456789") != "" {
		return false
	}
	sum := 0
	for i := range code {
		weight := 1
		if (len(code)-i)%2 == 0 {
			weight = 3
		}
		sum += weight * int(code[i]-'0')
	}
	return sum%10 == 0
}

func (m *meaning) read(t testing.TB, g *Generator) {
	t.Helper()
	for it := range g.Items() {
		put(m.items, "* "+it.SKU, it.SKU)
		if it.Version != 1 || it.BaseUOM != "EA" || !it.Integral || it.Header.DedupeKey == "" || it.Header.EventID == "" {
			t.Fatalf("item %+v", it)
		}
		if it.GTIN.Valid {
			if !isGTIN(it.GTIN.Value) || it.GTIN.Value[0] != '2' {
				t.Fatalf("item %s: GTIN %s", it.SKU, it.GTIN.Value)
			}
			put(m.items, "* "+it.GTIN.Value, it.SKU)
		}
		for _, a := range it.Aliases {
			put(m.items, a.System.Or("*")+" "+a.Code, it.SKU)
		}
		m.units[it.SKU] = map[string]int64{it.BaseUOM: 1}
		for _, u := range it.UOMs {
			if u.Den != 1 {
				t.Fatalf("item %s: unit %s is %d/%d", it.SKU, u.UOM, u.Num, u.Den)
			}
			m.units[it.SKU][u.UOM] = u.Num
			if u.GTIN.Valid {
				if !isGTIN(u.GTIN.Value) {
					t.Fatalf("item %s: GTIN %s", it.SKU, u.GTIN.Value)
				}
				put(m.items, "* "+u.GTIN.Value, it.SKU)
				m.boxes[u.GTIN.Value] = u.UOM
			}
		}
		m.lots[it.SKU] = it.LotTracked
	}
	for s := range g.Sites() {
		put(m.sites, "* "+s.Site, s.Site)
		for _, a := range s.Aliases {
			put(m.sites, a.System.Or("*")+" "+a.Code, s.Site)
		}
		m.owners[s.Site] = map[string]string{}
		for _, o := range s.Owners {
			m.owners[s.Site][o.Fact] = o.System
		}
	}
}

// one is what a code means to a system: exactly one thing, or the test fails.
func one(t testing.TB, m map[string]map[string]bool, system, code string) string {
	t.Helper()
	found := map[string]bool{}
	for _, k := range []string{system + " " + code, "* " + code, system + " " + strings.TrimLeft(code, "0")} {
		for v := range m[k] {
			found[v] = true
		}
	}
	if len(found) != 1 {
		t.Fatalf("code %s of %s means %v", code, system, found)
	}
	for v := range found {
		return v
	}
	return ""
}

// base is the quantity of a movement in pieces.
func (m *meaning) base(t testing.TB, e *event.InventoryMovement, sku string) int64 {
	t.Helper()
	uom := e.UOMSrc
	if uom == "" {
		uom = m.boxes[e.SKU]
	}
	ratio, ok := m.units[sku][uom]
	if !ok || e.QtySrc%event.QuantityScale != 0 || e.QtySrc == 0 {
		t.Fatalf("%s %q of %s (%s)", e.QtySrc, uom, sku, e.SKU)
	}
	return int64(e.QtySrc) / event.QuantityScale * ratio
}

// Two runs' master data lie on one topic: every code still means one thing, the one that Canonical says.
func TestACodeMeansWhatCanonicalSaysBesideAnotherRunsMasterData(t *testing.T) {
	small := func(run string) func(*Load) {
		return func(l *Load) { l.SKUs, l.Sites, l.BusySites, l.Poison, l.Run = 3000, 60, 12, 0, run }
	}
	g, other := retailed(t, small("A")), retailed(t, small("B"))
	m := newMeaning()
	m.read(t, other)
	m.read(t, g)
	forms := map[string]int{}
	for range 200_000 {
		s := g.Next()
		if !s.Kind.Movement() {
			continue
		}
		e := &s.Movement
		h := &e.Header
		sku, site := g.Canonical()
		if got := one(t, m.items, h.SourceSystem, e.SKU); got != sku {
			t.Fatalf("%s of %s means %s, not %s", e.SKU, h.SourceSystem, got, sku)
		}
		if got := one(t, m.sites, h.SourceSystem, h.Site); got != site {
			t.Fatalf("%s of %s means %s, not %s", h.Site, h.SourceSystem, got, site)
		}
		m.base(t, e, sku)
		if e.Lot.Valid != m.lots[sku] {
			t.Fatalf("%s is kept by lot: %v, and moves with one: %v", sku, m.lots[sku], e.Lot.Valid)
		}
		for fact, owner := range m.owners[site] {
			if owner != h.SourceSystem {
				t.Fatalf("%s of %s is %s's to tell, and %s tells it", fact, site, owner, h.SourceSystem)
			}
		}
		if e.QtyDelta != 0 || e.ItemVersion.Valid {
			t.Fatalf("event %d is enriched already", s.Seq)
		}
		switch {
		case e.SKU == sku:
			forms["sku"]++
		case isGTIN(e.SKU) && len(e.SKU) == 13:
			forms["gtin 13"]++
		case isGTIN(e.SKU):
			forms["gtin 14"]++
			if e.UOMSrc == "" {
				forms["cases by their gtin"]++
			}
		case strings.HasPrefix(e.SKU, "000"):
			forms["leading zeros"]++
		default:
			forms["vendor alias"]++
		}
		if e.UOMSrc == boxed {
			forms["cases"]++
		}
	}
	for _, f := range []string{"sku", "gtin 13", "gtin 14", "cases by their gtin", "leading zeros", "vendor alias", "cases"} {
		if forms[f] < 200 {
			t.Errorf("%d movements by %s", forms[f], f)
		}
	}
}

// identities are all texts of an event that must be a run's own.
func identities(g *Generator, s *Scan) []string {
	sku, site := g.Canonical()
	all := []string{g.EventID(), string(g.AppendKey(nil))}
	if sku != "" {
		all = append(all, sku+"|"+site)
	}
	header := func(h *event.EventHeader) {
		all = append(all, h.DedupeKey, h.SourceDocID, h.CorrelationID)
		for _, p := range h.Ext {
			if p.Key == "device" {
				all = append(all, p.Value)
			}
		}
	}
	switch e := g.Record().(type) {
	case *event.InventoryMovement:
		header(&e.Header)
		all = append(all, e.SKU)
		if e.Ref.Valid {
			all = append(all, e.Ref.Value.Order.Value)
		}
	case *event.ShipmentMilestone:
		header(&e.Header)
		all = append(all, e.Shipment, e.Order.Or(e.Shipment))
	case *event.OrderRelease:
		header(&e.Header)
		all = append(all, e.Order)
	case *event.ItemMaster:
		header(&e.Header)
		for _, a := range e.Aliases {
			all = append(all, a.Code)
		}
	case *event.InventorySnapshot:
		header(&e.Header)
		all = append(all, e.ReportID)
	}
	if s.Poison == UnknownUnit || s.Poison == NoIdentity {
		return nil
	}
	return all
}

func TestTwoRunsShareNoKeyDocumentDeviceOrEventID(t *testing.T) {
	const n = 100_000
	run := func(name string) func(*Load) {
		return func(l *Load) { everything(l); l.Run = name }
	}
	first := map[string]bool{}
	a, b := retailed(t, run("run-1")), retailed(t, run("run-2"))
	for range n {
		for _, text := range identities(a, a.Next()) {
			first[strings.Clone(text)] = true
		}
	}
	a = a.Again()
	for range n {
		sa, sb := a.Next(), b.Next()
		for _, text := range identities(b, sb) {
			if first[text] {
				t.Fatalf("event %d: %q is another run's too", sb.Seq, text)
			}
		}
		// A name changes names alone.
		if sa.Kind != sb.Kind || sa.Copy != sb.Copy || sa.Device != sb.Device || sa.Movement.QtySrc != sb.Movement.QtySrc || a.retail.hand.item != b.retail.hand.item {
			t.Fatalf("event %d: equal seeds make %+v and %+v", sa.Seq, sa, sb)
		}
	}
}

func TestTwoEnrichedRunsShareNoKeyDocumentOrEventID(t *testing.T) {
	a, b := enriched(t, func(l *Load) { l.Run = "run-1" }), enriched(t, func(l *Load) { l.Run = "run-2" })
	first := map[string]bool{}
	texts := func(g *Generator) []string {
		h := &g.Next().Movement.Header
		return []string{string(g.AppendKey(nil)), h.EventID, h.DedupeKey, h.SourceDocID, h.CorrelationID}
	}
	for range 20_000 {
		for _, x := range texts(a) {
			first[strings.Clone(x)] = true
		}
	}
	for range 20_000 {
		for _, x := range texts(b) {
			if first[x] {
				t.Fatalf("%q is another run's too", x)
			}
		}
	}
}

// An exact repetition has its original's id; no two other events share one.
func TestEventIDsAreUniqueWithinARun(t *testing.T) {
	g := retailed(t, everything)
	ids := map[string]bool{}
	for range 500_000 {
		s := g.Next()
		id := g.EventID()
		if len(id) != 26 && s.Kind != Item {
			t.Fatalf("event %d has the id %q", s.Seq, id)
		}
		if ids[id] != (s.Copy == Exact) {
			t.Fatalf("event %d (%v, %v): the id %s was seen: %v", s.Seq, s.Kind, s.Copy, id, ids[id])
		}
		ids[strings.Clone(id)] = true
	}
}

func TestAnItemSentAgainMeansTheSameUnderAHigherVersion(t *testing.T) {
	g := retailed(t, func(l *Load) { l.SKUs, l.Mix.Item = 300, 20 })
	master := map[string]*event.ItemMaster{}
	for it := range g.Items() {
		master[it.SKU] = it
	}
	n := 0
	for range 20_000 {
		if s := g.Next(); s.Kind != Item {
			continue
		}
		n++
		now := new(event.ItemMaster)
		if err := now.DecodeAvro(g.Record().AppendAvro(nil)); err != nil {
			t.Fatal(err)
		}
		was := master[now.SKU]
		if now.Version <= was.Version {
			t.Fatalf("item %s: version %d after %d", now.SKU, now.Version, was.Version)
		}
		same := *now
		same.Version, same.Header = was.Version, was.Header
		a, b := same, *was
		if diff := cmp.Diff(string(a.AppendAvro(nil)), string(b.AppendAvro(nil))); diff != "" {
			t.Fatalf("item %s means something else:\n%s", now.SKU, diff)
		}
		master[now.SKU] = now
	}
	if n < 2000 {
		t.Errorf("%d items", n)
	}
}

// GS1 General Specifications 7.9, by numbers of its own examples and of well-known articles.
func TestCheckDigitsAreGS1s(t *testing.T) {
	for body, want := range map[uint64]uint64{629104150021: 3, 400638133393: 1, 9638507: 4, 8061414112345: 8, 1061414100041: 5, 0: 0} {
		if got := check(body); got != want {
			t.Errorf("the check digit of %d is %d, not %d", body, got, want)
		}
	}
}

func TestDigitsAreThoseOfPrintf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, width := rapid.Uint64().Draw(t, "n")>>rapid.IntRange(0, 63).Draw(t, "shift"), rapid.IntRange(1, 20).Draw(t, "width")
		if got, want := string(appendDigits([]byte("x"), n, width)), fmt.Sprintf("x%0*d", width, n); got != want {
			t.Fatalf("%s, not %s", got, want)
		}
	})
}

// The largest load has names for all, and codes that stay apart.
func TestTheLargestLoadHasNamesForAll(t *testing.T) {
	n := newNames(&Load{SKUs: maxSKUs, Sites: maxSites, BusySites: 200, Run: "huge"})
	sites := map[string]bool{}
	for i := range n.sites {
		s := &n.sites[i]
		if sites[s.name] || sites[systemName[s.system]+" "+s.code] {
			t.Fatalf("site %d has another's name: %+v", i, s)
		}
		sites[s.name], sites[systemName[s.system]+" "+s.code] = true, true
	}
	for _, i := range []int{0, 1, 3, maxSKUs - 1, maxSKUs - 3, maxSKUs - 4, maxSKUs - 5} {
		m := n.itemMaster(i)
		for _, code := range []event.Optional[string]{m.GTIN} {
			if code.Valid && !isGTIN(code.Value) {
				t.Errorf("item %s: %s is no GTIN", m.SKU, code.Value)
			}
		}
		for _, a := range m.Aliases {
			if a.System.Or("") == systemName[sapERP] && len(a.Code) != 15 {
				t.Errorf("item %s: material %s", m.SKU, a.Code)
			}
		}
	}
}
