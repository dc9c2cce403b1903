package sink

import "crossdock/avro/event"

// balanceRows are rows of inventory_balances.
type balanceRows struct {
	decoded event.InventoryBalance

	sku, causeEventID                                                         text
	site                                                                      symbols
	version                                                                   scalars[uint64]
	negative                                                                  scalars[bool]
	asOf, postedAt                                                            times
	available, allocated, picked, staged, qc, damaged, hold, returned         quantities
	inTransitIn, inTransitOut, clearing, onHand, safetyStock, availableToSell quantities
}

func newBalanceRows() *balanceRows { return &balanceRows{} }

func (r *balanceRows) event() event.Record { return &r.decoded }

func (r *balanceRows) columns() []namedColumn {
	return []namedColumn{
		{"sku", &r.sku}, {"site", &r.site}, {"version", &r.version}, {"as_of", &r.asOf}, {"posted_at", &r.postedAt},
		{"available", &r.available}, {"allocated", &r.allocated}, {"picked", &r.picked}, {"staged", &r.staged}, {"qc", &r.qc},
		{"damaged", &r.damaged}, {"hold", &r.hold}, {"returned", &r.returned}, {"in_transit_in", &r.inTransitIn},
		{"in_transit_out", &r.inTransitOut}, {"clearing", &r.clearing}, {"on_hand", &r.onHand}, {"safety_stock", &r.safetyStock},
		{"ats", &r.availableToSell}, {"negative", &r.negative}, {"cause_event_id", &r.causeEventID},
	}
}

func (r *balanceRows) add() (event.Micros, error) {
	e := &r.decoded
	var c check
	c.text("sku", e.SKU)
	c.text("site", e.Site)
	c.count("version", e.Version)
	c.time("as_of", e.AsOf)
	c.time("posted_at", e.PostedAt)
	c.quantity("available", e.Available)
	c.quantity("allocated", e.Allocated)
	c.quantity("picked", e.Picked)
	c.quantity("staged", e.Staged)
	c.quantity("qc", e.QC)
	c.quantity("damaged", e.Damaged)
	c.quantity("hold", e.Hold)
	c.quantity("returned", e.Returned)
	c.quantity("in_transit_in", e.InTransitIn)
	c.quantity("in_transit_out", e.InTransitOut)
	c.quantity("clearing", e.Clearing)
	c.quantity("on_hand", e.OnHand)
	c.quantity("safety_stock", e.SafetyStock)
	c.quantity("ats", e.ATS)
	c.text("cause_event_id", e.CauseEventID)
	if err := c.err(); err != nil {
		return 0, err
	}
	r.sku.add(e.SKU)
	r.site.add(e.Site)
	r.version.add(uint64(e.Version))
	r.asOf.add(e.AsOf)
	r.postedAt.add(e.PostedAt)
	r.available.add(e.Available)
	r.allocated.add(e.Allocated)
	r.picked.add(e.Picked)
	r.staged.add(e.Staged)
	r.qc.add(e.QC)
	r.damaged.add(e.Damaged)
	r.hold.add(e.Hold)
	r.returned.add(e.Returned)
	r.inTransitIn.add(e.InTransitIn)
	r.inTransitOut.add(e.InTransitOut)
	r.clearing.add(e.Clearing)
	r.onHand.add(e.OnHand)
	r.safetyStock.add(e.SafetyStock)
	r.availableToSell.add(e.ATS)
	r.negative.add(e.Negative)
	r.causeEventID.add(e.CauseEventID)
	return e.AsOf, nil
}
