package scans

import (
	"strconv"
	"unsafe"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// render makes the movement of what was decided. Its texts follow from the facts' seeds alone, so that a repeated
// movement says the same again.
func (g *Generator) render(f *facts) {
	g.buffer = g.buffer[:0]
	w := &g.works[f.kind]
	texts, envelope := random{f.texts ^ g.runHash}, random{f.envelope ^ g.runHash}
	system := g.shape.systems[f.site]
	millis := uint64(f.event / 1000)

	m := &g.scan.Movement
	h := &m.Header
	serials := m.Serials[:0]
	*m = event.InventoryMovement{}
	m.Serials = serials
	g.scan.Kind = f.kind

	h.EventID = g.ulid(uint64(f.ingest/1000), &envelope)
	h.CorrelationID = g.ulid(millis, &texts)
	h.SourceSystem, h.SourceDocType = system, w.document
	// Three lines a document, as a picker confirms them. Numbers rise with the run and, as a warehouse's do, start again:
	// the seed stands in for the year's scope.
	at := len(g.buffer)
	g.digits(uint64(4_900_000_000+f.seq/3), 10)
	g.buffer = append(g.buffer, '/')
	if g.load.Run != "" {
		g.buffer = append(g.buffer, g.load.Run...)
	} else {
		g.digits(g.load.Seed%10_000, 4)
	}
	h.SourceDocID = g.since(at)
	at = len(g.buffer)
	g.digits(uint64(10*(1+f.seq%3)), 4)
	line := g.since(at)
	h.SourceLine = event.Some(line)
	at = len(g.buffer)
	g.buffer = append(append(append(g.buffer, system...), ':'), w.document...)
	g.buffer = append(append(append(g.buffer, ':'), h.SourceDocID...), ':')
	g.buffer = append(g.buffer, line...)
	h.DedupeKey = g.since(at)
	h.SourceSeq = event.Some(f.seq)
	h.EventTime, h.IngestTime = f.event, f.ingest
	h.CapturedTime = event.Some(f.event)
	h.Site = g.shape.sites[f.site]
	if f.reEnveloping {
		at = len(g.buffer)
		g.digits(envelope.next()%1_000_000_000, 9)
		g.ext = append(g.ext[:0], event.Pair{Key: "control", Value: g.since(at)})
		h.Ext = g.ext
	}

	m.Type = w.movement
	qty := event.Quantity(f.qty) * event.QuantityScale
	m.QtySrc = qty
	if g.shape.asScanned {
		it := &g.shape.items[f.item]
		m.SKU = g.shape.codes[f.item][f.site]
		m.UOMSrc = it.base
		if f.unit > 0 {
			m.UOMSrc = it.units[f.unit-1].code
		}
	} else {
		m.SKU = g.shape.skus[f.item]
		m.QtyDelta, m.UOMSrc = qty, "EA"
		m.ItemVersion = event.Some[int64](1)
	}
	if w.from != event.BucketExternal {
		m.From = event.Some(event.Place{Bucket: w.from, Location: g.bin(&texts)})
	}
	if w.to != event.BucketExternal {
		m.To = event.Some(event.Place{Bucket: w.to})
		if !m.From.Valid {
			m.To.Value.Location = g.bin(&texts)
		}
	}
	if f.lot {
		at = len(g.buffer)
		g.buffer = append(g.buffer, 'L')
		g.digits(uint64(texts.below(10_000_000)), 7)
		m.Lot = event.Some(g.since(at))
	}
	if w.reason != "" {
		m.ReasonSrc, m.ReasonCanon = event.Some(w.reason), event.Some(w.canonical)
	}
	if w.ordered {
		at = len(g.buffer)
		g.buffer = append(g.buffer, "SO-"...)
		g.digits(uint64(texts.below(100_000_000)), 8)
		m.Ref = event.Some(event.Reference{Order: event.Some(g.since(at))})
	}
}

// AppendKey appends the record key of the event in hand.
func (g *Generator) AppendKey(b []byte) []byte {
	if g.retail != nil {
		return g.retail.appendKey(b)
	}
	m := &g.scan.Movement
	if g.shape.asScanned {
		return topics.Key(b, m.Header.SourceSystem, m.Header.Site, m.SKU)
	}
	return topics.Key(b, m.SKU, m.Header.Site)
}

// bin names a shelf: aisle, bay, level.
func (g *Generator) bin(r *random) event.Optional[string] {
	bits := r.next()
	at := len(g.buffer)
	g.buffer = append(g.buffer, 'A')
	g.digits(bits%40, 2)
	g.buffer = append(g.buffer, '-')
	g.digits(bits>>16%400, 3)
	g.buffer = append(g.buffer, '-')
	g.digits(bits>>32%20, 2)
	return event.Some(g.since(at))
}

// since is what was appended to the buffer after at, in place: valid until the next movement. Growing the buffer leaves
// it intact, because the old array stays.
func (g *Generator) since(at int) string {
	return unsafe.String(&g.buffer[at], len(g.buffer)-at)
}

// digits appends n in at least width digits.
func (g *Generator) digits(n uint64, width int) {
	var b [20]byte
	i := len(b)
	for n > 0 || i > len(b)-width {
		i--
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	g.buffer = append(g.buffer, b[i:]...)
}

// ulid is a ULID (github.com/ulid/spec): 48 bits of milliseconds and 80 random ones, in Crockford's base 32.
func (g *Generator) ulid(millis uint64, r *random) string {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	at := len(g.buffer)
	var b [26]byte
	for i := 9; i >= 0; i-- {
		b[i] = crockford[millis&31]
		millis >>= 5
	}
	high, low := r.next(), r.next()
	for i := 10; i < 18; i++ {
		b[i] = crockford[high&31]
		high >>= 5
	}
	for i := 18; i < 26; i++ {
		b[i] = crockford[low&31]
		low >>= 5
	}
	g.buffer = append(g.buffer, b[:]...)
	return g.since(at)
}

// String names the copy as a report does.
func (c Copy) String() string {
	switch c {
	case Original:
		return "original"
	case Exact:
		return "exact duplicate"
	case ReEnveloped:
		return "duplicate in a new envelope"
	}
	return "Copy(" + strconv.Itoa(int(c)) + ")"
}
