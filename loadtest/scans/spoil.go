package scans

import (
	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/avro/wire"
)

const (
	// strangers is how many codes that nothing answers to each kind of poison uses, so that few queues of parked events
	// stay behind.
	strangers = 16
	// noSchema is an id that no registry gives: they count up from 1, or from 100,001.
	noSchema = 2_000_000_011
	// beyond is a number of cases that has more than 18 digits in pieces.
	beyond = event.MaxQuantity / 2
	// cut is how many bytes of a record are missing at its end.
	cut = 3
	// tries bounds the search for an item that a kind of poison needs.
	tries = 64
)

// spoil makes the movement in hand one that must not be applied: an ordinary one, with one thing wrong.
func (r *retailer) spoil() {
	x := &r.seed
	f := happening{site: int32(r.site.pick(x)), item: int32(r.item.pick(x)), device: -1, event: r.scan.At}
	if r.fleet != nil {
		f.device = r.fleet.sites[f.site].first
	}
	p := r.fit(Poison(1+x.below(int(poisons)-1)), &f)
	r.decide(&f)
	r.scan.Poison, r.scan.Device = p, f.device
	r.write(&f, f.seq, f.ingest, false)
	m, t := &r.scan.Movement, &r.hand.text
	stranger := uint64(x.below(strangers))
	switch p {
	case WrongKind:
		r.fillMilestone(r.milestones) // the next one, too early and in the wrong place
	case NoIdentity:
		m.Header.DedupeKey = ""
	case OutsideToOutside:
		m.From, m.To = event.Some(event.Place{}), event.Some(event.Place{})
	case Remainder:
		m.QtySrc, m.UOMSrc = event.QuantityScale/2, piece
	case Overflow:
		m.QtySrc, m.UOMSrc = beyond, boxed
	case LotMissing:
		m.Lot.Valid = false
	case NotOwner:
		m.Header.SourceSystem, m.Header.Site = orderSystem, r.names.sites[f.site].name
		at := len(t.b)
		t.b = r.names.appendSKU(t.b, int(f.item))
		m.SKU = t.since(at)
		if m.UOMSrc == "" {
			m.UOMSrc = boxed
		}
	case NoBucket:
		m.Type = event.MovementTypeStatusChange
		m.From, m.To = event.Optional[event.Place]{}, event.Optional[event.Place]{}
	case UnknownItem:
		m.SKU, m.UOMSrc = t.add(r.names.run, "-NOITEM-", t.number("", stranger, 2)), piece
	case UnknownSite:
		m.Header.Site = t.add(r.names.run, "-NOSITE-", t.number("", stranger, 2))
	case UnknownUnit:
		m.UOMSrc = t.number("ZZ", stranger, 2)
	}
}

// fit gives a movement an item that the poison works on. Where there is none near it is another poison.
func (r *retailer) fit(p Poison, f *happening) Poison {
	wanted := func(int) bool { return true }
	switch p {
	case LotMissing:
		wanted = r.names.lotTracked
	case Overflow:
		wanted = func(i int) bool { return ratio(i) > 0 }
	}
	for range tries {
		if wanted(int(f.item)) {
			return p
		}
		f.item = (f.item + 1) % int32(r.load.SKUs)
	}
	return Remainder
}

// appendValue frames the event in hand, and spoils its bytes where its poison is in them.
func (r *retailer) appendValue(b []byte, s *serde.Serde) []byte {
	at := len(b)
	switch r.scan.Poison {
	case BadFraming:
		b = append(append(append(b, `{"sku":"`...), r.scan.Movement.SKU...), `","qty":`...)
		return append(r.scan.Movement.QtySrc.Append(b), '}')
	case UnknownSchema:
		return r.scan.Movement.AppendAvro(wire.Append(b, noSchema))
	case Truncated:
		b = r.scan.Movement.AppendAvro(wire.Append(b, s.ID(event.KindInventoryMovement)))
		return b[:max(at, len(b)-cut)]
	case WrongKind:
		return s.Append(b, &r.hand.milestone)
	}
	switch r.scan.Kind {
	case Milestone, Order, Item, Snapshot:
		return s.Append(b, r.record())
	}
	return r.scan.Movement.AppendAvro(wire.Append(b, s.ID(event.KindInventoryMovement)))
}
