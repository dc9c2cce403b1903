package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
)

// An AnswerError says what is wrong with an answer of the state's query.
type AnswerError struct {
	Balance int // its place in the answer, from 0; -1: the answer as a whole
	Problem string
}

func (e *AnswerError) Error() string {
	if e.Balance < 0 {
		return "the answer " + e.Problem
	}
	return fmt.Sprintf("balance %d of the answer %s", e.Balance, e.Problem)
}

// answered is a balance as the query answers it: quantities as decimal texts, times in RFC 3339.
type answered struct {
	SKU          string   `json:"sku"`
	Site         string   `json:"site"`
	Found        bool     `json:"found"`
	Version      int64    `json:"version"`
	AsOf         instant  `json:"as_of"`
	Available    decimal  `json:"available"`
	Allocated    decimal  `json:"allocated"`
	Picked       decimal  `json:"picked"`
	Staged       decimal  `json:"staged"`
	QC           decimal  `json:"qc"`
	Damaged      decimal  `json:"damaged"`
	Hold         decimal  `json:"hold"`
	Returned     decimal  `json:"returned"`
	InTransitIn  decimal  `json:"in_transit_in"`
	InTransitOut decimal  `json:"in_transit_out"`
	Clearing     decimal  `json:"clearing"`
	OnHand       decimal  `json:"on_hand"`
	SafetyStock  *decimal `json:"safety_stock"`
	ATS          decimal  `json:"ats"`
	Negative     bool     `json:"negative"`
}

type decimal event.Quantity

// UnmarshalJSON reads a decimal text.
func (d *decimal) UnmarshalJSON(b []byte) error {
	q, err := event.ParseQuantity(string(bytes.Trim(b, `"`)))
	*d = decimal(q)
	return err
}

type instant event.Micros

// UnmarshalJSON reads a time in RFC 3339.
func (i *instant) UnmarshalJSON(b []byte) error {
	at, err := time.Parse(time.RFC3339Nano, string(bytes.Trim(b, `"`)))
	if err != nil {
		return err
	}
	*i = instant(event.MicrosOf(at))
	return nil
}

// parseAnswer reads an answer about n keys: a row for each, nil where there is no balance.
func parseAnswer(answer []byte, n int) ([]*oracle.Row, error) {
	var a struct {
		Balances []answered `json:"balances"`
	}
	a.Balances = make([]answered, 0, n)
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, &AnswerError{Balance: -1, Problem: "is not what the query promises: " + err.Error()}
	}
	if len(a.Balances) != n {
		return nil, &AnswerError{Balance: -1, Problem: fmt.Sprintf("has %d balances, and %d were asked for", len(a.Balances), n)}
	}
	kept := make([]oracle.Row, n)
	rows := make([]*oracle.Row, n)
	for i := range a.Balances {
		if a.Balances[i].Found {
			kept[i] = a.Balances[i].row()
			rows[i] = &kept[i]
		}
	}
	return rows, nil
}

func (a *answered) row() oracle.Row {
	r := oracle.Row{
		SKU: a.SKU, Site: a.Site, Version: a.Version, AsOf: event.Micros(a.AsOf),
		OnHand: event.Quantity(a.OnHand), ATS: event.Quantity(a.ATS), Negative: a.Negative,
	}
	for i, d := range [...]decimal{
		a.Available, a.Allocated, a.Picked, a.Staged, a.QC, a.Damaged, a.Hold, a.Returned, a.InTransitIn, a.InTransitOut, a.Clearing,
	} {
		r.Buckets[i] = event.Quantity(d)
	}
	if a.SafetyStock != nil {
		r.SafetyStock = event.Quantity(*a.SafetyStock)
	}
	return r
}
