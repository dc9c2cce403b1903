package oracle

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"crossdock/avro/event"
)

// A Catalogue is master data as the oracle reads it: plain maps, whole rationals, nothing clever.
type Catalogue struct {
	items map[string]*catalogueItem // by canonical SKU
	names map[name][]string         // what a code may mean: SKUs
	sites map[name][]string
	known map[string]bool // canonical sites
}

// A name is a code within a system; "" as system is any. form keeps the ways to write a number apart from the codes as
// they stand.
type name struct {
	form   byte // 'c' the code as it stands, 'g' a GTIN in 14 digits, 'z' a number without leading zeros
	system string
	code   string
}

type catalogueItem struct {
	base     string
	integral bool
	lots     bool
	units    map[string]*big.Rat
}

// NewCatalogue reads master data as topics items and sites carry it. The records are not kept. A site that refuses
// movements where stock runs out is an error: which ones it refuses depends on the order of their arrival, and what was
// sent does not tell that.
func NewCatalogue(items []event.ItemMaster, sites []event.SiteMaster) (*Catalogue, error) {
	c := &Catalogue{
		items: make(map[string]*catalogueItem), names: make(map[name][]string),
		sites: make(map[name][]string), known: make(map[string]bool),
	}
	for i := range items {
		m := &items[i]
		it := &catalogueItem{base: m.BaseUOM, integral: m.Integral, lots: m.LotTracked, units: map[string]*big.Rat{m.BaseUOM: big.NewRat(1, 1)}}
		c.items[m.SKU] = it
		c.name(m.SKU, "", m.SKU)
		if m.GTIN.Valid {
			c.name(m.SKU, "", m.GTIN.Value)
		}
		for _, a := range m.Aliases {
			c.name(m.SKU, a.System.Or(""), a.Code)
		}
		for _, u := range m.UOMs {
			if u.GTIN.Valid {
				c.name(m.SKU, "", u.GTIN.Value)
			}
			if u.Num > 0 && u.Den > 0 {
				it.units[u.UOM] = big.NewRat(u.Num, u.Den)
			}
		}
	}
	for i := range sites {
		m := &sites[i]
		if m.NegativeStock == event.NegativeStockBlock {
			return nil, fmt.Errorf("oracle: site %s blocks movements that would take more than there is: what it refuses depends on the order of arrival, so its balances cannot be recounted; verify it with ALLOW or CLAMP", m.Site)
		}
		c.known[m.Site] = true
		for _, a := range m.Aliases {
			n := name{'c', a.System.Or(""), a.Code}
			c.sites[n] = append(c.sites[n], m.Site)
		}
	}
	return c, nil
}

func (c *Catalogue) name(sku, system, code string) {
	for _, n := range forms(system, code) {
		c.names[n] = append(c.names[n], sku)
	}
}

// forms are the ways in which a code is the same code, the narrowest first.
func forms(system, code string) []name {
	f := []name{{'c', system, code}}
	if code == "" || strings.Trim(code, "0123456789") != "" {
		return f
	}
	if n := len(code); n == 8 || n == 12 || n == 13 || n == 14 {
		f = append(f, name{'g', system, strings.Repeat("0", 14-n) + code})
	}
	return append(f, name{'z', system, strings.TrimLeft(code, "0")})
}

type resolved struct {
	sku, site string
	qty       event.Quantity
}

var (
	errUnknownItem   = errors.New("unknown item")
	errAmbiguousItem = errors.New("ambiguous item")
	errUnknownSite   = errors.New("unknown site")
	errUnknownUnit   = errors.New("unknown unit")
	errNoLot         = errors.New("no lot")
	errRemainder     = errors.New("remainder in the base unit")
	errTooLarge      = errors.New("more than 18 digits")
)

// resolve says what a movement means. Its error is a reason why it must not reach a balance.
func (c *Catalogue) resolve(m *event.InventoryMovement) (resolved, error) {
	var r resolved
	var err error
	if r.site, err = c.site(m.Header.SourceSystem, m.Header.Site); err != nil {
		return r, err
	}
	if r.sku, err = c.sku(m.Header.SourceSystem, m.SKU); err != nil {
		return r, err
	}
	it := c.items[r.sku]
	if it.lots && m.Lot.Or("") == "" {
		return r, errNoLot
	}
	ratio := it.units[it.base]
	if m.UOMSrc != "" {
		if ratio = it.units[m.UOMSrc]; ratio == nil {
			return r, errUnknownUnit
		}
	}
	product := new(big.Rat).Mul(new(big.Rat).SetInt64(int64(m.QtySrc)), ratio)
	if !product.IsInt() {
		return r, errRemainder
	}
	millionths := product.Num()
	if new(big.Int).Abs(millionths).Cmp(big.NewInt(int64(event.MaxQuantity))) > 0 {
		return r, errTooLarge
	}
	r.qty = event.Quantity(millionths.Int64())
	if it.integral && r.qty%event.QuantityScale != 0 {
		return r, errRemainder
	}
	return r, nil
}

func (c *Catalogue) site(system, code string) (string, error) {
	for _, n := range []name{{'c', system, code}, {'c', "", code}} {
		if named := c.sites[n]; len(named) == 1 {
			return named[0], nil
		}
	}
	if c.known[code] {
		return code, nil
	}
	return "", errUnknownSite
}

// sku takes the narrowest form that anything has: the canonical SKU, then the code as the system writes it, then as any
// does, then the same with GTINs and leading zeros alike.
func (c *Catalogue) sku(system, code string) (string, error) {
	if c.items[code] != nil {
		return code, nil
	}
	for _, form := range forms(system, code) {
		for _, s := range []string{system, ""} {
			form.system = s
			switch meant := distinct(c.names[form]); len(meant) {
			case 0:
			case 1:
				return meant[0], nil
			default:
				return "", errAmbiguousItem
			}
		}
	}
	return "", errUnknownItem
}

func distinct(names []string) []string {
	var d []string
	for _, n := range names {
		if len(d) == 0 || d[0] != n {
			d = append(d, n)
		}
	}
	return d
}
