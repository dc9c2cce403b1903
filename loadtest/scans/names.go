package scans

import (
	"time"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
)

// The source systems of a Retailer. Their names are the load test's own, so that no code of its master data can be
// taken for one of a house that is served by the same application.
const (
	sapERP = iota
	wmsNorth
	wmsSouth
	thirdParty
	pointOfSale // of all stores
	systems     = iota
)

// systemName is indexed by system.
var systemName = [systems]string{"lt-sap", "lt-wms-north", "lt-wms-south", "lt-3pl", "lt-pos"}

// orderSystem owns orders, and no fact of stock.
const orderSystem = "lt-oms"

// names makes the names of a Retailer's items and sites, and their master data: all functions of an index, and of the
// run, whose hash sets codes of digits apart. It is never changed once it is made.
type names struct {
	skus   int
	run    string
	prefix string // of SKUs
	lots   share
	// Where the run's numbers begin: GTINs within those of restricted circulation (GS1 prefixes 20 to 29), so that they
	// are nobody's, and material numbers of SAP.
	gtin, caseGTIN, material uint64
	sites                    []siteName
}

type siteName struct {
	name   string // canonical
	code   string // as its system names it
	system uint8
	busy   bool
}

const (
	gtinEvery, caseGTINEvery, materialEvery = 4, 8, 2

	gtinSpace     = 100_000_000_000 // 11 digits after the prefix
	gtinFirst     = 2 * gtinSpace
	caseGTINFirst = 12 * gtinSpace // the same after a packaging indicator of 1
	materialFirst = 100_000_000_000_000
	materialSpace = 9 * materialFirst
)

func newNames(l *Load) *names {
	h := xxhash.Sum64String(l.Run)
	n := &names{skus: l.SKUs, run: l.Run, prefix: skuPrefix(l.Run), lots: shareOf(l.LotShare)}
	n.gtin = gtinFirst + block(h, gtinSpace, l.SKUs/gtinEvery+1)
	n.caseGTIN = caseGTINFirst + block(h, gtinSpace, l.SKUs/caseGTINEvery+1)
	n.material = materialFirst + block(h, materialSpace, l.SKUs/materialEvery+1)
	var t text
	for i := range l.Sites {
		s := siteName{system: pointOfSale, busy: i < l.BusySites}
		if s.busy {
			s.system = uint8(i % pointOfSale)
		}
		at := uint64(i)
		switch s.system {
		case sapERP:
			s.code = t.number("7", at, 3)
		case thirdParty:
			gln := gtinFirst + gtinSpace - 1 - at
			s.code = t.number("", gln*10+check(gln), 13)
		case pointOfSale:
			s.code = t.number("", at, 4)
		default:
			s.code = t.number("WH", at, 3)
		}
		if s.busy {
			s.name = t.number("LTDC", at, 3)
		} else {
			s.name = t.number("LTST", at, 4)
		}
		n.sites = append(n.sites, s)
	}
	return n
}

// block is the start of one of the blocks of n numbers that a space has room for.
func block(hash, space uint64, n int) uint64 { return hash % (space / uint64(n)) * uint64(n) }

// skuPrefix is what the SKUs of a run start with.
func skuPrefix(run string) string {
	if run == "" {
		return "SKU"
	}
	return run + "-"
}

// runHash sets the random parts of two runs' names apart; 0 where the run has no name.
func runHash(run string) uint64 {
	if run == "" {
		return 0
	}
	return xxhash.Sum64String(run)
}

// What an item is, by its index.

func (n *names) lotTracked(i int) bool {
	r := random{uint64(i) * 0x9e3779b97f4a7c15}
	return r.hit(n.lots)
}

// ratio is how many pieces a case has; 0: there is none.
func ratio(i int) int64 {
	if i%3 == 2 {
		return 0
	}
	return [4]int64{6, 12, 24, 48}[i/3%4]
}

func hasGTIN(i int) bool     { return i%gtinEvery == 1 }
func hasCaseGTIN(i int) bool { return i%caseGTINEvery == 3 && ratio(i) > 0 }

// Whether a system has a name of its own for it.
func hasAlias(i int, system uint8) bool {
	switch system {
	case sapERP:
		return i%materialEvery == 0
	case wmsNorth:
		return i%3 != 0
	case wmsSouth:
		return i%3 != 1
	case thirdParty:
		return i%5 == 0
	}
	return false
}

func (n *names) appendSKU(b []byte, i int) []byte {
	return appendDigits(append(b, n.prefix...), uint64(i), 6)
}

func (n *names) appendGTIN(b []byte, i int) []byte {
	body := n.gtin + uint64(i/gtinEvery)
	return appendDigits(b, body*10+check(body), 13)
}

func (n *names) appendCaseGTIN(b []byte, i int) []byte {
	body := n.caseGTIN + uint64(i/caseGTINEvery)
	return appendDigits(b, body*10+check(body), 14)
}

// appendAlias appends a system's own name for an item; in full is as documents write it, which is the master data's form
// but for SAP's material numbers of 18 digits with zeros before.
func (n *names) appendAlias(b []byte, i int, system uint8, inFull bool) []byte {
	if system == sapERP {
		if inFull {
			b = append(b, "000"...)
		}
		return appendDigits(b, n.material+uint64(i/materialEvery), 15)
	}
	b = append(append(b, "SNVXP"[system]), n.run...)
	return appendDigits(append(b, '.'), uint64(i), 5)
}

// A form is how an item is named.
type form uint8

const (
	bySKU form = iota
	byGTIN
	byCaseGTIN
	byAlias
)

// formAt is how a scanner at a site names an item: always in the same way, so that all movements of an item at a site
// have one key before enrichment and stay in order.
func (n *names) formAt(i, at int) form {
	switch (i + at) & 3 {
	case 0:
		return bySKU
	case 1:
		if hasGTIN(i) {
			return byGTIN
		}
		if hasCaseGTIN(i) {
			return byCaseGTIN
		}
	}
	if hasAlias(i, n.sites[at].system) {
		return byAlias
	}
	return bySKU
}

func (n *names) appendCode(b []byte, i, at int, f form) []byte {
	switch f {
	case byGTIN:
		return n.appendGTIN(b, i)
	case byCaseGTIN:
		return n.appendCaseGTIN(b, i)
	case byAlias:
		return n.appendAlias(b, i, n.sites[at].system, true)
	default:
		return n.appendSKU(b, i)
	}
}

const (
	piece = "EA"
	boxed = "CS"
)

// masterSince is the time of master data that the run starts with: before any run.
func masterSince() event.Micros {
	return event.MicrosOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

// fillItem makes version of an item's master data. m's slices are used again, its texts lie in t.
func (n *names) fillItem(m *event.ItemMaster, t *text, i int, version int64) {
	sku := n.textOf(t, func(b []byte) []byte { return n.appendSKU(b, i) })
	aliases, descriptions, uoms := m.Aliases[:0], m.Descriptions[:0], m.UOMs[:0]
	*m = event.ItemMaster{SKU: sku, Version: version, BaseUOM: piece, Integral: true, LotTracked: n.lotTracked(i), Status: "ACTIVE"}
	h := &m.Header
	at := len(t.b)
	t.b = appendDigits(append(append(t.b, sku...), "/v"...), uint64(version), 1)
	h.EventID = t.since(at)
	h.DedupeKey = t.add("lt-erp:ITEM:", h.EventID)
	h.CorrelationID = sku
	h.SourceSystem, h.SourceDocType, h.SourceDocID = "lt-erp", "ITEM", sku
	h.EventTime, h.IngestTime = masterSince(), masterSince()
	if hasGTIN(i) {
		m.GTIN = event.Some(n.textOf(t, func(b []byte) []byte { return n.appendGTIN(b, i) }))
	}
	for s := range uint8(systems) {
		if !hasAlias(i, s) {
			continue
		}
		a := event.ItemAlias{Code: n.textOf(t, func(b []byte) []byte { return n.appendAlias(b, i, s, false) })}
		if s != thirdParty { // its numbers are the vendor's, and hold for all
			a.System = event.Some(systemName[s])
		}
		aliases = append(aliases, a)
	}
	if k := ratio(i); k > 0 {
		u := event.ItemUnit{UOM: boxed, Num: k, Den: 1}
		if hasCaseGTIN(i) {
			u.GTIN = event.Some(n.textOf(t, func(b []byte) []byte { return n.appendCaseGTIN(b, i) }))
		}
		uoms = append(uoms, u)
	}
	m.Aliases, m.UOMs = aliases, uoms
	descriptions = append(descriptions, event.LocalText{Language: "en", Text: t.number("Load test item ", uint64(i), 1)})
	m.Descriptions = descriptions
}

func (n *names) textOf(t *text, appendTo func([]byte) []byte) string {
	at := len(t.b)
	t.b = appendTo(t.b)
	return t.since(at)
}

func (n *names) itemMaster(i int) *event.ItemMaster {
	m := new(event.ItemMaster)
	n.fillItem(m, &text{b: make([]byte, 0, 384)}, i, 1)
	return m
}

// siteMaster says that the site's own system owns all that happens there. It does not depend on the run, so that runs
// share their sites.
func (n *names) siteMaster(i int) *event.SiteMaster {
	s := &n.sites[i]
	own := systemName[s.system]
	m := &event.SiteMaster{
		Site: s.name, Version: 1, Name: "Load test site " + s.name, Type: event.SiteTypeStore,
		Aliases: []event.SiteAlias{{System: event.Some(own), Code: s.code}},
		Region:  event.Some([...]string{"NORTH", "EAST", "SOUTH", "WEST"}[i%4]), TimeZone: "UTC",
		NegativeStock: event.NegativeStockAllow,
	}
	if s.busy {
		m.Type = event.SiteTypeDC
	}
	for _, fact := range [...]string{"PICK", "SHIP", "RECEIPT", "ADJUST", "COUNT"} {
		m.Owners = append(m.Owners, event.FactOwner{Fact: fact, System: own})
	}
	h := &m.Header
	h.EventID = s.name + "/v1"
	h.DedupeKey = "lt-erp:SITE:" + h.EventID
	h.CorrelationID = s.name
	h.SourceSystem, h.SourceDocType, h.SourceDocID, h.Site = "lt-erp", "SITE", s.name, s.name
	h.EventTime, h.IngestTime = masterSince(), masterSince()
	return m
}
