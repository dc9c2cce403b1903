package masterdata

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
)

// An Item is a view of one item. Its strings and units lie in memory that is never written again: it may be kept, though
// that keeps a chunk of up to a megabyte alive.
type Item struct {
	SKU        string
	Version    int64
	BaseUOM    string
	Integral   bool // whole base units only
	LotTracked bool
	Blocked    bool // status BLOCKED
	units      []byte
	unitCount  int
}

// Unit finds a unit of the item by its code, as master data writes it; the base unit is 1/1. Codes are compared as they
// are: what a house calls CA and what it calls CT are two units until master data lists both.
func (i Item) Unit(uom string) (Ratio, bool) {
	if uom == i.BaseUOM {
		return Ratio{1, 1}, true
	}
	r := reader{b: i.units}
	for range i.unitCount {
		name, ratio, _ := r.unit()
		if name == uom {
			return ratio, true
		}
	}
	return Ratio{}, false
}

// A Match is what Tables.Item found.
type Match struct {
	Finding Finding
	Item    Item
	// Unit is the packing unit whose GTIN the code is: a scan of a case's GTIN that names no unit means cases. Empty
	// where the code is the item's own.
	Unit string
	// Rival is the SKU of another item that the code names, or of the same where it names two of its units.
	Rival string
}

// itemTable keeps each item as one packed record in a chunk; index finds it by its names. Items are numbered by slot.
type itemTable struct {
	index  index
	chunks [][]byte
	slots  []slot
	free   []uint32
	live   int
	stored int // bytes of all records in chunks, dead ones included
	dead   int // bytes of records that were replaced or removed
}

// A slot says where a record lies. length 0 is a free slot.
type slot struct {
	chunk, offset, length uint32
}

const chunkSize = 1 << 20

// A record: SKU, version, flags, base unit, GTIN, counts of units and aliases, units (code, num, den, GTIN), aliases
// (any system or one, system, code). Texts have a length before them, numbers are varints; a GTIN is its number or 0.
const (
	flagIntegral = 1 << iota
	flagLotTracked
	flagBlocked
)

func pack(b []byte, e *event.ItemMaster) []byte {
	b = appendText(b, e.SKU)
	b = binary.AppendVarint(b, e.Version)
	var flags byte
	if e.Integral {
		flags |= flagIntegral
	}
	if e.LotTracked {
		flags |= flagLotTracked
	}
	if e.Status == "BLOCKED" {
		flags |= flagBlocked
	}
	b = append(b, flags)
	b = appendText(b, e.BaseUOM)
	b = appendGTIN(b, e.GTIN)
	units := 0
	for i := range e.UOMs {
		if usable(&e.UOMs[i]) {
			units++
		}
	}
	b = binary.AppendUvarint(b, uint64(units))
	b = binary.AppendUvarint(b, uint64(len(e.Aliases)))
	for i := range e.UOMs {
		u := &e.UOMs[i]
		if !usable(u) {
			continue
		}
		b = appendText(b, u.UOM)
		b = binary.AppendUvarint(b, uint64(u.Num))
		b = binary.AppendUvarint(b, uint64(u.Den))
		b = appendGTIN(b, u.GTIN)
	}
	for i := range e.Aliases {
		b = appendText(b, e.Aliases[i].System.Or(""))
		b = appendText(b, e.Aliases[i].Code)
	}
	return b
}

func usable(u *event.ItemUnit) bool { return u.UOM != "" && u.Num > 0 && u.Den > 0 }

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendGTIN(b []byte, code event.Optional[string]) []byte {
	g, _ := gtin14(code.Or(""))
	return binary.AppendUvarint(b, uint64(g))
}

// A reader walks a packed record. The record was packed here, so nothing is checked; texts stay in place.
type reader struct {
	b  []byte
	at int
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	r.at += n
	return v
}

func (r *reader) text() string {
	n := int(r.uvarint())
	s := r.b[r.at : r.at+n]
	r.at += n
	return unsafe.String(unsafe.SliceData(s), n)
}

func (r *reader) unit() (uom string, ratio Ratio, g gtin) {
	uom = r.text()
	ratio = Ratio{int64(r.uvarint()), int64(r.uvarint())}
	return uom, ratio, gtin(r.uvarint())
}

// A packed is the opened record of an item: the view, and where its other names start.
type packed struct {
	item    Item
	gtin    gtin
	aliases int
	rest    reader // at the units
}

func open(record []byte) packed {
	var p packed
	r := reader{b: record}
	p.item.SKU = r.text()
	v, n := binary.Varint(r.b[r.at:])
	r.at += n
	p.item.Version = v
	flags := r.b[r.at]
	r.at++
	p.item.Integral = flags&flagIntegral != 0
	p.item.LotTracked = flags&flagLotTracked != 0
	p.item.Blocked = flags&flagBlocked != 0
	p.item.BaseUOM = r.text()
	p.gtin = gtin(r.uvarint())
	p.item.unitCount = int(r.uvarint())
	p.aliases = int(r.uvarint())
	p.item.units = r.b[r.at:]
	p.rest = r
	return p
}

func (t *itemTable) record(n uint32) []byte {
	s := t.slots[n]
	return t.chunks[s.chunk][s.offset : s.offset+s.length : s.offset+s.length]
}

func (t *itemTable) view(n uint32) Item { return open(t.record(n)).item }

// bySKU finds an item by its canonical name alone.
func (t *itemTable) bySKU(sku string) (uint32, bool) {
	p := t.index.probe(xxhash.Sum64String(sku))
	for n, ok := p.next(); ok; n, ok = p.next() {
		if open(t.record(n)).item.SKU == sku {
			return n, true
		}
	}
	return 0, false
}

func (t *itemTable) apply(e *event.ItemMaster) bool {
	n, known := t.bySKU(e.SKU)
	if known {
		if e.Version < t.view(n).Version {
			return false
		}
		t.unlink(n)
	} else {
		t.live++
		if k := len(t.free); k > 0 {
			n, t.free = t.free[k-1], t.free[:k-1]
		} else {
			n = uint32(len(t.slots))
			t.slots = append(t.slots, slot{})
		}
	}
	t.slots[n] = t.store(e)
	t.link(n)
	t.compact()
	return true
}

func (t *itemTable) remove(sku string) bool {
	n, known := t.bySKU(sku)
	if !known {
		return false
	}
	t.unlink(n)
	t.slots[n] = slot{}
	t.free = append(t.free, n)
	t.live--
	t.compact()
	return true
}

// store packs an item at the end of the last chunk, or of a new one. A chunk is never written twice at one place, and
// never grows out of its memory: views point into it.
func (t *itemTable) store(e *event.ItemMaster) slot {
	bound := 64 + len(e.SKU) + len(e.BaseUOM)
	for i := range e.UOMs {
		bound += 40 + len(e.UOMs[i].UOM)
	}
	for i := range e.Aliases {
		bound += 20 + len(e.Aliases[i].System.Value) + len(e.Aliases[i].Code)
	}
	last := t.room(bound)
	before := len(t.chunks[last])
	t.chunks[last] = pack(t.chunks[last], e)
	length := len(t.chunks[last]) - before
	t.stored += length
	return slot{uint32(last), uint32(before), uint32(length)}
}

func (t *itemTable) room(bound int) (chunk int) {
	last := len(t.chunks) - 1
	if last < 0 || cap(t.chunks[last])-len(t.chunks[last]) < bound {
		t.chunks = append(t.chunks, make([]byte, 0, max(chunkSize, bound)))
		last++
	}
	return last
}

// compact copies what lives into new chunks once more than half is dead; views of the old chunks stay good.
func (t *itemTable) compact() {
	if t.dead < chunkSize || t.dead*2 < t.stored {
		return
	}
	old := t.chunks
	t.chunks, t.stored, t.dead = nil, 0, 0
	for n := range t.slots {
		s := t.slots[n]
		if s.length == 0 {
			continue
		}
		record := old[s.chunk][s.offset : s.offset+s.length]
		last := t.room(len(record))
		t.slots[n] = slot{uint32(last), uint32(len(t.chunks[last])), s.length}
		t.chunks[last] = append(t.chunks[last], record...)
		t.stored += len(record)
	}
}

func (t *itemTable) link(n uint32) {
	open(t.record(n)).names(func(hash uint64) { t.index.add(hash, n) })
}

func (t *itemTable) unlink(n uint32) {
	open(t.record(n)).names(func(hash uint64) { t.index.remove(hash, n) })
	t.dead += int(t.slots[n].length)
}

// names calls f with the hash of every name by which the item is found: the SKU and the aliases as they are, and all
// numbers, GTINs too, without their leading zeros. Equal hashes are told once.
func (p packed) names(f func(hash uint64)) {
	var seen [16]uint64
	known := 0
	add := func(s string) {
		h := xxhash.Sum64String(s)
		for i := range min(known, len(seen)) {
			if seen[i] == h {
				return
			}
		}
		// Beyond 16 names a repeated one is indexed twice, and removed twice: no harm.
		if known < len(seen) {
			seen[known] = h
			known++
		}
		f(h)
	}
	both := func(s string) {
		add(s)
		if b := bare(s); b != s {
			add(b)
		}
	}
	both(p.item.SKU)
	if p.gtin != 0 {
		add(p.gtin.digits())
	}
	r := p.rest
	for range p.item.unitCount {
		if _, _, g := r.unit(); g != 0 {
			add(g.digits())
		}
	}
	for range p.aliases {
		_ = r.text()
		both(r.text())
	}
}

// Ranks of a match, the lowest decides.
const (
	rankOwn = iota
	rankAny
	rankGTIN
	rankZeros
	noRank
)

// rank says how an item answers to a code. unit is the packing unit for a GTIN; two of them make twice true.
func (p packed) rank(system, code, digits string, g gtin) (rank int, unit string, twice bool) {
	rank = noRank
	better := func(r int) { rank = min(rank, r) }
	if p.item.SKU == code {
		return rankOwn, "", false
	}
	if digits != "" && bare(p.item.SKU) == digits {
		better(rankZeros)
	}
	r := p.rest
	if g != 0 && p.gtin == g {
		better(rankGTIN)
	}
	for range p.item.unitCount {
		uom, _, packing := r.unit()
		if g == 0 || packing != g || p.gtin == g {
			continue
		}
		twice = twice || unit != ""
		unit = uom
		better(rankGTIN)
	}
	for range p.aliases {
		of := r.text()
		alias := r.text()
		if of != "" && of != system {
			continue
		}
		switch {
		case alias == code && of != "":
			better(rankOwn)
		case alias == code:
			better(rankAny)
		case digits != "" && bare(alias) == digits:
			better(rankZeros)
		}
	}
	if rank != rankGTIN {
		unit, twice = "", false
	}
	return rank, unit, twice
}

func (t *itemTable) find(system, code string) Match {
	if code == "" {
		return Match{}
	}
	digits := ""
	if digitsOnly(code) {
		digits = bare(code)
	}
	g, _ := gtin14(code)
	s := search{t: t, system: system, code: code, digits: digits, gtin: g, rank: noRank}
	s.probe(code)
	// What is under the code itself answers with its full name; looser names are under the bare number.
	if s.rank > rankAny && digits != "" && digits != code {
		s.probe(digits)
	}
	return s.match()
}

// A search gathers the best match so far.
type search struct {
	t                    *itemTable
	system, code, digits string
	gtin                 gtin

	rank         int
	best         packed
	slot         uint32
	unit, rival  string
	sameRankSeen bool
}

func (s *search) probe(name string) {
	p := s.t.index.probe(xxhash.Sum64String(name))
	for n, ok := p.next(); ok; n, ok = p.next() {
		candidate := open(s.t.record(n))
		rank, unit, twice := candidate.rank(s.system, s.code, s.digits, s.gtin)
		switch {
		case rank == noRank || rank > s.rank:
		case rank < s.rank:
			s.rank, s.best, s.slot, s.unit = rank, candidate, n, unit
			s.sameRankSeen, s.rival = twice, ""
			if twice {
				s.rival = candidate.item.SKU
			}
		case n != s.slot:
			s.sameRankSeen, s.rival = true, candidate.item.SKU
		}
	}
}

func (s *search) match() Match {
	switch {
	case s.rank == noRank:
		return Match{}
	case s.sameRankSeen:
		return Match{Finding: Ambiguous, Item: s.best.item, Rival: s.rival}
	}
	return Match{Finding: Found, Item: s.best.item, Unit: s.unit}
}
