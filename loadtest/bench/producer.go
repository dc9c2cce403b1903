package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producerBuffer bounds the records that are not acknowledged yet.
const producerBuffer = 20_000

// A producer fills topics with what is no movement of a generator. One goroutine uses it.
type producer struct {
	drain   *drain
	client  *kgo.Client
	watch   *watch
	records int64
	units   int64
	bytes   int64
	told    time.Time

	mu     sync.Mutex // guards failed
	failed error      // the first that the client's goroutine saw
}

func (d *drain) producer() (*producer, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), d.options.Kafka...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Kafka's own clients
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(10*time.Millisecond),
		kgo.MaxBufferedRecords(producerBuffer),
	)...)
	if err != nil {
		return nil, fmt.Errorf("produce: %w", err)
	}
	return &producer{drain: d, client: client, watch: d.watchOwn()}, nil
}

// put produces a record that holds so many units. The record is the client's from then on. It waits while the buffer is
// full.
func (p *producer) put(ctx context.Context, r *kgo.Record, units int64) error {
	if err := p.failure(); err != nil {
		return err
	}
	p.records++
	p.units += units
	p.bytes += int64(len(r.Key) + len(r.Value))
	p.client.Produce(ctx, r, p.settle)
	if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		p.drain.progress(Fill, p.units, p.watch.began)
	}
	return nil
}

func (p *producer) settle(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

func (p *producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// done waits until the brokers have all records, and ends the producer.
func (p *producer) done(ctx context.Context) (Measure, error) {
	defer p.client.Close()
	if err := p.client.Flush(ctx); err != nil {
		return Measure{}, fmt.Errorf("produce: %d records were not acknowledged: %w", p.client.BufferedProduceRecords(), context.Cause(ctx))
	}
	if err := p.failure(); err != nil {
		return Measure{}, fmt.Errorf("produce: %w", err)
	}
	if p.units == 0 {
		return Measure{}, errors.New("produce: there was nothing")
	}
	p.drain.progress(Fill, p.units, p.watch.began)
	m := p.watch.measure(p.units)
	m.BytesPerRecord = float64(p.bytes) / float64(p.records)
	return m, nil
}

// abandon ends a producer that has failed.
func (p *producer) abandon() { p.client.Close() }
