package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"crossdock/avro/event"
	"crossdock/avro/registry"
	"crossdock/avro/schemas"
	"crossdock/avro/serde"
	"crossdock/avro/wire"
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
func TestEngineAwayIsWaitedFor(t *testing.T) {
	f := newFixture(t)
	f.config.MaxRows = 100
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 50)...)
	f.awaitNoLag(s.Sink)
	eventually(t, "ready", s.Ready)
	f.line.cut()
	f.produce(topics.Ledger, 1, postings(50, 2000)...)
	f.produce(topics.Balances, 1, balance("A", 1, 5))
	eventually(t, "Ready tells of both tables", func() error {
		err := s.Ready()
		if err == nil || !strings.Contains(err.Error(), "inventory_ledger waits") || !strings.Contains(err.Error(), "inventory_balances waits") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	f.line.restore()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT count(), uniqExact(event_id) FROM {db}.inventory_ledger FINAL", [][]string{{"2000", "2000"}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
	if err := s.Ready(); err != nil {
		t.Fatalf("ready: %v", err)
	}
}

// The sink starts before ClickHouse does, and waits.
func TestStartsWhileEngineIsAway(t *testing.T) {
	f := newFixture(t)
	f.line.cut()
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 10)...)
	eventually(t, "Ready tells what the start waits for", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "waiting for the tables") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	f.line.restore()
	f.awaitCount(10, "SELECT count() FROM {db}.inventory_ledger FINAL")
}

// Rows that cannot be held become dead letters with their bytes and cause; their neighbours go in. So do records of an
// unknown schema, of broken bytes, of another event, and no record at all.
func TestWhatCannotBeHeldIsDeadLetteredAndNeighboursGoIn(t *testing.T) {
	f := newFixture(t)
	good := func(i int) *kgo.Record {
		return &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Key: []byte("k"), Value: f.serde.Append(nil, posting(i))}
	}
	bad := func(change func(*event.LedgerPosting)) *kgo.Record {
		p := posting(9)
		change(p)
		r := good(0)
		r.Value = f.serde.Append(nil, p)
		return r
	}
	raw := func(value []byte) *kgo.Record {
		r := good(0)
		r.Value = value
		r.Headers = []kgo.RecordHeader{{Key: "source", Value: []byte("wms")}, {Key: "raw-ref", Value: []byte("raw.wms/0/3")}}
		return r
	}
	truncated := good(5).Value
	records := []*kgo.Record{
		good(0),
		bad(func(p *event.LedgerPosting) { p.EventTime = latest + 1 }),
		good(1),
		bad(func(p *event.LedgerPosting) { p.PostedAt = earliest - 1 }),
		bad(func(p *event.LedgerPosting) { p.SKU = "A\xff" }),
		bad(func(p *event.LedgerPosting) { p.Qty = event.MaxQuantity + 1 }),
		bad(func(p *event.LedgerPosting) { p.PostingNo = -1 }),
		good(2),
		raw([]byte{0, 0, 0, 0xff, 0xff, 1, 2, 3}),
		raw([]byte("plain text")),
		raw(truncated[:len(truncated)-3]),
		raw(f.serde.Append(nil, balance("A", 1, 1))),
		raw(nil),
		good(3),
	}
	f.produceRecords(kgo.TryCommit, records...)
	s := f.run()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT arraySort(groupArray(event_id)) FROM {db}.inventory_ledger FINAL", [][]string{{"['e000000','e000001','e000002','e000003']"}})
	topic := f.topic(topics.Ledger)
	want := [][]string{}
	for _, w := range []struct {
		offset int
		cause  string
	}{{1, causeUnholdable}, {3, causeUnholdable}, {4, causeUnholdable}, {5, causeUnholdable}, {6, causeUnholdable}, {8, causeUnknownSchema},
		{9, causeFraming}, {10, causeRecord}, {11, causeKind}, {12, causeFraming}} {
		want = append(want, []string{fmt.Sprintf("%s/0/%d/0", topic, w.offset), "sink", w.cause, fmt.Sprint(w.offset),
			strings.ToUpper(fmt.Sprintf("%x", records[w.offset].Value))})
	}
	letters := "SELECT id, stage, cause, offset, hex(value) FROM {db}.dead_letters FINAL ORDER BY offset"
	f.expect(letters, want)
	f.expect("SELECT source, raw_ref FROM {db}.dead_letters FINAL WHERE offset = 8", [][]string{{"wms", "raw.wms/0/3"}})

	// Read again, they are sent again, and still are one each.
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.admin.DeleteGroup(t.Context(), f.config.Group()); err != nil {
		t.Fatal(err)
	}
	again := f.run()
	f.awaitNoLag(again.Sink)
	f.awaitCount(int64(len(want)), "SELECT count() FROM {db}.dead_letters FINAL")
	f.expect(letters, want)
	if sent, err := again.admin.ListCommittedOffsets(t.Context(), f.topic(topics.DeadLetters)); err != nil {
		t.Fatal(err)
	} else {
		var n int64
		sent.Each(func(o kadm.ListedOffset) { n += o.Offset })
		if n < int64(2*len(want)) {
			t.Errorf("%d dead letters were produced, want at least %d: the second reading did not send them again", n, 2*len(want))
		}
	}
}

// A dead letter that cannot be stored is stored as what is wrong with it, and never sent round.
func TestDeadLetterOfDeadLettersDoesNotLoop(t *testing.T) {
	f := newFixture(t)
	letter := func(value []byte) *kgo.Record {
		return &kgo.Record{Topic: f.topic(topics.DeadLetters), Partition: 0, Value: value}
	}
	broken := deadLetter("raw/0/1/0")
	broken.Detail = "caf\xe9"
	f.produceRecords(kgo.TryCommit, letter([]byte("no framing")), letter(f.serde.Append(nil, deadLetter("raw/0/0/0"))),
		letter(f.serde.Append(nil, broken)))
	s := f.run()
	f.awaitNoLag(s.Sink)
	topic := f.topic(topics.DeadLetters)
	f.expect("SELECT id, stage, cause FROM {db}.dead_letters FINAL ORDER BY id", [][]string{
		{"raw/0/0/0", "translate", "BAD_SEGMENT"}, {topic + "/0/0/0", "sink", causeFraming}, {topic + "/0/2/0", "sink", causeUnholdable}})
	ends, err := f.admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	if sum != 4 { // three records and a marker
		t.Errorf("the partitions end at %d in sum: something was sent", sum)
	}
}

// A registry that is away decides nothing: the record waits, no dead letter is made, and other tables go on. When it answers,
// the older writer's record is a row.
func TestRegistryAwayIsWaitedFor(t *testing.T) {
	f := newFixture(t)
	registered, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		registered.ServeHTTP(w, r)
	}))
	defer server.Close()
	transport := &http.Transport{DisableKeepAlives: true}
	client, err := sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	var carried []serde.Carried
	for _, k := range event.Kinds() {
		carried = append(carried, serde.Carried{Topic: "t", Record: k.String()})
	}
	f.serde, err = serde.Register(t.Context(), client, carried)
	if err != nil {
		t.Fatal(err)
	}
	f.deps.Serde = f.serde
	// An older writer had no raw_ref, the last field.
	text, err := schemas.Full("LedgerPosting")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(text), &schema); err != nil {
		t.Fatal(err)
	}
	fields := schema["fields"].([]any)
	schema["fields"] = fields[:len(fields)-1]
	older, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.RegisterSchema(t.Context(), "older", sr.Schema{Schema: string(older)}, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	p := posting(1)
	p.RawRef = event.Optional[string]{}
	body := p.AppendAvro(nil)
	value := append(wire.Append(nil, id), body[:len(body)-1]...)

	away.Store(true)
	s := f.run()
	f.produce(topics.Ledger, 0, posting(0))
	f.produceRecords(kgo.TryCommit, &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Value: value})
	f.produce(topics.Ledger, 0, posting(2))
	f.produce(topics.Balances, 0, balance("A", 1, 5))
	eventually(t, "Ready tells what the table waits for", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "schema registry") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	f.awaitCount(1, "SELECT count() FROM {db}.inventory_ledger FINAL") // what came before it does not wait
	f.awaitCount(1, "SELECT count() FROM {db}.current_stock")
	away.Store(false)
	f.awaitNoLag(s.Sink)
	f.expect("SELECT event_id, raw_ref FROM {db}.inventory_ledger FINAL ORDER BY event_id",
		[][]string{{"e000000", "raw.wms/0/5"}, {"e000001", ""}, {"e000002", "raw.wms/0/5"}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
}

// Where the brokers do not take a dead letter, its record is not passed: it waits, and comes through when they do.
func TestDeadLetterIsAcknowledgedBeforeItsRecordIsPassed(t *testing.T) {
	f := newFixture(t)
	topic := f.topic(topics.DeadLetters)
	if resp, err := f.admin.DeleteTopics(t.Context(), topic); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	s := f.run()
	f.produceRecords(kgo.TryCommit, &kgo.Record{Topic: f.topic(topics.Ledger), Partition: 0, Value: []byte("no record")})
	eventually(t, "the table waits", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "inventory_ledger waits") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	if lag, err := s.lag(t.Context(), f.topic(topics.Ledger)); err != nil || lag == 0 {
		t.Fatalf("lag %d, %v: the record was passed", lag, err)
	}
	f.createTopic(topics.DeadLetters, nil)
	f.awaitCount(1, "SELECT count() FROM {db}.dead_letters FINAL WHERE hex(value) = '"+fmt.Sprintf("%X", "no record")+"'")
	f.awaitNoLag(s.Sink)
}

// A block that went in although its answer was lost is dropped by its token when it comes again.
func TestSecondTryOfABlockIsDroppedByItsToken(t *testing.T) {
	f := newFixture(t)
	s := f.sink()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := s.lanes[0]
	b := newBlock(l.table)
	for i := range 10 {
		put(t, b.rows, posting(i))
		if err := b.add(part{lease: newLease(0)}, &kgo.Record{Topic: "ledger", Offset: int64(i)}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := s.insert(t.Context(), "the-same", l.insertSQL, b.all, l.handover); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("SELECT count() FROM {db}.inventory_ledger", [][]string{{"10"}})
	if err := s.insert(t.Context(), "another", l.insertSQL, b.all, l.handover); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT count() FROM {db}.inventory_ledger", [][]string{{"20"}})
	f.expect("SELECT count() FROM {db}.inventory_ledger FINAL", [][]string{{"10"}})
}

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
	if err := f.db.Exec(t.Context(), "OPTIMIZE TABLE "+f.config.ClickHouse.Database+".inventory_balances FINAL"); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT sku, version, available FROM {db}.inventory_balances ORDER BY sku", [][]string{{"A", "3", "0.000031"}, {"B", "9", "0.00009"}})
}

// A block that the server refuses stops its table by name; the others go on, and when the reason is gone nothing is missing.
func TestRefusedBlockStopsItsTableAndNoOther(t *testing.T) {
	f := newFixture(t)
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 5)...)
	f.awaitNoLag(s.Sink)
	db := f.config.ClickHouse.Database
	if err := f.db.Exec(t.Context(), "ALTER TABLE "+db+".inventory_ledger ADD CONSTRAINT no_returns CHECK type != 'RETURN'"); err != nil {
		t.Fatal(err)
	}
	back := posting(6)
	back.Type = event.MovementTypeReturn
	f.produce(topics.Ledger, 0, posting(5), back)
	eventually(t, "Ready names the table", func() error {
		if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "table inventory_ledger is stopped") {
			return fmt.Errorf("ready: %v", err)
		}
		return nil
	})
	f.produce(topics.Balances, 0, balance("A", 1, 5))
	f.awaitCount(1, "SELECT count() FROM {db}.current_stock")
	var stopped *StoppedError
	if err := s.stop(); !errors.As(err, &stopped) || stopped.Table != "inventory_ledger" || !strings.Contains(stopped.Reason, "constraint") {
		t.Fatalf("Run returned %v", err)
	}
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
	if err := f.db.Exec(t.Context(), "ALTER TABLE "+db+".inventory_ledger DROP CONSTRAINT no_returns"); err != nil {
		t.Fatal(err)
	}
	again := f.run()
	f.awaitNoLag(again.Sink)
	f.expect("SELECT count(), uniqExact(event_id) FROM {db}.inventory_ledger FINAL", [][]string{{"7", "7"}})
}

// The line breaks at many places within inserts, and the process stops without grace in between: every count is exact.
func TestBrokenInsertsLoseAndDoubleNothing(t *testing.T) {
	f := newFixture(t)
	f.config.MaxRows = 500
	f.config.StopTimeout = time.Millisecond  // no grace
	f.config.ClickHouse.Compression = "none" // so that the line breaks where it is told to, within a block
	const batches, each = 12, 1000
	for round := range batches {
		s := f.run()
		eventually(t, "ready", s.Ready)
		f.line.cutAfter(int64(20_000 + 17_000*round))
		f.produce(topics.Ledger, int32(round%3), postings(round*each, (round+1)*each)...)
		eventually(t, "the line breaks or everything is in", func() error {
			if f.line.isDown() {
				return nil
			}
			if lag, err := s.lag(t.Context(), f.topic(topics.Ledger)); err != nil || lag > 0 {
				return fmt.Errorf("lag %d, %v", lag, err)
			}
			return nil
		})
		if round%2 == 0 { // every second time the process dies with the line down
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			f.line.restore()
			continue
		}
		f.line.restore()
		f.awaitNoLag(s.Sink)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	f.config.StopTimeout = 10 * time.Second
	s := f.run()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT count(), uniqExact(event_id), toString(sum(posting_no)) FROM {db}.inventory_ledger FINAL",
		[][]string{{fmt.Sprint(batches * each), fmt.Sprint(batches * each), fmt.Sprint(batches * each * (batches*each + 1) / 2)}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
}

// The engine is killed in the middle of inserts and comes back on its data, twice: every count is exact.
func TestEngineKilledInMidInsert(t *testing.T) {
	engine := testservices.OwnClickHouse(t)
	f := newFixtureOn(t, testservices.Broker(t), engine.TCP())
	f.config.MaxRows = 2000
	s := f.run()
	eventually(t, "ready", s.Ready)
	const each = 10_000
	for round := range 2 {
		f.produce(topics.Ledger, 0, postings(2*round*each, (2*round+1)*each)...)
		f.produce(topics.Ledger, 1, postings((2*round+1)*each, (2*round+2)*each)...)
		eventually(t, "under way", func() error {
			if n, err := s.lag(t.Context(), f.topic(topics.Ledger)); err != nil || n == 0 || n > 2*each-1000 {
				if err == nil && n == 0 {
					return nil // all of it was faster than this test: then the kill comes after it
				}
				return fmt.Errorf("lag %d, %v", n, err)
			}
			return nil
		})
		if err := engine.Kill9(); err != nil {
			t.Fatal(err)
		}
		f.produce(topics.Balances, 0, balance(fmt.Sprint(round), 1, 1))
		eventually(t, "the sink waits", func() error {
			if s.Ready() == nil {
				return errors.New("it is ready")
			}
			return nil
		})
		if err := engine.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.line.to(engine.TCP())
		f.awaitNoLag(s.Sink)
	}
	// The test's own connections died with the engine.
	eventually(t, "connected", func() error { return f.db.Ping(t.Context()) })
	f.expect("SELECT count(), uniqExact(event_id) FROM {db}.inventory_ledger FINAL", [][]string{{fmt.Sprint(4 * each), fmt.Sprint(4 * each)}})
	f.expect("SELECT count() FROM {db}.current_stock", [][]string{{"2"}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
}

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
func TestStopFlushes(t *testing.T) {
	f := newFixture(t)
	f.config.FlushInterval = time.Hour
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 100)...)
	eventually(t, "fetched", func() error { // read, and held back by the interval
		if n := s.lanes[0].pending.Load(); n != 100 {
			return fmt.Errorf("%d rows wait", n)
		}
		return nil
	})
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	f.awaitCount(100, "SELECT count() FROM {db}.inventory_ledger")
	if lag, err := s.lag(t.Context(), f.topic(topics.Ledger)); err != nil || lag != 0 {
		t.Fatalf("lag %d, %v", lag, err)
	}
}

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
func TestStopsWithNothingReachable(t *testing.T) {
	f := newFixture(t)
	f.line.cut()
	s := f.run()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil {
		t.Fatal("Run ran twice")
	}
}
