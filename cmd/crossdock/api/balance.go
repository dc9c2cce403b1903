package api

import (
	"time"

	"crossdock/avro/event"
)

// A Balance answers for one key. Its fields are those of InventoryBalance's schema; the event that caused the balance is
// not part of the state.
type Balance struct {
	SKU    string `json:"sku"`
	Site   string `json:"site"`
	Found  bool   `json:"found"`
	*Stock        // nil where nothing has touched the key
}

// Stock is the stock of a key. Quantities are exact decimal texts in the item's base unit.
type Stock struct {
	Version      int64    `json:"version"`             // postings applied so far; 0: only a policy is known
	AsOf         *Instant `json:"as_of,omitempty"`     // latest event time posted
	PostedAt     *Instant `json:"posted_at,omitempty"` // when the last posting was applied
	Available    Decimal  `json:"available"`
	Allocated    Decimal  `json:"allocated"`
	Picked       Decimal  `json:"picked"`
	Staged       Decimal  `json:"staged"`
	QC           Decimal  `json:"qc"`
	Damaged      Decimal  `json:"damaged"`
	Hold         Decimal  `json:"hold"`
	Returned     Decimal  `json:"returned"`
	InTransitIn  Decimal  `json:"in_transit_in"`
	InTransitOut Decimal  `json:"in_transit_out"`
	Clearing     Decimal  `json:"clearing"`
	OnHand       Decimal  `json:"on_hand"`
	SafetyStock  Decimal  `json:"safety_stock"`
	ATS          Decimal  `json:"ats"`
	Negative     bool     `json:"negative"`
}

// stockOf is a balance as it is told.
func stockOf(b *event.InventoryBalance) *Stock {
	s := &Stock{
		Version:   b.Version,
		Available: Decimal(b.Available), Allocated: Decimal(b.Allocated), Picked: Decimal(b.Picked), Staged: Decimal(b.Staged),
		QC: Decimal(b.QC), Damaged: Decimal(b.Damaged), Hold: Decimal(b.Hold), Returned: Decimal(b.Returned),
		InTransitIn: Decimal(b.InTransitIn), InTransitOut: Decimal(b.InTransitOut), Clearing: Decimal(b.Clearing),
		OnHand: Decimal(b.OnHand), SafetyStock: Decimal(b.SafetyStock), ATS: Decimal(b.ATS), Negative: b.Negative,
	}
	if b.Version > 0 {
		asOf, postedAt := Instant(b.AsOf), Instant(b.PostedAt)
		s.AsOf, s.PostedAt = &asOf, &postedAt
	}
	return s
}

// A Decimal is a quantity as a text, so that no reader makes a float of it.
type Decimal event.Quantity

// MarshalText writes the shortest text that reads back.
func (d Decimal) MarshalText() ([]byte, error) { return event.Quantity(d).Append(nil), nil }

// UnmarshalText reads it.
func (d *Decimal) UnmarshalText(b []byte) error {
	q, err := event.ParseQuantity(string(b))
	*d = Decimal(q)
	return err
}

// An Instant is a time in UTC with microseconds, RFC 3339.
type Instant event.Micros

const instantForm = "2006-01-02T15:04:05.000000Z"

// MarshalText writes it.
func (i Instant) MarshalText() ([]byte, error) {
	return event.Micros(i).Time().AppendFormat(nil, instantForm), nil
}

// UnmarshalText reads it.
func (i *Instant) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	*i = Instant(event.MicrosOf(t))
	return err
}
