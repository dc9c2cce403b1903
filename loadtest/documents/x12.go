package documents

import (
	"strconv"
	"time"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// The interchanges of a run: qualifier ZZ, mutually defined (X12 element I05).
const (
	qualifier = "ZZ"
	receiver  = "CROSSDOCK"
	// senderWidth is the length of ISA06 and ISA08.
	senderWidth = 15
)

// An x12Text writes one interchange with one group, version 4010, and any number of transaction sets in it.
type x12Text struct {
	b        []byte
	control  int64 // of the interchange and of the group, 1 to 999,999,999
	sets     int
	segments int // of the set in hand
	first    int // where it begins
}

// segment writes a segment; elements that are empty at its end are left out.
func (t *x12Text) segment(id string, elements ...string) {
	last := len(elements)
	for last > 0 && elements[last-1] == "" {
		last--
	}
	t.b = append(t.b, id...)
	for _, e := range elements[:last] {
		t.b = append(append(t.b, '*'), e...)
	}
	t.b = append(t.b, '~')
	t.segments++
}

func padded(s string, width int) string {
	for len(s) < width {
		s += " "
	}
	return s
}

func digits(n int64, width int) string { return string(appendDigits(nil, n, width)) }

// begin writes the envelope. group is the functional identifier code (X12 element 479).
func (t *x12Text) begin(group, sender string, document int64, at time.Time) {
	t.control, t.sets = document%999_999_999+1, 0
	control := digits(t.control, 9)
	t.segment("ISA", "00", padded("", 10), "00", padded("", 10), qualifier, padded(sender, senderWidth), qualifier, padded(receiver, senderWidth),
		at.Format("060102"), at.Format("1504"), "U", "00401", control, "0", "P", ">")
	t.segment("GS", group, sender, receiver, at.Format("20060102"), at.Format("1504"), strconv.FormatInt(t.control, 10), "X", "004010")
}

func (t *x12Text) open(set string) {
	t.sets++
	t.first, t.segments = len(t.b), 0
	t.segment("ST", set, digits(int64(t.sets), 4))
}

// close ends the set in hand.
func (t *x12Text) close() {
	t.segment("SE", strconv.Itoa(t.segments+1), digits(int64(t.sets), 4))
}

func (t *x12Text) end() {
	t.segment("GE", strconv.Itoa(t.sets), strconv.FormatInt(t.control, 10))
	t.segment("IEA", "1", digits(t.control, 9))
}

// senderKey is the key of the raw record of an interchange, which dead letters of its sets repeat: order is kept by sender and
// receiver (docs/connectors.md, X12).
func senderKey(sender string) []byte {
	return topics.Key(nil, qualifier+":"+sender, qualifier+":"+receiver)
}

// itemQualifier is how a line names what the code is (X12 element 235).
func itemQualifier(code string) string {
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return "SK" // stock keeping unit
		}
	}
	switch len(code) {
	case 13:
		return "EN" // GTIN-13
	case 14:
		return "UK" // GTIN-14
	}
	return "SK"
}

// appendOrder writes an order as a 940 of its own.
func appendOrder(b []byte, o *event.OrderRelease, document int64) []byte {
	t := x12Text{b: b}
	t.begin("OW", o.Header.SourceSystem, document, o.Header.EventTime.Time())
	t.open("940")
	t.segment("W05", "N", o.Order)
	t.segment("N1", "ST", "Customer "+o.ShipTo.Or("unknown"), "92", o.ShipTo.Or("unknown"))
	t.segment("N1", "WH", "", "92", o.ShipFrom)
	for _, d := range []struct {
		code string
		at   event.Optional[event.Micros]
	}{{"10", o.ShipBy}, {"02", o.DeliverBy}} {
		if d.at.Valid {
			at := d.at.Value.Time()
			t.segment("G62", d.code, at.Format("20060102"), "8", at.Format("150405"), "UT")
		}
	}
	var total event.Quantity
	for i := range o.Lines {
		l := &o.Lines[i]
		total += l.QtySrc
		t.segment("LX", strconv.Itoa(i+1))
		t.segment("W01", l.QtySrc.String(), l.UOMSrc, "", itemQualifier(l.SKU), l.SKU)
	}
	t.segment("W76", total.String())
	t.close()
	t.end()
	return t.b
}
