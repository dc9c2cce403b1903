package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The limit's loop commits as a stage does at full load.
const (
	limitCommit      = 100 * time.Millisecond
	limitTransaction = 20_000 // records written
)

func (d *drain) limitGroup() string { return d.env.Naming.Prefix + "limit" }

// limitTopic is where the limit's loop copies to.
func (d *drain) limitTopic() string { return d.env.Naming.Prefix + "limit" }

// copy reads the backlog and writes what each says of each record, in transactions: what no stage on this broker can pass.
// What each puts must stay as it is until the loop ends.
func (d *drain) copy(ctx context.Context, each func(r *kgo.Record, put func(value []byte))) (Measure, error) {
	w := d.watchOwn()
	session, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt(nil), d.options.Kafka...),
		kgo.TransactionalID(d.limitGroup()),
		kgo.ConsumerGroup(d.limitGroup()),
		kgo.ConsumeTopics(d.backlog.topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.TransactionTimeout(10*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(10*time.Millisecond),
		kgo.MaxBufferedRecords(2*limitTransaction),
	)...)
	if err != nil {
		return Measure{}, err
	}
	defer session.Close()
	l := copyLoop{
		drain: d, session: session, watch: w, each: each,
		atMost: max(1, int(limitTransaction*d.backlog.records/d.backlog.units)),
	}
	for l.copied < d.backlog.records {
		if err := l.transaction(ctx); err != nil {
			return Measure{}, err
		}
	}
	m := w.measure(d.backlog.units)
	m.Commits = l.commits
	return m, nil
}

type copyLoop struct {
	drain   *drain
	session *kgo.GroupTransactSession
	watch   *watch
	each    func(*kgo.Record, func([]byte))
	atMost  int // records read in a transaction
	copied  int64
	commits int64
	told    time.Time
}

// transaction copies what comes within the time of one commit.
func (l *copyLoop) transaction(ctx context.Context) error {
	if err := l.session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	produced := kgo.AbortingFirstErrPromise(l.session.Client())
	topic, want := l.drain.limitTopic(), l.drain.backlog.records
	read := int64(0)
	for until := time.Now().Add(limitCommit); l.copied+read < want && int(read) < l.atMost; {
		poll, cancel := context.WithDeadline(ctx, until)
		fetches := l.session.PollRecords(poll, l.atMost-int(read))
		ended := poll.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d copied: %w", l.copied, want, context.Cause(ctx))
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			l.each(r, func(value []byte) {
				l.session.Produce(ctx, &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: value, Timestamp: now}, produced.Promise())
			})
		})
		if ended {
			break
		}
	}
	committed, err := l.session.End(ctx, kgo.TransactionEndTry(produced.Err() == nil))
	switch {
	case err != nil:
		return fmt.Errorf("end: %w", err)
	case produced.Err() != nil:
		return fmt.Errorf("produce: %w", produced.Err())
	case !committed || read == 0: // a rebalance, of this one member at its start: what was polled comes again
		return nil
	}
	l.copied += read
	l.commits++
	done := l.drain.backlog.unitsOf(l.copied)
	l.watch.first(done)
	if now := time.Now(); now.Sub(l.told) >= tellEvery {
		l.told = now
		l.drain.progress(Limit, done, l.watch.began)
	}
	return nil
}
