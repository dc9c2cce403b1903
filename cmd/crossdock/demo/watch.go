package demo

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/topology/topics"
)

// A follower reads the balances topic as any consumer would, committed records only, and knows how many postings stand in
// it: the sum of the newest versions.
type follower struct{ postings atomic.Int64 }

func (s *services) follow(ctx context.Context) (*follower, error) {
	decode, err := pipeline.Serde(ctx, &s.config)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(s.client[:len(s.client):len(s.client)],
		kgo.ConsumeTopics(pipeline.Naming(&s.config).Topic(topics.Balances)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return nil, err
	}
	f := &follower{}
	s.serve(ctx, func(ctx context.Context) error {
		defer client.Close()
		return f.run(ctx, client, decode)
	})
	return f, nil
}

func (f *follower) run(ctx context.Context, client *kgo.Client, decode *serde.Serde) error {
	versions := map[string]int64{}
	var balance event.InventoryBalance
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			if err := decode.Decode(r.Value, &balance); err != nil {
				failed = err
				return
			}
			f.postings.Add(balance.Version - versions[string(r.Key)])
			versions[string(r.Key)] = balance.Version
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// stalled is how long nothing may move before the demo stops waiting: the recount then says what is missing.
const stalled = 20 * time.Second

// drain waits until count has come to want, or nothing has moved for a while.
func (s *services) drain(ctx context.Context, m *meter, want int64, count func(context.Context) (int64, error)) error {
	defer m.end()
	last, moved := int64(-1), time.Now()
	return s.await(ctx, time.Hour, func(ctx context.Context) (bool, error) {
		n, err := count(ctx)
		if err != nil {
			return false, err
		}
		if n != last {
			last, moved = n, time.Now()
		}
		m.set(n)
		return n >= want || time.Since(moved) > stalled, nil
	})
}
