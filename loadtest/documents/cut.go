package documents

import (
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

// Next is the next document, in the order in which they are due; nil: that was all. It is the caller's until Release.
func (c *Cutter) Next() *Document {
	for len(c.ready) == 0 {
		if c.next == c.count {
			if len(c.waiting) == 0 {
				return nil
			}
			c.expire()
			continue
		}
		scan := c.generator.Next()
		c.next++
		due := time.Duration(scan.At-c.start) * time.Microsecond
		for len(c.waiting) > 0 && c.waiting[0].deadline <= due {
			c.expire()
		}
		c.take(scan, due)
	}
	d := c.ready[0]
	c.ready[0] = nil
	c.ready = c.ready[1:]
	return d
}

// Release gives a document back, whose memory is used again. Any goroutine may call it.
func (c *Cutter) Release(d *Document) {
	*d = Document{Body: d.Body[:0], scans: d.scans[:0], originals: d.originals[:0]}
	c.pool.Put(d)
}

// expire closes the document that waits longest, if it is still open.
func (c *Cutter) expire() {
	w := c.waiting[0]
	c.waiting = c.waiting[1:]
	d := c.jsons[w.where.target]
	if w.ship {
		d = c.ships[w.where]
	}
	if d != nil && d.Number == w.number {
		c.close(d, w.where, w.deadline)
	}
}

// begin makes a document.
func (c *Cutter) begin(f Format, target int) *Document {
	d := c.pool.Get().(*Document)
	d.Number, d.Format, d.Target = c.numbers, f, target
	d.most = length(c.seed, d.Number)
	d.Key = c.name(d.Number)
	d.ID = d.Key
	c.numbers++
	return d
}

// name is a document's number in its system.
func (c *Cutter) name(number int64) string {
	var b [40]byte
	return string(appendDigits(append(append(b[:0], c.run...), "-J"...), number, 9))
}

// waits opens a document that takes more than one event.
func (c *Cutter) waits(d *Document, where place, due time.Duration) {
	c.waiting = append(c.waiting, waiting{d.Number, due + c.wait, where, d.Format == Shipping})
	if d.Format == Shipping {
		c.ships[where] = d
	} else {
		c.jsons[where.target] = d
	}
}

// close ends a document that waits.
func (c *Cutter) close(d *Document, where place, due time.Duration) {
	if d.Format == Shipping {
		delete(c.ships, where)
		a := d.advice
		c.origins.keep(a)
		c.writeAdvice(d, a, a.number)
	} else {
		c.jsons[where.target] = nil
	}
	c.finish(d, due)
}

// finish gives a document out.
func (c *Cutter) finish(d *Document, due time.Duration) {
	d.Due = due
	if r := &d.refused; r.said && c.told != nil {
		c.tell(d, r.seq, r.at, r.kind, scans.Original, r.what)
		c.said.Cause, c.said.Key, c.said.Bytes = r.cause, topics.Key(nil, c.targets[d.Target].Source), d.Body
		c.told(&c.said)
	}
	c.ready = append(c.ready, d)
}

// tell fills what is told of a part, but for what it says.
func (c *Cutter) tell(d *Document, seq int64, at event.Micros, k scans.Kind, copied scans.Copy, p scans.Poison) {
	c.said = Said{Number: d.Number, Format: d.Format, Seq: seq, At: at, Kind: k, Copy: copied, Poison: p}
}

// take puts an event into a document.
func (c *Cutter) take(s *scans.Scan, due time.Duration) {
	switch {
	case s.Kind == scans.Order:
		c.takeOrder(s, due)
	case s.Kind == scans.Ship && (s.Poison == scans.NotPoison || inSet(s.Poison)):
		c.takeShipment(s, due)
	default:
		c.takeLine(s, due)
	}
}

// count adds an event to its document.
func (d *Document) count(s *scans.Scan) {
	d.scans = append(d.scans, sent.MadeOf(s))
}

func (d *Document) original(sku, site string) {
	d.originals = append(d.originals, byte(len(sku)), byte(len(site)))
	d.originals = append(append(d.originals, sku...), site...)
}

// takeOrder: an order is a document of its own; how many lines it has the generator says.
func (c *Cutter) takeOrder(s *scans.Scan, due time.Duration) {
	o := c.generator.Record().(*event.OrderRelease)
	d := c.begin(Ordering, c.index[o.Header.SourceSystem])
	d.count(s)
	d.ID = strings.Clone(o.Order)
	d.Body = appendOrder(d.Body, o, d.Number)
	if c.told != nil {
		c.tell(d, s.Seq, s.At, s.Kind, s.Copy, s.Poison)
		c.told(&c.said)
	}
	c.finish(d, due)
}

// takeLine puts an event into the open document of its system, as a line.
func (c *Cutter) takeLine(s *scans.Scan, due time.Duration) {
	record := c.generator.Record()
	movement := s.Kind.Movement() // also where poison has something else in hand
	system := s.Movement.Header.SourceSystem
	if !movement {
		system = headerOf(record).SourceSystem
	}
	where := place{target: c.index[system]}
	d := c.jsons[where.target]
	if d != nil && d.refused.said && s.Poison == scans.OutsideToOutside {
		c.close(d, where, due)
		d = nil
	}
	if d == nil {
		d = c.begin(JSONLines, where.target)
		c.waits(d, where, due)
	}
	d.count(s)
	c.text.b = d.Body
	from := len(d.Body)
	cause := ""
	if movement {
		cause = c.writeMovement(d, s)
	} else {
		c.text.record(record, d.ID)
	}
	line := c.text.b[from:]
	c.text.b = append(c.text.b, '\n')
	d.Body = c.text.b
	switch {
	case s.Poison == scans.OutsideToOutside:
		d.refused = refused{true, cause, s.Seq, s.At, s.Kind, s.Poison}
	case c.told != nil:
		c.tell(d, s.Seq, s.At, s.Kind, s.Copy, s.Poison)
		switch {
		case cause != "":
			c.said.Cause, c.said.Key, c.said.Bytes = cause, topics.Key(nil, c.targets[d.Target].Source), line
		case movement:
			c.said.Movement = &s.Movement
		}
		c.said.SKU, c.said.Site = c.generator.Canonical()
		c.told(&c.said)
	}
	if len(d.scans) >= d.most || len(d.Body) >= fullBytes {
		c.close(d, where, due)
	}
}

func headerOf(r event.Record) *event.EventHeader {
	switch e := r.(type) {
	case *event.ShipmentMilestone:
		return &e.Header
	case *event.InventorySnapshot:
		return &e.Header
	case *event.ItemMaster:
		return &e.Header
	case *event.OrderRelease:
		return &e.Header
	case *event.InventoryMovement:
		return &e.Header
	}
	return &event.EventHeader{}
}

// writeMovement writes a movement as a line. cause is that of the dead letter which it must become instead of an event.
func (c *Cutter) writeMovement(d *Document, s *scans.Scan) (cause string) {
	m := &s.Movement
	document := d.ID
	own := true
	if s.Copy == scans.Exact {
		// The same bytes again: they name the document that they were in first.
		if number, ok := c.origins.find(m.Header.SourceSeq.Value); ok && number != d.Number {
			document, own = c.name(number), false
		}
	}
	if s.Counts() {
		if s.Copy == scans.Original {
			c.origins.add(s.Seq, d.Number)
			d.original(c.generator.Canonical())
		}
		if own {
			d.Movements++
		}
	} else if s.Poison != scans.NotPoison {
		c.adopt(m, d.Target, s.Poison)
	}
	name := event.KindInventoryMovement.String()
	t := &c.text
	from := len(t.b)
	switch s.Poison {
	case scans.BadFraming: // a line of another export
		t.b = append(append(append(t.b, "movement;"...), document...), ';')
		t.b = append(append(append(append(t.b, m.Header.EventID...), ';'), m.SKU...), ';')
		t.b = m.QtySrc.Append(t.b)
		return "BAD_LINE"
	case scans.Truncated:
		t.movement(name, m, document, true)
		t.b = t.b[:max(from+1, len(t.b)-3)]
		return "BAD_LINE"
	case scans.UnknownSchema:
		t.movement("StockMoved", m, document, true)
		return "BAD_CODE"
	case scans.WrongKind: // what Crossdock makes alone
		t.movement(event.KindInventoryBalance.String(), m, document, true)
		return "BAD_CODE"
	case scans.NoIdentity:
		t.movement(name, m, document, false)
		return "MISSING_VALUE"
	}
	t.movement(name, m, document, true)
	if s.Poison == scans.OutsideToOutside {
		return s.Poison.Cause()
	}
	return ""
}

// adopt lets spoilt shipments, which are told by a line and not by an advice, be told by the system that owns shipments while
// documents are sent (Sites), in names that every system knows: what is wrong with them stays one thing alone.
func (c *Cutter) adopt(m *event.InventoryMovement, target int, p scans.Poison) {
	own, h := c.targets[target].system(), &m.Header
	if m.Type != event.MovementTypeShip || h.SourceSystem == own || p == scans.NotOwner {
		return
	}
	sku, site := c.generator.Canonical()
	h.SourceSystem = own
	if p != scans.UnknownItem {
		m.SKU = sku
	}
	if p != scans.UnknownSite {
		h.Site = site
	}
}

// takeShipment puts a shipment, or what was to be one, into the open advice of its site.
func (c *Cutter) takeShipment(s *scans.Scan, due time.Duration) {
	m := &s.Movement
	target := c.index[m.Header.SourceSystem]
	if s.Copy != scans.Original && c.again(s, target, due) {
		return
	}
	sku, site := c.generator.Canonical()
	code, at := m.SKU, m.Header.Site
	if t := &c.targets[target]; t.system() != m.Header.SourceSystem {
		code, at = sku, site // it does not know the system's own names
	}
	where := place{target, site}
	d := c.ships[where]
	if d == nil {
		d = c.begin(Shipping, target)
		where.site = strings.Clone(site)
		a := &advice{number: d.Number, target: target, sender: strings.Clone(at), site: strings.Clone(at), shipped: m.Header.EventTime.Time().Truncate(time.Second)}
		var b [40]byte
		a.shipment = string(appendDigits(append(append(b[:0], c.run...), "-A"...), d.Number, 9))
		a.order = strings.Clone(m.Ref.Value.Order.Or(c.run + noOrder))
		d.advice, d.ID = a, a.shipment
		c.waits(d, where, due)
	}
	d.count(s)
	a := d.advice
	if s.Poison != scans.NotPoison {
		a.broken = append(a.broken, broken{s.Seq, s.At, s.Poison})
	} else {
		a.lines = append(a.lines, shipped{
			seq: s.Seq, at: s.At, code: strings.Clone(code), unit: strings.Clone(m.UOMSrc), lot: strings.Clone(m.Lot.Or("")), qty: m.QtySrc,
			sku: strings.Clone(sku), where: where.site,
		})
		c.origins.add(m.Header.SourceSeq.Value, d.Number)
		d.original(sku, site)
		d.Movements++
	}
	if len(d.scans) >= d.most {
		c.close(d, where, due)
	}
}

// again says the document of a shipment once more: as it was, or in another envelope. False where it is forgotten.
func (c *Cutter) again(s *scans.Scan, target int, due time.Duration) bool {
	number, ok := c.origins.find(s.Movement.Header.SourceSeq.Value)
	if !ok {
		return false
	}
	a := c.origins.advices[number]
	if a == nil {
		_, site := c.generator.Canonical()
		where := place{target, site}
		first := c.ships[where]
		if first == nil || first.Number != number {
			return false
		}
		a = first.advice
		c.close(first, where, due)
	}
	d := c.begin(Shipping, target)
	d.count(s)
	d.ID = a.shipment
	control := a.number
	if s.Copy == scans.ReEnveloped {
		control = d.Number
	}
	c.writeAdvice(d, a, control)
	c.finish(d, due)
	return true
}

// writeAdvice writes an advice as a document, and tells what it says.
func (c *Cutter) writeAdvice(d *Document, a *advice, control int64) {
	copied := scans.Original
	switch {
	case d.Number == a.number:
	case control == a.number:
		copied = scans.Exact
	default:
		copied = scans.ReEnveloped
	}
	if c.told == nil {
		d.Body = a.write(d.Body, control, nil)
		return
	}
	d.Body = a.write(d.Body, control, func(b *broken, cause string, set []byte) {
		c.tell(d, b.seq, b.at, scans.Ship, copied, b.poison)
		c.said.Cause, c.said.Key, c.said.Bytes = cause, senderKey(a.sender), set
		c.told(&c.said)
	})
	for i := range a.lines {
		l := &a.lines[i]
		a.movement(&c.targets[d.Target], i, &c.means)
		c.tell(d, l.seq, l.at, scans.Ship, copied, scans.NotPoison)
		c.said.Movement, c.said.SKU, c.said.Site = &c.means, l.sku, l.where
		c.told(&c.said)
	}
}
