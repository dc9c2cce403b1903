// Package sink fills ClickHouse: a consumer group of its own reads Crossdock's topics and writes each into its table, column
// by column. It knows canonical events and topics, and nothing of who makes or reads them; it never slows who does.
//
// Rows arrive at least once. Every row carries where it comes from, and every table's engine keeps one row of those that a
// record was sent as: a second sending has the same sorting key (ReplacingMergeTree), so FINAL, and the views that analysts
// read, count it once. Rows that have not been merged yet are seen twice by a plain SELECT without FINAL.
//
// Invariants:
//
//   - Offsets are committed after ClickHouse has acknowledged the rows, and the brokers the dead letters, of all records
//     before them; and only under the lease that they were read under.
//   - A record becomes a row, or a dead letter with its bytes and cause. What cannot be held is judged by the encoder alone
//     (S4): a block made again is the same block, and one bad record never holds up its neighbours.
//   - A server that is away or overloaded is waited for without end and never makes a dead letter. A block that the server
//     refuses for another reason stops its table by name, and no other table.
//   - What an insert depends on is pinned per insert (S5).
//   - Memory is bounded: two blocks, one poll and the client's buffer per table.
//   - A range that Kafka no longer has, and a topic that was made anew, are alarmed (S3, S7).
package sink

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/topics"
)

// A Sink fills the tables of one database from the topics of one application.
type Sink struct {
	config     Config
	deps       Deps
	log        *slog.Logger
	metrics    *metrics
	migrations []Migration
	nonce      string // of this process, in names of blocks
	db         driver.Conn
	kafka      *kgo.Client // writes dead letters, asks for offsets; consumes nothing
	admin      *kadm.Client
	lanes      []*lane

	migrating sync.Mutex

	started  atomic.Bool
	migrated atomic.Bool
	waiting  atomic.Pointer[error] // what the start waits for
}

// New checks the configuration and prepares a sink. Nothing is connected before Run, Migrate or Status. Close it.
func New(c Config, d Deps) (*Sink, error) {
	c.EnsureDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if d.Serde == nil {
		return nil, errors.New("sink: Deps.Serde is nil; records cannot be decoded without it")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	s := &Sink{config: c, deps: d, log: d.Log.With("component", "sink")}
	var err error
	if s.migrations, err = loadMigrations(); err != nil {
		return nil, err
	}
	if s.nonce, err = nonce(); err != nil {
		return nil, err
	}
	all := tables()
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.name
	}
	if s.metrics, err = newMetrics(d.Metrics, names); err != nil {
		return nil, err
	}
	for _, t := range all {
		s.lanes = append(s.lanes, newLane(s, t))
	}
	if s.db, err = open(c.ClickHouse, "", len(all)+spareConnections); err != nil {
		return nil, fmt.Errorf("sink: ClickHouse: %w", err)
	}
	opts := append([]kgo.Opt{}, d.Kafka...)
	opts = append(opts,
		kgo.ProducerBatchMaxBytes(int32(topics.DeadLetters.Lookup().MaxMessage)),
		kgo.RecordDeliveryTimeout(30*time.Second)) // then it is told and tried again, in send.go
	if s.kafka, err = kgo.NewClient(opts...); err != nil {
		_ = s.db.Close()
		return nil, fmt.Errorf("sink: Kafka: %w", err)
	}
	s.admin = kadm.NewClient(s.kafka)
	return s, nil
}

// nonce tells the blocks of this process from those of others.
func nonce() (string, error) {
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return strconv.FormatInt(time.Now().Unix(), 36) + hex.EncodeToString(b[:]), nil
}

// Close releases the connections. Run must have returned.
func (s *Sink) Close() error {
	s.kafka.Close()
	return s.db.Close()
}

// Run migrates the tables, unless the configuration says not to, and fills them until ctx ends; then it lets ClickHouse take
// what has been read, for StopTimeout at most, commits and returns nil. Where the server refuses the block of some table,
// that table stands still and the others go on; the *StoppedErrors are returned at the end, or as soon as no table is left.
// Run may be called once.
func (s *Sink) Run(ctx context.Context) error {
	if !s.started.CompareAndSwap(false, true) {
		return errors.New("sink: Run was called before; make another Sink")
	}
	if ready, err := s.prepare(ctx); !ready {
		return err
	}
	hard, kill := context.WithCancel(context.WithoutCancel(ctx))
	ctx, done := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() {
		<-ctx.Done()
		wait(hard, s.config.StopTimeout)
		kill()
	})
	others.Go(func() { s.reportProgress(ctx) })

	failed := make([]error, len(s.lanes))
	var lanes sync.WaitGroup
	for i, l := range s.lanes {
		lanes.Go(func() { failed[i] = l.run(ctx, hard) })
	}
	lanes.Wait()
	done()
	kill()
	others.Wait()
	return errors.Join(failed...)
}

// prepare waits until the tables are there, however long ClickHouse is away. It returns false where ctx ended first, and
// with an error where waiting is of no use.
func (s *Sink) prepare(ctx context.Context) (ready bool, err error) {
	pause := s.lanes[0].backoff()
	for ctx.Err() == nil {
		err := s.tablesReady(ctx)
		if err == nil {
			s.migrated.Store(true)
			s.waiting.Store(nil)
			return true, nil
		}
		changed, locked := (*ChangedMigrationError)(nil), (*LockedError)(nil)
		switch {
		case errors.As(err, &changed), errors.Is(err, errPending):
			return false, err
		case !errors.As(err, &locked) && !retryable(err):
			return false, fmt.Errorf("%w; %s", err, remedy(err))
		}
		delay := pause.NextBackOff()
		s.waiting.Store(&err)
		s.log.Warn("the tables are not ready, trying on", "error", err, "again_in", delay)
		wait(ctx, delay)
	}
	return false, nil
}

var errPending = errors.New("sink: migrations are pending and Config.SkipMigrate is set; run `crossdock sink migrate`")

func (s *Sink) tablesReady(ctx context.Context) error {
	if !s.config.SkipMigrate {
		return s.Migrate(ctx)
	}
	pending, err := s.pending(ctx)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("%w: %s is the first", errPending, pending[0].Name)
	}
	return nil
}

// Ready says why the sink is not doing its work: tables missing, group not joined, ClickHouse away, tables that stand still.
// nil: it is.
func (s *Sink) Ready() error {
	if !s.started.Load() {
		return errors.New("sink: not started")
	}
	if !s.migrated.Load() {
		if waiting := s.waiting.Load(); waiting != nil {
			return fmt.Errorf("sink: waiting for the tables: %w", *waiting)
		}
		return errors.New("sink: the tables are not ready yet")
	}
	var reasons []string
	for _, l := range s.lanes {
		switch state := l.state.Load(); {
		case state.stopped != nil:
			reasons = append(reasons, state.stopped.Error())
		case state.waiting != nil:
			reasons = append(reasons, fmt.Sprintf("table %s waits: %v", l.table.name, state.waiting))
		case !l.joined.Load():
			reasons = append(reasons, fmt.Sprintf("table %s: the consumer group has not been joined yet", l.table.name))
		}
	}
	if len(reasons) > 0 {
		return errors.New("sink: " + strings.Join(reasons, "; "))
	}
	return nil
}
