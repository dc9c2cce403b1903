package demo

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"crossdock/loadtest/tables"
)

// reader asks ClickHouse as an analyst would: for the summary itself, for the recount through the load test's tables.
type reader struct {
	*tables.Tables
	conn driver.Conn
}

func (s *services) openTables(ctx context.Context) (*reader, error) {
	t, err := tables.Open(ctx, tables.Options{
		Addresses: s.config.ClickHouse.Addresses, Database: s.config.ClickHouse.Database, Username: s.config.ClickHouse.Username,
	})
	if err != nil {
		return nil, err
	}
	s.stops = append(s.stops, t.Close)
	return &reader{t, t.Conn()}, nil
}

// A Stock is what a shopkeeper asks of one article.
type Stock struct{ SKU, Available, Damaged, Quality, ToSell string }

func (t *reader) stock(ctx context.Context, site string) (map[string]Stock, error) {
	all := map[string]Stock{}
	rows, err := t.conn.Query(ctx, "SELECT sku, available, damaged, qc, ats FROM current_stock WHERE site = ? AND sku NOT LIKE 'ART-%'", site)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what failed, Err tells
	for rows.Next() {
		var sku string
		var available, damaged, qc, ats decimal.Decimal
		if err := rows.Scan(&sku, &available, &damaged, &qc, &ats); err != nil {
			return nil, err
		}
		all[sku] = Stock{sku, available.String(), damaged.String(), qc.String(), ats.String()}
	}
	return all, rows.Err()
}

// shipped is what left for an order, by SKU, from the ledger.
func (t *reader) shipped(ctx context.Context, order string) (map[string]string, error) {
	all := map[string]string{}
	rows, err := t.conn.Query(ctx, "SELECT sku, sum(qty) FROM inventory_ledger FINAL WHERE order_no = ? AND type = 'SHIP' GROUP BY sku", order)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what failed, Err tells
	for rows.Next() {
		var sku string
		var qty decimal.Decimal
		if err := rows.Scan(&sku, &qty); err != nil {
			return nil, err
		}
		all[sku] = qty.String()
	}
	return all, rows.Err()
}

// A Trouble is something that a person must look at.
type Trouble struct{ Class, Reference, Detail, Remedy string }

func (t *reader) exceptions(ctx context.Context) ([]Trouble, error) {
	return t.troubles(ctx, "SELECT class, reference, detail, remedy FROM exceptions FINAL WHERE status = 'OPEN' ORDER BY opened_at, exception_id")
}

func (t *reader) deadLetters(ctx context.Context) ([]Trouble, error) {
	return t.troubles(ctx, "SELECT cause, concat(source, ' ', position), detail, remedy FROM dead_letters FINAL ORDER BY failed_at, id")
}

func (t *reader) troubles(ctx context.Context, query string) ([]Trouble, error) {
	rows, err := t.conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what failed, Err tells
	var all []Trouble
	for rows.Next() {
		var r Trouble
		if err := rows.Scan(&r.Class, &r.Reference, &r.Detail, &r.Remedy); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// A Fresh says how far a table is behind Kafka.
type Fresh struct {
	Table  string
	Behind float64 // seconds: age of the time until which the table is complete
}

func (t *reader) freshness(ctx context.Context) ([]Fresh, error) {
	rows, err := t.conn.Query(ctx, "SELECT table_name, freshness_seconds FROM freshness ORDER BY table_name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what failed, Err tells
	var all []Fresh
	for rows.Next() {
		var f Fresh
		if err := rows.Scan(&f.Table, &f.Behind); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, rows.Err()
}
