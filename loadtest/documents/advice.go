package documents

import (
	"strconv"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// An advice is what one 945 says: a shipment of one site, all lines of which left in the second in which the first one did. It is
// kept beyond its document, for those that repeat it.
type advice struct {
	number   int64 // of the document that says it first
	target   int
	sender   string
	shipment string
	order    string
	site     string // as the target knows it
	shipped  time.Time
	lines    []shipped
	broken   []broken
}

// A shipped is one line of an advice.
type shipped struct {
	seq        int64
	at         event.Micros // when its event was due
	code       string       // of the item, as the target knows it
	unit       string
	lot        string
	qty        event.Quantity
	sku, where string // the key of its balance
}

// A broken is a set of its own beside the shipment's, of which no event comes.
type broken struct {
	seq    int64
	at     event.Micros
	poison scans.Poison
}

// size is about what the advice takes in memory, in lines.
func (a *advice) size() int { return 1 + len(a.lines) + len(a.broken) }

// movement is what a line means (docs/connectors.md, 945): the quantity leaves the bucket that the source ships from, and is one
// happening by sender, order, shipment, date and line.
func (a *advice) movement(t *Target, i int, m *event.InventoryMovement) {
	l := &a.lines[i]
	partner := t.Partner
	if partner == "" {
		partner = qualifier + ":" + a.sender
	}
	line := strconv.Itoa(i + 1)
	*m = event.InventoryMovement{
		Header: event.EventHeader{
			EventID:      a.shipment + "/" + line, // it gets another one, which nothing is known by
			DedupeKey:    string(topics.Key(nil, t.system(), partner, Shipping.String(), a.order, a.shipment, a.shipped.Format("20060102"), line, "SHIP")),
			SourceSystem: t.system(), SourceDocID: a.shipment, EventTime: event.MicrosOf(a.shipped), Site: a.site,
		},
		SKU: l.code, Type: event.MovementTypeShip, QtySrc: l.qty, UOMSrc: l.unit,
		From: event.Some(event.Place{Bucket: t.shipFrom()}),
		Lot:  event.Optional[string]{Value: l.lot, Valid: l.lot != ""},
	}
}

// write writes the interchange, and tells of the sets of which no event comes. control is the number of the document whose
// envelope it has.
func (a *advice) write(b []byte, control int64, tell func(*broken, string, []byte)) []byte {
	t := x12Text{b: b}
	t.begin("SW", a.sender, control, a.shipped)
	type failure struct {
		what   *broken
		cause  string
		at, to int
	}
	failures := make([]failure, 0, 4)
	for i := range a.broken {
		f := failure{what: &a.broken[i]}
		f.cause = a.writeBroken(&t, f.what)
		f.at, f.to = t.first, len(t.b)
		failures = append(failures, f)
	}
	if len(a.lines) > 0 {
		a.writeSet(&t)
	}
	t.end()
	if tell != nil {
		for _, f := range failures {
			tell(f.what, f.cause, t.b[f.at:f.to:f.to])
		}
	}
	return t.b
}

func (a *advice) head(t *x12Text, code, order, shipment string) {
	date := a.shipped.Format("20060102")
	t.open("945")
	t.segment("W06", code, order, date, shipment)
	t.segment("N1", "WH", "", "92", a.site)
	t.segment("G62", "11", date, "8", a.shipped.Format("150405"), "UT")
}

func (a *advice) writeSet(t *x12Text) {
	a.head(t, "F", a.order, a.shipment)
	var total event.Quantity
	for i := range a.lines {
		l := &a.lines[i]
		qty := l.qty.String()
		total += l.qty
		t.segment("LX", strconv.Itoa(i+1))
		t.segment("W12", "CC", qty, qty, "0", l.unit, "", itemQualifier(l.code), l.code)
		if l.lot != "" {
			t.segment("N9", "LT", l.lot)
		}
	}
	t.segment("W03", total.String())
	t.close()
}

// writeBroken writes a set that is refused whole, and returns the cause (docs/connectors.md, the contract and 945).
func (a *advice) writeBroken(t *x12Text, b *broken) (cause string) {
	shipment := a.shipment + "-" + strconv.FormatInt(b.seq, 10)
	if b.poison == scans.WrongKind { // a receipt among the shipments; no mapping reads it
		t.open("944")
		t.segment("W17", "F", a.shipped.Format("20060102"), shipment, a.order)
		t.close()
		return "NOT_YET_MAPPED"
	}
	code, order, count := "F", a.order, "1"
	cause = "MISSING_VALUE"
	switch b.poison {
	case scans.BadFraming:
		count, cause = "1,5", "BAD_QUANTITY"
	case scans.UnknownSchema:
		code, cause = "Q", "BAD_CODE"
	case scans.Truncated:
		count = ""
	case scans.NoIdentity:
		order = ""
	}
	a.head(t, code, order, shipment)
	t.segment("LX", "1")
	t.segment("W12", "CC", "", count, "", "EA", "", "SK", "NONE")
	t.close()
	return cause
}

// inSet says whether poison makes a set of a 945 that is refused whole, where a shipment is what was spoilt.
func inSet(p scans.Poison) bool {
	switch p {
	case scans.BadFraming, scans.UnknownSchema, scans.Truncated, scans.WrongKind, scans.NoIdentity:
		return true
	}
	return false
}
