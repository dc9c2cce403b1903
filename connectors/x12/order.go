package x12

import (
	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/x12/syntax"
)

// order maps a 940, Warehouse Shipping Order: one OrderRelease.
//
// W05-01 says what is asked: N a new order, R a change, F the cancellation. A 940 carries no version of its own; what
// counts is the order in which the depositor sent them, which the raw topic keeps per sender and receiver: the version is
// where the raw record lies. A change is a state, so the newest counts; a new order or a cancellation that is sent again is the
// same happening, told by its content.
func (m *mapper) order() {
	segments := m.set.Segments[1 : len(m.set.Segments)-1]
	head := &m.set.Segments[0]
	if len(segments) == 0 || !segments[0].Is("W05") {
		m.fail(connectors.MissingValue, head, 0, "ask the sender for the W05 segment", "W05, which names the order, does not follow ST")
		return
	}
	w05 := &segments[0]
	code := m.must(w05, 1, 1, "order status code")
	number := m.must(w05, 2, 22, "depositor's order number")
	m.docID = number
	action, ok := orderAction(code)
	if !ok && code != "" {
		m.fail(connectors.BadCode, w05, 1, "send N (original), R (change) or F (cancel)", "W05-01 is %q (%s), which is not translated", code, orderStatusTitle(code))
	}
	o := &event.OrderRelease{Order: number, Type: event.OrderTypeSales}
	ext := []event.Pair{}
	if po := m.text(w05, 3, 22); po != "" {
		ext = note(ext, "x12.purchase_order", po)
	}
	lx, lines := "", lineNames{}
	var total event.Quantity
	var line *event.OrderLine
	lotNamed := false
	var deadline event.Optional[event.Micros] // "ship no later than" beats "requested ship date"
	for i := range segments[1:] {
		s := &segments[i+1]
		switch string(s.ID()) {
		case "N1":
			o.Parties = append(o.Parties, m.party(s))
		case "N9":
			q, v := m.reference(s)
			switch {
			case line == nil:
				ext = note(ext, "x12.N9."+q, v)
			case v == "":
			case q == "LT":
				line.Lot, lotNamed = event.Some(v), true
			case q == "PC" && !lotNamed: // a production code names the lot where nothing else does
				line.Lot = event.Some(v)
			case q == "SE":
				line.Serial = event.Some(v)
			}
		case "G62":
			m.orderDate(s, o, &deadline)
		case "W66":
			if scac := m.text(s, 10, 4); scac != "" {
				ext = note(ext, "carrier", scac)
			}
		case "LX":
			lx, line = m.must(s, 1, 6, "assigned number"), nil
		case "W01":
			if lx == "" {
				m.fail(connectors.MissingValue, s, 0, "ask the sender for LX before W01", "a W01 line stands before any LX, which numbers it")
			}
			q := m.mustQuantity(s, 1, "quantity ordered")
			sku, _ := m.item(s, 3, 4, 6, 15)
			o.Lines = append(o.Lines, event.OrderLine{Line: lines.next(lx), SKU: sku, QtySrc: q, UOMSrc: m.must(s, 2, 2, "unit"), Lot: m.optional(s, 13, 12)})
			line, lotNamed = &o.Lines[len(o.Lines)-1], false
			total = m.add(s, 1, total, q)
		case "W76":
			m.total(s, "quantity ordered", total)
		}
	}
	if len(o.Lines) == 0 && code == "N" {
		m.fail(connectors.NoLines, w05, 0, "ask the sender for the lines, or for W05-01 R or F", "a new order has no lines")
	}
	if deadline.Valid {
		o.ShipBy = deadline
	}
	version := m.doc.StateVersion(m.ordinal)
	identity := m.digest()
	if action == event.ActionChange {
		identity = version
	}
	o.ShipFrom = m.site(o.Parties, m.set.Interchange.Receiver, "WH", "SF")
	for _, p := range o.Parties {
		if p.Role == "ST" && !o.ShipTo.Valid {
			o.ShipTo = some(p.ID.Or(p.Name.Or("")))
		}
	}
	o.Header = m.header(w05, "", number, code, identity)
	o.Header.CorrelationID = number
	o.Header.SourceVersion = event.Some(version)
	o.Header.EventTime = m.groupTime()
	o.Header.Action = action
	o.Header.Site = o.ShipFrom
	o.Header.Ext = append(o.Header.Ext, ext...)
	m.events = append(m.events, o)
}

// orderDate takes over a G62 segment (X12 element 432, Date Qualifier): 10 requested ship date, 38 ship no later than, 02
// delivery requested on.
func (m *mapper) orderDate(s *syntax.Segment, o *event.OrderRelease, deadline *event.Optional[event.Micros]) {
	qualifier := s.Text(1)
	at, _, ok := m.when(s, 2, 4, 5, true)
	if !ok {
		return
	}
	switch qualifier {
	case "10":
		o.ShipBy = event.Some(at)
	case "38":
		*deadline = event.Some(at)
	case "02":
		o.DeliverBy = event.Some(at)
	}
}

// add adds a line to a control total.
func (m *mapper) add(s *syntax.Segment, element int, total, q event.Quantity) event.Quantity {
	sum, err := total.Add(q)
	if err != nil {
		m.fail(connectors.BadQuantity, s, element, "look at the quantities of the set", "the lines up to here add up to %s", plainly(err))
		return total
	}
	return sum
}

// total compares a control total with the sum of the lines before it. Units may differ between lines: the standard adds
// the numbers.
func (m *mapper) total(s *syntax.Segment, what string, sum event.Quantity) {
	if said, ok := m.quantity(s, 1); ok && said != sum {
		m.fail(connectors.BadTotal, s, 1, "ask the sender to send the set again: lines are missing, or were added up wrongly",
			"%s says %s, the %s of all lines is %s", name(s, 1), said, what, sum)
	}
}
