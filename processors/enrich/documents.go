package enrich

import (
	"crossdock/avro/event"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

// A line is what a line of a document will become; it is written only once every line is known.
type line struct {
	sku    string
	qty    [3]event.Quantity
	unit   string
	status bool // blocked
}

// line resolves one line: its item and up to three quantities in one unit.
func (r *Resolver) line(h *event.EventHeader, code, uom string, src ...event.Quantity) bool {
	item, packing, ok := r.item(h, code, Nothing)
	if !ok {
		return false
	}
	if uom == "" {
		uom = packing
	}
	ratio, ok := r.unit(h, &item, uom)
	if !ok {
		return false
	}
	l := line{sku: item.SKU, unit: uom, status: item.Blocked}
	for i, q := range src {
		if l.qty[i], ok = r.convert(h, &item, ratio, q, uom); !ok {
			return false
		}
	}
	r.lines = append(r.lines, l)
	return true
}

// document starts an event of lines: its identity, and its site.
func (r *Resolver) document(h *event.EventHeader, kind event.Kind, done Progress) (masterdata.Site, bool) {
	r.lines = r.lines[:0]
	if !r.identified(h, kind) {
		return masterdata.Site{}, false
	}
	return r.site(h, h.Site, done)
}

func (r *Resolver) release(o *event.OrderRelease, done Progress) {
	h := &o.Header
	if o.Order == "" {
		r.reject(NoReference, "have the source number its orders", "order release %s has no order number", h.EventID)
		return
	}
	if h.Site == "" {
		h.Site = o.ShipFrom
	}
	s, ok := r.document(h, event.KindOrderRelease, done)
	if !ok {
		return
	}
	from := s
	if o.ShipFrom != "" && o.ShipFrom != h.Site {
		if from, ok = r.site(h, o.ShipFrom, done); !ok {
			return
		}
	}
	// Both are written at once, so that an event that waits for the second has neither resolved: its progress is Nothing.
	h.Site, o.ShipFrom = s.Name, from.Name
	// The receiver of a sales order is no site of ours; that of a transfer is, and is left as received where it is not known.
	if to, f := r.tables.Site(h.SourceSystem, o.ShipTo.Value); o.ShipTo.Valid && f == masterdata.Found && o.Type != event.OrderTypeSales {
		o.ShipTo.Value = to.Name
	}
	for i := range o.Lines {
		l := &o.Lines[i]
		if !r.line(h, l.SKU, l.UOMSrc, l.QtySrc, l.OriginalQty.Value) {
			return
		}
	}
	for i := range r.lines {
		if r.lines[i].status && h.Action != event.ActionCancel {
			r.hold(h, ClassItemBlocked, event.SeverityError, o.Order, r.lines[i].sku)
			r.out.Exception.Detail = "order " + o.Order + " line " + o.Lines[i].Line + " asks for " + r.lines[i].sku + ", which is blocked"
			r.out.Exception.Remedy = "lift the block in the item master and replay, or have the order changed"
			return
		}
	}
	for i := range o.Lines {
		l, known := &o.Lines[i], &r.lines[i]
		l.SKU, l.Qty, l.UOMSrc = known.sku, known.qty[0], known.unit
		if l.OriginalQty.Valid {
			l.OriginalQty.Value = known.qty[1]
		}
	}
	r.resolved(topics.OrdersInbox, o.Order, s.Name)
}

// A notice's actual quantity and variance stand in the unit as received, as qty_src does, until they are converted here.
func (r *Resolver) notice(n *event.InboundNotice, done Progress) {
	h := &n.Header
	if n.Shipment == "" {
		r.reject(NoReference, "have the source number its shipments", "inbound notice %s names no shipment", h.EventID)
		return
	}
	s, ok := r.document(h, event.KindInboundNotice, done)
	if !ok {
		return
	}
	h.Site = s.Name
	for i := range n.Lines {
		l := &n.Lines[i]
		if !r.line(h, l.SKU, l.UOMSrc, l.QtySrc, l.ActualQty.Value, l.VarianceQty.Value) {
			return
		}
	}
	for i := range n.Lines {
		l, known := &n.Lines[i], &r.lines[i]
		l.SKU, l.PlannedQty, l.UOMSrc = known.sku, known.qty[0], known.unit
		l.ActualQty.Value, l.VarianceQty.Value = known.qty[1], known.qty[2]
		if l.ActualQty.Valid && !l.VarianceQty.Valid {
			l.VarianceQty = event.Some(l.ActualQty.Value - l.PlannedQty)
		}
	}
	r.resolved(topics.ShipmentsInbox, n.Shipment)
}

// A milestone may be told of a place that is no site of ours: an empty site stays empty.
func (r *Resolver) milestone(m *event.ShipmentMilestone, done Progress) {
	h := &m.Header
	if m.Shipment == "" {
		r.reject(NoReference, "have the source number its shipments", "milestone %s names no shipment", h.EventID)
		return
	}
	if !r.identified(h, event.KindShipmentMilestone) {
		return
	}
	if h.Site != "" {
		s, ok := r.site(h, h.Site, done)
		if !ok {
			return
		}
		h.Site = s.Name
	}
	r.resolved(topics.ShipmentsInbox, m.Shipment)
}

func (r *Resolver) returned(e *event.ReturnEvent, done Progress) {
	h := &e.Header
	if e.RMA == "" {
		r.reject(NoReference, "have the source number its returns", "return %s has no authorisation number", h.EventID)
		return
	}
	s, ok := r.document(h, event.KindReturnEvent, done)
	if !ok {
		return
	}
	h.Site = s.Name
	for i := range e.Lines {
		l := &e.Lines[i]
		if !r.line(h, l.SKU, l.UOMSrc, l.QtySrc) {
			return
		}
	}
	for i := range e.Lines {
		l, known := &e.Lines[i], &r.lines[i]
		l.SKU, l.Qty, l.UOMSrc = known.sku, known.qty[0], known.unit
	}
	r.resolved(topics.ReturnsInbox, e.RMA)
}

func (r *Resolver) snapshot(e *event.InventorySnapshot, done Progress) {
	h := &e.Header
	if !r.identified(h, event.KindInventorySnapshot) || !r.stock(h, &e.SKU, done) {
		return
	}
	item, ok := r.tables.ItemBySKU(e.SKU)
	if !ok {
		r.missing(event.MissingKindItem, h.SourceSystem, e.SKU, "")
		return
	}
	r.lines = r.lines[:0]
	for i := range e.Balances {
		b := &e.Balances[i]
		ratio, ok := r.unit(h, &item, b.UOMSrc)
		if !ok {
			return
		}
		qty, ok := r.convert(h, &item, ratio, b.QtySrc, b.UOMSrc)
		if !ok {
			return
		}
		r.lines = append(r.lines, line{qty: [3]event.Quantity{qty}})
	}
	for i := range e.Balances {
		e.Balances[i].Qty = r.lines[i].qty[0]
	}
	r.resolved(topics.InventoryInbox, e.SKU, h.Site)
}

// exception lets a trouble that a connector found in a document pass: an order that was shipped short. Its site and SKU
// are made canonical where they are known, and nothing of it waits.
func (r *Resolver) exception(e *event.LogisticsException) {
	h := &e.Header
	if e.ExceptionID == "" || e.Reference == "" {
		r.reject(NoReference, "name the trouble and what it is about", "exception %s (%s) has no id or no reference", h.EventID, e.Class)
		return
	}
	if s, f := r.tables.Site(h.SourceSystem, h.Site); f == masterdata.Found {
		h.Site = s.Name
	}
	if m := r.tables.Item(h.SourceSystem, e.SKU.Value); m.Finding == masterdata.Found {
		e.SKU.Value = m.Item.SKU
	}
	r.resolved(topics.Exceptions)
	r.key = append(r.key[:0], e.Reference...)
	r.out.Key = r.key
}
