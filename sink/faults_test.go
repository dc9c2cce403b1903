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
		return tells(s.Ready(), "inventory_ledger waits", "inventory_balances waits")
	})
	f.line.restore()
	f.awaitNoLag(s.Sink)
	f.expect("SELECT count(), uniqExact(event_id) FROM {db}.inventory_ledger FINAL", [][]string{{"2000", "2000"}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
	if err := s.Ready(); err != nil {
		t.Fatalf("ready: %v", err)
	}
}

func TestStartsWhileEngineIsAway(t *testing.T) {
	f := newFixture(t)
	f.line.cut()
	s := f.run()
	f.produce(topics.Ledger, 0, postings(0, 10)...)
	eventually(t, "Ready tells what the start waits for", func() error {
		return tells(s.Ready(), "waiting for the tables")
	})
	f.line.restore()
	f.awaitCount(10, "SELECT count() FROM {db}.inventory_ledger FINAL")
}

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
		return tells(s.Ready(), "schema registry")
	})
	f.awaitCount(1, "SELECT count() FROM {db}.inventory_ledger FINAL") // what came before it does not wait
	f.awaitCount(1, "SELECT count() FROM {db}.current_stock")
	away.Store(false)
	f.awaitNoLag(s.Sink)
	f.expect("SELECT event_id, raw_ref FROM {db}.inventory_ledger FINAL ORDER BY event_id",
		[][]string{{"e000000", "raw.wms/0/5"}, {"e000001", ""}, {"e000002", "raw.wms/0/5"}})
	f.expect("SELECT count() FROM {db}.dead_letters", [][]string{{"0"}})
}

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
		return tells(s.Ready(), "table inventory_ledger is stopped")
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
				return errors.Join(err, fmt.Errorf("lag %d", lag))
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
				return errors.Join(err, fmt.Errorf("lag %d", n))
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
