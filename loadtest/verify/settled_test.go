package verify

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	shopspring "github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/loadtest/tables"
	"crossdock/topology/topics"
)

// openTables is a database of this test's own with the sink's tables.
func openTables(t *testing.T) *tables.Tables {
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
			if err := db.Conn().Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	return db
}

func decimalOf(q event.Quantity) shopspring.Decimal { return shopspring.New(int64(q), -6) }

// fill puts what stands on the topics into the tables, as a sink would; skip says which balance it forgets.
func (b *stage) fill(db *tables.Tables, skip func(r *kgo.Record) bool) {
	b.t.Helper()
	id := uuid.New()
	balances, err := db.Conn().PrepareBatch(b.t.Context(), `INSERT INTO inventory_balances (sku, site, version, as_of, available, allocated, picked, staged,
		qc, damaged, hold, returned, in_transit_in, in_transit_out, clearing, on_hand, ats, negative, _topic, _topic_id, _partition, _offset)`)
	if err != nil {
		b.t.Fatal(err)
	}
	postings, err := db.Conn().PrepareBatch(b.t.Context(), `INSERT INTO inventory_ledger (event_id, sku, site, posting_no, from_bucket, to_bucket, qty, event_time, dedupe_key)`)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range b.said[topics.Balances] {
		var x event.InventoryBalance
		if err := b.serde.Decode(r.Value, &x); err != nil {
			b.t.Fatal(err)
		}
		if skip(r) {
			continue
		}
		row := []any{x.SKU, x.Site, uint64(x.Version), time.UnixMicro(int64(x.AsOf))}
		for k := event.BucketAvailable; k <= event.BucketClearing; k++ {
			row = append(row, decimalOf(*bucket(&x, k)))
		}
		row = append(row, decimalOf(x.OnHand), decimalOf(x.ATS), x.Negative, r.Topic, id, r.Partition, r.Offset)
		if err := balances.Append(row...); err != nil {
			b.t.Fatal(err)
		}
	}
	for _, r := range b.said[topics.Ledger] {
		var p event.LedgerPosting
		if err := b.serde.Decode(r.Value, &p); err != nil {
			b.t.Fatal(err)
		}
		if err := postings.Append(p.EventID, p.SKU, p.Site, uint64(p.PostingNo), p.FromBucket.String(), p.ToBucket.String(), decimalOf(p.Qty),
			time.UnixMicro(int64(p.EventTime)), p.DedupeKey); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := errors.Join(balances.Send(), postings.Send()); err != nil {
		b.t.Fatal(err)
	}
}

func TestClickHouseIsComparedRowByRow(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	e := b.evidence()
	e.Tables = openTables(t)
	b.fill(e.Tables, func(*kgo.Record) bool { return false })
	v := b.run(e)
	if !v.OK || len(v.NotCompared) != 0 || len(v.Readings) != 8 {
		t.Fatal(shown(v))
	}
	for _, r := range v.Readings {
		if r.Keys == 0 || r.Read == 0 {
			t.Errorf("%+v", r)
		}
	}
	// A sink that forgot the last balance of all.
	last := b.said[topics.Balances][len(b.said[topics.Balances])-1]
	e.Tables = openTables(t)
	b.fill(e.Tables, func(r *kgo.Record) bool { return r == last })
	v = b.run(e)
	if v.OK || v.Lost == 0 || len(v.Failing) != 1 || v.Failing[0].Key != string(last.Key) || !strings.HasPrefix(v.Failing[0].What[0], "clickhouse: ") {
		t.Error(shown(v))
	}
}

// Settled says what is missing as long as something is, on the way or in ClickHouse.
func TestSettledWaitsForGroupsAndRows(t *testing.T) {
	b := newStage(t, retailer(t, "r1", 7))
	e := b.evidence()
	e.Tables = openTables(t)
	client, err := kgo.NewClient(b.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	movements := b.naming.Topic(topics.Movements)
	w := Waiting{
		Kafka: b.kafka, Groups: []Group{{Name: "enrich", Topics: []string{movements}}}, Every: 10 * time.Millisecond,
		Balances: b.naming.Topic(topics.Balances), Tables: e.Tables,
	}
	missing := func() *NotSettledError {
		t.Helper()
		gone := errors.New("no longer")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		w.Progress = func(Missing) { cancel(gone) }
		err := Settled(ctx, w)
		var not *NotSettledError
		if !errors.As(err, &not) || !errors.Is(err, gone) {
			t.Fatal(err)
		}
		return not
	}
	if not := missing(); not.Missing.Records != b.on(movements) || !strings.Contains(not.Error(), "group enrich on "+movements) {
		t.Errorf("%v; %d are on the topic", not, b.on(movements))
	}
	ends, err := admin.ListEndOffsets(t.Context(), movements)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.CommitAllOffsets(t.Context(), "enrich", ends.Offsets()); err != nil {
		t.Fatal(err)
	}
	if not := missing(); not.Missing.Records != b.on(w.Balances) || !strings.Contains(not.Error(), "in ClickHouse") {
		t.Errorf("%v; %d balances", not, b.on(w.Balances))
	}
	filled := false
	w.Progress = func(Missing) {
		if !filled {
			filled = true
			b.fill(e.Tables, func(*kgo.Record) bool { return false })
		}
	}
	if err := Settled(t.Context(), w); err != nil || !filled {
		t.Error(err, filled)
	}
	// A cluster that is away is looked for again, and named in the end.
	w.Kafka, w.Progress = []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, nil
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := Settled(ctx, w); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// on is how many records stand on a topic.
func (b *stage) on(topic string) int64 {
	b.t.Helper()
	r := Reader{Kafka: b.kafka, Serde: b.serde}
	n, err := r.Count(b.t.Context(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
