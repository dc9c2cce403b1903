package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"go.uber.org/goleak"

	"crossdock/internal/testservices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is clickhouse-go, unmodified, over one of the ways it has to a server.
type client struct {
	driver.Conn
	t    *testing.T
	http bool
	name string // of its database
}

// eachTransport runs f with a client of each protocol and compression.
func eachTransport(t *testing.T, f func(t *testing.T, c client)) {
	t.Helper()
	server := testservices.ClickHouse(t)
	for _, v := range []struct {
		name     string
		protocol clickhouse.Protocol
		method   clickhouse.CompressionMethod
	}{
		{"http", clickhouse.HTTP, clickhouse.CompressionNone},
		{"http lz4", clickhouse.HTTP, clickhouse.CompressionLZ4},
		{"native", clickhouse.Native, clickhouse.CompressionNone},
		{"native lz4", clickhouse.Native, clickhouse.CompressionLZ4},
		{"native zstd", clickhouse.Native, clickhouse.CompressionZSTD},
	} {
		t.Run(v.name, func(t *testing.T) {
			name := server.Database(t)
			addr := server.TCP
			if v.protocol == clickhouse.HTTP {
				addr = server.HTTP
			}
			f(t, client{dial(t, addr, v.protocol, v.method, name), t, v.protocol == clickhouse.HTTP, name})
		})
	}
}

func dial(t *testing.T, addr string, p clickhouse.Protocol, m clickhouse.CompressionMethod, database string) driver.Conn {
	t.Helper()
	o := &clickhouse.Options{Addr: []string{addr}, Protocol: p, MaxOpenConns: 4, Auth: clickhouse.Auth{Database: database}}
	if m != clickhouse.CompressionNone {
		o.Compression = &clickhouse.Compression{Method: m}
	}
	db, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func (c client) do(q string, args ...any) {
	c.t.Helper()
	if err := c.Exec(c.t.Context(), q, args...); err != nil {
		c.t.Fatalf("%s: %v", q, err)
	}
}

func (c client) count(q string, args ...any) (n uint64) {
	c.t.Helper()
	if err := c.QueryRow(c.t.Context(), q, args...).Scan(&n); err != nil {
		c.t.Fatalf("%s: %v", q, err)
	}
	return n
}

func (c client) want(what string, got, want uint64) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

const createMoves = `CREATE TABLE moves (
	event_id UUID, sku LowCardinality(String), site LowCardinality(Nullable(String)), bin FixedString(4),
	kind Enum8('receipt' = 1, 'sale, cash' = 2), qty Decimal(18, 3), ver UInt64, at DateTime64(6, 'UTC'), day Date,
	note Nullable(String), attrs Map(LowCardinality(String), String), tags Array(LowCardinality(String)),
	pair Tuple(x Int32, y Nullable(Float64)), nest Array(Tuple(name String, qty Int64)), ok Bool
) ENGINE = ReplacingMergeTree(ver) PARTITION BY toYYYYMM(at) ORDER BY (sku, event_id)
SETTINGS non_replicated_deduplication_window = 100`

var noon = time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)

// insertMoves sends a row for each id as one batch with a deduplication token.
func (c client) insertMoves(token string, ver uint64, ids []uuid.UUID) {
	c.t.Helper()
	ctx := clickhouse.Context(c.t.Context(), clickhouse.WithQueryID(token), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}))
	b, err := c.PrepareBatch(ctx, "INSERT INTO moves")
	if err != nil {
		c.t.Fatal(err)
	}
	for i, id := range ids {
		var note, site *string
		if i%2 == 1 {
			n, s := fmt.Sprint("n", i), "S1"
			note, site = &n, &s
		}
		y := float64(i)
		err := b.Append(id, fmt.Sprint("SKU-", i%10), site, "bin1", "sale, cash", decimal.New(int64(i), -3), ver, noon, noon,
			note, map[string]string{"k": "v", "é": ""}, []string{"a", "b"}[:i%3%2], []any{int32(i), &y},
			[][]any{{"x", int64(i)}}, i%2 == 0)
		if err != nil {
			c.t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		c.t.Fatal(err)
	}
}

func newIDs(n int) []uuid.UUID {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	return ids
}

func TestATokenHasOneEffectThroughViewsToo(t *testing.T) {
	eachTransport(t, func(_ *testing.T, c client) {
		c.do(createMoves)
		c.do(`CREATE TABLE totals (sku String, qty SimpleAggregateFunction(sum, Decimal(38, 3)), n SimpleAggregateFunction(sum, UInt64))
			ENGINE = AggregatingMergeTree ORDER BY sku SETTINGS non_replicated_deduplication_window = 100`)
		c.do(`CREATE MATERIALIZED VIEW to_totals TO totals AS SELECT sku, sum(qty) AS qty, count() AS n FROM moves GROUP BY sku`)
		ids := newIDs(5000)
		c.insertMoves("t/0/0-4999/1", 1, ids)
		c.insertMoves("t/0/0-4999/1", 1, ids)
		c.want("rows after a repeated token", c.count("SELECT count() FROM moves"), 5000)
		c.want("rollup after a repeated token", c.count("SELECT sum(n) FROM totals"), 5000)
		c.insertMoves("t/0/5000-5099/1", 2, ids[:100])
		c.want("replaced rows", c.count("SELECT count() FROM moves FINAL WHERE ver = 2"), 100)
		c.want("rows under FINAL", c.count("SELECT count() FROM moves FINAL"), 5000)
	})
}

func TestEveryColumnTypeComesBackAsItWent(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do(createMoves)
		ids := newIDs(10)
		c.insertMoves("types", 1, ids)
		rows, err := c.Query(t.Context(), "SELECT * FROM moves WHERE event_id IN (?, ?) ORDER BY qty", ids[4], ids[7])
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for ; rows.Next(); seen++ {
			var (
				id             uuid.UUID
				sku, bin, kind string
				site, note     *string
				qty            decimal.Decimal
				ver            uint64
				ts, day        time.Time
				attrs          map[string]string
				tags           []string
				pair           []any
				nest           []map[string]any
				ok             bool
			)
			if err := rows.Scan(&id, &sku, &site, &bin, &kind, &qty, &ver, &ts, &day, &note, &attrs, &tags, &pair, &nest, &ok); err != nil {
				t.Fatal(err)
			}
			i := []int{4, 7}[seen]
			if id != ids[i] || kind != "sale, cash" || !ts.Equal(noon) || len(attrs) != 2 || qty.String() != fmt.Sprintf("0.00%d", i) ||
				(note == nil) != (i%2 == 0) || (site == nil) != (i%2 == 0) || bin != "bin1" || len(tags) != i%3%2 || nest[0]["qty"] != int64(i) || ok != (i%2 == 0) {
				t.Errorf("row %d: %v %v %v %v %v %v %v %v %v %v", i, id, kind, ts, attrs, qty, note, site, tags, nest, ok)
			}
		}
		if err := rows.Err(); err != nil || seen != 2 {
			t.Fatalf("%d rows, %v", seen, err)
		}
	})
}

func TestResultsOfAnySize(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do(createMoves)
		rows, err := c.Query(t.Context(), "SELECT sku, qty FROM moves WHERE 0")
		if err != nil {
			t.Fatalf("no rows: %v", err)
		}
		if rows.Next() {
			t.Error("a row out of nowhere")
		}
		if got := rows.Columns(); len(got) != 2 && !c.http { // over HTTP an empty result has no block to name them
			t.Errorf("columns of an empty result: %v", got)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		if rows, err = c.Query(t.Context(), "SELECT number, toString(number) FROM numbers(1000000)"); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		c.want("a million rows", n, 1_000_000)
	})
}

func TestParametersReachTheStatement(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do(createMoves)
		c.insertMoves("p", 1, newIDs(100))
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"s": `SKU-3`, "n": "1"}))
		var n uint64
		if err := c.QueryRow(ctx, "SELECT count() FROM moves WHERE sku = {s:String} AND ver = {n:UInt64}").Scan(&n); err != nil {
			t.Fatal(err)
		}
		c.want("server-side parameters", n, 10)
		c.want("bound arguments", c.count("SELECT count() FROM moves WHERE sku = ? AND ver = ?", "SKU-3", 1), 10)
		const tricky = `it's a "quoted" {x} é`
		var echo string
		ctx = clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"e": tricky}))
		if err := c.QueryRow(ctx, "SELECT {e:String}").Scan(&echo); err != nil || echo != tricky {
			t.Errorf("parameter %q came back as %q, %v", tricky, echo, err)
		}
	})
}

func codeOf(t *testing.T, err error) int32 {
	t.Helper()
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		t.Errorf("not an exception: %T %v", err, err)
		return 0
	}
	return e.Code
}

func TestFailuresHaveClickHousesCodeAndTheConnectionLives(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		for _, f := range []struct {
			q    string
			want int32
		}{
			{"SELEC 1", 62},
			{"\x04\"", 62},
			{"-- nothing", 62},
			{"SELECT * FROM nowhere", 60},
			{"SELECT nope FROM numbers(1)", 47},
			{"SELECT throwIf(number = 900000, 'boom') FROM numbers(1000000)", 395},
			{"SELECT 1 SETTINGS max_memory_usage_ = 1", 115},
			{"SELECT sleepEachRow(0.01) FROM numbers(10000) SETTINGS max_block_size = 10, max_execution_time = 1, function_sleep_max_microseconds_per_block = 0", 159},
		} {
			rows, err := c.Query(t.Context(), f.q)
			if err == nil {
				for rows.Next() { // read to the failure
				}
				err = rows.Err()
			}
			switch {
			case err == nil:
				t.Errorf("%s: no error", f.q)
			case c.http && f.want == 395: // the transfer breaks; a code travels only before the first row
			default:
				if got := codeOf(t, err); got != f.want {
					t.Errorf("%s: code %d, want %d (%v)", f.q, got, f.want, err)
				}
			}
		}
		if _, err := c.PrepareBatch(t.Context(), "INSERT INTO nowhere"); err == nil {
			t.Error("a batch into a missing table")
		} else {
			codeOf(t, err)
		}
		c.want("alive after the exceptions", c.count("SELECT toUInt64(1)"), 1)
	})
}

func TestConstraintsAndTooManyPartsAreToldApart(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do("CREATE TABLE strict (x UInt8, CONSTRAINT small CHECK x < 10) ENGINE = MergeTree ORDER BY x SETTINGS parts_to_throw_insert = 2, parts_to_delay_insert = 0")
		c.do("SYSTEM STOP MERGES strict")
		send := func(x uint8) error {
			b, err := c.PrepareBatch(t.Context(), "INSERT INTO strict (x)")
			if err != nil {
				return err
			}
			return errors.Join(b.Append(x), b.Send())
		}
		if got := codeOf(t, send(11)); got != 469 {
			t.Errorf("constraint: code %d", got)
		}
		var err error
		for i := range uint8(4) {
			err = send(i)
		}
		if got := codeOf(t, err); got != 252 { // TOO_MANY_PARTS, which a sink must wait out
			t.Errorf("too many parts: code %d", got)
		}
		// A failed INSERT that held the table would make this wait for the session's next statement.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := c.Exec(ctx, "DROP TABLE strict SYNC"); err != nil {
			t.Errorf("drop after the failures: %v", err)
		}
	})
}

func TestABatchGivenUpLeavesNothing(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do("CREATE TABLE t (sku String) ENGINE = MergeTree ORDER BY sku")
		b, err := c.PrepareBatch(t.Context(), "INSERT INTO t")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Append("ghost"), b.Abort()); err != nil {
			t.Fatal(err)
		}
		// A row that comes later on another connection is behind it: the engine takes one insert of a table after another.
		c.do("INSERT INTO t VALUES ('real')")
		c.want("rows", c.count("SELECT count() FROM t"), 1)
	})
}

func TestACancelledStatementReturnsAtOnce(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := c.Exec(ctx, "SELECT sleepEachRow(0.1) FROM numbers(30) SETTINGS max_block_size = 1")
		if err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("cancelled after %v: %v", time.Since(began), err)
		}
		c.want("alive after a cancel", c.count("SELECT toUInt64(1)"), 1)
	})
}

func TestDictionariesViewsAndNewColumns(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		c.do(`CREATE TABLE item (sku String, dept String, lo Date, hi Date) ENGINE = MergeTree ORDER BY sku`)
		c.do(`INSERT INTO item VALUES ('SKU-1', 'toys', '2026-01-01', '2026-12-31'), ('SKU-2', 'food', '2026-01-01', '2026-12-31')`)
		c.do(`CREATE DICTIONARY dim (sku String, dept String, lo Date, hi Date) PRIMARY KEY sku
			SOURCE(CLICKHOUSE(DB '` + c.name + `' TABLE 'item')) LAYOUT(COMPLEX_KEY_RANGE_HASHED()) RANGE(MIN lo MAX hi) LIFETIME(0)`)
		var dept string
		q := "SELECT dictGet('" + c.name + ".dim', 'dept', tuple('SKU-2'), toDate('2026-06-01'))"
		if err := c.QueryRow(t.Context(), q).Scan(&dept); err != nil || dept != "food" {
			t.Errorf("dictionary: %q %v", dept, err)
		}
		c.do(`INSERT INTO item SELECT concat(sku, 'x'), dept, lo, hi FROM item`)
		c.want("INSERT ... SELECT", c.count("SELECT count() FROM item"), 4)

		c.do(`CREATE MATERIALIZED VIEW fresh REFRESH EVERY 1 HOUR (n UInt64) ENGINE = MergeTree ORDER BY n AS SELECT count() AS n FROM item`)
		c.do(`SYSTEM REFRESH VIEW fresh`)
		c.do(`SYSTEM WAIT VIEW fresh`)
		c.want("refreshed view", c.count("SELECT max(n) FROM fresh"), 4)
		c.do("DROP VIEW fresh")

		c.do("ALTER TABLE item ADD COLUMN extra Nullable(Int32)")
		b, err := c.PrepareBatch(t.Context(), "INSERT INTO item (sku, extra)")
		if err != nil {
			t.Fatal(err)
		}
		seven := int32(7)
		if err := errors.Join(b.Append("new", &seven), b.Send()); err != nil {
			t.Fatal(err)
		}
		c.want("new column", c.count("SELECT toUInt64(sum(extra)) FROM item"), 7)
	})
}

func TestSettingsOfOneStatementDoNotReachTheNext(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		q := "SELECT toUInt64(value) FROM system.settings WHERE name = 'max_result_rows'"
		before := c.count(q)
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_result_rows": 77}))
		var n uint64
		if err := c.QueryRow(ctx, q).Scan(&n); err != nil {
			t.Fatal(err)
		}
		c.want("within", n, 77)
		c.want("after", c.count(q), before)
	})
}

func TestUnknownTypesOverNativeNameTheWayOut(t *testing.T) {
	eachTransport(t, func(t *testing.T, c client) {
		if c.http {
			t.Skip("HTTP passes bytes through")
		}
		rows, err := c.Query(t.Context(), "SELECT sumState(number) FROM numbers(3)")
		if err == nil {
			for rows.Next() { // read to the failure
			}
			err = rows.Err()
		}
		if err == nil || !strings.Contains(err.Error(), "use HTTP") {
			t.Errorf("got %v", err)
		}
		c.want("alive", c.count("SELECT toUInt64(1)"), 1)
	})
}
