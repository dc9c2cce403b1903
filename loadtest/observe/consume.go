package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/latency"
)

// A handler takes the committed records of one topic. One goroutine calls it.
type handler interface {
	record(r *kgo.Record, began time.Time, seen time.Duration) error
}

// pollRecords bounds a poll, so that the time at which its records were seen is near to when they are taken note of.
const pollRecords = 10_000

func (x *Observers) consume(ctx context.Context, client *kgo.Client, topic string, h handler) {
	for {
		fetches := client.PollRecords(ctx, pollRecords)
		if ctx.Err() != nil {
			return
		}
		for _, e := range fetches.Errors() {
			x.troubles.add(fetchFailed, fmt.Errorf("%s, partition %d: %w", topic, e.Partition, e.Err))
		}
		now, began, ok := x.elapsed()
		if !ok {
			continue
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			// Records of other runs, and of the real world, are none of ours.
			if !bytes.HasPrefix(r.Key, x.tracker.prefix) {
				continue
			}
			if err := x.learning(ctx, func() error { return h.record(r, began, now) }); err != nil {
				x.troubles.add(unreadable, fmt.Errorf("%s, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err))
			}
		}
		x.tracker.changed()
	}
}

// learning calls f, and once more where the registry knew a schema that the Serde did not.
func (x *Observers) learning(ctx context.Context, f func() error) error {
	err := f()
	if err == nil {
		return nil
	}
	var unknown *serde.UnknownSchemaError
	if !errors.As(err, &unknown) {
		return err
	}
	if learn := x.options.Serde.Learn(ctx, unknown.ID); learn != nil {
		return learn
	}
	return f()
}

// A balanceReader reads topic balances.
type balanceReader struct {
	observers *Observers
	balance   event.InventoryBalance
}

func (b *balanceReader) record(r *kgo.Record, _ time.Time, seen time.Duration) error {
	x := b.observers
	hash := xxhash.Sum64(r.Key)
	if len(r.Value) == 0 || !x.tracker.follows(hash) {
		return nil
	}
	if err := x.options.Serde.Decode(r.Value, &b.balance); err != nil {
		return err
	}
	x.tracker.balance(hash, b.balance.Version, position{r.Partition, r.Offset}, func(intended time.Duration, n int64) {
		x.balances.AddFor(latency.Balance, intended, seen, n)
	})
	return nil
}

// An inboxReader reads the inventory stage's inbox.
type inboxReader struct {
	observers *Observers
	movement  event.InventoryMovement
}

func (b *inboxReader) record(r *kgo.Record, began time.Time, seen time.Duration) error {
	x := b.observers
	kind, err := x.options.Serde.Kind(r.Value)
	if err != nil || kind != event.KindInventoryMovement {
		return err // snapshots and policies are sent to the inbox as they are
	}
	if x.tracker.inboxAwaited {
		// Outputs carry the time of their input, and the sender's records that which was intended. Kafka keeps milliseconds:
		// it is up to one too early, and the latency as much too long.
		x.inbox.Add(latency.Enriched, r.Timestamp.Sub(began), seen)
		x.tracker.inboxSeen.Add(1)
		return nil
	}
	if err := x.options.Serde.Decode(r.Value, &b.movement); err != nil {
		return err
	}
	if intended, n, ok := x.tracker.documents.seen(xxhash.Sum64String(b.movement.Header.SourceDocID)); ok {
		x.inbox.AddFor(latency.Translated, intended, seen, n)
	}
	return nil
}

// watchRows asks ClickHouse how far its rows are, while some are awaited.
func (x *Observers) watchRows(ctx context.Context) {
	wait := time.NewTimer(x.options.RowsEvery)
	defer wait.Stop()
	next := x.options.RowsEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		if x.tracker.rows.len() > 0 {
			err := x.lookAtRows(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				x.troubles.add(rowsFailed, err)
				next = min(2*next, rowsRetry)
			default:
				next = x.options.RowsEvery
			}
		}
		wait.Reset(next)
	}
}

func (x *Observers) lookAtRows(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, rowsWithin)
	defer cancel()
	visible, err := x.options.Rows(ctx)
	if err != nil {
		return err
	}
	seen, _, ok := x.elapsed() // when the answer is here, all in it has been visible
	if !ok {
		return nil
	}
	for partition, offset := range visible {
		x.tracker.rows.upTo(position{partition, offset}, func(intended time.Duration, n int64) {
			x.rows.AddFor(latency.Row, intended, seen, n)
		})
	}
	x.tracker.changed()
	return nil
}
