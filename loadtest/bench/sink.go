package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"crossdock/loadtest/oracle"
	"crossdock/loadtest/tables"
	"crossdock/topology/topics"
)

// limitBlock is how many rows the limit inserts at once into each table.
const limitBlock = 100_000

// sinkJob drains postings and balances into ClickHouse.
type sinkJob struct {
	*drain
	conn driver.Conn    // nil: there is no database yet
	sent *oracle.Oracle // what was filled in
}

// pairs is how many postings, and as many balances, the backlog has.
func (j *sinkJob) pairs() int64 { return (j.options.Records + 1) / 2 }

func (j *sinkJob) fill(ctx context.Context) (backlog, Measure, error) {
	if err := j.open(ctx); err != nil {
		return backlog{}, Measure{}, err
	}
	rows, err := newStockRows(j.load())
	if err != nil {
		return backlog{}, Measure{}, err
	}
	p, err := j.producer()
	if err != nil {
		return backlog{}, Measure{}, err
	}
	ledger, balances, s := j.env.Naming.Topic(topics.Ledger), j.env.Naming.Topic(topics.Balances), j.options.Serde
	for range j.pairs() {
		if err = rows.next(); err == nil {
			err = p.put(ctx, &kgo.Record{Topic: ledger, Key: rows.key(), Value: s.Append(nil, &rows.posting)}, 1)
		}
		if err == nil {
			err = p.put(ctx, &kgo.Record{Topic: balances, Key: rows.key(), Value: s.Append(nil, &rows.balance)}, 1)
		}
		if err != nil {
			p.abandon()
			return backlog{}, Measure{}, err
		}
	}
	m, err := p.done(ctx)
	j.sent = rows.stock
	return backlog{topics: []string{ledger, balances}, records: p.records, units: p.units}, m, err
}

// open makes the tables, and a connection to them.
func (j *sinkJob) open(ctx context.Context) error {
	c := &j.options.ClickHouse
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: c.Addresses, Auth: clickhouse.Auth{Username: c.Username, Password: c.Password}, TLS: c.TLS,
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, // as the sink's
	})
	if err != nil {
		return fmt.Errorf("ClickHouse at %v: %w", c.Addresses, err)
	}
	j.conn = conn
	if err := j.options.Tables(ctx, j.env); err != nil {
		return fmt.Errorf("the sink's tables in %s: %w", j.env.Database, err)
	}
	return nil
}

// limit inserts the rows of the backlog into tables like the sink's. Only the inserts count: the columns are ready.
func (j *sinkJob) limit(ctx context.Context) (Measure, error) {
	rows, err := newStockRows(j.load())
	if err != nil {
		return Measure{}, err
	}
	ledger, balances := newBlock("inventory_ledger", ledgerColumns()), newBlock("inventory_balances", balanceColumns())
	for _, table := range []string{ledger.table, balances.table} {
		if err := j.conn.Exec(ctx, fmt.Sprintf("CREATE TABLE %[1]s.%[2]s_limit AS %[1]s.%[2]s", j.env.Database, table)); err != nil {
			return Measure{}, fmt.Errorf("a table like %s: %w", table, err)
		}
	}
	w := j.watchOwn()
	w.rest()
	w.spent = spending{}
	var commits int64
	for left := j.pairs(); left > 0; {
		n := min(left, limitBlock)
		left -= n
		ledger.reset()
		balances.reset()
		for range n {
			if err := rows.next(); err != nil {
				return Measure{}, err
			}
			ledger.add(&rows.posting)
			balances.add(&rows.balance)
		}
		ledger.encode()
		balances.encode()
		w.resume()
		both, ctx := errgroup.WithContext(ctx)
		both.Go(func() error { return ledger.insert(ctx, j.conn, j.env.Database) })
		both.Go(func() error { return balances.insert(ctx, j.conn, j.env.Database) })
		if err := both.Wait(); err != nil {
			return Measure{}, err
		}
		w.rest()
		commits += 2
		j.progress(Limit, j.backlog.units-2*left, w.began)
	}
	m := w.measureResting(j.backlog.units)
	m.Commits = commits
	return m, j.dropLimit(ctx)
}

// dropLimit leaves the engine no merges of the limit's tables to do while the stage drains.
func (j *sinkJob) dropLimit(ctx context.Context) error {
	for _, table := range []string{"inventory_ledger", "inventory_balances"} {
		if err := j.conn.Exec(ctx, fmt.Sprintf("DROP TABLE %s.%s_limit SYNC", j.env.Database, table)); err != nil {
			return fmt.Errorf("drop the limit's table: %w", err)
		}
	}
	return nil
}

// verify recounts every balance and every posting from the rows, each key and posting read once.
func (j *sinkJob) verify(ctx context.Context) (Outcome, error) {
	c := &j.options.ClickHouse
	t, err := tables.Open(ctx, tables.Options{Addresses: c.Addresses, Database: j.env.Database, Username: c.Username, Password: c.Password, TLS: c.TLS})
	if err != nil {
		return Outcome{}, err
	}
	balances, ledger := j.sent.Balances("inventory_balances", 0), j.sent.Ledger("inventory_ledger", 0)
	err = balances.Rows(t.Balances(ctx))
	if err == nil {
		err = ledger.Rows(t.Ledger(ctx))
	}
	if err = errors.Join(err, t.Close()); err != nil {
		return Outcome{}, err
	}
	findings := []oracle.Finding{balances.Finding(), ledger.Finding()}
	out := outcomeOf(j.sent, findings...)
	for i := range findings {
		out.made(findings[i].Source, findings[i].Read)
	}
	return out, j.expectNone(ctx, &out, topics.Exceptions, topics.DeadLetters)
}

func (j *sinkJob) close(ctx context.Context) error {
	if j.conn == nil {
		return nil
	}
	err := j.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+j.env.Database+" SYNC")
	if err != nil {
		err = fmt.Errorf("drop database %s: %w", j.env.Database, err)
	}
	return errors.Join(err, j.conn.Close())
}
