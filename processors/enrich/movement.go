package enrich

import (
	"crossdock/avro/event"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

func (r *Resolver) movement(m *event.InventoryMovement, done Progress) {
	h := &m.Header
	if !r.identified(h, event.KindInventoryMovement) {
		return
	}
	if m.QtySrc == 0 && m.QtyDelta != 0 && !m.ItemVersion.Valid {
		r.reject(BadMovement, "send what was counted as qty_src and uom_src; qty_delta is computed",
			"movement %s has a quantity in the base unit and none as received", h.EventID)
		return
	}
	s, ok := r.site(h, h.Site, done)
	if !ok {
		return
	}
	h.Site = s.Name
	item, packing, ok := r.item(h, m.SKU, done)
	if !ok {
		return
	}
	m.SKU = item.SKU
	if m.UOMSrc == "" {
		// A case's GTIN without a unit counts cases.
		m.UOMSrc = packing
	}
	ratio, ok := r.unit(h, &item, m.UOMSrc)
	if !ok {
		return
	}
	if m.Type == event.MovementTypeStatusChange && m.QtySrc == 0 && m.AfterQty.Value != 0 {
		// Koerber's T_AL_HOST_INVENTORY_ADJUSTMENT tells a change of status as QUANTITY_CHANGE 0 with the status before
		// and after: what changed status is the whole quantity of the row.
		m.QtySrc = m.AfterQty.Value
	}
	qty, ok := r.convert(h, &item, ratio, m.QtySrc, m.UOMSrc)
	if !ok || !r.moves(m, &item, s) {
		return
	}
	m.QtyDelta = qty
	m.ItemVersion = event.Some(item.Version)
	r.resolved(topics.InventoryInbox, item.SKU, s.Name)
	if item.Blocked {
		r.warn(h, ClassItemBlocked, stockOf(item.SKU, s.Name), item.SKU)
		r.note.Detail = item.SKU + " is blocked and yet moved at " + s.Name + " (" + m.Type.String() + "); the stock was posted"
		r.note.Remedy = "find out who handled it, or lift the block in the item master"
	}
}

// moves checks what can be said of a movement once its references are known, and fills its places.
func (r *Resolver) moves(m *event.InventoryMovement, item *masterdata.Item, s masterdata.Site) bool {
	h := &m.Header
	if f := fact(m.Type); f != "" {
		if owner := s.Owner(f); owner != "" && owner != h.SourceSystem {
			r.hold(h, ClassNotOwner, event.SeverityInfo, stockOf(item.SKU, s.Name), item.SKU)
			x := r.out.Exception
			x.Detail = h.SourceSystem + " reports a " + m.Type.String() + " of " + item.SKU + " at " + s.Name + ", where " + f + " is " + owner + "'s to tell; it was not posted"
			x.Remedy = "nothing if " + owner + " reports the same; else correct the owners in the site's master data and replay"
			x.Expected, x.Actual = event.Some(owner), event.Some(h.SourceSystem)
			return false
		}
	}
	if m.Type == event.MovementTypeStatusChange && m.QtySrc == 0 {
		r.hold(h, ClassNoQuantity, event.SeverityError, stockOf(item.SKU, s.Name), item.SKU)
		r.out.Exception.Detail = "a status of " + item.SKU + " at " + s.Name + " changed, and neither the change nor the quantity after it says how much of it"
		r.out.Exception.Remedy = "have the source send the quantity after the change, then replay the document"
		return false
	}
	if item.LotTracked && m.Lot.Value == "" {
		r.hold(h, ClassLotMissing, event.SeverityError, stockOf(item.SKU, s.Name), item.SKU)
		r.out.Exception.Detail = item.SKU + " is kept by lot, and " + said(m.QtySrc, m.UOMSrc, item) + " moved at " + s.Name + " without one (" + m.Type.String() + ")"
		r.out.Exception.Remedy = "have the source name the lot and send it again, or end lot tracking in the item master and replay"
		return false
	}
	if !place(m) {
		r.hold(h, ClassNoPlace, event.SeverityError, stockOf(item.SKU, s.Name), item.SKU)
		r.out.Exception.Detail = "a " + m.Type.String() + " of " + item.SKU + " at " + s.Name + " says neither what bucket it leaves nor where it arrives"
		r.out.Exception.Remedy = "map the source's status or reason code to buckets, then replay the document"
		return false
	}
	if m.From.Value.Bucket == event.BucketExternal && m.To.Value.Bucket == event.BucketExternal {
		r.reject(BadMovement, "name the bucket that the stock leaves, or the one where it arrives",
			"movement %s (%s) moves from the outside to the outside", h.EventID, m.Type)
		return false
	}
	return true
}

// stockOf is the reference of an exception about the stock of an item at a site: its key on the inbox.
func stockOf(sku, site string) string { return string(topics.Key(nil, sku, site)) }
