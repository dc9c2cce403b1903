package bench

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
	"crossdock/topology/topics"
)

// An inbox is what stands on the inventory stage's inbox: what a stage before it has made of the backlog.
type inbox struct {
	records int64
	ids     multiset
	stock   *oracle.Oracle // what the balances will be
}

// A multiset is the sum of 64-bit hashes: two differ in their texts, or in how often one is there, and have equal sums once
// in 2^64.
type multiset uint64

func (m *multiset) add(text string) { *m += multiset(xxhash.Sum64String(text)) }

// readInbox reads all that is committed.
func (d *drain) readInbox(ctx context.Context) (*inbox, error) {
	in := &inbox{stock: oracle.New(oracle.Options{})}
	var m event.InventoryMovement
	topic := d.env.Naming.Topic(topics.InventoryInbox)
	err := committed.Read(ctx, d.options.Kafka, topic, func(r *kgo.Record) error {
		if err := d.options.Serde.Decode(r.Value, &m); err != nil {
			return fmt.Errorf("%s, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err)
		}
		if key := topics.Key(nil, m.SKU, m.Header.Site); string(key) != string(r.Key) {
			return fmt.Errorf("%s, partition %d, offset %d: the record's key is %q, its movement's %q", topic, r.Partition, r.Offset, r.Key, key)
		}
		in.records++
		in.ids.add(m.Header.EventID)
		_, err := in.stock.Expect(&m)
		return err
	})
	return in, err
}

// judge holds the inbox against what was sent: each movement once, with the meaning that the oracle gives it.
func (in *inbox) judge(sent *oracle.Oracle) Outcome {
	balances := sent.Balances("inbox", 0)
	rows := func(yield func(*oracle.Row, error) bool) {
		in.stock.Each(func(sku, site string, s oracle.State) bool { return yield(rowOf(sku, site, &s), nil) })
	}
	if err := balances.Rows(rows); err != nil { // rows yields none
		return Outcome{Verdict: err.Error()}
	}
	out := outcomeOf(sent, balances.Finding())
	out.made(topics.InventoryInbox.String(), in.records)
	if sent.Fates(oracle.Refused) > 0 {
		out.wrong("the oracle refuses %d of the backlog, which is to have no fault: %v", sent.Fates(oracle.Refused), sent.Refusals())
	}
	for _, f := range []oracle.Fate{oracle.Counted, oracle.Repeated, oracle.Idle, oracle.Refused} {
		if got, want := in.stock.Fates(f), sent.Fates(f); got != want {
			out.wrong("%d movements on the inbox are %v, %d were sent", got, f, want)
		}
	}
	return out
}

// rowOf is a balance with what its buckets make.
func rowOf(sku, site string, s *oracle.State) *oracle.Row {
	r := &oracle.Row{SKU: sku, Site: site, Version: s.Version, AsOf: s.AsOf, Buckets: s.Buckets}
	r.ATS = max(0, s.Buckets.Of(event.BucketAvailable))
	for i, q := range s.Buckets {
		if event.Bucket(i+1) <= event.BucketReturned {
			r.OnHand += q
		}
		r.Negative = r.Negative || q < 0
	}
	return r
}
