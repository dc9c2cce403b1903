package x12

import (
	"fmt"

	"crossdock/avro/event"
)

// emit makes the events of the advice: the milestone, then line by line.
func (a *advice) emit() {
	left := false
	for i := range a.details {
		left = left || a.details[i].shipped > 0
	}
	if left {
		a.events = append(a.events, a.milestone())
	}
	for i := range a.details {
		d := &a.details[i]
		if d.shipped > 0 {
			a.events = append(a.events, a.movement(d))
		}
		if e := a.exception(d); e != nil {
			a.events = append(a.events, e)
		}
	}
}

// scope names the shipment for dedupe keys: its number, with the order's and the date. A sender that gives no number is
// told apart by content, since two partial shipments of an order may leave on one day.
func (a *advice) scope() []string {
	name := a.shipment
	if name == "" {
		name = "#" + a.digest()
	}
	if a.link != "" {
		name += "/" + a.link // linked sets number their lines anew
	}
	return []string{a.order, name, a.w06.Text(3)}
}

func (a *advice) head(d *detail, place, kind string) event.EventHeader {
	segment, line := a.w06, ""
	if d != nil {
		segment, line = d.w12, d.line
	}
	h := a.header(segment, place, append(a.scope(), line, kind)...)
	h.CorrelationID = a.order
	h.SourceLine = some(line)
	h.EventTime = a.shipped.Value
	h.Site = a.where
	if !a.exact {
		h.Ext = append(h.Ext, event.Pair{Key: "event_time_precision", Value: "day"})
	}
	return h
}

func (a *advice) milestone() *event.ShipmentMilestone {
	e := &event.ShipmentMilestone{
		Header:      a.head(nil, "", "SHIPPED"),
		Shipment:    a.docID,
		Order:       some(a.order),
		StatusCanon: "SHIPPED",
		StatusSrc:   a.w06.Text(1),
		TrackingNo:  some(a.tracking),
		Location:    some(a.where),
	}
	one := a.details[0].sscc
	for i := range a.details {
		if a.details[i].sscc != one {
			one = "" // several packages: each movement names its own
		}
	}
	e.PackageID = some(one)
	if a.carrier != "" {
		e.Header.Ext = note(e.Header.Ext, "carrier", a.carrier)
	}
	e.Header.Ext = append(e.Header.Ext, a.ext...)
	return e
}

func (a *advice) movement(d *detail) *event.InventoryMovement {
	bucket := a.doc.Settings.ShipFrom
	if bucket == event.BucketExternal {
		bucket = event.BucketAvailable
	}
	unit := d.lpn
	if unit == "" {
		unit = d.sscc
	}
	e := &event.InventoryMovement{
		Header:    a.head(d, "", "SHIP"),
		SKU:       d.sku,
		Type:      event.MovementTypeShip,
		QtySrc:    d.shipped,
		UOMSrc:    d.uom,
		From:      event.Some(event.Place{Bucket: bucket, LPN: some(unit)}),
		Lot:       some(d.lot),
		Expiry:    d.expiry,
		Serials:   d.serials,
		ReasonSrc: some(d.code),
		Ref:       event.Some(event.Reference{Order: some(a.order), Line: some(d.refLine()), Shipment: some(a.docID)}),
	}
	if d.sscc != "" && d.sscc != unit {
		e.Header.Ext = note(e.Header.Ext, "sscc", d.sscc)
	}
	e.Header.Ext = append(e.Header.Ext, d.otherItemNumber...)
	return e
}

// refLine is the line of the order: its own number where the sender gives it, else the advice's.
func (d *detail) refLine() string {
	if d.orderLine != "" {
		return d.orderLine
	}
	return d.line
}

// exception says what a person has to know about a line that did not ship as ordered; nil where it did.
func (a *advice) exception(d *detail) *event.LogisticsException {
	var st status
	for _, s := range statuses() {
		if s.code == d.code {
			st = s
		}
	}
	class := st.class
	ordered := d.ordered.Or(d.shipped)
	if class == "" {
		switch {
		case d.shipped < ordered:
			class = classShort
		case d.shipped > ordered:
			class = classOver
		default:
			return nil
		}
	}
	detail, remedy := d.tell(a.order, class, ordered, st)
	e := &event.LogisticsException{
		Header:    a.head(d, "exception", class),
		Version:   1,
		Class:     class,
		Severity:  event.SeverityWarning,
		Stage:     "translate",
		Reference: a.order,
		Document:  event.Some(a.docType + " " + a.docID),
		SKU:       some(d.sku),
		Detail:    detail,
		Remedy:    remedy,
		Expected:  event.Some(ordered.String() + " " + d.uom),
		Actual:    event.Some(d.shipped.String() + " " + d.uom),
		OpenedAt:  a.doc.ReceivedAt,
	}
	e.ExceptionID = e.Header.DedupeKey
	if class == classSubstituted && d.original != "" {
		e.Expected = event.Some(ordered.String() + " " + d.uom + " of " + d.original)
		e.Actual = event.Some(d.shipped.String() + " " + d.uom + " of " + d.sku)
	}
	return e
}

// tell puts the exception into words.
func (d *detail) tell(order, class string, ordered event.Quantity, st status) (detail, remedy string) {
	detail = fmt.Sprintf("order %s, line %s, item %s: %s %s ordered, %s shipped", order, d.refLine(), d.sku, ordered, d.uom, d.shipped)
	switch class {
	case classShort, classOutOfStock, classCancelled:
		detail += fmt.Sprintf(", %s short", ordered-d.shipped)
		remedy = "ask the warehouse whether the rest will follow"
	case classOver:
		detail += fmt.Sprintf(", %s more than ordered", d.shipped-ordered)
		remedy = "agree with the customer whether the surplus is kept or comes back"
	case classSubstituted:
		if d.original != "" {
			detail += fmt.Sprintf(", in place of item %s", d.original)
		}
		remedy = "make sure that the customer accepts the substitution"
	case classOnHold:
		remedy = "ask the warehouse what the line waits for"
	}
	if st.rest != "" && d.shipped < ordered {
		detail += "; " + st.rest
		switch st.rest {
		case restFollows:
			remedy = "nothing now: watch for the shipment of the rest"
		case restNever:
			remedy = "tell the customer, or order the rest again"
		}
	}
	if st.title != "" {
		detail += fmt.Sprintf(" (%s: %s)", d.code, st.title)
	} else {
		detail += fmt.Sprintf(" (status %s)", d.code)
	}
	return detail, remedy
}
