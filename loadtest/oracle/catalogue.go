package oracle

import (
	"errors"
	"fmt"
	"iter"
	"math/big"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
)

// A Catalogue is master data as the oracle reads it: plain maps and whole rationals. What many records say alike (units,
// ratios, systems) is kept once: 200,000 items of a Retailer take some 150 MiB. One goroutine uses a Catalogue.
type Catalogue struct {
	skus  []string
	items []catalogueItem  // by index
	bySKU map[string]int32 // items
	codes naming[code]     // aliases as they stand: items
	bare  naming[code]     // SKUs and aliases of digits alone, without leading zeros: items
	gtins naming[string]   // by 14 digits: packs
	packs []packed
	sites map[string]*catalogueSite // by canonical name
	spots map[code][]string         // aliases of sites: canonical names

	memo []remembered

	unitSets map[string]*units   // what is shared, by what it says
	texts    map[string]string   //
	ratios   map[[2]int64]*ratio //
}

// memoSlots bounds what is remembered of codes that were looked up: 4 MiB.
const memoSlots = 1 << 17

// remembered is what a code was found to mean. A code's slot follows from its hash, and the youngest of a slot stays. The 64
// bits of the hash stand for the code: among 200,000 items with five codes each, two share them once in 37 million
// catalogues, and the verdict then fails: it never passes what is wrong.
type remembered struct {
	hash uint64 // 0: none
	what packed
}

// A code is a name within a system; "" as system is any.
type code struct{ system, code string }

// packed is what a GTIN stands for: an item, in its base unit or in a packing unit.
type packed struct {
	item int32
	unit string // "" where the name is not that of a unit
}

type catalogueItem struct {
	base     string
	integral bool
	lots     bool
	units    *units // the base unit is in it
}

// units are the units of an item. Most items of a catalogue have one of a few sets of them.
type units struct {
	names  []string
	ratios []*ratio
}

func (u *units) find(name string) *ratio {
	for i, n := range u.names {
		if n == name {
			return u.ratios[i]
		}
	}
	return nil
}

type ratio struct {
	num, den int64
	exact    *big.Rat
}

type catalogueSite struct {
	owners map[string]string // who owns a fact
}

// A naming says what names stand for, by index. Most stand for one thing, and need no list.
type naming[K comparable] struct {
	one  map[K]int32
	more map[K][]int32 // all of them, where there are several
}

func newNaming[K comparable]() naming[K] { return naming[K]{make(map[K]int32), make(map[K][]int32)} }

func (n *naming[K]) add(name K, meant int32) {
	first, known := n.one[name]
	if !known {
		n.one[name] = meant
		return
	}
	if n.more[name] == nil {
		n.more[name] = []int32{first}
	}
	n.more[name] = append(n.more[name], meant)
}

// appendTo appends what a name stands for.
func (n *naming[K]) appendTo(all []int32, name K) []int32 {
	first, known := n.one[name]
	if !known {
		return all
	}
	if len(n.more) > 0 {
		if several := n.more[name]; several != nil {
			return append(all, several...)
		}
	}
	return append(all, first)
}

// NewCatalogue is ReadCatalogue of lists.
func NewCatalogue(items []event.ItemMaster, sites []event.SiteMaster) (*Catalogue, error) {
	return ReadCatalogue(pointers(items), pointers(sites))
}

func pointers[T any](list []T) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range list {
			if !yield(&list[i]) {
				return
			}
		}
	}
}

// ReadCatalogue reads master data as topics items and sites carry it. The records are not kept: they may be the same one
// each time. A site that refuses movements where stock runs out is an error: which ones it refuses depends on the order of
// their arrival, and what was sent does not tell that.
func ReadCatalogue(items iter.Seq[*event.ItemMaster], sites iter.Seq[*event.SiteMaster]) (*Catalogue, error) {
	c := &Catalogue{
		memo:  make([]remembered, memoSlots),
		bySKU: make(map[string]int32), codes: newNaming[code](), bare: newNaming[code](), gtins: newNaming[string](),
		sites: make(map[string]*catalogueSite), spots: make(map[code][]string),
		unitSets: make(map[string]*units), texts: make(map[string]string), ratios: make(map[[2]int64]*ratio),
	}
	for m := range items {
		c.item(m)
	}
	for m := range sites {
		if m.NegativeStock == event.NegativeStockBlock {
			return nil, fmt.Errorf("oracle: site %s blocks movements that would take more than there is: what it refuses depends on the order of arrival, so its balances cannot be recounted; verify it with ALLOW or CLAMP", m.Site)
		}
		s, name := &catalogueSite{owners: make(map[string]string)}, strings.Clone(m.Site)
		c.sites[name] = s
		for _, a := range m.Aliases {
			k := code{c.shared(a.System.Or("")), strings.Clone(a.Code)}
			c.spots[k] = append(c.spots[k], name)
		}
		for _, o := range m.Owners {
			s.owners[strings.Clone(o.Fact)] = strings.Clone(o.System)
		}
	}
	c.unitSets, c.texts, c.ratios = nil, nil, nil
	return c, nil
}

// Items is how many items there are.
func (c *Catalogue) Items() int { return len(c.items) }

// Sites is how many sites there are.
func (c *Catalogue) Sites() int { return len(c.sites) }

// shared is a text of which there are few.
func (c *Catalogue) shared(text string) string {
	if kept, ok := c.texts[text]; ok {
		return kept
	}
	text = strings.Clone(text)
	c.texts[text] = text
	return text
}

func (c *Catalogue) item(m *event.ItemMaster) {
	sku := strings.Clone(m.SKU)
	at := int32(len(c.items))
	if earlier, known := c.bySKU[sku]; known {
		at = earlier // a newer version of the same item
	} else {
		c.bySKU[sku] = at
		c.items, c.skus = append(c.items, catalogueItem{}), append(c.skus, sku)
	}
	number := func(system, text string) {
		if digits(text) {
			c.bare.add(code{system, strings.TrimLeft(text, "0")}, at)
		}
	}
	number("", sku)
	for _, a := range m.Aliases {
		system, text := c.shared(a.System.Or("")), strings.Clone(a.Code)
		c.codes.add(code{system, text}, at)
		number(system, text)
	}
	gtin := func(text, unit string) {
		if g, ok := gtin14(text); ok {
			c.gtins.add(strings.Clone(g), int32(len(c.packs)))
			c.packs = append(c.packs, packed{at, unit})
		}
	}
	base := c.shared(m.BaseUOM)
	if m.GTIN.Valid {
		gtin(m.GTIN.Value, base)
	}
	set := units{names: []string{base}, ratios: []*ratio{c.ratio(1, 1)}}
	for _, u := range m.UOMs {
		unit := c.shared(u.UOM)
		if u.Num > 0 && u.Den > 0 {
			set.set(unit, c.ratio(u.Num, u.Den))
		}
		if u.GTIN.Valid {
			gtin(u.GTIN.Value, unit)
		}
	}
	c.items[at] = catalogueItem{base: base, integral: m.Integral, lots: m.LotTracked, units: c.sharedUnits(&set)}
}

func (u *units) set(name string, r *ratio) {
	if i := slices.Index(u.names, name); i >= 0 {
		u.ratios[i] = r
		return
	}
	u.names, u.ratios = append(u.names, name), append(u.ratios, r)
}

func (c *Catalogue) ratio(num, den int64) *ratio {
	r := c.ratios[[2]int64{num, den}]
	if r == nil {
		r = &ratio{num, den, big.NewRat(num, den)}
		c.ratios[[2]int64{num, den}] = r
	}
	return r
}

func (c *Catalogue) sharedUnits(u *units) *units {
	var says []byte
	for i, name := range u.names {
		says = fmt.Appendf(says, "%q %d/%d ", name, u.ratios[i].num, u.ratios[i].den)
	}
	if kept := c.unitSets[string(says)]; kept != nil {
		return kept
	}
	c.unitSets[string(says)] = u
	return u
}

func digits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// gtin14 is a GTIN of 8, 12, 13 or 14 digits in 14, if its check digit is right (GS1 General Specifications 7.9).
func gtin14(text string) (string, bool) {
	switch len(text) {
	case 8, 12, 13, 14:
	default:
		return "", false
	}
	if !digits(text) {
		return "", false
	}
	padded := strings.Repeat("0", 14-len(text)) + text
	sum := 0
	for i, d := range padded {
		weight := 3 - 2*(i%2) // 3, 1, 3, 1 ... 1
		sum += weight * int(d-'0')
	}
	return padded, sum%10 == 0
}

type resolved struct {
	sku, site string
	from, to  event.Bucket
	qty       event.Quantity
}

// A refusal is why a movement must not reach a balance, and where it comes out instead.
type refusal struct {
	trouble Trouble
	why     string
}

func (r *refusal) Error() string { return r.why }

func parked(missing event.MissingKind, why string) error {
	return &refusal{Trouble{Parked, missing.String()}, why}
}

// The refusals. The codes are those of docs/inventory.md.
var (
	errNoIdentity    = error(&refusal{Trouble{DeadLetters, "NO_IDENTITY"}, "no event id or dedupe key"})
	errNoDedupeKey   = error(&refusal{Trouble{DeadLetters, "NO_IDENTITY"}, "no dedupe key"})
	errNoSite        = error(&refusal{Trouble{DeadLetters, "NO_SITE"}, "no site"})
	errNoItem        = error(&refusal{Trouble{DeadLetters, "NO_ITEM"}, "no item"})
	errConverted     = error(&refusal{Trouble{DeadLetters, "BAD_MOVEMENT"}, "converted before it was enriched"})
	errOutside       = error(&refusal{Trouble{DeadLetters, "BAD_MOVEMENT"}, "from outside to outside"})
	errNotConverted  = error(&refusal{Trouble{DeadLetters, "NOT_ENRICHED"}, "never converted to the base unit"})
	errBeyond        = error(&refusal{Trouble{DeadLetters, "QTY_OVERFLOW"}, "moves more than 18 digits"})
	errUnknownItem   = parked(event.MissingKindItem, "unknown item")
	errUnknownSite   = parked(event.MissingKindSite, "unknown site")
	errUnknownUnit   = parked(event.MissingKindUnit, "unknown unit")
	errAmbiguousItem = error(&refusal{Trouble{Exceptions, "AMBIGUOUS_ITEM"}, "ambiguous item"})
	errAmbiguousSite = error(&refusal{Trouble{Exceptions, "AMBIGUOUS_SITE"}, "ambiguous site"})
	errNotOwner      = error(&refusal{Trouble{Exceptions, "REPORTED_BY_OTHER_SYSTEM"}, "another system owns the fact"})
	errNoLot         = error(&refusal{Trouble{Exceptions, "LOT_MISSING"}, "no lot"})
	errNoPlace       = error(&refusal{Trouble{Exceptions, "MISSING_BUCKET"}, "neither from nor to"})
	errRemainder     = error(&refusal{Trouble{Exceptions, "UNIT_REMAINDER"}, "remainder in the base unit"})
	errTooLarge      = error(&refusal{Trouble{Exceptions, "QTY_OVERFLOW"}, "more than 18 digits"})
	errNoQuantity    = error(&refusal{Trouble{Exceptions, "STATUS_CHANGE_WITHOUT_QUANTITY"}, "a change of status without a quantity"})

	errNoMasterData = errors.New("no master data")
)

// resolve says what a movement means. Its error is a *refusal: the first of its faults, in the order in which they are
// looked for.
func (c *Catalogue) resolve(m *event.InventoryMovement) (resolved, error) {
	var r resolved
	var err error
	if m.Header.EventID == "" || m.Header.DedupeKey == "" {
		return r, errNoIdentity
	}
	qty := m.QtySrc
	if qty == 0 && m.QtyDelta != 0 && !m.ItemVersion.Valid {
		return r, errConverted
	}
	if r.site, err = c.site(m.Header.SourceSystem, m.Header.Site); err != nil {
		return r, err
	}
	what, err := c.meant(m.Header.SourceSystem, m.SKU)
	if err != nil {
		return r, err
	}
	r.sku = c.skus[what.item]
	it := &c.items[what.item]
	unit := m.UOMSrc
	if unit == "" { // a case's GTIN without a unit counts cases
		unit = what.unit
	}
	if unit == "" {
		unit = it.base
	}
	ratio := it.units.find(unit)
	if ratio == nil {
		return r, errUnknownUnit
	}
	if m.Type == event.MovementTypeStatusChange && qty == 0 {
		qty = m.AfterQty.Or(0)
	}
	if r.qty, err = it.inBase(qty, ratio); err != nil {
		return r, err
	}
	if owner := c.sites[r.site].owners[factOf(m.Type)]; owner != "" && owner != m.Header.SourceSystem {
		return r, errNotOwner
	}
	if m.Type == event.MovementTypeStatusChange && qty == 0 {
		return r, errNoQuantity
	}
	if it.lots && m.Lot.Or("") == "" {
		return r, errNoLot
	}
	var ok bool
	if r.from, r.to, ok = placesOf(m); !ok {
		return r, errNoPlace
	}
	if r.from == event.BucketExternal && r.to == event.BucketExternal {
		return r, errOutside
	}
	return r, nil
}

// inBase converts exactly, or says why it does not come out even.
func (it *catalogueItem) inBase(qty event.Quantity, r *ratio) (event.Quantity, error) {
	base := qty
	const largeQty, largeNum = 1 << 42, 1 << 20 // what is less multiplies without overflow: 4 million units
	if r.den != 1 || r.num >= largeNum || qty >= largeQty || qty <= -largeQty {
		product := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(qty)), r.exact)
		if !product.IsInt() {
			return 0, errRemainder
		}
		millionths := product.Num()
		if new(big.Int).Abs(millionths).Cmp(big.NewInt(int64(event.MaxQuantity))) > 0 {
			return 0, errTooLarge
		}
		base = event.Quantity(millionths.Int64())
	} else if base *= event.Quantity(r.num); base > event.MaxQuantity || base < -event.MaxQuantity {
		return 0, errTooLarge
	}
	if it.integral && !base.Whole() {
		return 0, errRemainder
	}
	return base, nil
}

// site is a canonical name or an alias of the very system, else an alias of any.
func (c *Catalogue) site(system, name string) (string, error) {
	if name == "" {
		return "", errNoSite
	}
	near := c.spots[code{system, name}]
	if c.sites[name] != nil {
		near = append(slices.Clone(near), name)
	}
	for _, rank := range [][]string{near, c.spots[code{"", name}]} {
		switch meant := distinct(rank); len(meant) {
		case 0:
		case 1:
			return meant[0], nil
		default:
			return "", errAmbiguousSite
		}
	}
	return "", errUnknownSite
}

// meant is what a code names. Few codes make most of the movements, so that what was found is worth remembering.
func (c *Catalogue) meant(system, text string) (packed, error) {
	hash := mix(xxhash.Sum64String(text) ^ mix(xxhash.Sum64String(system)))
	slot := &c.memo[hash%memoSlots]
	if slot.hash == hash {
		return slot.what, nil
	}
	what, err := c.look(system, text)
	if err == nil {
		*slot = remembered{hash, what}
	}
	return what, err
}

// look ranks what a code may name: the SKU and aliases of the very system; aliases of any system; a GTIN; digits that differ
// in leading zeros alone. The first rank with a match decides, and two matches in it decide nothing.
func (c *Catalogue) look(system, text string) (packed, error) {
	if text == "" {
		return packed{}, errNoItem
	}
	var room [8]int32
	for rank := range 4 {
		found := room[:0]
		switch rank {
		case 0:
			found = c.codes.appendTo(found, code{system, text})
			if at, ok := c.bySKU[text]; ok {
				found = append(found, at)
			}
		case 1:
			found = c.codes.appendTo(found, code{"", text})
		case 2:
			if g, ok := gtin14(text); ok {
				found = c.gtins.appendTo(found, g)
			}
			if len(found) > 0 {
				return c.traded(found)
			}
		case 3:
			if digits(text) {
				trimmed := strings.TrimLeft(text, "0")
				found = c.bare.appendTo(c.bare.appendTo(found, code{system, trimmed}), code{"", trimmed})
			}
		}
		switch meant := distinct(found); len(meant) {
		case 0:
		case 1:
			return packed{item: meant[0]}, nil
		default:
			return packed{}, errAmbiguousItem
		}
	}
	return packed{}, errUnknownItem
}

// traded is the one pack that a GTIN may be.
func (c *Catalogue) traded(found []int32) (packed, error) {
	for _, other := range found[1:] {
		if c.packs[other] != c.packs[found[0]] {
			return packed{}, errAmbiguousItem
		}
	}
	return c.packs[found[0]], nil
}

// distinct drops repetitions. A list of one is returned as it is.
func distinct[T comparable](all []T) []T {
	if len(all) < 2 {
		return all
	}
	var d []T
	for _, one := range all {
		if !slices.Contains(d, one) {
			d = append(d, one)
		}
	}
	return d
}
