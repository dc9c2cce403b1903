package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
)

func TestAStaticMemberComesBackToItsPartitionsWithoutARebalance(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, topic, group := bounded(t), c.Prefix+"t", c.Prefix+"group"
		admin := client(t, c.Addr)
		createTopic(t, admin, 4, nil, topic)
		adm := kadm.NewClient(admin)
		member := func(instance string) *kgo.Client {
			return client(t, c.Addr, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.InstanceID(instance),
				kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.SessionTimeout(30*time.Second), kgo.HeartbeatInterval(100*time.Millisecond),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		}
		stable := func() kadm.DescribedGroup {
			t.Helper()
			for {
				d, err := adm.DescribeGroups(ctx, group)
				if err != nil {
					t.Fatal(err)
				}
				if g := d[group]; g.State == "Stable" && len(g.Members) == 2 && g.AssignedPartitions().Lookup(topic, 3) && assigned(g, topic) == 4 {
					return g
				}
			}
		}
		a, b := member("a"), member("b")
		poll := func(cl *kgo.Client) { // what a cooperative member does: it meets the group while it polls
			for {
				fs := cl.PollFetches(ctx)
				if fs.IsClientClosed() || ctx.Err() != nil {
					return
				}
			}
		}
		var polls sync.WaitGroup
		polls.Go(func() { poll(a) })
		polls.Go(func() { poll(b) })
		before := stable()
		b.Close() // a static member says nothing when it leaves
		b = member("b")
		polls.Go(func() { poll(b) })
		id := func(g kadm.DescribedGroup) string {
			for _, m := range g.Members {
				if m.InstanceID != nil && *m.InstanceID == "b" {
					return m.MemberID
				}
			}
			return ""
		}
		after := stable()
		for id(after) == id(before) { // until the new process has joined in the place of the old
			after = stable()
		}
		for _, g := range []*kadm.DescribedGroup{&before, &after} {
			if len(g.Members) != 2 {
				t.Fatalf("%d members", len(g.Members))
			}
		}
		if x, y := partitionsOf(before, topic, "b"), partitionsOf(after, topic, "b"); x != y || x == "" {
			t.Errorf("b had partitions %s and has %s", x, y)
		}
		a.Close()
		b.Close()
		polls.Wait()
	})
}

func assigned(g kadm.DescribedGroup, topic string) (n int) { return len(g.AssignedPartitions()[topic]) }

func partitionsOf(g kadm.DescribedGroup, topic, instance string) string {
	for _, m := range g.Members {
		if m.InstanceID == nil || *m.InstanceID != instance {
			continue
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				if t.Topic == topic {
					return fmt.Sprint(t.Partitions)
				}
			}
		}
	}
	return ""
}

// TestEveryRecordMovesExactlyOnceThroughRebalancesAndAborts moves records from one topic to another with workers that come,
// go without a word and abort at random; what arrives under read-committed is what was sent, once each.
func TestEveryRecordMovesExactlyOnceThroughRebalancesAndAborts(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		const records, workers = 3000, 3
		ctx, in, out := bounded(t), c.Prefix+"in", c.Prefix+"out"
		admin := client(t, c.Addr)
		createTopic(t, admin, 6, nil, in)
		createTopic(t, admin, 6, nil, out)
		batch := make([]*kgo.Record, records)
		for i := range batch {
			batch[i] = &kgo.Record{Topic: in, Key: fmt.Append(nil, i%97), Value: fmt.Append(nil, i)}
		}
		if err := admin.ProduceSync(ctx, batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		reader := client(t, c.Addr, kgo.ConsumeTopics(out), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))

		work, stop := context.WithCancel(ctx)
		var pool sync.WaitGroup
		var aborts, lives atomic.Int64
		for w := range workers {
			pool.Go(func() {
				chance := rand.New(rand.NewPCG(7, uint64(w)))
				for life := 0; work.Err() == nil; life++ {
					lives.Add(1)
					move(work, t, c, in, out, w, chance, &aborts)
				}
			})
		}
		seen := map[string]int{}
		for total := 0; total < records; {
			fs := reader.PollFetches(ctx)
			if err := fs.Err(); err != nil {
				t.Errorf("after %d records: %v", total, err)
				break
			}
			for _, r := range fs.Records() {
				if seen[string(r.Value)]++; seen[string(r.Value)] > 1 {
					t.Errorf("record %s arrived %d times", r.Value, seen[string(r.Value)])
				}
				total++
			}
		}
		stop()
		pool.Wait()
		if len(seen) != records {
			t.Errorf("%d of %d records arrived", len(seen), records)
		}
		t.Logf("%d aborts, %d lives of %d workers", aborts.Load(), lives.Load(), workers)
	})
}

// move is one life of a worker: some transactions, of which one in four is aborted, then an end without leaving the group.
func move(ctx context.Context, t *testing.T, c testservices.Cluster, in, out string, worker int, chance *rand.Rand, aborts *atomic.Int64) {
	name := fmt.Sprintf("%sw%d", c.Prefix, worker)
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.Addr), kgo.MetadataMinAge(50*time.Millisecond), kgo.TransactionalID(name), kgo.InstanceID(name),
		kgo.ConsumerGroup(c.Prefix+"movers"), kgo.ConsumeTopics(in), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(200*time.Millisecond), kgo.RebalanceTimeout(5*time.Second),
		kgo.TransactionTimeout(10*time.Second), kgo.DefaultProduceTopic(out),
	)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	if _, _, err := s.Client().ProducerID(ctx); err != nil { // it aborts what the last life left open
		return
	}
	for range 3 + chance.IntN(8) {
		fs := s.PollRecords(ctx, 40)
		if ctx.Err() != nil {
			return
		}
		if err := s.Begin(); err != nil {
			return
		}
		fs.EachRecord(func(r *kgo.Record) { s.Produce(ctx, &kgo.Record{Key: r.Key, Value: r.Value}, nil) })
		try := kgo.TryCommit
		if chance.IntN(4) == 0 {
			try = kgo.TryAbort
		}
		if chance.IntN(10) == 0 { // it dies here
			return
		}
		end, cancel := context.WithTimeout(ctx, 8*time.Second)
		committed, err := s.End(end, try)
		cancel()
		if err != nil {
			return
		}
		if !committed {
			aborts.Add(1)
		}
	}
}
