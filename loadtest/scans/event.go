package scans

import (
	"iter"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/topology/topics"
)

// NewRetailer makes the load test's own shape: movements as the scanners of a retailer send them to topic movements, in
// the codes and units of each site's system, and beside them whatever else its systems tell, each to its topic. Master
// data and names are functions of an index, so that any number of SKUs and sites costs what its tables of odds cost, 8
// bytes a SKU. Items and Sites are what the codes mean: they must be on their topics before the run.
func NewRetailer(load Load) (*Generator, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	return newRetailer(load), nil
}

// Record is the event in hand, as it is before poison spoils its bytes. It is valid until the next call of Next.
func (g *Generator) Record() event.Record {
	if g.retail != nil {
		return g.retail.record()
	}
	return &g.scan.Movement
}

// AppendValue appends the value of the event in hand as it is sent: framed, and spoiled where it is poison.
func (g *Generator) AppendValue(b []byte, s *serde.Serde) []byte {
	if g.retail != nil {
		return g.retail.appendValue(b, s)
	}
	return s.Append(b, &g.scan.Movement)
}

// EventID is the event id of the event in hand, whatever its kind; that of an exact repetition is its original's. It is
// valid until the next call of Next.
func (g *Generator) EventID() string {
	if g.retail != nil {
		return g.retail.eventID()
	}
	return g.scan.Movement.Header.EventID
}

// Canonical names the key of the balance that the movement in hand counts for. For Retailer it follows from the indices,
// without a look-up, and both are empty where the event is neither a movement nor a row of a snapshot; for the older
// shapes it is what the movement says. It is valid until the next call of Next or Canonical.
func (g *Generator) Canonical() (sku, site string) {
	if g.retail != nil {
		return g.retail.canonical()
	}
	return g.scan.Movement.SKU, g.scan.Movement.Header.Site
}

// Items are a Retailer's items, the most popular first; none for the older shapes. What it yields may be kept.
func (g *Generator) Items() iter.Seq[*event.ItemMaster] {
	return func(yield func(*event.ItemMaster) bool) {
		if g.retail == nil {
			return
		}
		for i := range g.load.SKUs {
			if !yield(g.retail.names.itemMaster(i)) {
				return
			}
		}
	}
}

// Sites are a Retailer's sites, the distribution centres first; none for the older shapes. What it yields may be kept.
func (g *Generator) Sites() iter.Seq[*event.SiteMaster] {
	return func(yield func(*event.SiteMaster) bool) {
		if g.retail == nil {
			return
		}
		for i := range g.load.Sites {
			if !yield(g.retail.names.siteMaster(i)) {
				return
			}
		}
	}
}

// Topic is where the movements of the load go. Where a load has other events, Scan.Topic says it of each.
func (g *Generator) Topic() topics.ID {
	if g.Scanned() {
		return topics.Movements
	}
	return topics.InventoryInbox
}
