package sink

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var fixtures atomic.Int64

// A fixture is a broker with Crossdock's topics, a database of its own on the real engine behind a line that can be cut, and
// what it takes to make sinks.
type fixture struct {
	t      testing.TB
	config Config
	deps   Deps
	serde  *serde.Serde
	client *kgo.Client // the test's own
	admin  *kadm.Client
	line   *line
	db     driver.Conn // not through the line
}

// eventually waits for a condition, which says what is missing.
func eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// newFixture uses an embedded broker and the engine that all tests share.
func newFixture(t testing.TB) *fixture {
	return newFixtureOn(t, testservices.Broker(t), testservices.ClickHouse(t).TCP)
}

func newFixtureOn(t testing.TB, broker, engine string) *fixture {
	t.Helper()
	n := fmt.Sprintf("sink%d_%d", time.Now().UnixMilli(), fixtures.Add(1))
	f := &fixture{t: t, serde: serde.Local(), line: newLine(t, engine)}
	f.config = Config{
		App:           n,
		ClickHouse:    ClickHouse{Addresses: []string{f.line.address()}, Database: n},
		FlushInterval: 50 * time.Millisecond, RetryMin: 10 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		ProgressInterval: 100 * time.Millisecond, InsertTimeout: 20 * time.Second,
	}
	f.deps = Deps{
		Kafka:  []kgo.Opt{kgo.SeedBrokers(broker), kgo.MetadataMinAge(50 * time.Millisecond)},
		Topics: topics.Naming{Prefix: n + "."}, Serde: f.serde, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	var err error
	opts := append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(n)}, f.deps.Kafka...)
	opts = append(opts, kgo.ProducerBatchMaxBytes(18<<20))
	if f.client, err = kgo.NewClient(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	f.admin = kadm.NewClient(f.client)
	big := "18000000"
	for _, tb := range tables() {
		f.createTopic(tb.topic, map[string]*string{"max.message.bytes": &big})
	}
	direct := f.config.ClickHouse
	direct.Addresses = []string{engine}
	direct.Compression = "none"
	direct.Username = "default"
	if f.db, err = open(direct, "", 4); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What the test wrote is dropped, so that a long run of tests does not fill the engine.
		if err := f.db.Exec(context.Background(), "DROP DATABASE IF EXISTS "+quote(n)); err != nil {
			t.Logf("the database is left behind: %v", err) // the engine may have been killed by the test
		}
		_ = f.db.Close()
	})
	return f
}

func (f *fixture) createTopic(id topics.ID, configs map[string]*string) {
	f.t.Helper()
	resp, err := f.admin.CreateTopics(f.t.Context(), 3, 1, configs, f.topic(id))
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) topic(id topics.ID) string { return f.deps.Topics.Topic(id) }

// testLog writes to the test's log while it runs.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// sink makes a sink that is closed with the test.
func (f *fixture) sink() *Sink {
	f.t.Helper()
	deps := f.deps
	deps.Metrics = prometheus.NewRegistry()
	s, err := New(f.config, deps)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Close() })
	return s
}

// A running sink.
type running struct {
	*Sink
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
}

func (f *fixture) run() *running {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{f.sink(), f.t, cancel, make(chan error, 1)}
	go func() { r.ended <- r.Run(ctx) }()
	f.t.Cleanup(func() { _ = r.stop() }) // a test that cares has asked before
	return r
}

// stop ends the sink and returns what Run returned. A second call returns nil.
func (r *running) stop() error {
	r.cancel()
	err, ok := <-r.ended
	if ok {
		close(r.ended)
	}
	return err
}

// produce appends events to a partition in one transaction, so that a marker follows them.
func (f *fixture) produce(id topics.ID, partition int32, events ...event.Record) []*kgo.Record {
	f.t.Helper()
	records := make([]*kgo.Record, len(events))
	for i, e := range events {
		records[i] = &kgo.Record{Topic: f.topic(id), Partition: partition, Key: []byte("k"), Value: f.serde.Append(nil, e)}
	}
	f.produceRecords(kgo.TryCommit, records...)
	return records
}

func (f *fixture) produceRecords(end kgo.TransactionEndTry, records ...*kgo.Record) {
	f.t.Helper()
	if err := f.client.BeginTransaction(); err != nil {
		f.t.Fatal(err)
	}
	if err := f.client.ProduceSync(f.t.Context(), records...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
	if err := f.client.EndTransaction(f.t.Context(), end); err != nil {
		f.t.Fatal(err)
	}
}

// count evaluates a query that yields one number; {db} is the database.
func (f *fixture) count(query string) (int64, error) {
	var n int64
	err := f.db.QueryRow(f.t.Context(), "SELECT toInt64(("+strings.ReplaceAll(query, "{db}", f.config.ClickHouse.Database)+"))").Scan(&n)
	return n, err
}

func (f *fixture) mustCount(query string) int64 {
	f.t.Helper()
	n, err := f.count(query)
	if err != nil {
		f.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// awaitCount waits until a query yields a number.
func (f *fixture) awaitCount(want int64, query string) {
	f.t.Helper()
	eventually(f.t, query, func() error {
		n, err := f.count(query)
		if err == nil && n != want {
			err = fmt.Errorf("%d, want %d", n, want)
		}
		return err
	})
}

// awaitNoLag waits until the group has committed all there is.
func (f *fixture) awaitNoLag(s *Sink) {
	f.t.Helper()
	eventually(f.t, "lag", func() error {
		for _, l := range s.lanes {
			lag, err := s.lag(f.t.Context(), l.topic)
			if err != nil {
				return err
			}
			if lag != 0 {
				return fmt.Errorf("%s: %d", l.topic, lag)
			}
		}
		return nil
	})
}

// A line is a connection to the engine that can be cut: it stands for an engine that is down, and for one that dies in the
// middle of an insert.
type line struct {
	t        testing.TB
	listener net.Listener

	mu       sync.Mutex
	target   string
	open     map[net.Conn]struct{}
	down     bool
	afterOut int64 // cut once so many bytes have gone to the engine; 0: never
	served   sync.WaitGroup
}

func newLine(t testing.TB, target string) *line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{t: t, listener: listener, target: target, open: map[net.Conn]struct{}{}}
	l.served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.served.Go(func() { l.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		l.served.Wait()
	})
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

// cut closes all connections and takes no new ones.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.open {
		_ = c.Close()
	}
}

// to leads the line to another engine.
func (l *line) to(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

func (l *line) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.afterOut = false, 0
}

// cutAfter cuts the line once n more bytes have gone to the engine.
func (l *line) cutAfter(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.afterOut = n
}

func (l *line) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

func (l *line) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	l.mu.Lock()
	if l.down {
		l.mu.Unlock()
		return
	}
	l.open[client], l.open[server] = struct{}{}, struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, client)
		delete(l.open, server)
	}()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(server, &metered{client, l})
		_ = server.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	both.Wait()
}

// metered counts what goes to the engine.
type metered struct {
	net.Conn
	line *line
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	l := m.line
	l.mu.Lock()
	hit := false
	if l.afterOut > 0 {
		l.afterOut -= int64(n)
		hit = l.afterOut <= 0
	}
	l.mu.Unlock()
	if hit {
		l.cut()
		return 0, net.ErrClosed
	}
	return n, err
}

// offsetsFrom is one offset, as commits and deletions want it.
func (f *fixture) offsetsFrom(id topics.ID, partition int32, at int64) kadm.Offsets {
	o := kadm.Offsets{}
	o.AddOffset(f.topic(id), partition, at, -1)
	return o
}

// withMetadata makes offsets to commit of fetched ones, notes included.
func withMetadata(r kadm.OffsetResponses) kadm.Offsets {
	o := kadm.Offsets{}
	r.Each(func(r kadm.OffsetResponse) { o.Add(r.Offset) })
	return o
}

// held counts the partitions that a lane has.
func (l *lane) held() (n int) {
	l.leases.each(func(*lease) { n++ })
	return n
}

func hostname(t testing.TB) string {
	t.Helper()
	h, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tells is nil where an error says all of it.
func tells(err error, what ...string) error {
	for _, w := range what {
		if err == nil {
			return fmt.Errorf("no error, want one with %q", w)
		}
		if !strings.Contains(err.Error(), w) {
			return fmt.Errorf("nothing of %q in: %w", w, err)
		}
	}
	return nil
}
