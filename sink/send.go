package sink

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// send brings a block to its end: dead letters acknowledged by the brokers, rows by ClickHouse, then, and only then, offsets
// committed. It gives up where hard ends, with its error, and where the server refuses the block, with a *StoppedError.
func (l *lane) send(hard context.Context, b *block) error {
	if len(b.rejects) > 0 {
		if err := l.sendDeadLetters(hard, b); err != nil {
			return err
		}
	}
	if lost := l.losses.take(); len(lost) > 0 {
		if err := l.untilTaken(hard, len(lost), func(ctx context.Context) error { return l.writeLosses(ctx, lost) }); err != nil {
			l.losses.add(lost...)
			return err
		}
	}
	if b.n > 0 {
		if err := b.verify(); err != nil {
			return l.stop(b.n, err)
		}
		began := time.Now()
		if err := l.untilTaken(hard, b.n, func(ctx context.Context) error {
			began = time.Now()
			return l.s.insert(ctx, b.id, l.insertSQL, b.all, l.handover)
		}); err != nil {
			return err
		}
		l.m.insertSeconds.WithLabelValues(l.table.name).Observe(time.Since(began).Seconds())
		l.m.rows.WithLabelValues(l.table.name).Add(float64(b.n))
		l.m.blocks.WithLabelValues(l.table.name).Inc()
		l.m.bytes.WithLabelValues(l.table.name).Add(float64(b.bytes))
	}
	if first := b.firstRefused; b.refused > 0 {
		l.log.Warn("records cannot be stored, they are dead letters", "records", b.refused, "first_topic", first.record.Topic,
			"first_partition", first.record.Partition, "first_offset", first.record.Offset, "cause", first.cause, "detail", first.detail)
	}
	for lease, at := range b.reached {
		lease.acknowledge(at)
	}
	if err := l.leases.commit(hard, l.client); err != nil && hard.Err() == nil {
		l.m.commitErrors.WithLabelValues(l.table.name).Inc()
		l.log.Warn("offsets were not committed; the next commit contains them", "error", err)
	}
	return nil
}

// untilTaken inserts rows, again and again while the server cannot take them: that is never a fault of the rows.
func (l *lane) untilTaken(hard context.Context, rows int, insert func(context.Context) error) error {
	pause := l.backoff()
	for try := 1; ; try++ {
		err := insert(hard)
		if err == nil {
			l.waitsFor(nil)
			return nil
		}
		if hard.Err() != nil {
			l.log.Warn("stopped before ClickHouse had taken the last block; its records are read again at the next start",
				"rows", rows, "error", err)
			return hard.Err()
		}
		l.m.insertErrors.WithLabelValues(l.table.name, errorLabel(err)).Inc()
		if !retryable(err) {
			return l.stop(rows, err)
		}
		delay := pause.NextBackOff()
		l.waitsFor(err)
		l.log.Warn("ClickHouse does not take the block, trying on", "rows", rows, "try", try, "error", err, "again_in", delay)
		wait(hard, delay)
	}
}

// stop makes the table stand still.
func (l *lane) stop(rows int, err error) *StoppedError {
	stopped := &StoppedError{Table: l.table.name, Reason: err.Error() + "; " + remedy(err), Err: err}
	l.state.Store(&laneState{stopped: stopped})
	l.m.stopped.WithLabelValues(l.table.name).Set(1)
	l.m.retrying.WithLabelValues(l.table.name).Set(0)
	l.log.Error("ClickHouse refuses the block: the table stands still, the others go on", "rows", rows, "error", err, "remedy", remedy(err))
	return stopped
}

// sendDeadLetters produces the dead letters of a block until the brokers have them all.
func (l *lane) sendDeadLetters(hard context.Context, b *block) error {
	pause := l.backoff()
	records := make([]*kgo.Record, len(b.rejects))
	for i := range b.rejects {
		records[i] = l.deadLetter(&b.rejects[i])
	}
	for {
		var left []*kgo.Record
		var failed error
		for _, result := range l.s.kafka.ProduceSync(hard, records...) {
			if result.Err != nil {
				left, failed = append(left, result.Record), result.Err
			}
		}
		if failed == nil {
			l.waitsFor(nil)
			return nil
		}
		if hard.Err() != nil {
			return hard.Err()
		}
		delay := pause.NextBackOff()
		l.waitsFor(failed)
		l.log.Error("dead letters were not acknowledged, trying on", "records", len(left), "error", failed, "remedy", produceRemedy(failed),
			"again_in", delay)
		wait(hard, delay)
		records = left
	}
}

func produceRemedy(err error) string {
	if errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) {
		return "max.message.bytes of the dead-letters topic is too small; run `crossdock topology apply`"
	}
	return "see that the brokers are up and the sink may write to the dead-letters topic"
}

// backoff makes the waits between tries: from RetryMin, growing to RetryMax, without end.
func (l *lane) backoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = l.s.config.RetryMin, l.s.config.RetryMax
	b.Reset()
	return b
}
