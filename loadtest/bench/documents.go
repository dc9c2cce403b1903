package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// DocumentSource is the source whose documents the translate stage drains: its process must be configured to have it, and
// nothing else about it.
const DocumentSource = "bench945"

// documents renders warehouse shipping advices (X12 945, version 004010), as third parties' warehouses send them, one
// interchange each. Equal seeds give equal bytes.
type documents struct {
	random *rand.Rand
	shop   *shop
	left   int64 // canonical events still to come
	number int64 // of the document in hand, from 1
	text   strings.Builder
	doc    document
}

// A document is valid until the next one.
type document struct {
	bytes []byte
	key   []byte // of its raw record: sender and receiver
	site  string // as it names it
	at    event.Micros
	lines []line
}

type line struct {
	item, lot string
	qty       int64 // in unit
	unit      string
}

// events is how many canonical events the document is: one for each line that left, and one for the shipment.
func (d *document) events() int64 { return int64(len(d.lines)) + 1 }

const (
	fewestLines, mostLines = 5, 15
	receiver               = "RETAILER"
)

// newDocuments renders documents of so many canonical events together, or one more where a document would have no line.
func newDocuments(seed uint64, s *shop, events int64) *documents {
	return &documents{random: rand.New(rand.NewPCG(seed, 945)), shop: s, left: events}
}

// next renders the next document; false: there is none.
func (d *documents) next() bool {
	if d.left <= 0 {
		return false
	}
	n := min(int64(fewestLines+d.random.IntN(mostLines-fewestLines+1)), max(1, d.left-1))
	if d.left-n-1 == 1 { // a document needs two events
		n++
	}
	d.number++
	d.left -= n + 1
	d.decide(int(n))
	d.render()
	return true
}

// decide settles what is in the document. Popular items are asked for more: the rank is a cube of an even draw.
func (d *documents) decide(lines int) {
	site := d.random.IntN(shopSites)
	if d.random.IntN(10) < 7 {
		site = d.random.IntN(shopCentres)
	}
	at := scans.DefaultStart().Add(time.Duration(d.number) * time.Second)
	d.doc.site, d.doc.at = siteCode(site), event.MicrosOf(at)
	d.doc.key = topics.Key(d.doc.key[:0], "ZZ:"+d.doc.site, "ZZ:"+receiver)
	d.doc.lines = d.doc.lines[:0]
	for range lines {
		u := d.random.Float64()
		i := min(int(u*u*u*float64(len(d.shop.items))), len(d.shop.items)-1)
		l := line{item: vendorCode(i), qty: int64(1 + d.random.IntN(24)), unit: "EA"}
		if d.random.IntN(2) == 0 {
			l.unit = "CA"
		}
		if d.shop.items[i].LotTracked {
			l.lot = fmt.Sprintf("L%07d", d.random.IntN(10_000_000))
		}
		d.doc.lines = append(d.doc.lines, l)
	}
}

// render writes the interchange: envelope, shipment, a pallet and a line for each item, totals.
func (d *documents) render() {
	at, n := d.doc.at.Time(), d.number
	d.text.Reset()
	segments := 0
	add := func(format string, args ...any) {
		fmt.Fprintf(&d.text, format, args...)
		d.text.WriteString("~\n")
		segments++
	}
	add("ISA*00*          *00*          *ZZ*%-15s*ZZ*%-15s*%s*%s*U*00401*%09d*0*P*>", d.doc.site, receiver, at.Format("060102"), at.Format("1504"), n%1_000_000_000)
	add("GS*SW*%s*%s*%s*%s*%d*X*004010", d.doc.site, receiver, at.Format("20060102"), at.Format("1504"), n)
	segments = 0
	add("ST*945*0001")
	add("W06*F*SO-%08d*%s*BOL-%08d**PO-%07d", n, at.Format("20060102"), n, n/3)
	add("N1*SF*Warehouse %s*92*%s", d.doc.site, d.doc.site)
	add("N1*ST*Customer %d*92*C-%06d", n%1000, n%1000)
	add("N9*2I*JD%012d", n)
	add("G62*11*%s*8*%s*UT", at.Format("20060102"), at.Format("150405"))
	add("W27*M*DHLG*DHL Freight*PP")
	total := int64(0)
	for i, l := range d.doc.lines {
		total += l.qty
		add("LX*%d", i+1)
		add("MAN*GM*00%s", gs1(fmt.Sprintf("34012345%09d", (n*mostLines+int64(i))%1_000_000_000)))
		add("W12*CC*%d*%d*0*%s**VN*%s", l.qty, l.qty, l.unit, l.item)
		if l.lot != "" {
			add("N9*LT*%s", l.lot)
		}
	}
	add("W03*%d*%d*KG", total, 2*total)
	add("SE*%d*0001", segments+1)
	add("GE*1*%d", n)
	add("IEA*1*%09d", n%1_000_000_000)
	d.doc.bytes = []byte(d.text.String())
}

// movement is what line i says, before enrichment, as far as stock goes. m is made anew.
func (d *document) movement(m *event.InventoryMovement, number int64, i int) {
	l := &d.lines[i]
	id := fmt.Sprintf("%d/%d", number, i+1)
	*m = event.InventoryMovement{
		Header: event.EventHeader{EventID: id, DedupeKey: id, SourceSystem: DocumentSource, EventTime: d.at, Site: d.site},
		SKU:    l.item, Type: event.MovementTypeShip, QtySrc: event.Quantity(l.qty) * event.QuantityScale, UOMSrc: l.unit,
		From: event.Some(event.Place{Bucket: event.BucketAvailable}),
	}
	if l.lot != "" {
		m.Lot = event.Some(l.lot)
	}
}
