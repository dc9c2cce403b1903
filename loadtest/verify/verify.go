// Package verify hands an oracle what was sent and what the pipeline says: a send.Log on one side, the balances and ledger
// topics on the other. It compares nothing itself.
package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
)

// Sent tells the oracle of every movement that the broker has of a run. Movements whose fate is unknown are looked up
// first.
func Sent(ctx context.Context, o *oracle.Oracle, l *send.Log, scanned bool) error {
	if err := l.Resolve(ctx); err != nil {
		return fmt.Errorf("verify: what was sent: %w", err)
	}
	tell := o.Expect
	if scanned {
		tell = o.Received
	}
	return l.Replay(func(s *scans.Scan) error {
		_, err := tell(&s.Movement)
		return err
	})
}

// A Reader reads the pipeline's topics.
type Reader struct {
	Kafka []kgo.Opt    // how the brokers are reached
	Serde *serde.Serde // knows, or can learn, the writers' schemas
}

// Balances reads the balances topic to its end as of now.
func (r *Reader) Balances(ctx context.Context, topic string, c *oracle.BalanceCheck) error {
	var b event.InventoryBalance
	return r.each(ctx, topic, &b, func(key []byte) { c.Record(key, &b) })
}

// Ledger reads the ledger topic to its end as of now.
func (r *Reader) Ledger(ctx context.Context, topic string, c *oracle.LedgerCheck) error {
	var p event.LedgerPosting
	return r.each(ctx, topic, &p, func(key []byte) { c.Record(key, &p) })
}

// Count is how many committed records a topic has.
func (r *Reader) Count(ctx context.Context, topic string) (n int64, err error) {
	err = committed.Read(ctx, r.Kafka, topic, func(*kgo.Record) error {
		n++
		return nil
	})
	return n, err
}

// each decodes every committed record into e. Tombstones, which stand for nothing, are passed over.
func (r *Reader) each(ctx context.Context, topic string, e event.Record, f func(key []byte)) error {
	return committed.Read(ctx, r.Kafka, topic, func(rec *kgo.Record) error {
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
			return fmt.Errorf("verify: %s, partition %d, offset %d: %w", topic, rec.Partition, rec.Offset, err)
		}
		f(rec.Key)
		return nil
	})
}
