package scans

import (
	"time"

	"crossdock/avro/event"
)

const (
	// A carrier tells of the shipments in waves: of each of so many the first milestone, then of each the second.
	shipmentsAWave = 256
	carrier        = "lt-carrier"
	microsADay     = event.Micros(24 * time.Hour / time.Microsecond)
)

// milestones are a shipment's, in their order, as the canonical model and as the carrier codes them (FedEx Track).
var milestones = [...]struct{ canonical, source string }{
	{"SHIPPED", "PU"}, {"IN_TRANSIT", "IT"}, {"OUT_FOR_DELIVERY", "OD"}, {"DELIVERED", "DL"},
}

// header fills that of an event that is no movement. document is its number in its system.
func (r *retailer) header(h *event.EventHeader, t *text, system, kind, document string) {
	s := &r.scan
	at := len(t.b)
	t.b = r.id(t.b, s.Seq, s.At)
	h.EventID = t.since(at)
	h.DedupeKey = t.add(system, ":", kind, ":", document)
	h.CorrelationID = document
	h.SourceSystem, h.SourceDocType, h.SourceDocID = system, kind, document
	h.EventTime, h.IngestTime = s.At, s.At
}

func (r *retailer) tellMilestone() {
	r.clear()
	r.fillMilestone(r.milestones)
	r.milestones++
}

// fillMilestone makes the n-th milestone of the run.
func (r *retailer) fillMilestone(n int64) {
	t, m := &r.hand.text, &r.hand.milestone
	const wave = shipmentsAWave * int64(len(milestones))
	step := milestones[n%wave/shipmentsAWave]
	shipment := n/wave*shipmentsAWave + n%shipmentsAWave
	from := random{uint64(shipment)}
	site := r.site.pick(&from)
	at := len(t.b)
	t.b = append(append(t.b, r.names.run...), "-S"...)
	t.b = appendDigits(t.b, uint64(shipment), 8)
	m.Shipment = t.since(at)
	r.header(&m.Header, t, carrier, "TRACK", t.add(m.Shipment, "/", step.source))
	m.Header.CorrelationID = m.Shipment
	m.Header.Site = r.names.sites[site].name
	m.StatusCanon, m.StatusSrc = step.canonical, step.source
	m.TrackingNo = event.Some(t.number("1Z", from.next()%1_000_000_000_000, 12))
	m.Location = event.Some(t.number("HUB-", from.next()%40, 2))
	m.ETATo = event.Some(r.scan.At + 2*microsADay)
	m.Order = event.Optional[string]{}
	if shipment < int64(r.orders) {
		m.Order = event.Some(r.orderNumber(t, shipment+1))
	}
}

func (r *retailer) tellOrder() {
	r.clear()
	t, o, x := &r.hand.text, &r.hand.order, &r.seed
	r.orders++
	site := r.names.sites[r.site.pick(x)].name
	o.Order = r.orderNumber(t, int64(r.orders))
	r.header(&o.Header, t, orderSystem, "ORDER", o.Order)
	o.Header.SourceVersion = event.Some("1")
	o.Header.Site, o.ShipFrom = site, site
	o.Type = event.OrderTypeSales
	o.Revision = event.Some[int64](1)
	o.ShipTo = event.Some(t.number("CUST-", x.next()%100_000_000, 8))
	o.ShipBy, o.DeliverBy = event.Some(r.scan.At+microsADay), event.Some(r.scan.At+3*microsADay)
	o.Lines = o.Lines[:0]
	for i := range 1 + r.lines.pick(x) {
		line := t.number("", uint64(10*(i+1)), 4)
		at := len(t.b)
		t.b = r.names.appendSKU(t.b, r.item.pick(x))
		qty := event.Quantity(x.between(1, 3)) * event.QuantityScale
		o.Lines = append(o.Lines, event.OrderLine{Line: line, SKU: t.since(at), Qty: qty, QtySrc: qty, UOMSrc: piece})
	}
}

// tellItem sends an item again under a version of its own: nothing of what its codes mean changes.
func (r *retailer) tellItem() {
	r.clear()
	m := &r.hand.master
	r.names.fillItem(m, &r.hand.text, r.item.pick(&r.seed), 2+r.scan.Seq)
	m.Header.EventTime, m.Header.IngestTime = r.scan.At, r.scan.At
}

// tellRow makes a row of the report in hand.
func (r *retailer) tellRow(l *line) {
	r.clear()
	t, e, p := &r.hand.text, &r.hand.row, &r.reports
	r.hand.item, r.hand.site = l.item, p.site
	site := &r.names.sites[p.site]
	at := len(t.b)
	t.b = append(append(append(t.b, r.names.run...), "-R"...), site.name...)
	t.b = appendDigits(append(t.b, '-'), uint64(p.number), 5)
	e.ReportID = t.since(at)
	line := t.number("", uint64(p.line), 1)
	r.header(&e.Header, t, systemName[site.system], "STOCK", t.add(e.ReportID, "/", line))
	e.Header.CorrelationID = e.ReportID
	e.Header.SourceDocID, e.Header.SourceLine = e.ReportID, event.Some(line)
	e.Header.Site = site.name
	e.Header.EventTime = p.asOf
	at = len(t.b)
	t.b = r.names.appendSKU(t.b, int(l.item))
	e.SKU = t.since(at)
	e.AsOf, e.SeqCutoff = p.asOf, event.Some(p.cutoff)
	e.Basis = event.StockBasisPhysical
	e.Page, e.PageCount = p.page()
	differs := event.Quantity(0)
	if r.seed.hit(r.differing) {
		differs = event.Quantity(r.seed.between(1, 3))
		if r.seed.hit(1 << 63) {
			differs = -differs
		}
	}
	e.Balances = e.Balances[:0]
	for i, n := range l.stock.bucket {
		qty := event.Quantity(n)
		if i == 0 { // AVAILABLE
			qty += differs
		} else if qty == 0 {
			continue
		}
		qty *= event.QuantityScale
		e.Balances = append(e.Balances, event.SnapshotBalance{Bucket: event.BucketAvailable + event.Bucket(i), Qty: qty, QtySrc: qty, UOMSrc: piece})
	}
}
