package x12

import (
	"time"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/x12/syntax"
)

// shipping maps a 945, Warehouse Shipping Advice: an InventoryMovement SHIP for each line that left, a ShipmentMilestone
// SHIPPED where any did, and a LogisticsException for each line that is not as ordered.
func (m *mapper) shipping() {
	segments := m.set.Segments[1 : len(m.set.Segments)-1]
	if len(segments) == 0 || !segments[0].Is("W06") {
		m.fail(connectors.MissingValue, &m.set.Segments[0], 0, "ask the sender for the W06 segment", "W06, which names the shipment, does not follow ST")
		return
	}
	a := advice{mapper: m, w06: &segments[0], lines: lineNames{}}
	a.identify()
	count := 0
	for i := range segments {
		if segments[i].Is("W12") {
			count++
		}
	}
	a.details = make([]detail, 0, count)
	for i := range segments[1:] {
		a.read(&segments[i+1])
	}
	a.check()
	a.emit()
}

// An advice is the 945 in hand.
type advice struct {
	*mapper
	w06      *syntax.Segment
	order    string
	shipment string // W06-04, else W06-05; empty where the sender gave none
	link     string // W06-07 and W06-08: which of several linked sets of one shipment this is
	shipped  event.Optional[event.Micros]
	exact    bool // shipped has a time of day
	parties  []event.Party
	carrier  string
	tracking string
	ext      []event.Pair
	lx       string
	lxSSCC   string // of the pallet or carton that the lines of this LX lie on
	lines    lineNames
	details  []detail
	open     *detail // the line in hand; nil before the first W12 of an LX
	sum      event.Quantity
	totals   *syntax.Segment // W03
	where    string          // the site
}

// A detail is one W12 line with what follows it.
type detail struct {
	w12             *syntax.Segment
	line            string // LX number, unique within the set
	orderLine       string // the order's own number of the line, where the sender gives it
	code            string
	ordered         event.Optional[event.Quantity]
	shipped         event.Quantity
	uom, sku        string
	original        string // the item that was ordered, where another one was shipped
	lot, lpn, sscc  string
	expiry          event.Optional[event.Date]
	serials         []string
	otherItemNumber []event.Pair
}

// identify reads W06.
func (a *advice) identify() {
	s := a.w06
	report := a.must(s, 1, 1, "reporting code")
	if title, full := reportTitle(report); !full && report != "" {
		a.fail(connectors.BadCode, s, 1, "ask the sender for a full report (F)", "W06-01 is %q (%s), which is not translated", report, title)
	}
	a.order = a.must(s, 2, 22, "depositor's order number")
	a.shipment = a.text(s, 4, 30)
	if agent := a.text(s, 5, 12); a.shipment == "" {
		a.shipment = agent
	}
	a.docID = a.shipment
	if a.docID == "" {
		a.docID = a.order
	}
	if master, part := a.text(s, 7, 22), a.text(s, 8, 6); master != "" || part != "" {
		a.link = master + "/" + part
	}
	if at, _, ok := a.when(s, 3, 0, 0, false); ok {
		a.shipped = event.Some(at)
	}
	if po := a.text(s, 6, 22); po != "" {
		a.ext = note(a.ext, "x12.purchase_order", po)
	}
}

// read takes over one segment of the set's body.
func (a *advice) read(s *syntax.Segment) {
	switch string(s.ID()) {
	case "N1":
		a.parties = append(a.parties, a.party(s))
	case "N9":
		a.refer(s)
	case "MAN":
		a.mark(s)
	case "G62":
		a.date(s)
	case "W27":
		a.carrier = a.text(s, 2, 17)
	case "LX":
		a.lx, a.lxSSCC, a.open = a.must(s, 1, 6, "assigned number"), "", nil
	case "W12":
		a.detail(s)
	case "W03":
		a.totals, a.open = s, nil
	}
}

// refer takes over an N9: of the line in hand, else of the shipment.
func (a *advice) refer(s *syntax.Segment) {
	q, v := a.reference(s)
	if v == "" {
		return
	}
	if a.open == nil {
		switch q {
		case "2I", "CN": // tracking number, carrier's reference number
			if a.tracking == "" || q == "2I" {
				a.tracking = v
			}
		default:
			a.ext = note(a.ext, "x12.N9."+q, v)
		}
		return
	}
	switch q {
	case "LT":
		a.open.lot = v
	case "PC":
		if a.open.lot == "" {
			a.open.lot = v
		}
	case "LV":
		a.open.lpn = v
	case "LI":
		a.open.orderLine = v
	case "SE":
		a.open.serials = append(a.open.serials, v)
	}
}

// mark takes over a MAN: GM is an SSCC-18, of the line in hand or of all lines of its LX.
func (a *advice) mark(s *syntax.Segment) {
	if s.Text(1) != "GM" {
		return
	}
	code := sscc(a.must(s, 2, 48, "SSCC-18"))
	if a.open == nil {
		a.lxSSCC = code
		return
	}
	a.open.sscc = code
}

// date takes over a G62 (X12 element 432): 11 shipped on, of the shipment; 36 expiration date, of the line in hand.
func (a *advice) date(s *syntax.Segment) {
	at, timed, ok := a.when(s, 2, 4, 5, false)
	if !ok {
		return
	}
	switch q := s.Text(1); {
	case q == "11" && a.open == nil:
		a.shipped, a.exact = event.Some(at), timed
	case q == "36" && a.open != nil:
		if day, _, err := parseTime(s.Text(2), "", time.UTC); err == nil { // a day has no zone
			a.open.expiry = event.Some(event.DateOf(day))
		}
	}
}

// detail reads a W12.
func (a *advice) detail(s *syntax.Segment) {
	if a.lx == "" {
		a.fail(connectors.MissingValue, s, 0, "ask the sender for LX before W12", "a W12 line stands before any LX, which numbers it")
	}
	d := detail{w12: s, line: a.lines.next(a.lx), sscc: a.lxSSCC}
	d.code = a.must(s, 1, 2, "status code")
	if q, ok := a.quantity(s, 2); ok {
		d.ordered = event.Some(q)
	}
	d.shipped = a.mustQuantity(s, 3, "number of units shipped")
	d.uom = a.must(s, 5, 2, "unit")
	d.sku, d.otherItemNumber = a.item(s, 6, 7, 21)
	d.lot = a.text(s, 9, 12)
	if d.original = a.text(s, 18, 80); d.original == "" {
		d.original = a.text(s, 16, 12)
	}
	a.difference(s, &d)
	a.sum = a.add(s, 3, a.sum, d.shipped)
	a.details = append(a.details, d)
	a.open = &a.details[len(a.details)-1]
}

// difference holds W12-04 against W12-02 and W12-03. The standard calls it the variance and gives no sign: senders write
// both.
func (a *advice) difference(s *syntax.Segment, d *detail) {
	text := s.Text(4)
	if text == "" || !d.ordered.Valid {
		return
	}
	said, err := event.ParseQuantity(text)
	if err != nil {
		a.fail(connectors.BadQuantity, s, 4, "ask the sender for a decimal of at most 12 digits before and 6 after the point", "W12-04 is %q: %s", clip([]byte(text), 40), plainly(err))
		return
	}
	if is := d.ordered.Value - d.shipped; said != is && said != -is {
		a.fail(connectors.BadArithmetic, s, 4, "ask the sender which of the three is wrong",
			"W12-04 says a difference of %s; %s ordered and %s shipped differ by %s", said, d.ordered.Value, d.shipped, is)
	}
}

// check looks at the set as a whole.
func (a *advice) check() {
	if len(a.details) == 0 {
		a.fail(connectors.NoLines, a.w06, 0, "ask the sender for full detail (W06-01 F): what left cannot be told without lines", "the advice has no W12 lines")
	}
	if a.totals != nil {
		a.total(a.totals, "number of units shipped", a.sum)
	}
	a.where = a.site(a.parties, a.set.Interchange.Sender, "WH", "SF")
	if !a.shipped.Valid {
		a.shipped, a.exact = event.Some(a.groupTime()), true
	}
}
