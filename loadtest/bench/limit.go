package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/topics"
)

func (b *benchmark) limitGroup() string { return b.env.Naming.Prefix + "limit" }

// The limit's loop: what it copies of each record is as large as a balance, and it commits as the stage does at full load.
const (
	balanceBytes     = 150
	limitCommit      = 100 * time.Millisecond
	limitTransaction = 20_000 // records
)

// limit copies the inbox in transactions, without decoding, without state: what no stage on this broker can pass.
func (b *benchmark) limit(ctx context.Context) (Measure, error) {
	began := time.Now()
	w := b.watch(map[string]int{own: selfPID()})
	session, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt(nil), b.options.Kafka...),
		kgo.TransactionalID(b.limitGroup()),
		kgo.ConsumerGroup(b.limitGroup()),
		kgo.ConsumeTopics(b.env.Naming.Topic(topics.InventoryInbox)),
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
	var first, told time.Time
	var copied, commits, transaction int64
	topic := b.limitTopic()
	for copied < b.options.Records {
		if err := session.Begin(); err != nil {
			return Measure{}, fmt.Errorf("begin: %w", err)
		}
		produced := kgo.AbortingFirstErrPromise(session.Client())
		transaction = 0
		for until := time.Now().Add(limitCommit); copied+transaction < b.options.Records && transaction < limitTransaction; {
			poll, cancel := context.WithDeadline(ctx, until)
			fetches := session.PollRecords(poll, limitTransaction-int(transaction))
			ended := poll.Err() != nil
			cancel()
			if ctx.Err() != nil {
				return Measure{}, fmt.Errorf("%d of %d copied: %w", copied, b.options.Records, context.Cause(ctx))
			}
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) {
				transaction++
				session.Produce(ctx, &kgo.Record{
					Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value[:min(len(r.Value), balanceBytes)], Timestamp: now,
				}, produced.Promise())
			})
			if ended {
				break
			}
		}
		committed, err := session.End(ctx, kgo.TransactionEndTry(produced.Err() == nil))
		switch {
		case err != nil:
			return Measure{}, fmt.Errorf("end: %w", err)
		case produced.Err() != nil:
			return Measure{}, fmt.Errorf("produce: %w", produced.Err())
		case !committed: // a rebalance, of this one member at its start: what was polled comes again
			continue
		}
		if transaction == 0 {
			continue
		}
		now := time.Now()
		if copied += transaction; first.IsZero() {
			first = now
			w.first(copied)
		}
		commits++
		if now.Sub(told) >= tellEvery {
			told = now
			b.progress(Limit, copied, b.options.Records, began)
		}
	}
	m := w.measure(copied, time.Since(began))
	m.Commits = commits
	return m, nil
}
