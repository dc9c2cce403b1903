package sink

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

var noon = event.MicrosOf(time.Date(2026, 3, 4, 12, 0, 0, 123456000, time.UTC))

func posting(i int) *event.LedgerPosting {
	return &event.LedgerPosting{
		EventID: fmt.Sprintf("e%06d", i), SKU: fmt.Sprintf("SKU-%03d", i%97), Site: fmt.Sprintf("S%d", i%7), PostingNo: int64(i + 1),
		Type: event.MovementTypePick, FromBucket: event.BucketAvailable, ToBucket: event.BucketPicked,
		Qty: event.Quantity(1_500_000 + int64(i)), EventTime: noon + event.Micros(i), PostedAt: noon + event.Micros(2*i),
		DedupeKey: fmt.Sprintf("d%d", i), CorrelationID: "c", SourceSystem: "wms", SourceDocType: "X12/945", SourceDocID: fmt.Sprint(i),
		Lot: event.Some("L1"), Order: event.Some(fmt.Sprintf("O%d", i%10)), RawRef: event.Some("raw.wms/0/5"),
	}
}

func postings(from, to int) []event.Record {
	var all []event.Record
	for i := from; i < to; i++ {
		all = append(all, posting(i))
	}
	return all
}

func balance(sku string, version int64, available event.Quantity) *event.InventoryBalance {
	return &event.InventoryBalance{
		SKU: sku, Site: "S1", Version: version, AsOf: noon, PostedAt: noon, Available: available, Damaged: -2_500_000, OnHand: available,
		ATS: available, Negative: true, CauseEventID: "e1",
	}
}

func exception(id string, version int64, status event.ExceptionStatus) *event.LogisticsException {
	return &event.LogisticsException{
		Header: event.EventHeader{
			EventID: id + "/1", DedupeKey: "d", CorrelationID: "c", SourceSystem: "3pl", SourceDocType: "X12/945", SourceDocID: "9",
			EventTime: noon, IngestTime: noon, Site: "S1", RawRef: event.Some("raw.3pl/0/9"),
		},
		ExceptionID: id, Version: version, Status: status, Class: "SHORT_SHIPMENT", Severity: event.SeverityError, Stage: "enrich",
		Reference: "O1", SKU: event.Some("SKU-1"), Detail: "12 asked, 10 left", Remedy: "ask", Expected: event.Some("12"),
		Actual: event.Some("10"), OpenedAt: noon,
	}
}

func deadLetter(id string) *event.DeadLetter {
	return &event.DeadLetter{
		ID: id, Stage: "translate", Cause: "BAD_SEGMENT", Detail: "W01", Position: event.Some("segment 7"), Remedy: "correct",
		Topic: "raw.3pl", Partition: 1, Offset: 77, Part: 2, Key: event.Some([]byte{0xff, 0}), Value: event.Some([]byte("ISA\x00\xfe")),
		Headers: []event.TextPair{{Name: "doc-type", Value: []byte("940")}, {Name: "b", Value: []byte{0xfd}}}, Attempt: 1, FailedAt: noon,
	}
}

// What was sent is what is read, column by column, of every table; on both brokers.
func TestRowsAreTheRecordsSent(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		f := newFixtureOn(t, c.Addr, testservices.ClickHouse(t).TCP)
		s := f.run()
		f.produce(topics.Ledger, 0, postings(0, 500)...)
		f.produce(topics.Ledger, 2, postings(500, 1000)...)
		f.produce(topics.Balances, 1, balance("A", 1, 5_000_000), balance("A", 2, 4_250_000), balance("B", 7, 1))
		f.produce(topics.Exceptions, 0, exception("x1", 1, event.ExceptionStatusOpen), exception("x2", 1, event.ExceptionStatusOpen),
			exception("x2", 2, event.ExceptionStatusClosed))
		f.produce(topics.DeadLetters, 0, deadLetter("raw.3pl/1/77/2"))
		f.awaitNoLag(s.Sink)
		f.checkRows()

		// A second reading of everything changes nothing that an analyst sees.
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := f.admin.DeleteGroup(t.Context(), f.config.Group()); err != nil {
			t.Fatal(err)
		}
		again := f.run()
		f.awaitNoLag(again.Sink)
		if raw := f.mustCount("SELECT count() FROM {db}.inventory_ledger"); raw != 2000 {
			t.Logf("%d rows lie in the table: some parts were merged already", raw)
		}
		f.checkRows()
	})
}

func (f *fixture) checkRows() {
	f.t.Helper()
	f.expect("SELECT count(), uniqExact(event_id), toString(sum(qty)) FROM {db}.inventory_ledger FINAL", [][]string{{"1000", "1000", "1500.4995"}})
	f.expect(`SELECT event_id, sku, site, posting_no, type, from_bucket, to_bucket, qty, lot, toString(event_time), toString(posted_at), dedupe_key,
		correlation_id, source_system, source_doc_type, source_doc_id, source_line, reason_canon, order_no, shipment_no, pair_id, raw_ref,
		_topic, _topic_id != toUUID('00000000-0000-0000-0000-000000000000'), _partition, _offset, _line
		FROM {db}.inventory_ledger FINAL WHERE event_id = 'e000501'`,
		[][]string{{"e000501", "SKU-016", "S4", "502", "PICK", "AVAILABLE", "PICKED", "1.500501", "L1", "2026-03-04 12:00:00.123957",
			"2026-03-04 12:00:00.124458", "d501", "c", "wms", "X12/945", "501", "", "", "O1", "", "", "raw.wms/0/5",
			f.topic(topics.Ledger), "1", "2", "1", "0"}})
	f.expect("SELECT bucket, toString(sum(change)), count() FROM {db}.ledger_legs GROUP BY bucket ORDER BY bucket",
		[][]string{{"AVAILABLE", "-1500.4995", "1000"}, {"PICKED", "1500.4995", "1000"}})
	f.expect("SELECT sku, site, version, available, damaged, on_hand, ats, negative FROM {db}.current_stock ORDER BY sku",
		[][]string{{"A", "S1", "2", "4.25", "-2.5", "4.25", "4.25", "true"}, {"B", "S1", "7", "0.000001", "-2.5", "0.000001", "0.000001", "true"}})
	f.expect("SELECT exception_id, class, severity, detail, site, sku, expected, actual, raw_ref, age_seconds > 0 FROM {db}.open_exceptions",
		[][]string{{"x1", "SHORT_SHIPMENT", "ERROR", "12 asked, 10 left", "S1", "SKU-1", "12", "10", "raw.3pl/0/9", "1"}})
	f.expect("SELECT exception_id, status, version FROM {db}.exceptions FINAL ORDER BY exception_id", [][]string{{"x1", "OPEN", "1"}, {"x2", "CLOSED", "2"}})
	f.expect(`SELECT id, stage, cause, position, topic, partition, offset, part, hex(key), hex(value), header_names, hex(header_values[2]), attempt
		FROM {db}.dead_letters FINAL`,
		[][]string{{"raw.3pl/1/77/2", "translate", "BAD_SEGMENT", "segment 7", "raw.3pl", "1", "77", "2", "FF00", "49534100FE", "['doc-type','b']", "FD", "1"}})
	f.expect("SELECT table_name, partitions, lag_records, lost_records FROM {db}.freshness ORDER BY table_name", [][]string{
		{"dead_letters", "3", "0", "0"}, {"exceptions", "3", "0", "0"}, {"inventory_balances", "3", "0", "0"}, {"inventory_ledger", "3", "0", "0"}})
}

// expect waits until a query yields rows, all columns as text.
func (f *fixture) expect(query string, want [][]string) {
	f.t.Helper()
	eventually(f.t, query, func() error {
		got, err := f.texts(query)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

func (f *fixture) texts(query string) ([][]string, error) {
	query = strings.ReplaceAll(query, "{db}", f.config.ClickHouse.Database)
	rows, err := f.db.Query(f.t.Context(), "SELECT * APPLY(toString) FROM ("+query+")")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all [][]string
	for rows.Next() {
		row := make([]string, len(rows.Columns()))
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// While ClickHouse is away nothing is lost and nothing is dead-lettered; Ready says so, and the rest comes when it is back.
// The sink starts before ClickHouse does, and waits.
// Rows that cannot be held become dead letters with their bytes and cause; their neighbours go in. So do records of an
// unknown schema, of broken bytes, of another event, and no record at all.
// A dead letter that cannot be stored is stored as what is wrong with it, and never sent round.
// A registry that is away decides nothing: the record waits, no dead letter is made, and other tables go on. When it answers,
// the older writer's record is a row.
// Where the brokers do not take a dead letter, its record is not passed: it waits, and comes through when they do.
// A block that went in although its answer was lost is dropped by its token when it comes again.
// A second sending of an older balance never wins, not even among equal versions.
func TestNewestBalanceStays(t *testing.T) {
	f := newFixture(t)
	f.produce(topics.Balances, 0, balance("A", 3, 30), balance("A", 3, 31), balance("B", 9, 90))
	s := f.run()
	f.awaitNoLag(s.Sink)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	// The first record comes again, alone and later.
	again := f.sink()
	l := again.lanes[1]
	b := newBlock(l.table)
	put(t, b.rows, balance("A", 3, 30))
	if err := b.add(part{lease: newLease(0)}, &kgo.Record{Topic: l.topic, Offset: 0}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := again.insert(t.Context(), "late", l.insertSQL, b.all, l.handover); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT sku, version, available FROM {db}.current_stock ORDER BY sku", [][]string{{"A", "3", "0.000031"}, {"B", "9", "0.00009"}})
	merge := "OPTIMIZE TABLE " + f.config.ClickHouse.Database + ".inventory_balances FINAL" //nolint:misspell // ClickHouse's word
	if err := f.db.Exec(t.Context(), merge); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT sku, version, available FROM {db}.inventory_balances ORDER BY sku", [][]string{{"A", "3", "0.000031"}, {"B", "9", "0.00009"}})
}

// A block that the server refuses stops its table by name; the others go on, and when the reason is gone nothing is missing.
// The line breaks at many places within inserts, and the process stops without grace in between: every count is exact.
// The engine is killed in the middle of inserts and comes back on its data, twice: every count is exact.
// Records of aborted transactions are not read, and a partition that ends with one comes to its end all the same.
func TestAbortedRecordsAreNotRowsAndDoNotLookLikeLag(t *testing.T) {
	f := newFixture(t)
	f.produce(topics.Ledger, 0, postings(0, 3)...)
	f.produceRecords(kgo.TryAbort, &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Value: f.serde.Append(nil, posting(99))})
	s := f.run()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT count(), countIf(event_id = 'e000099') FROM {db}.inventory_ledger", [][]string{{"3", "0"}})
	f.expect("SELECT lag_records, complete_until > now() - 30 FROM {db}.freshness WHERE table_name = 'inventory_ledger'", [][]string{{"0", "1"}})
}

// What has been read when the sink stops is in the table, and committed.
// Two processes share the partitions; one leaves, and the other takes over what it had.
func TestTwoProcessesShareAndHandOver(t *testing.T) {
	f := newFixture(t)
	one, two := f.run(), f.run()
	eventually(t, "shared", func() error {
		a, b := one.lanes[0].held(), two.lanes[0].held()
		if a+b != 3 || a == 0 || b == 0 {
			return fmt.Errorf("%d and %d partitions", a, b)
		}
		return nil
	})
	for p := range int32(3) {
		f.produce(topics.Ledger, p, postings(int(p)*1000, int(p)*1000+1000)...)
	}
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(3) {
		f.produce(topics.Ledger, p, postings(3000+int(p)*1000, 4000+int(p)*1000)...)
	}
	f.awaitNoLag(two.Sink)
	f.expect("SELECT count(), uniqExact(event_id) FROM {db}.inventory_ledger FINAL", [][]string{{"6000", "6000"}})
}

// Retention that has passed the committed offset is recorded, not skipped in silence (S7).
func TestLostRangeIsRecorded(t *testing.T) {
	f := newFixture(t)
	s := f.run()
	f.produce(topics.Ledger, 1, postings(0, 10)...) // offsets 0 to 10, the marker included
	f.awaitNoLag(s.Sink)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	f.produce(topics.Ledger, 1, postings(10, 30)...) // 11 to 31
	if resp, err := f.admin.DeleteRecords(t.Context(), f.offsetsFrom(topics.Ledger, 1, 16)); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	again := f.run()
	f.awaitNoLag(again.Sink)
	f.expect("SELECT table_name, topic, partition, from_offset, to_offset FROM {db}.sink_lost_ranges FINAL",
		[][]string{{"inventory_ledger", f.topic(topics.Ledger), "1", "11", "16"}})
	f.expect("SELECT count(), min(_offset), max(_offset) FROM {db}.inventory_ledger FINAL WHERE _offset > 10", [][]string{{"15", "16", "30"}})
	f.expect("SELECT lost_records FROM {db}.freshness WHERE table_name = 'inventory_ledger'", [][]string{{"5"}})
	eventually(t, "status", func() error {
		status, err := again.Status(t.Context())
		if err != nil {
			return err
		}
		if got := status[0]; got.Table != "inventory_ledger" || got.Lost != 5 || got.Rows != 25 || got.Lag != 0 || got.CompleteUntil.IsZero() ||
			got.Freshness > time.Minute || !got.NewestEvent.Equal(posting(29).EventTime.Time()) {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
}

// A topic that was deleted and made anew is read from its start, whatever had been committed of the old one (S3).
func TestTopicMadeAnewIsReadFromItsStart(t *testing.T) {
	f := newFixture(t)
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 5)...)
	f.awaitNoLag(s.Sink)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	committed, err := f.admin.FetchOffsets(t.Context(), f.config.Group())
	if err != nil {
		t.Fatal(err)
	}
	topic := f.topic(topics.Ledger)
	if resp, err := f.admin.DeleteTopics(t.Context(), topic); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	f.client.PurgeTopicsFromClient(topic)
	f.createTopic(topics.Ledger, nil)
	if err := f.admin.CommitAllOffsets(t.Context(), f.config.Group(), withMetadata(committed)); err != nil {
		t.Fatal(err)
	}
	f.produce(topics.Ledger, 0, postings(100, 120)...)
	again := f.run()
	f.awaitNoLag(again.Sink)
	f.expect("SELECT count(), uniqExact(_topic_id) FROM {db}.inventory_ledger FINAL", [][]string{{"25", "2"}})
}

// Run ends when it is told to, also when nothing it needs is there.
