package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
)

// A lane is the way from one topic into one table, with a client of its own in the sink's group: a table that ClickHouse does
// not take holds back its own topic and no other. Three goroutines make it, each waiting for the next:
//
//	poll    reads records and notes under which lease it got them
//	encode  makes rows of them, and cuts blocks by size and age
//	send    inserts a block, commits its offsets, gives the block back
//
// Two blocks go round, so one is filled while the other is on the way. Where the sender waits for ClickHouse, the encoder
// fills its block and stops, then poll does, then the client's buffers are full and fetching stops: nothing grows.
type lane struct {
	s         *Sink
	table     *table
	topic     string
	log       *slog.Logger
	m         *metrics
	client    *kgo.Client
	handover  *handover // the sender's
	insertSQL string

	fetched chan chunk
	cut     chan *block
	free    chan *block
	drain   chan chan<- struct{}
	encoded chan struct{} // closed when encode has ended

	leases leases
	notes  offsetNotes
	losses losses
	joined atomic.Bool
	state  atomic.Pointer[laneState]
	blocks atomic.Uint64 // number of the last one

	pending atomic.Int64 // rows in the block that is being filled
}

// A laneState is what Ready and Status tell of a lane.
type laneState struct {
	waiting error         // what is being retried; nil: nothing
	stopped *StoppedError // why the table stands still; nil: it does not
}

// A chunk is one poll.
type chunk struct{ parts []part }

// A part is what a poll has of one partition.
type part struct {
	lease   *lease
	topicID uuid.UUID
	records []*kgo.Record
}

const (
	// pollRecords bounds a poll, and so by how much a block passes its bounds and how long a cut waits.
	pollRecords = 10_000
	// fetchBytes bounds what the client buffers ahead of a lane.
	fetchBytes = 16 << 20
	// drainTimeout is how long a rebalance waits for ClickHouse to take what has been read of the partitions that leave;
	// the next owner reads again what it has not taken.
	drainTimeout = 5 * time.Second
)

func newLane(s *Sink, t *table) *lane {
	topic := s.deps.Topics.Topic(t.topic)
	l := &lane{
		s: s, table: t, topic: topic, log: s.log.With("table", t.name), m: s.metrics, handover: newHandover(),
		leases: leases{topic: topic, byNum: map[int32]*lease{}},
	}
	l.state.Store(&laneState{})
	first := newBlock(t)
	l.insertSQL = insertStatement(s.config.ClickHouse.Database, t.name, first.all)
	l.free = make(chan *block, 2)
	l.free <- first
	l.free <- newBlock(t)
	l.fetched, l.cut = make(chan chunk), make(chan *block)
	l.drain, l.encoded = make(chan chan<- struct{}), make(chan struct{})
	return l
}

// run fills the table until ctx ends, and then for as long as hard lives what has been read already. The error is a
// *StoppedError.
func (l *lane) run(ctx, hard context.Context) error {
	client, err := kgo.NewClient(l.options()...)
	if err != nil {
		return fmt.Errorf("sink: table %s: %w", l.table.name, err)
	}
	l.client = client
	defer client.CloseAllowingRebalance()

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(l.fetched)
		l.poll(ctx)
	}()
	go func() {
		defer close(l.encoded)
		defer close(l.cut)
		l.encode(ctx, hard)
	}()
	var stopped error
	for b := range l.cut {
		if stopped == nil {
			if stopped = l.send(hard, b); stopped != nil {
				stop()
			}
		}
		for _, d := range b.drained {
			close(d)
		}
		b.reset()
		l.free <- b
	}
	l.s.progress(hard, l) // before the client leaves the group, and the leases with it
	if s := (*StoppedError)(nil); errors.As(stopped, &s) {
		return s
	}
	return nil
}

// poll hands over what the client fetches until ctx ends.
func (l *lane) poll(ctx context.Context) {
	for {
		fetches := l.client.PollRecords(ctx, pollRecords)
		var c chunk
		fetches.EachTopic(func(t kgo.FetchTopic) {
			for _, p := range t.Partitions {
				if len(p.Records) == 0 {
					continue
				}
				// Rebalances are held back until AllowRebalance, so this is the lease that the records were fetched under.
				lease := l.leases.get(p.Partition)
				if lease == nil {
					continue
				}
				if id := uuid.UUID(t.TopicID); id != uuid.Nil {
					lease.setTopicID(id)
				}
				c.parts = append(c.parts, part{lease, lease.topicID(), p.Records})
			}
		})
		l.client.AllowRebalance()
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		failed := false
		fetches.EachError(func(_ string, partition int32, err error) {
			failed = true
			l.fetchFailed(partition, err)
		})
		if len(c.parts) > 0 {
			select {
			case l.fetched <- c:
			case <-ctx.Done():
				return
			}
			continue
		}
		if failed && !wait(ctx, l.s.config.RetryMin) {
			return
		}
	}
}

// fetchFailed tells of what the client cannot cure or what a person must know. It goes on trying.
func (l *lane) fetchFailed(partition int32, err error) {
	l.m.fetchErrors.WithLabelValues(l.table.name).Inc()
	if loss := (*kgo.ErrDataLoss)(nil); errors.As(err, &loss) {
		l.log.Error("the broker has lost records that had been read: the table holds rows that Kafka no longer has",
			"topic", l.topic, "partition", partition, "error", err)
		return
	}
	l.log.Warn("fetching failed, trying on", "topic", l.topic, "partition", partition, "error", err)
}

// encode makes blocks of what poll hands over. A block goes on its way when it is full, when it is old enough and the sender
// is free, when somebody waits for it, and at the end.
func (l *lane) encode(ctx, hard context.Context) {
	c := &l.s.config
	b := <-l.free
	age := time.NewTimer(0)
	defer age.Stop()
	fetched := l.fetched
	for {
		l.pending.Store(int64(b.n))
		full := b.n >= c.MaxRows || b.bytes >= c.MaxBytes
		due := full || len(b.drained) > 0 || fetched == nil
		if !due && !b.started.IsZero() {
			left := c.FlushInterval - time.Since(b.started)
			due = left <= 0
			age.Reset(max(left, 0))
		}
		if fetched == nil && b.empty() {
			return
		}
		in, out := fetched, l.cut
		if full {
			in = nil
		}
		if !due || b.empty() {
			out = nil
		}
		if out != nil && b.id == "" {
			b.id = l.blockID()
		}
		select {
		case ch, ok := <-in:
			if !ok {
				fetched = nil // the end: what is in the block goes out
				continue
			}
			b = l.encodeChunk(ctx, hard, b, ch)
		case out <- b:
			b = <-l.free
		case done := <-l.drain:
			b.drained = append(b.drained, done)
		case <-age.C:
		}
		if b == nil {
			return
		}
	}
}

// blockID names a block among those of all processes. It is made once a block: each try of it has the same.
func (l *lane) blockID() string {
	return fmt.Sprintf("%s-%s-%d", l.table.name, l.s.nonce, l.blocks.Add(1))
}

// encodeChunk makes rows of a chunk. It returns the block that is being filled, nil where the process stops before the
// registry has answered: what is not encoded is read again.
func (l *lane) encodeChunk(ctx, hard context.Context, b *block, ch chunk) *block {
	now := time.Now()
	for _, p := range ch.parts {
		if p.lease.gone() {
			continue
		}
		for _, r := range p.records {
			if r.Attrs.IsControl() {
				b.pass(p.lease, r, now)
				continue
			}
			var err error
			if b, err = l.decodeKnown(ctx, hard, b, r); b == nil {
				return nil
			}
			if err == nil {
				err = b.add(p, r, now)
			}
			if err != nil {
				l.rejected(b, p, explain(r, err), now)
			}
		}
	}
	return b
}

// decode reads the value of a record into the event of the block.
func (l *lane) decode(b *block, r *kgo.Record) error {
	kind, err := l.s.deps.Serde.Kind(r.Value)
	if err != nil {
		return err
	}
	if kind != l.table.kind {
		return &reject{r, causeKind, fmt.Sprintf("a %s on topic %s, which carries %s", kind, r.Topic, l.table.kind),
			"send it to its own topic; see `crossdock topology describe`"}
	}
	return l.s.deps.Serde.Decode(r.Value, b.rows.event())
}

// decodeKnown is decode, after the registry has been asked for a schema that is new. It returns the block to go on with, nil
// where the process stops.
func (l *lane) decodeKnown(ctx, hard context.Context, b *block, r *kgo.Record) (*block, error) {
	for {
		err := l.decode(b, r)
		unknown := (*serde.UnknownSchemaError)(nil)
		if !errors.As(err, &unknown) {
			return b, err
		}
		if b, err = l.learn(ctx, hard, b, unknown.ID); b == nil || err != nil {
			return b, err
		}
	}
}

// learn asks the registry for a schema. Where the registry does not answer it is asked again, without end: whether a record
// is bad is not decided by a server that is down. What had been encoded before goes on its way meanwhile. It returns the
// block to go on with, nil where the process stops, and an *serde.UnknownSchemaError where the registry does not know it either.
func (l *lane) learn(ctx, hard context.Context, b *block, id int) (*block, error) {
	pause := l.backoff()
	for {
		err := l.s.deps.Serde.Learn(ctx, id)
		if unknown := (*serde.UnknownSchemaError)(nil); err == nil || errors.As(err, &unknown) {
			l.waitsFor(nil)
			return b, err
		}
		if ctx.Err() == nil {
			delay := pause.NextBackOff()
			l.waitsFor(fmt.Errorf("schema registry: %w", err))
			l.log.Warn("the schema registry does not answer, trying on", "schema_id", id, "error", err, "again_in", delay)
			wait(ctx, delay)
		}
		if !b.empty() {
			b.id = l.blockID()
			select {
			case l.cut <- b:
				b = <-l.free
			case <-hard.Done():
				return nil, hard.Err()
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// explain makes a reject of what is wrong with a record.
func explain(r *kgo.Record, err error) reject {
	var (
		known   *reject
		framing *serde.FramingError
		unknown *serde.UnknownSchemaError
		cannot  *unholdable
	)
	switch {
	case errors.As(err, &known):
		return *known
	case errors.As(err, &framing):
		return reject{r, causeFraming, err.Error(), "produce with a Confluent-compatible Avro serializer"}
	case errors.As(err, &unknown):
		return reject{r, causeUnknownSchema, err.Error(), "register the schema, or point the sink at the registry that the producer uses; then replay"}
	case errors.As(err, &cannot):
		return reject{r, causeUnholdable, err.Error(), "correct the value at its source, then replay"}
	}
	return reject{r, causeRecord, err.Error(), "compare the bytes with the schema that they name; then correct and replay"}
}

// wait sleeps; false: ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// waitsFor notes what is being retried, nil: nothing any more.
func (l *lane) waitsFor(err error) {
	old := l.state.Load()
	if old.waiting == nil && err == nil {
		return
	}
	l.state.Store(&laneState{waiting: err, stopped: old.stopped})
	gauge := l.m.retrying.WithLabelValues(l.table.name)
	if err != nil {
		gauge.Set(1)
	} else {
		gauge.Set(0)
	}
}
