package oracle

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"crossdock/avro/event"
)

// A Catalogue is master data as the oracle reads it: plain maps, whole rationals, nothing clever.
type Catalogue struct {
	items map[string]*catalogueItem // by canonical SKU
	codes map[code][]string         // aliases as they stand: SKUs
	bare  map[code][]string         // SKUs and aliases of digits alone, without leading zeros: SKUs
	gtins map[string][]packed       // by 14 digits
	sites map[string]*catalogueSite // by canonical name
	spots map[code][]string         // aliases of sites: canonical names
}

// A code is a name within a system; "" as system is any.
type code struct{ system, code string }

// packed is what a GTIN stands for: an item, in its base unit or in a packing unit.
type packed struct{ sku, unit string }

type catalogueItem struct {
	base     string
	integral bool
	lots     bool
	units    map[string]*big.Rat
}

type catalogueSite struct {
	owners map[string]string // who owns a fact
}

// NewCatalogue reads master data as topics items and sites carry it. The records are not kept. A site that refuses
// movements where stock runs out is an error: which ones it refuses depends on the order of their arrival, and what was
// sent does not tell that.
func NewCatalogue(items []event.ItemMaster, sites []event.SiteMaster) (*Catalogue, error) {
	c := &Catalogue{
		items: make(map[string]*catalogueItem), codes: make(map[code][]string), bare: make(map[code][]string),
		gtins: make(map[string][]packed), sites: make(map[string]*catalogueSite), spots: make(map[code][]string),
	}
	for i := range items {
		c.item(&items[i])
	}
	for i := range sites {
		m := &sites[i]
		if m.NegativeStock == event.NegativeStockBlock {
			return nil, fmt.Errorf("oracle: site %s blocks movements that would take more than there is: what it refuses depends on the order of arrival, so its balances cannot be recounted; verify it with ALLOW or CLAMP", m.Site)
		}
		s := &catalogueSite{owners: make(map[string]string)}
		c.sites[m.Site] = s
		for _, a := range m.Aliases {
			k := code{a.System.Or(""), a.Code}
			c.spots[k] = append(c.spots[k], m.Site)
		}
		for _, o := range m.Owners {
			s.owners[o.Fact] = o.System
		}
	}
	return c, nil
}

func (c *Catalogue) item(m *event.ItemMaster) {
	it := &catalogueItem{base: m.BaseUOM, integral: m.Integral, lots: m.LotTracked, units: map[string]*big.Rat{m.BaseUOM: big.NewRat(1, 1)}}
	c.items[m.SKU] = it
	number := func(system, text string) {
		if digits(text) {
			k := code{system, strings.TrimLeft(text, "0")}
			c.bare[k] = append(c.bare[k], m.SKU)
		}
	}
	number("", m.SKU)
	for _, a := range m.Aliases {
		k := code{a.System.Or(""), a.Code}
		c.codes[k] = append(c.codes[k], m.SKU)
		number(a.System.Or(""), a.Code)
	}
	gtin := func(text, unit string) {
		if g, ok := gtin14(text); ok {
			c.gtins[g] = append(c.gtins[g], packed{m.SKU, unit})
		}
	}
	if m.GTIN.Valid {
		gtin(m.GTIN.Value, m.BaseUOM)
	}
	for _, u := range m.UOMs {
		if u.Num > 0 && u.Den > 0 {
			it.units[u.UOM] = big.NewRat(u.Num, u.Den)
		}
		if u.GTIN.Valid {
			gtin(u.GTIN.Value, u.UOM)
		}
	}
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

// Why a movement must not reach a balance. Some wait for master data, others become exceptions or dead letters: the
// oracle's only claim is that their stock does not move.
var (
	errNoIdentity    = errors.New("no event id or dedupe key")
	errUnknownItem   = errors.New("unknown item")
	errAmbiguousItem = errors.New("ambiguous item")
	errUnknownSite   = errors.New("unknown site")
	errAmbiguousSite = errors.New("ambiguous site")
	errUnknownUnit   = errors.New("unknown unit")
	errNotOwner      = errors.New("another system owns the fact")
	errNoLot         = errors.New("no lot")
	errNoPlace       = errors.New("neither from nor to")
	errRemainder     = errors.New("remainder in the base unit")
	errTooLarge      = errors.New("more than 18 digits")
	errConverted     = errors.New("converted before it was enriched")
	errNoQuantity    = errors.New("a change of status without a quantity")
)

// resolve says what a movement means. Its error is a reason why it must not reach a balance.
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
	r.sku = what.sku
	it := c.items[r.sku]
	unit := m.UOMSrc
	if unit == "" { // a case's GTIN without a unit counts cases
		unit = what.unit
	}
	if unit == "" {
		unit = it.base
	}
	ratio := it.units[unit]
	if ratio == nil {
		return r, errUnknownUnit
	}
	if owner := c.sites[r.site].owners[factOf(m.Type)]; owner != "" && owner != m.Header.SourceSystem {
		return r, errNotOwner
	}
	if m.Type == event.MovementTypeStatusChange && qty == 0 {
		if qty = m.AfterQty.Or(0); qty == 0 {
			return r, errNoQuantity
		}
	}
	if it.lots && m.Lot.Or("") == "" {
		return r, errNoLot
	}
	var ok bool
	if r.from, r.to, ok = placesOf(m); !ok {
		return r, errNoPlace
	}
	r.qty, err = it.inBase(qty, ratio)
	return r, err
}

func (it *catalogueItem) inBase(qty event.Quantity, ratio *big.Rat) (event.Quantity, error) {
	product := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(qty)), ratio)
	if !product.IsInt() {
		return 0, errRemainder
	}
	millionths := product.Num()
	if new(big.Int).Abs(millionths).Cmp(big.NewInt(int64(event.MaxQuantity))) > 0 {
		return 0, errTooLarge
	}
	base := event.Quantity(millionths.Int64())
	if it.integral && !base.Whole() {
		return 0, errRemainder
	}
	return base, nil
}

// site is a canonical name or an alias of the very system, else an alias of any.
func (c *Catalogue) site(system, name string) (string, error) {
	near := append([]string(nil), c.spots[code{system, name}]...)
	if c.sites[name] != nil {
		near = append(near, name)
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

// meant ranks what a code may name: the SKU and aliases of the very system; aliases of any system; a GTIN; digits that
// differ in leading zeros alone. The first rank with a match decides, and two matches in it decide nothing.
func (c *Catalogue) meant(system, text string) (packed, error) {
	near := append([]string(nil), c.codes[code{system, text}]...)
	if c.items[text] != nil {
		near = append(near, text)
	}
	var bare []string
	if digits(text) {
		trimmed := strings.TrimLeft(text, "0")
		bare = append(append(bare, c.bare[code{system, trimmed}]...), c.bare[code{"", trimmed}]...)
	}
	var trade []packed
	if g, ok := gtin14(text); ok {
		trade = c.gtins[g]
	}
	inBase := func(skus []string) (p []packed) {
		for _, sku := range skus {
			p = append(p, packed{sku: sku})
		}
		return p
	}
	for _, rank := range [][]packed{inBase(near), inBase(c.codes[code{"", text}]), trade, inBase(bare)} {
		switch meant := distinct(rank); len(meant) {
		case 0:
		case 1:
			return meant[0], nil
		default:
			return packed{}, errAmbiguousItem
		}
	}
	return packed{}, errUnknownItem
}

func distinct[T comparable](all []T) []T {
	var d []T
	for _, one := range all {
		if !slices.Contains(d, one) {
			d = append(d, one)
		}
	}
	return d
}
