package scans

import (
	"fmt"
	"math"

	"crossdock/avro/event"
	"crossdock/loadtest/pace"
	"crossdock/topology/topics"
)

// A Scan is one event of the run.
type Scan struct {
	// Movement is valid until the next call of Next: its strings lie in the generator's buffer. It is the zero movement
	// where Kind is no kind of movement: Generator.Record has the event then.
	Movement event.InventoryMovement
	Seq      int64        // its place in the run, from 0
	At       event.Micros // when it is to be sent: Start plus Seq/Rate, or what the Pace says
	Copy     Copy
	Kind     Kind
	Topic    topics.ID // where it goes
	Device   int32     // the scanner, from 0; -1 where none is named
	Offline  bool      // a device kept it while it had no network, and sends it now
	Poison   Poison    // how it is spoiled; what it must become then is not a balance
}

// Counts says whether the event moves stock, or would if it were no repetition: a movement without poison.
func (s *Scan) Counts() bool { return s.Kind.Movement() && s.Poison == NotPoison }

// A Generator makes the events of one load, one after the other. One goroutine uses it.
type Generator struct {
	load   Load
	walk   pace.Walk // of Load.Pace, where there is one
	retail *retailer // Retailer: it does all the work
	works  [kinds]work
	shape  shape

	kind, item, site            picker
	duplicate, again, lot, late share
	start                       event.Micros
	runHash                     uint64
	seed                        random // of the decisions
	next                        int64
	recent                      []facts // a ring of the last DuplicateSpan originals
	originals                   int64
	stock                       [][stocked]int64 // by pair, in base units; nil for Enriched
	moved                       []int64          // by pair: originals so far
	scan                        Scan
	buffer                      []byte // the current movement's texts
	ext                         []event.Pair
}

// stocked are the buckets that a warehouse of this load uses.
const stocked = int(event.BucketReturned) + 1

// shape holds what the two forms of a movement differ in: names by index.
type shape struct {
	skus      []string   // Enriched: canonical
	sites     []string   // canonical, or the location as the source names it
	systems   []string   // by site
	items     []item     // Scans
	codes     [][]string // Scans: by item and site
	asScanned bool
}

// facts are what is decided of a movement; all else follows from texts.
type facts struct {
	seq          int64 // of the original
	nth          int64 // among the originals of its pair; Scans alone
	texts        uint64
	envelope     uint64
	event        event.Micros
	ingest       event.Micros
	item         int32
	site         int32
	qty          int32 // in unit; below zero: the other way
	unit         int8  // index of the item's unit plus one; 0 is the base unit
	kind         Kind
	lot          bool
	reEnveloping bool
}

// NewEnriched makes movements as the inventory stage's inbox carries them: canonical SKU and site, qty_delta in the base
// unit.
func NewEnriched(load Load) (*Generator, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	s := shape{skus: numbered(skuPrefix(load.Run)+"%06d", load.SKUs), sites: numbered("DC%03d", load.Sites)}
	systems := []string{"sap-ecc", "wms-north", "wms-south", "shopify", "3pl-gs1"}
	busy := make([]bool, load.Sites)
	for i := range load.Sites {
		s.systems = append(s.systems, systems[i%len(systems)])
		busy[i] = i < load.BusySites
	}
	return newGenerator(load, s, busy), nil
}

// NewScans makes movements as scanners of the catalogue's sites send them, in the source's codes and units. The load's
// SKUs, Sites, BusySites and LotShare do not count.
func NewScans(load Load, c *Catalogue) (*Generator, error) {
	load.SKUs, load.Sites, load.BusySites, load.Run = len(c.items), len(c.sites), 0, ""
	if err := load.Validate(); err != nil {
		return nil, err
	}
	s := shape{items: c.items, asScanned: true}
	var busy []bool
	for _, p := range c.sites {
		s.sites, s.systems = append(s.sites, p.location), append(s.systems, p.system)
		busy = append(busy, p.busy)
	}
	for it := range c.items {
		codes := make([]string, len(c.sites))
		for at := range codes {
			codes[at] = c.codeAt(it, at)
		}
		s.codes = append(s.codes, codes)
	}
	return newGenerator(load, s, busy), nil
}

func numbered(format string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(format, i)
	}
	return names
}

func newGenerator(load Load, s shape, busy []bool) *Generator {
	weights := load.Mix.weights()
	g := &Generator{
		load: load, works: works(), shape: s,
		kind:      newPicker(weights[:]),
		item:      newPicker(itemWeights(&load)),
		site:      newPicker(siteWeights(busy, load.BusyShare)),
		duplicate: shareOf(load.Duplicates), again: shareOf(load.ReEnveloped),
		lot: shareOf(load.LotShare), late: shareOf(load.OutOfOrder),
		start: event.MicrosOf(load.Start), runHash: runHash(load.Run),
	}
	g.scan.Topic, g.scan.Device = g.Topic(), -1
	g.rewind()
	return g
}

// Again returns a generator that stands at the start of the same run and shares what never changes.
func (g *Generator) Again() *Generator {
	if g.retail != nil {
		return &Generator{load: g.load, retail: g.retail.again()}
	}
	again := *g
	again.scan, again.buffer, again.ext = Scan{Topic: g.scan.Topic, Device: -1}, nil, nil
	again.rewind()
	return &again
}

func (g *Generator) rewind() {
	g.seed = random{g.load.Seed}
	g.next, g.originals = 0, 0
	if g.load.Pace != nil {
		g.walk = g.load.Pace.Walk()
	}
	g.recent = make([]facts, 0, g.load.DuplicateSpan)
	if g.shape.asScanned {
		pairs := len(g.shape.items) * len(g.shape.sites)
		g.stock, g.moved = make([][stocked]int64, pairs), make([]int64, pairs)
	}
}

// Load is the generator's load.
func (g *Generator) Load() Load { return g.load }

// Scanned says whether the movements are in the source's codes and units (Scans, Retailer), not canonical (Enriched).
func (g *Generator) Scanned() bool { return g.retail != nil || g.shape.asScanned }

// Next makes the next event. What it returns is the generator's: it is valid until the next call.
func (g *Generator) Next() *Scan {
	if g.retail != nil {
		return g.retail.next()
	}
	seq := g.next
	g.next++
	g.scan.Seq = seq
	if g.load.Pace == nil {
		g.scan.At = g.start + event.Micros(due(seq, g.load.Rate))
	} else {
		g.scan.At = g.start + event.Micros(g.walk.Next().Microseconds())
	}
	if g.originals > 0 && g.seed.hit(g.duplicate) {
		f := g.earlier()
		g.scan.Copy = Exact
		if g.seed.hit(g.again) {
			g.scan.Copy = ReEnveloped
			f.reEnveloping, f.envelope, f.ingest = true, g.seed.next(), g.scan.At
		}
		g.render(&f)
		return &g.scan
	}
	f := g.decide(seq)
	if len(g.recent) < cap(g.recent) {
		g.recent = append(g.recent, f)
	} else {
		g.recent[g.originals%int64(len(g.recent))] = f
	}
	g.originals++
	g.scan.Copy = Original
	g.render(&f)
	return &g.scan
}

// due is when event seq of a steady rate is to happen, in microseconds after the start. It divides first, so that no run
// is long enough to overflow it.
func due(seq int64, rate int) int64 {
	r := int64(rate)
	return seq/r*1_000_000 + seq%r*1_000_000/r
}

// earlier picks the original to repeat.
func (g *Generator) earlier() facts {
	const tries = 16
	for range tries {
		f := g.recent[g.seed.below(len(g.recent))]
		if g.moved == nil || g.moved[g.pair(f.item, f.site)]-f.nth <= int64(g.load.DuplicateDepth) {
			return f
		}
	}
	// The last one of all is the last one of its key.
	return g.recent[(g.originals-1)%int64(cap(g.recent))]
}

func (g *Generator) pair(it, at int32) int { return int(it)*len(g.shape.sites) + int(at) }

func (g *Generator) decide(seq int64) facts {
	r := &g.seed
	f := facts{
		seq: seq, texts: r.next(), envelope: r.next(), event: g.scan.At,
		item: int32(g.item.pick(r)), site: int32(g.site.pick(r)), kind: Kind(g.kind.pick(r)),
	}
	if r.hit(g.late) {
		f.event -= event.Micros(g.load.LateMin.Microseconds() + int64(r.between(0, g.lateSpread()))*1000)
	}
	f.ingest = g.scan.At
	if g.shape.asScanned {
		g.take(&f)
		return f
	}
	f.qty = int32(g.amount(f.kind))
	f.lot = r.hit(g.lot)
	return f
}

// lateSpread is in milliseconds.
func (g *Generator) lateSpread() int {
	return int(min((g.load.LateMax - g.load.LateMin).Milliseconds(), math.MaxInt32))
}

// amount is in base units. A count finds less as often as more.
func (g *Generator) amount(k Kind) int {
	n := g.seed.between(g.works[k].least, g.works[k].most)
	if k == Count && g.seed.hit(1<<63) {
		return -n
	}
	return n
}

// take settles kind, unit and quantity so that nothing is taken that is not there: a worker who finds the shelf empty
// does first what fills it.
func (g *Generator) take(f *facts) {
	pair := g.pair(f.item, f.site)
	stock := &g.stock[pair]
	n := int64(g.amount(f.kind))
	for g.works[f.kind].from != event.BucketExternal && stock[g.works[f.kind].from] == 0 {
		f.kind = g.works[f.kind].before
		n = int64(g.amount(f.kind))
	}
	w := &g.works[f.kind]
	if w.from != event.BucketExternal {
		n = min(n, stock[w.from])
	} else if n < 0 && stock[w.to] < -n {
		n = -n
	}
	it := &g.shape.items[f.item]
	if f.kind == Receive && len(it.units) > 0 {
		// Goods come in by the case: as many as come near.
		u := g.seed.below(len(it.units))
		f.unit = int8(u + 1)
		f.qty = int32(max(1, n/int64(it.units[u].ratio)))
		n = int64(f.qty) * int64(it.units[u].ratio)
	} else {
		f.qty = int32(n)
	}
	if w.from != event.BucketExternal {
		stock[w.from] -= n
	}
	if w.to != event.BucketExternal {
		stock[w.to] += n
	}
	f.lot = it.lots
	g.moved[pair]++
	f.nth = g.moved[pair]
}
