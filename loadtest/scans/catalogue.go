package scans

import (
	"errors"
	"fmt"

	"crossdock/avro/event"
)

// A Catalogue is what a Scans generator moves: items by the codes that a scanner reads, sites by what their systems call
// them.
type Catalogue struct {
	items []item
	sites []place
}

// bound on the pairs of item and site: their stock is kept in memory.
const maxPairs = 1_000_000

type item struct {
	base  string
	lots  bool
	units []unit // beside the base unit; whole numbers of base units alone
	codes []code // "" as system is any
}

type unit struct {
	code  string
	ratio int
}

type code struct{ system, code string }

type place struct {
	system, location string
	busy             bool
}

// scanner is the source system of a site whose own system has no name for it.
const scanner = "scanner"

// NewCatalogue reads master data as topics items and sites carry it. Items rank by popularity: the first is the most
// asked for. Distribution centres are the busy sites. The records are not kept.
func NewCatalogue(items []event.ItemMaster, sites []event.SiteMaster) (*Catalogue, error) {
	c := &Catalogue{}
	if len(items) == 0 || len(sites) == 0 {
		return nil, errors.New("catalogue: it needs at least one item and one site")
	}
	if len(items)*len(sites) > maxPairs {
		return nil, fmt.Errorf("catalogue: %d items at %d sites are more than %d pairs: give fewer, or use the enriched shape", len(items), len(sites), maxPairs)
	}
	for i := range items {
		m := &items[i]
		it := item{base: m.BaseUOM, lots: m.LotTracked, codes: []code{{"", m.SKU}}}
		if m.GTIN.Valid {
			it.codes = append(it.codes, code{"", m.GTIN.Value})
		}
		for _, a := range m.Aliases {
			it.codes = append(it.codes, code{a.System.Or(""), a.Code})
		}
		for _, u := range m.UOMs {
			if u.UOM != m.BaseUOM && u.Den > 0 && u.Num > u.Den && u.Num%u.Den == 0 && u.Num/u.Den <= 1000 {
				it.units = append(it.units, unit{u.UOM, int(u.Num / u.Den)})
			}
		}
		c.items = append(c.items, it)
	}
	for i := range sites {
		m := &sites[i]
		p := place{system: scanner, location: m.Site, busy: m.Type == event.SiteTypeDC}
		for _, a := range m.Aliases {
			p.location = a.Code
			if a.System.Valid {
				p.system = a.System.Value
				break
			}
		}
		c.sites = append(c.sites, p)
	}
	return c, nil
}

// codeAt is what a scanner at the site reads for the item: one of the codes that its system knows, always the same one,
// so that all movements of an item at a site have one key before enrichment and stay in order.
func (c *Catalogue) codeAt(it, at int) string {
	system := c.sites[at].system
	known := make([]string, 0, len(c.items[it].codes))
	for _, k := range c.items[it].codes {
		if k.system == "" || k.system == system {
			known = append(known, k.code)
		}
	}
	return known[(it+at)%len(known)]
}
