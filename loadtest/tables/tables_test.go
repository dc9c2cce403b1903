package tables_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/tables"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open is a database of this test's own with the sink's tables.
func open(t *testing.T) *tables.Tables {
	t.Helper()
	server := testservices.ClickHouse(t)
	db, err := tables.Open(t.Context(), tables.Options{Addresses: []string{server.TCP}, Database: server.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"0001_inventory_ledger.sql", "0002_inventory_balances.sql"} {
		for _, statement := range testservices.Statements(t, "sink/migrations/"+name) {
			execute(t, db, statement)
		}
	}
	return db
}

func execute(t *testing.T, db *tables.Tables, statement string, args ...any) {
	t.Helper()
	if err := db.Conn().Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%v: %s", err, statement)
	}
}

const (
	oldTopic = "00000000-0000-0000-0000-000000000001"
	newTopic = "00000000-0000-0000-0000-000000000002"
)

func balance(t *testing.T, db *tables.Tables, sku, site string, version int, available, picked, at, topicID string, partition, offset int) {
	t.Helper()
	execute(t, db, `INSERT INTO inventory_balances (sku, site, version, as_of, posted_at, available, picked, on_hand, safety_stock, ats, negative,
		cause_event_id, _topic, _topic_id, _partition, _offset) SELECT ?, ?, ?, toDateTime64(?, 6, 'UTC'), now64(6), toDecimal64(?, 6) AS a, toDecimal64(?, 6) AS p,
		a + p, toDecimal64('0.5', 6), greatest(a - toDecimal64('0.5', 6), toDecimal64(0, 6)), a < 0 OR p < 0,
		'e', 't.balances', toUUID(?), ?, ?`,
		sku, site, version, at, available, picked, topicID, partition, offset)
}

func TestBalancesAreReadAsTheyAre(t *testing.T) {
	db := open(t)
	balance(t, db, "r1-TEA", "DC1", 1, "3", "0", "2026-11-27 06:00:00.000001", oldTopic, 0, 1)
	balance(t, db, "r1-TEA", "DC1", 2, "1.500001", "-2.25", "2026-11-27 06:00:01.123456", oldTopic, 0, 5) // its first row is not merged yet
	balance(t, db, "HOUSE", "DC1", 7, "999999999999", "0", "1969-12-31 23:59:59.000000", oldTopic, 1, 3)
	read := func(runs ...string) map[string]oracle.Row {
		all := map[string]oracle.Row{}
		for r, err := range db.Balances(t.Context(), runs...) {
			if err != nil {
				t.Fatal(err)
			}
			if _, twice := all[r.SKU]; twice {
				t.Errorf("%s came twice", r.SKU)
			}
			all[r.SKU] = *r
		}
		return all
	}
	tea := oracle.Row{
		SKU: "r1-TEA", Site: "DC1", Version: 2, AsOf: 1_795_759_201_123_456, OnHand: -749_999, SafetyStock: 500_000, ATS: 1_000_001, Negative: true,
		Buckets: oracle.Buckets{1_500_001, 0, -2_250_000},
	}
	house := oracle.Row{
		SKU: "HOUSE", Site: "DC1", Version: 7, AsOf: -1_000_000, OnHand: 999_999_999_999_000_000, SafetyStock: 500_000, ATS: 999_999_999_998_500_000,
		Buckets: oracle.Buckets{999_999_999_999_000_000},
	}
	if diff := cmp.Diff(map[string]oracle.Row{"r1-TEA": tea, "HOUSE": house}, read()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]oracle.Row{"r1-TEA": tea}, read("r1", "none")); diff != "" {
		t.Error(diff)
	}
	if n, err := db.Postings(t.Context()); n != 9 || err != nil {
		t.Errorf("%d postings: %v", n, err)
	}
	if n, err := db.Postings(t.Context(), "r1"); n != 2 || err != nil {
		t.Errorf("%d postings: %v", n, err)
	}
	for _, err := range db.Balances(t.Context()) { // one who has seen enough
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func TestPostingsAreReadOnce(t *testing.T) {
	db := open(t)
	insert := func(no int, from, to string) {
		execute(t, db, `INSERT INTO inventory_ledger (event_id, sku, site, posting_no, type, from_bucket, to_bucket, qty, event_time, posted_at, dedupe_key)
			SELECT 'e', 'r1-TEA', 'DC1', ?, 'PICK', ?, ?, toDecimal64('2.5', 6), toDateTime64('2026-11-27 06:00:00.000007', 6, 'UTC'),
			toDateTime64('2026-11-27 06:00:01', 6, 'UTC'), 'd'`, no, from, to)
	}
	insert(1, "AVAILABLE", "PICKED")
	insert(1, "AVAILABLE", "PICKED") // a second sending
	var all []event.LedgerPosting
	for p, err := range db.Ledger(t.Context(), "r1") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, *p)
	}
	want := []event.LedgerPosting{{
		SKU: "r1-TEA", Site: "DC1", PostingNo: 1, FromBucket: event.BucketAvailable, ToBucket: event.BucketPicked, Qty: 2_500_000,
		EventTime: 1_795_759_200_000_007, DedupeKey: "d",
	}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error(diff)
	}
	insert(2, "AVAILABLE", "POCKET")
	failed := false
	for _, err := range db.Ledger(t.Context()) {
		failed = failed || err != nil && strings.Contains(err.Error(), "POCKET")
	}
	if !failed {
		t.Error("a bucket that is none passed")
	}
}

// A watermark is the highest offset by partition, of the topic as it is now, and each look reads what is new alone.
func TestWatermarksFollowTheTable(t *testing.T) {
	db := open(t)
	look := func(want map[int32]int64) {
		t.Helper()
		got, err := db.Watermarks(t.Context(), "t.balances")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v: %s", err, diff)
		}
	}
	look(map[int32]int64{})
	const at = "2026-11-27 06:00:00"
	balance(t, db, "A", "DC1", 1, "1", "0", at, oldTopic, 0, 10)
	balance(t, db, "B", "DC1", 1, "1", "0", at, oldTopic, 3, 20)
	look(map[int32]int64{0: 10, 3: 20})
	look(map[int32]int64{0: 10, 3: 20})
	balance(t, db, "A", "DC1", 2, "1", "0", at, oldTopic, 0, 12)
	look(map[int32]int64{0: 12, 3: 20})
	execute(t, db, "OPTIMIZE TABLE inventory_balances FINAL") //nolint:misspell // SQL; parts that were looked at are gone
	balance(t, db, "C", "DC1", 2, "1", "0", at, oldTopic, 3, 21)
	look(map[int32]int64{0: 12, 3: 21})
	balance(t, db, "A", "DC1", 1, "1", "0", at, newTopic, 0, 2) // the topic was made anew
	look(map[int32]int64{0: 2})
	other, err := db.Watermarks(t.Context(), "other.balances")
	if len(other) != 0 || err != nil {
		t.Errorf("%v: %v", other, err)
	}
}

func TestADatabaseThatIsNotThereIsNamed(t *testing.T) {
	server := testservices.ClickHouse(t)
	if _, err := tables.Open(t.Context(), tables.Options{Addresses: []string{server.TCP}, Database: "nowhere"}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
	db, err := tables.Open(t.Context(), tables.Options{Addresses: []string{server.TCP}, Database: server.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := db.Watermarks(t.Context(), "t"); err == nil || !strings.Contains(err.Error(), "inventory_balances") {
		t.Error(err)
	}
	for _, err := range db.Balances(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "current_stock") {
			t.Error(err)
		}
	}
}
