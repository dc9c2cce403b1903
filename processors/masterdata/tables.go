// Package masterdata is the look-up structure of items and sites: which item or site a source means by a code, and how a
// unit converts to the item's base unit. One writer follows the topics items and sites; any number of tasks look up.
//
// It may not know where the records come from, and it never guesses. Invariants:
//
//   - A code that names two items is Ambiguous, whatever the order in which they came.
//   - A canonical SKU or site that was found once is found again by its own name: resolving twice changes nothing.
//   - An older version never replaces a newer one.
//   - A view (Item, Site) stays as it was when it was handed out, whatever is applied afterwards.
//   - A look-up allocates nothing.
package masterdata

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"crossdock/avro/event"
)

// A Finding says how a look-up ended.
type Finding uint8

// The three ways.
const (
	Unknown   Finding = iota // nothing has that name, yet
	Found                    // exactly one has
	Ambiguous                // two or more have, and nothing says which is meant
)

// Tables holds the items and sites. The zero value is empty and ready. Its methods may be called by any number of
// goroutines at once; Apply and Delete by one at a time as the topic's order demands.
type Tables struct {
	generation atomic.Uint64

	mu    sync.RWMutex // guards what is below
	items itemTable
	sites siteTable
}

// Generation rises with every change: equal generations mean equal tables.
func (t *Tables) Generation() uint64 { return t.generation.Load() }

// ApplyItem puts one version of an item. A version below the one that is known is ignored, an equal one replaces it (a
// topic read again). A unit whose ratio is not above zero (SAP's UMREN=0) is left out and named in the error; the rest
// of the item stands all the same, so that one bad unit does not park every movement of the item. The event is not kept.
func (t *Tables) ApplyItem(e *event.ItemMaster) (changed bool, err error) {
	if e.SKU == "" {
		return false, errors.New("item master without a SKU: give it one")
	}
	err = CheckItem(e)
	t.mu.Lock()
	changed = t.items.apply(e)
	t.mu.Unlock()
	if changed {
		t.generation.Add(1)
	}
	return changed, err
}

// CheckItem names everything in an item that the tables would leave out.
func CheckItem(e *event.ItemMaster) error {
	var problems []error
	if e.SKU == "" {
		problems = append(problems, errors.New("item master without a SKU: give it one"))
	}
	if e.BaseUOM == "" {
		problems = append(problems, fmt.Errorf("item %s has no base unit: name the unit its stock is kept in", e.SKU))
	}
	if e.GTIN.Valid {
		if _, ok := gtin14(e.GTIN.Value); !ok {
			problems = append(problems, fmt.Errorf("item %s: %q is no GTIN: it takes 8, 12, 13 or 14 digits with a right check digit (GS1 General Specifications 7.9)", e.SKU, e.GTIN.Value))
		}
	}
	for i := range e.UOMs {
		u := &e.UOMs[i]
		switch {
		case u.UOM == "":
			problems = append(problems, fmt.Errorf("item %s: unit %d has no code", e.SKU, i+1))
		case u.Num <= 0 || u.Den <= 0:
			problems = append(problems, fmt.Errorf("item %s: unit %s is %d/%d base units: both must be above 0", e.SKU, u.UOM, u.Num, u.Den))
		case u.UOM == e.BaseUOM && u.Num != u.Den:
			problems = append(problems, fmt.Errorf("item %s: unit %s is the base unit and cannot be %d/%d of itself", e.SKU, u.UOM, u.Num, u.Den))
		}
	}
	return errors.Join(problems...)
}

// DeleteItem forgets an item (a tombstone of the topic).
func (t *Tables) DeleteItem(sku string) (changed bool) {
	t.mu.Lock()
	changed = t.items.remove(sku)
	t.mu.Unlock()
	if changed {
		t.generation.Add(1)
	}
	return changed
}

// ApplySite puts one version of a site, by the same rules. The event is not kept.
func (t *Tables) ApplySite(e *event.SiteMaster) (changed bool, err error) {
	if e.Site == "" {
		return false, errors.New("site master without a site: give it one")
	}
	t.mu.Lock()
	changed = t.sites.apply(e)
	t.mu.Unlock()
	if changed {
		t.generation.Add(1)
	}
	return changed, nil
}

// DeleteSite forgets a site.
func (t *Tables) DeleteSite(site string) (changed bool) {
	t.mu.Lock()
	changed = t.sites.remove(site)
	t.mu.Unlock()
	if changed {
		t.generation.Add(1)
	}
	return changed
}

// Items counts the items, Sites the sites.
func (t *Tables) Items() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.items.live
}

// Sites counts the sites.
func (t *Tables) Sites() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.sites.byName)
}

// Item finds the item that a system means by a code. The ranks, the first that has a match decides:
//
//  1. the SKU itself, and the aliases of that very system: where these name different items, the code is Ambiguous;
//  2. aliases that hold for any system;
//  3. a GTIN of 8, 12, 13 or 14 digits, of the base unit or of a packing unit (Match.Unit then names it);
//  4. digits that differ in leading zeros alone (SAP's MATNR 000000000000012345 is 12345), among SKUs and the aliases above.
//
// Two items in the deciding rank are Ambiguous. An alias of another system never counts.
func (t *Tables) Item(system, code string) Match {
	t.mu.RLock()
	m := t.items.find(system, code)
	t.mu.RUnlock()
	return m
}

// ItemBySKU finds an item by its canonical SKU alone.
func (t *Tables) ItemBySKU(sku string) (Item, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n, ok := t.items.bySKU(sku)
	if !ok {
		return Item{}, false
	}
	return t.items.view(n), true
}

// Site finds the site that a system means by a code: the canonical site and that system's own aliases first (Ambiguous
// where these differ), then aliases that hold for any system. Leading zeros matter: 0100 and 100 may be two plants.
func (t *Tables) Site(system, code string) (Site, Finding) {
	t.mu.RLock()
	s, f := t.sites.find(system, code)
	t.mu.RUnlock()
	return s, f
}

// SiteByName finds a site by its canonical name alone.
func (t *Tables) SiteByName(site string) (Site, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s, ok := t.sites.byName[site]
	if !ok {
		return Site{}, false
	}
	return *s, true
}
