// Package enrich makes canonical events of events that speak their source's language: the source's location becomes a
// site, its item code a SKU, its unit the item's base unit. The stage reads movements; translate and parking use the
// same function, through interfaces of their own.
//
// It looks up and computes, and keeps no state. Invariants:
//
//   - N5 What master data does not know is parked, never guessed and never lost. The order of the questions is fixed (site,
//     then item, then unit), so what an event waited for says what it has resolved already.
//   - N10 Quantities are converted in exact rationals, in 128 bits. What does not come out even is an exception.
//   - An event of several lines is resolved as a whole or not at all: one missing reference parks the document.
//   - An event is changed only where all of it, or all up to what is missing, is known.
//
// Rules of lots and items:
//
//   - A movement of a lot-tracked item names its lot; without one it is an exception, not posted. Orders, notices, returns
//     and counts may leave the lot open.
//   - A lot on an item that is not lot-tracked is kept as it came, and so is an expiry date: losing a batch number that
//     somebody scanned helps nobody, and nothing is posted differently for it.
//   - A movement of a blocked item happened, so it is posted, with a warning beside it. An order for a blocked item is
//     held as an exception.
//   - N11, its first half: where a site's master data names the system that owns a fact, another system's report of such a
//     movement is never posted; it becomes an exception for information. Matching the two is not done here.
package enrich

import (
	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

// A Verdict says what becomes of an event.
type Verdict uint8

// The verdicts.
const (
	Resolved Verdict = iota // it goes to its stage's inbox
	Missing                 // it waits for master data
	Held                    // a person must look; the event is not applied
	Rejected                // it is broken; the bytes become a dead letter
)

// An Outcome is what Resolve found. It belongs to the Resolver, and is good until its next Resolve.
type Outcome struct {
	Verdict   Verdict
	To        topics.ID                 // Resolved: the inbox
	Key       []byte                    // Resolved: its key
	Missing   masterdata.Reference      // Missing
	Exception *event.LogisticsException // Held: instead of the event; Resolved: beside it, or nil
	Rejection *processors.Rejection     // Rejected
}

// A Progress says what of an event is resolved already, because it waited for what comes after.
type Progress uint8

// How far an event has come.
const (
	Nothing   Progress = iota
	SiteKnown          // the header's site is canonical
	ItemKnown          // and so is the SKU of an event of one SKU
)

// ProgressOf is how far an event had come that waited for a reference of a kind.
func ProgressOf(waited event.MissingKind) Progress {
	switch waited {
	case event.MissingKindItem:
		return SiteKnown
	case event.MissingKindUnit:
		return ItemKnown
	default:
		return Nothing
	}
}

// A Resolver resolves the events of one task. It is not for several goroutines; the tables it reads are.
type Resolver struct {
	tables *masterdata.Tables
	out    Outcome
	key    []byte
	lines  []line
	note   event.LogisticsException
	parked event.ParkedEvent
	framed []byte
}

// NewResolver makes a Resolver that looks up in tables.
func NewResolver(tables *masterdata.Tables) *Resolver { return &Resolver{tables: tables} }

// Resolve resolves an event in place. Where the verdict is Missing, what comes before the missing reference is resolved
// and the rest is as it was. It depends on nothing but the event, the progress and the tables.
func (r *Resolver) Resolve(e event.Record, done Progress) *Outcome {
	r.out = Outcome{}
	switch e := e.(type) {
	case *event.InventoryMovement:
		r.movement(e, done)
	case *event.InventorySnapshot:
		r.snapshot(e, done)
	case *event.InventoryPolicy:
		if r.stock(&e.Header, &e.SKU, done) {
			r.resolved(topics.InventoryInbox, e.SKU, e.Header.Site)
		}
	case *event.Reservation:
		if r.stock(&e.Header, &e.SKU, done) {
			r.resolved(topics.InventoryInbox, e.SKU, e.Header.Site)
		}
	case *event.ReservationRequest:
		if r.stock(&e.Header, &e.SKU, done) {
			r.resolved(topics.InventoryInbox, e.SKU, e.Header.Site)
		}
	case *event.OrderRelease:
		r.release(e, done)
	case *event.InboundNotice:
		r.notice(e, done)
	case *event.ShipmentMilestone:
		r.milestone(e, done)
	case *event.ReturnEvent:
		r.returned(e, done)
	case *event.LogisticsException:
		r.exception(e)
	case *event.ItemMaster:
		if err := masterdata.CheckItem(e); err != nil {
			r.reject(BadMaster, "correct the item in its own system and send it again", "%v", err)
			break
		}
		r.resolved(topics.Items, e.SKU)
	case *event.SiteMaster:
		if e.Site == "" {
			r.reject(BadMaster, "give it one and send it again", "site master %s without a site", e.Header.EventID)
			break
		}
		r.resolved(topics.Sites, e.Site)
	default:
		r.reject(processors.UnexpectedKind, "send it to the topic of its kind", "%s is made by a stage and cannot come from a source", e.Kind())
	}
	return &r.out
}

func (r *Resolver) resolved(to topics.ID, parts ...string) {
	r.key = topics.Key(r.key[:0], parts...)
	r.out.Verdict, r.out.To, r.out.Key = Resolved, to, r.key
}

func (r *Resolver) missing(kind event.MissingKind, system, code, sku string) {
	r.out.Verdict, r.out.Missing = Missing, masterdata.Reference{Kind: kind, System: system, Code: code, SKU: sku}
}

func (r *Resolver) reject(cause processors.Cause, remedy, format string, args ...any) {
	r.out.Verdict, r.out.Rejection = Rejected, processors.Rejectf(cause, remedy, format, args...)
}

// identified rejects an event that cannot be told from another.
func (r *Resolver) identified(h *event.EventHeader, kind event.Kind) bool {
	if h.EventID != "" && h.DedupeKey != "" {
		return true
	}
	r.reject(NoIdentity, "have the source name what happened: document, line and version",
		"%s of %s, document %s, has no event id or no dedupe key, so that a repetition would be counted twice", kind, h.SourceSystem, h.SourceDocID)
	return false
}

// site looks up a location code of the event's source.
func (r *Resolver) site(h *event.EventHeader, code string, done Progress) (s masterdata.Site, ok bool) {
	if done >= SiteKnown {
		// A site whose master record was withdrawn meanwhile falls through, and is looked for as a code.
		if s, ok = r.tables.SiteByName(code); ok {
			return s, true
		}
	}
	if code == "" {
		r.reject(NoSite, "have the source name its location", "event %s names no site", h.EventID)
		return s, false
	}
	s, found := r.tables.Site(h.SourceSystem, code)
	switch found {
	case masterdata.Found:
		return s, true
	case masterdata.Ambiguous:
		r.hold(h, ClassAmbiguousSite, event.SeverityError, code, "")
		r.out.Exception.Detail = "location " + code + " of " + h.SourceSystem + " is the name of more than one site"
		r.out.Exception.Remedy = "take the alias away from all sites but one, then replay the document"
	default:
		r.missing(event.MissingKindSite, h.SourceSystem, code, "")
	}
	return s, false
}

// item looks up an item code of the event's source. unit is the packing unit that the code's GTIN names.
func (r *Resolver) item(h *event.EventHeader, code string, done Progress) (item masterdata.Item, unit string, ok bool) {
	if done >= ItemKnown {
		if item, ok = r.tables.ItemBySKU(code); ok {
			return item, "", true
		}
	}
	if code == "" {
		r.reject(NoItem, "have the source name the item", "event %s names no item", h.EventID)
		return item, "", false
	}
	m := r.tables.Item(h.SourceSystem, code)
	switch m.Finding {
	case masterdata.Found:
		return m.Item, m.Unit, true
	case masterdata.Ambiguous:
		r.hold(h, ClassAmbiguousItem, event.SeverityError, code, m.Item.SKU)
		r.out.Exception.Detail = "item " + code + " of " + h.SourceSystem + " may be " + m.Item.SKU + " or " + m.Rival
		if m.Rival == m.Item.SKU {
			r.out.Exception.Detail = "GTIN " + code + " is the number of two units of " + m.Item.SKU
		}
		r.out.Exception.Remedy = "leave the code to one of them in master data, then replay the document"
	default:
		r.missing(event.MissingKindItem, h.SourceSystem, code, "")
	}
	return item, "", false
}

// unit finds the ratio of a unit; "" is the base unit.
func (r *Resolver) unit(h *event.EventHeader, item *masterdata.Item, uom string) (ratio masterdata.Ratio, ok bool) {
	if uom == "" {
		return masterdata.Ratio{Num: 1, Den: 1}, true
	}
	if ratio, ok = item.Unit(uom); !ok {
		r.missing(event.MissingKindUnit, h.SourceSystem, uom, item.SKU)
	}
	return ratio, ok
}

// convert makes base units of a quantity (N10).
func (r *Resolver) convert(h *event.EventHeader, item *masterdata.Item, ratio masterdata.Ratio, q event.Quantity, uom string) (event.Quantity, bool) {
	base, how := ratio.Convert(q, item.Integral)
	switch how {
	case masterdata.Exact:
		return base, true
	case masterdata.Remainder:
		r.hold(h, ClassRemainder, event.SeverityError, item.SKU, item.SKU)
		x := r.out.Exception
		if item.Integral {
			x.Detail = said(q, uom, item) + " of " + item.SKU + " is no whole number of " + item.BaseUOM
			x.Expected = event.Some("a whole number of " + item.BaseUOM)
		} else {
			x.Detail = said(q, uom, item) + " of " + item.SKU + " does not come out even in millionths of " + item.BaseUOM
			x.Expected = event.Some("at most 6 decimals of " + item.BaseUOM)
		}
		x.Actual = event.Some(said(q, uom, item) + " at " + ratioText(ratio) + " " + item.BaseUOM)
		x.Remedy = "check the quantity at the source, or the unit's ratio in the item master, then replay the document"
	default:
		r.hold(h, ClassOverflow, event.SeverityError, item.SKU, item.SKU)
		x := r.out.Exception
		x.Detail = said(q, uom, item) + " of " + item.SKU + " is more than 999,999,999,999.999999 " + item.BaseUOM
		x.Remedy = "check the quantity and the unit at the source, then send the document again"
	}
	return 0, false
}

// stock resolves the site and the SKU of an event that is in base units already.
func (r *Resolver) stock(h *event.EventHeader, sku *string, done Progress) bool {
	s, ok := r.site(h, h.Site, done)
	if !ok {
		return false
	}
	h.Site = s.Name
	item, _, ok := r.item(h, *sku, done)
	if !ok {
		return false
	}
	*sku = item.SKU
	return true
}
