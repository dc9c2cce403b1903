// Package tables reads what stands in ClickHouse, as an analyst would, for those who compare it with what was sent: the
// balances, the ledger, and how far they are. It writes nothing and compares nothing.
package tables

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
)

// Options say where ClickHouse is.
type Options struct {
	Addresses          []string // host:port of the native protocol
	Database           string
	Username, Password string
	TLS                *tls.Config // nil: none
}

// Tables are the tables of one database. Several goroutines may use them.
type Tables struct {
	conn     driver.Conn
	database string

	mu    sync.Mutex // guards marks
	marks map[string]*marks
}

// Open connects. An error names the server.
func Open(ctx context.Context, o Options) (*Tables, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: o.Addresses, TLS: o.TLS,
		Auth:        clickhouse.Auth{Database: o.Database, Username: o.Username, Password: o.Password},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	if err == nil {
		if err = conn.Ping(ctx); err != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("ClickHouse at %s, database %s: %w", strings.Join(o.Addresses, ", "), o.Database, err)
	}
	return &Tables{conn: conn, database: o.Database, marks: make(map[string]*marks)}, nil
}

// Conn is the connection, for questions beside those of this package.
func (t *Tables) Conn() driver.Conn { return t.conn }

// Close closes the connection.
func (t *Tables) Close() error { return t.conn.Close() }

// ofRuns is a condition on sku: those of the runs, or all.
func ofRuns(runs []string) (condition string, args []any) {
	if len(runs) == 0 {
		return "1", nil
	}
	parts := make([]string, len(runs))
	for i, run := range runs {
		parts[i] = "startsWith(sku, ?)"
		args = append(args, run)
	}
	return "(" + strings.Join(parts, " OR ") + ")", args
}

// Postings is how many postings stand in the balances of the runs, or in all.
func (t *Tables) Postings(ctx context.Context, runs ...string) (int64, error) {
	where, args := ofRuns(runs)
	var n uint64
	if err := t.conn.QueryRow(ctx, "SELECT sum(version) FROM current_stock WHERE "+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("current_stock: %w", err)
	}
	return int64(n), nil
}

// balanceColumns has the buckets in the order of oracle.Buckets. A Decimal(18, 6) is an Int64 of millionths: read as such, it
// is neither parsed nor allocated.
const balanceColumns = `sku, site, version, toUnixTimestamp64Micro(as_of), negative,
	reinterpretAsInt64(available), reinterpretAsInt64(allocated), reinterpretAsInt64(picked), reinterpretAsInt64(staged),
	reinterpretAsInt64(qc), reinterpretAsInt64(damaged), reinterpretAsInt64(hold), reinterpretAsInt64(returned),
	reinterpretAsInt64(in_transit_in), reinterpretAsInt64(in_transit_out), reinterpretAsInt64(clearing),
	reinterpretAsInt64(on_hand), reinterpretAsInt64(safety_stock), reinterpretAsInt64(ats)`

// Balances yields every balance of the runs, or all: each key once, in no order. A row is valid until the next one.
func (t *Tables) Balances(ctx context.Context, runs ...string) iter.Seq2[*oracle.Row, error] {
	where, args := ofRuns(runs)
	return func(yield func(*oracle.Row, error) bool) {
		var r oracle.Row
		var version uint64
		into := []any{&r.SKU, &r.Site, &version, (*int64)(&r.AsOf), &r.Negative}
		for i := range r.Buckets {
			into = append(into, (*int64)(&r.Buckets[i]))
		}
		into = append(into, (*int64)(&r.OnHand), (*int64)(&r.SafetyStock), (*int64)(&r.ATS))
		err := t.each(ctx, "SELECT "+balanceColumns+" FROM current_stock WHERE "+where, args, into, func() bool {
			r.Version = int64(version)
			return yield(&r, nil)
		})
		if err != nil {
			yield(nil, fmt.Errorf("current_stock: %w", err))
		}
	}
}

// Ledger yields every posting of the runs, or all, each once, in no order: SKU, site, number, buckets, quantity, event time
// and dedupe key. A posting is valid until the next one.
func (t *Tables) Ledger(ctx context.Context, runs ...string) iter.Seq2[*event.LedgerPosting, error] {
	where, args := ofRuns(runs)
	return func(yield func(*event.LedgerPosting, error) bool) {
		var p event.LedgerPosting
		var number uint64
		var from, to string
		var unknown error
		into := []any{&p.SKU, &p.Site, &number, &from, &to, (*int64)(&p.Qty), (*int64)(&p.EventTime), &p.DedupeKey}
		err := t.each(ctx, `SELECT sku, site, posting_no, from_bucket, to_bucket, reinterpretAsInt64(qty), toUnixTimestamp64Micro(event_time),
			dedupe_key FROM inventory_ledger FINAL WHERE `+where, args, into, func() bool {
			var known, too bool
			p.PostingNo = int64(number)
			p.FromBucket, known = event.ParseBucket(from)
			p.ToBucket, too = event.ParseBucket(to)
			if !known || !too {
				unknown = fmt.Errorf("posting %d of %s at %s: bucket %q or %q is none", number, p.SKU, p.Site, from, to)
				return false
			}
			return yield(&p, nil)
		})
		if err = errors.Join(err, unknown); err != nil {
			yield(nil, fmt.Errorf("inventory_ledger: %w", err))
		}
	}
}

// each scans every row of a query, until f returns false.
func (t *Tables) each(ctx context.Context, query string, args, into []any, f func() bool) error {
	rows, err := t.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // what failed, Err tells
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if !f() {
			return nil
		}
	}
	return rows.Err()
}

// maxKnownParts bounds what is remembered of the parts of a table: beyond it the next look reads all of them.
const maxKnownParts = 2_000

// marks is how far one topic's rows are known to be.
type marks struct {
	id      uuid.UUID
	newest  time.Time
	highest map[int32]int64
	parts   map[string]bool // that were looked at
}

// Watermarks tells, by partition, the highest offset of a topic, as the brokers name it, whose row answers a query of
// inventory_balances. Where the topic was made anew, the rows of the newest count. A look reads only what was written since the
// last one.
func (t *Tables) Watermarks(ctx context.Context, topic string) (map[int32]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.marks[topic]
	if m == nil || len(m.parts) > maxKnownParts {
		m = &marks{highest: make(map[int32]int64), parts: make(map[string]bool)}
		t.marks[topic] = m
	}
	// A part is written once; what a merge makes is a new one.
	query, args := "SELECT _part, _topic_id, _partition, max(_offset), max(_inserted_at) FROM inventory_balances WHERE _topic = ?", []any{topic}
	if len(m.parts) > 0 {
		known := make([]string, 0, len(m.parts))
		for name := range m.parts {
			known = append(known, name)
		}
		query += " AND _part NOT IN (?)"
		args = append(args, known)
	}
	var part string
	var id uuid.UUID
	var partition int32
	var offset int64
	var at time.Time
	into := []any{&part, &id, &partition, &offset, &at}
	err := t.each(ctx, query+" GROUP BY _part, _topic_id, _partition", args, into, func() bool {
		m.parts[part] = true
		switch {
		case id == m.id:
		case at.After(m.newest):
			m.id, m.highest = id, make(map[int32]int64)
		default:
			return true
		}
		if at.After(m.newest) {
			m.newest = at
		}
		m.highest[partition] = max(m.highest[partition], offset)
		return true
	})
	if err != nil {
		delete(t.marks, topic)
		return nil, fmt.Errorf("inventory_balances: %w", err)
	}
	highest := make(map[int32]int64, len(m.highest))
	for p, offset := range m.highest {
		highest[p] = offset
	}
	return highest, nil
}
