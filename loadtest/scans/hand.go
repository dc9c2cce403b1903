package scans

import (
	"crossdock/avro/event"
)

// hand is the event in hand, and what it is written with.
type hand struct {
	text      text
	canonical text
	item      int32 // of a movement, or of a row
	site      int32
	stamp     stamp
	ext       [2]event.Pair

	milestone event.ShipmentMilestone
	order     event.OrderRelease
	master    event.ItemMaster
	row       event.InventorySnapshot
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ids makes event ids: ULIDs (github.com/ulid/spec) whose 80 bits beside the time are not random but 40 of the run and 40
// of the event's place in it, so that no two events of a run, and none of two runs, share one.
type ids struct{ run [8]byte }

func newIDs(run string) ids {
	var d ids
	h := newRandomHash(run)
	for i := range d.run {
		d.run[i] = crockford[h>>(5*i)&31]
	}
	return d
}

// newRandomHash is a number of the run's name, also of none.
func newRandomHash(run string) uint64 {
	r := random{runHash(run)}
	return r.next()
}

// A stamp is the text of a ULID's time, kept as long as the millisecond lasts.
type stamp struct {
	millis uint64
	text   [10]byte
}

func (s *stamp) at(t event.Micros) *[10]byte {
	millis := uint64(t) / 1000
	if millis != s.millis || s.text[0] == 0 {
		s.millis = millis
		for i := len(s.text) - 1; i >= 0; i-- {
			s.text[i] = crockford[millis&31]
			millis >>= 5
		}
	}
	return &s.text
}

// id writes the event id of an event that was made at a time.
func (r *retailer) id(b []byte, seq int64, made event.Micros) []byte {
	b = append(b, r.hand.stamp.at(made)[:]...)
	b = append(b, r.ids.run[:]...)
	// An odd factor permutes the numbers of 40 bits.
	n := uint64(seq) * 0x9e3779b97f
	return append(b,
		crockford[n>>35&31], crockford[n>>30&31], crockford[n>>25&31], crockford[n>>20&31],
		crockford[n>>15&31], crockford[n>>10&31], crockford[n>>5&31], crockford[n&31])
}

// bin writes the name of a shelf: aisle, bay, level.
func bin(b []byte, bits uint64) []byte {
	aisle, bay, level := 2*(bits&31), bits>>16&255, 2*(bits>>32&15)
	hundreds := bay / 100
	bay = 2 * (bay - 100*hundreds)
	return append(b, 'A', two[aisle], two[aisle+1], '-', '0'+byte(hundreds), two[bay], two[bay+1], '-', two[level], two[level+1])
}

// write makes the movement in hand of what was decided. Every field that a Retailer uses is set, so that nothing has to
// be cleared; own and made are what its event id is made of.
func (r *retailer) write(f *happening, own int64, made event.Micros, enveloped bool) {
	site := &r.names.sites[f.site]
	w := &r.works[f.kind]
	r.hand.item, r.hand.site = f.item, f.site
	t := text{r.hand.text.b}
	m := &r.scan.Movement
	h := &m.Header
	bits := random{f.texts}
	places := bits.next()

	t.b = r.id(t.b, own, made)
	h.EventID = t.since(0)
	// Three lines a document, as a picker confirms them. The dedupe key contains the document's number and the line.
	at := len(t.b)
	t.b = append(t.b, r.prefixes[site.system][f.kind]...)
	document := len(t.b)
	t.b = appendDigits(t.b, uint64(4_900_000_000+f.seq/3), 10)
	t.b = append(append(t.b, '/'), r.names.run...)
	h.SourceDocID = t.since(document)
	t.b = append(t.b, ':', '0', '0', '1'+byte(f.seq%3), '0')
	h.SourceLine = event.Some(t.since(len(t.b) - 4))
	h.DedupeKey = t.since(at)
	h.CorrelationID = h.SourceDocID
	h.SourceSystem, h.SourceDocType = systemName[site.system], w.document
	h.SourceSeq = event.Some(f.seq)
	h.EventTime, h.IngestTime, h.CapturedTime = f.event, made, event.Some(f.event)
	h.Site = site.code
	ext := r.hand.ext[:0]
	if f.device >= 0 {
		ext = append(ext, event.Pair{Key: "device", Value: r.device(&t, f.device)})
	}
	if enveloped {
		ext = append(ext, event.Pair{Key: "control", Value: t.number("", uint64(own)%1_000_000_000, 9)})
	}
	h.Ext = ext

	at = len(t.b)
	t.b = r.names.appendCode(t.b, int(f.item), int(f.site), f.form)
	m.SKU = t.since(at)
	m.Type = w.movement
	m.QtySrc = event.Quantity(f.qty) * event.QuantityScale
	switch {
	case !f.cases:
		m.UOMSrc = piece
	case f.form == byCaseGTIN:
		m.UOMSrc = "" // the code says it
	default:
		m.UOMSrc = boxed
	}
	at = len(t.b)
	t.b = bin(t.b, places)
	shelf := event.Some(t.since(at))
	m.From, m.To = event.Optional[event.Place]{}, event.Optional[event.Place]{}
	if w.to != event.BucketExternal {
		m.To.Valid, m.To.Value.Bucket = true, w.to
	}
	if w.from != event.BucketExternal {
		m.From.Valid, m.From.Value.Bucket, m.From.Value.Location = true, w.from, shelf
	} else {
		m.To.Value.Location = shelf
	}
	m.Lot.Valid = f.lot
	if f.lot {
		m.Lot.Value = t.number("L", places>>40, 8)
	}
	m.ReasonSrc.Valid, m.ReasonCanon.Valid = w.reason != "", w.reason != ""
	m.ReasonSrc.Value, m.ReasonCanon.Value = w.reason, w.canonical
	m.Ref.Valid = f.order > 0
	m.Ref.Value.Order.Valid = f.order > 0
	if f.order > 0 {
		m.Ref.Value.Order.Value = r.orderNumber(&t, int64(f.order))
	}
	r.hand.text = t
}

func (r *retailer) device(t *text, n int32) string {
	at := len(t.b)
	t.b = append(append(t.b, r.names.run...), "-D"...)
	t.b = appendDigits(t.b, uint64(n), 5)
	return t.since(at)
}

func (r *retailer) orderNumber(t *text, n int64) string {
	at := len(t.b)
	t.b = append(append(t.b, r.names.run...), "-O"...)
	t.b = appendDigits(t.b, uint64(n), 8)
	return t.since(at)
}

// clear makes the movement in hand none: what is in hand is something else.
func (r *retailer) clear() {
	r.scan.Movement = event.InventoryMovement{}
	r.hand.item, r.hand.site = -1, -1
}

func (r *retailer) record() event.Record {
	switch r.scan.Kind {
	case Milestone:
		return &r.hand.milestone
	case Order:
		return &r.hand.order
	case Item:
		return &r.hand.master
	case Snapshot:
		return &r.hand.row
	}
	if r.scan.Poison == WrongKind {
		return &r.hand.milestone
	}
	return &r.scan.Movement
}

func (r *retailer) eventID() string {
	switch r.scan.Kind {
	case Milestone:
		return r.hand.milestone.Header.EventID
	case Order:
		return r.hand.order.Header.EventID
	case Item:
		return r.hand.master.Header.EventID
	case Snapshot:
		return r.hand.row.Header.EventID
	}
	return r.scan.Movement.Header.EventID
}

// appendKey joins the parts with "|" as topics.Key does: no name of a Retailer has one, nor a "\", so nothing is escaped.
func (r *retailer) appendKey(b []byte) []byte {
	var first, second string
	switch r.scan.Kind {
	case Milestone:
		return append(b, r.hand.milestone.Shipment...)
	case Order:
		first, second = r.hand.order.Order, r.hand.order.Header.Site
	case Item:
		return append(b, r.hand.master.SKU...)
	case Snapshot:
		first, second = r.hand.row.SKU, r.hand.row.Header.Site
	default:
		m := &r.scan.Movement
		b = append(append(b, m.Header.SourceSystem...), '|')
		first, second = m.Header.Site, m.SKU
	}
	return append(append(append(b, first...), '|'), second...)
}

func (r *retailer) canonical() (sku, site string) {
	if r.hand.item < 0 {
		return "", ""
	}
	t := &r.hand.canonical
	t.b = r.names.appendSKU(t.b[:0], int(r.hand.item))
	return t.since(0), r.names.sites[r.hand.site].name
}
