package enrich

import (
	"strconv"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/masterdata"
)

// Stage is this stage's name, as exceptions tell it.
const Stage = "enrich"

// Classes of exception that enriching finds.
const (
	ClassRemainder     = "UNIT_REMAINDER"                 // a quantity is no whole number of base units (N10)
	ClassOverflow      = "QTY_OVERFLOW"                   // a quantity passes 18 digits in the base unit
	ClassAmbiguousItem = "AMBIGUOUS_ITEM"                 // a code names two items
	ClassAmbiguousSite = "AMBIGUOUS_SITE"                 // a code names two sites
	ClassLotMissing    = "LOT_MISSING"                    // a lot-tracked item moved without a lot
	ClassItemBlocked   = "ITEM_BLOCKED"                   // a blocked item moved, or was ordered
	ClassNoQuantity    = "STATUS_CHANGE_WITHOUT_QUANTITY" // a status changed, and nobody says of how much
	ClassNoPlace       = "MISSING_BUCKET"                 // neither the source nor its type says where stock moved
	ClassNotOwner      = "REPORTED_BY_OTHER_SYSTEM"       // a report of a fact that another system owns (N11)
	ClassParkedTooLong = "TOO_MANY_REFERENCES"            // an event waited for more references than it has
	ClassNeverKnown    = "MASTER_DATA_MISSING"            // an event waited for a reference that did not come within the time limit
)

// Causes of a rejection.
const (
	NoIdentity  processors.Cause = "NO_IDENTITY"     // no event id or no dedupe key
	NoSite      processors.Cause = "NO_SITE"         // the site is empty
	NoItem      processors.Cause = "NO_ITEM"         // the item is empty
	NoReference processors.Cause = "NO_REFERENCE"    // the number that makes the key is empty
	BadMovement processors.Cause = "BAD_MOVEMENT"    // it moves nothing that could be posted
	BadMaster   processors.Cause = "BAD_MASTER_DATA" // an item or a site that the tables cannot use
)

// hold makes the verdict Held, with an exception that the caller completes.
func (r *Resolver) hold(h *event.EventHeader, class string, severity event.Severity, reference, sku string) {
	r.describe(h, class, severity, reference, sku)
	r.out.Verdict, r.out.Exception = Held, &r.note
}

// warn puts an exception beside an event that goes on.
func (r *Resolver) warn(h *event.EventHeader, class, reference, sku string) {
	r.describe(h, class, event.SeverityWarning, reference, sku)
	r.note.Retryable = false
	r.out.Exception = &r.note
}

// describe starts an exception. Its id is made of what happened and the class, not of the envelope: the same document sent
// again finds the same trouble, not a second one.
func (r *Resolver) describe(h *event.EventHeader, class string, severity event.Severity, reference, sku string) {
	x := &r.note
	x.Reset()
	x.Header = *h
	x.Header.Ext = nil
	x.ExceptionID = class + "/" + h.DedupeKey
	x.Header.EventID = class + "/" + h.EventID
	x.Header.DedupeKey = x.ExceptionID
	x.Header.CausationID = event.Some(h.EventID)
	x.Header.Action = event.ActionAdd
	x.Version = 1
	x.Status = event.ExceptionStatusOpen
	x.Class = class
	x.Severity = severity
	x.Stage = Stage
	x.Reference = reference
	if h.SourceDocID != "" {
		x.Document = event.Some(h.SourceDocType + " " + h.SourceDocID)
	}
	if sku != "" {
		x.SKU = event.Some(sku)
	}
	x.Retryable = true
}

// said is a quantity as its source said it.
func said(q event.Quantity, uom string, item *masterdata.Item) string {
	if uom == "" {
		uom = item.BaseUOM
	}
	return q.String() + " " + uom
}

func ratioText(r masterdata.Ratio) string {
	if r.Den == 1 {
		return strconv.FormatInt(r.Num, 10)
	}
	return strconv.FormatInt(r.Num, 10) + "/" + strconv.FormatInt(r.Den, 10)
}
