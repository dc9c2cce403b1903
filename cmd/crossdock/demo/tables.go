package demo

import (
	"context"
	"iter"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
)

// tables asks ClickHouse as an analyst would.
type tables struct{ conn driver.Conn }

func (s *services) openTables(ctx context.Context) (*tables, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: s.config.ClickHouse.Addresses, Auth: clickhouse.Auth{Database: s.config.ClickHouse.Database, Username: s.config.ClickHouse.Username},
	})
	if err != nil {
		return nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, conn.Close)
	return &tables{conn}, nil
}

// postings is how many postings stand in the balances table.
func (t *tables) postings(ctx context.Context) (int64, error) {
	var n uint64
	err := t.conn.QueryRow(ctx, "SELECT sum(version) FROM current_stock").Scan(&n)
	return int64(n), err
}

// balances yields every balance in the table.
func (t *tables) balances(ctx context.Context) iter.Seq2[oracle.Row, error] {
	return func(yield func(oracle.Row, error) bool) {
		rows, err := t.conn.Query(ctx, `SELECT sku, site, version, available, allocated, picked, staged, qc, damaged, hold, returned,
			in_transit_in, in_transit_out, clearing FROM current_stock`)
		if err != nil {
			yield(oracle.Row{}, err)
			return
		}
		defer func() { _ = rows.Close() }() // what failed, Err tells
		for rows.Next() {
			var r oracle.Row
			var version uint64
			var buckets [len(r.Buckets)]decimal.Decimal
			into := []any{&r.SKU, &r.Site, &version}
			for i := range buckets {
				into = append(into, &buckets[i])
			}
			err := rows.Scan(into...)
			r.Version = int64(version)
			for i, b := range buckets {
				r.Buckets[i] = quantity(b)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(oracle.Row{}, err)
		}
	}
}

func quantity(d decimal.Decimal) event.Quantity { return event.Quantity(d.Shift(6).IntPart()) }

// A Stock is what a shopkeeper asks of one article.
type Stock struct{ SKU, Available, Damaged, Quality, ToSell string }

func (t *tables) stock(ctx context.Context, site string) (map[string]Stock, error) {
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
func (t *tables) shipped(ctx context.Context, order string) (map[string]string, error) {
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

func (t *tables) exceptions(ctx context.Context) ([]Trouble, error) {
	return t.troubles(ctx, "SELECT class, reference, detail, remedy FROM exceptions FINAL WHERE status = 'OPEN' ORDER BY opened_at, exception_id")
}

func (t *tables) deadLetters(ctx context.Context) ([]Trouble, error) {
	return t.troubles(ctx, "SELECT cause, concat(source, ' ', position), detail, remedy FROM dead_letters FINAL ORDER BY failed_at, id")
}

func (t *tables) troubles(ctx context.Context, query string) ([]Trouble, error) {
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

func (t *tables) freshness(ctx context.Context) ([]Fresh, error) {
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
