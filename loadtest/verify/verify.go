// Package verify reaches the verdict on a run: it hands an oracle what was sent (a send.Log remakes it) and what the pipeline
// says of it (topics of Kafka, tables of ClickHouse, answers to queries), waits for both to be at their end, and shows what
// failed with the events that made it. It compares nothing itself.
package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
)

// A Reader reads the pipeline's topics.
type Reader struct {
	Kafka []kgo.Opt    // how the brokers are reached
	Serde *serde.Serde // knows, or can learn, the writers' schemas
	// From is where to start, by topic and partition; what is not in it is read from its start.
	From map[string]map[int32]int64
}

// Balances reads the balances topic to its end as of now.
func (r *Reader) Balances(ctx context.Context, topic string, c *oracle.BalanceCheck) error {
	var b event.InventoryBalance
	return r.each(ctx, topic, &b, nil, func(key []byte) { c.Record(key, &b) })
}

// Ledger reads the ledger topic to its end as of now.
func (r *Reader) Ledger(ctx context.Context, topic string, c *oracle.LedgerCheck) error {
	var p event.LedgerPosting
	return r.each(ctx, topic, &p, nil, func(key []byte) { c.Record(key, &p) })
}

// Count is how many committed records a topic has.
func (r *Reader) Count(ctx context.Context, topic string) (n int64, err error) {
	err = committed.Read(ctx, r.Kafka, topic, func(*kgo.Record) error {
		n++
		return nil
	})
	return n, err
}

// each decodes every committed record into e, whose texts are valid until the next one. Tombstones, which stand for nothing,
// are passed over.
func (r *Reader) each(ctx context.Context, topic string, e event.Record, progress func(done int64), f func(key []byte)) error {
	done := int64(0)
	return committed.ReadFrom(ctx, r.Kafka, topic, r.From[topic], func(rec *kgo.Record) error {
		if done++; progress != nil && done%progressEvery == 0 {
			progress(done)
		}
		if rec.Value == nil {
			return nil
		}
		err := r.Serde.Decode(rec.Value, e)
		var unknown *serde.UnknownSchemaError
		if errors.As(err, &unknown) {
			if err = r.Serde.Learn(ctx, unknown.ID); err == nil {
				err = r.Serde.Decode(rec.Value, e)
			}
		}
		if err != nil {
			return fmt.Errorf("%s, partition %d, offset %d: %w", topic, rec.Partition, rec.Offset, err)
		}
		f(rec.Key)
		return nil
	})
}

// counting calls progress now and then.
func counting[T any](rows iter.Seq2[T, error], progress func(done int64)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		done := int64(0)
		for row, err := range rows {
			if done++; done%progressEvery == 0 {
				progress(done)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}
