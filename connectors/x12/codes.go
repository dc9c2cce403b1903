package x12

import "crossdock/avro/event"

// A status is a code of X12 element 368 (Shipment/Order Status Code) as far as it says what becomes of a line.
type status struct {
	code, title string
	class       string // of the exception that the line is, whatever its quantities; empty: the quantities decide
	rest        string // what becomes of the units that did not ship
}

// statuses are the codes that W12-01 uses. A code that is not among them is taken by its quantities.
func statuses() [16]status {
	return [...]status{
		{"CC", "shipment complete", "", ""},
		{"CL", "complete", "", ""},
		{"CP", "partial shipment, no backorder", "", restNever},
		{"BP", "partial shipment, the rest is backordered", "", restFollows},
		{"BO", "backordered", "", restFollows},
		{"BK", "backordered from an earlier order", "", restFollows},
		{"CS", "shipment complete with a substitution", classSubstituted, ""},
		{"IS", "item is a substitution for what was ordered", classSubstituted, ""},
		{"CM", "shipment complete with additional quantity", "", ""},
		{"CE", "shipment includes extra items to meet a price break", "", ""},
		{"DS", "out of stock", classOutOfStock, restNever},
		{"IC", "item cancelled", classCancelled, restNever},
		{"CU", "line cancelled", classCancelled, restNever},
		{"DI", "item discontinued", classCancelled, restNever},
		{"PH", "on hold", classOnHold, ""},
		{"LS", "last shipment", "", restNever},
	}
}

// What becomes of units that did not ship.
const (
	restFollows = "they will follow as a backorder"
	restNever   = "they will not follow"
)

// Classes of exceptions that a 945 gives rise to.
const (
	classShort       = "SHORT_SHIPMENT"
	classOver        = "OVER_SHIPMENT"
	classSubstituted = "SUBSTITUTED_ITEM"
	classOutOfStock  = "OUT_OF_STOCK"
	classCancelled   = "LINE_CANCELLED"
	classOnHold      = "LINE_ON_HOLD"
)

// orderAction reads X12 element 473 (Order Status Code), as far as W05-01 is translated.
func orderAction(code string) (a event.Action, ok bool) {
	switch code {
	case "N":
		return event.ActionAdd, true
	case "R":
		return event.ActionChange, true
	case "F":
		return event.ActionCancel, true
	}
	return 0, false
}

// orderStatusTitle names the other codes of element 473, for whoever has to act on a refusal.
func orderStatusTitle(code string) string {
	switch code {
	case "A":
		return "information only"
	case "B":
		return "backorder original"
	case "C":
		return "confirmation"
	case "D":
		return "delete"
	case "E":
		return "backorder confirmation"
	case "G":
		return "changes to other than line items"
	case "L":
		return "line item replace"
	case "S":
		return "future dated order"
	case "T":
		return "resubmission"
	case "X":
		return "simulation exercise"
	case "Z":
		return "mutually defined"
	}
	return "not in the standard"
}

// reportTitle names the codes of X12 element 514 (Reporting Code) that W06-01 has; full says whether all lines and
// quantities of the shipment are in the set.
func reportTitle(code string) (title string, full bool) {
	switch code {
	case "F":
		return "full detail", true
	case "J":
		return "original transaction", true
	case "N":
		return "no exceptions", true
	case "R":
		return "replacement", false
	case "X":
		return "exceptions only", false
	case "K":
		return "simulation exercise", false
	case "Z":
		return "mutually defined", false
	}
	return "not for shipments", false
}

// itemQualifiers are the codes of X12 element 235 (Product/Service ID Qualifier) in the order in which they name the item of
// whoever owns the stock: its own number first, numbers of the trade after it.
func itemQualifiers() [16]string {
	return [...]string{"SK", "VN", "VC", "VP", "VA", "BP", "IN", "PN", "MG", "UK", "UP", "UI", "UA", "UN", "EN", "EO"}
}
