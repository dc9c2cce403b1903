package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/processors"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/topics"
)

// querying is a config of an instance that advertises an address.
func (r *rig) querying(instance string) Config {
	c := r.config(instance)
	c.Balancer = assignor.Advertising(instance, "http://"+instance)
	return c
}

// count asks for one key's sum and count. The time is the test's bound.
func count(ctx context.Context, p *process, key string) (sum, count int64, f Found, err error) {
	found, err := p.Query(ctx, "counts", [][]byte{[]byte(key)})
	if err != nil {
		return 0, 0, Found{}, err
	}
	if v := found[0].Value; v != nil {
		sum, count = int64(binary.LittleEndian.Uint64(v)), int64(binary.LittleEndian.Uint64(v[8:]))
	}
	return sum, count, found[0], nil
}

func TestQueryFindsWhatWasCommittedAndNothingElse(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	r.send(1000, 50)
	p := r.start(r.config("a"))
	if _, err := p.Query(t.Context(), "counts", [][]byte{[]byte("k0")}); err == nil {
		t.Error("an instance that has no partition yet answers")
	}
	r.drained()
	until(t, "the instance is ready", p.Ready)
	want := map[string][2]int64{}
	var keys [][]byte
	for _, s := range r.sent {
		w := want[s.key]
		want[s.key] = [2]int64{w[0] + s.qty, w[1] + 1}
	}
	for i := range 60 { // ten of which nobody has sent
		keys = append(keys, fmt.Appendf(nil, "k%d", i))
	}
	found, err := p.Query(t.Context(), "counts", keys)
	if err != nil {
		t.Fatal(err)
	}
	inbox := map[string]int32{}
	for _, rec := range r.read(r.input()) {
		inbox[string(rec.Key)] = rec.Partition
	}
	for i, f := range found {
		w, sent := want[string(keys[i])]
		if !f.Here || sent != (f.Value != nil) || sent && inbox[string(keys[i])] != f.Partition {
			t.Fatalf("%s: %+v, sent %v, in the inbox at %d", keys[i], f, sent, inbox[string(keys[i])])
		}
		if sent && (int64(binary.LittleEndian.Uint64(f.Value)) != w[0] || int64(binary.LittleEndian.Uint64(f.Value[8:])) != w[1]) {
			t.Errorf("%s is answered with %v, recounted %v", keys[i], f.Value[:16], w)
		}
	}
	if _, err := p.Query(t.Context(), "nonsense", keys); err == nil {
		t.Error("a store that is not there is asked")
	}
	if _, err := p.Query(t.Context(), "counts", make([][]byte, MaxQueryKeys+1)); err == nil {
		t.Error("more keys than the bound are asked")
	}
	if found, err := p.Query(t.Context(), "counts", nil); err != nil || len(found) != 0 {
		t.Errorf("no key is answered with %v, %v", found, err)
	}
	p.close(t)
	if _, err := p.Query(t.Context(), "counts", keys); !errors.Is(err, ErrNotRunning) {
		t.Errorf("an instance that has stopped answers %v", err)
	}
}

// I1: while transactions are refused and aborted, one after the other, no query sees an effect of one: what it sees is a prefix
// of what was sent that has been committed, and never goes back.
func TestI1QueriesNeverSeeWhatIsNotCommitted(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.workers = 2
	r.send(200, 1) // one key
	p := r.start(r.config("a"))
	r.drained()
	until(t, "the worker that keeps the key answers", func() bool { // the two share the partitions out first
		_, n, f, err := count(t.Context(), p, "k0")
		return p.Ready() && err == nil && f.Here && n == 200
	})
	sums := []int64{0}
	for _, s := range r.sent {
		sums = append(sums, sums[len(sums)-1]+s.qty)
	}
	faults := refuseOffsets(c, 30)
	r.send(200, 1)
	for faults.Hits() < 30 { // whatever is processed by now, the broker has committed none of it
		sum, n, f, err := count(t.Context(), p, "k0")
		if err == nil && f.Here && faults.Hits() < 30 && (n != 200 || sum != sums[200]) {
			t.Fatalf("after %d refused commits a query sees %d movements, sum %d", faults.Hits(), n, sum)
		}
	}
	r.drained()
	until(t, "all are counted", func() bool {
		_, n, _, err := count(t.Context(), p, "k0")
		return err == nil && n == 400
	})
	p.close(t)
	r.verify()
}

// A reader of committed balances that asks for a key it has just seen finds that balance or a later one, whatever aborts,
// and whether the answer of the commit has reached the worker or not.
func TestQueryIsNeverOlderThanABalanceThatWasSeen(t *testing.T) {
	c := fake(t)
	neverOlder(t, newRig(t, c.ListenAddrs(), countingStage(nil), 2), func() { refuseOffsets(c, 3) })
}

func TestQueryOnKafkaIsNeverOlderThanABalanceThatWasSeen(t *testing.T) {
	neverOlder(t, newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 2), func() {})
}

func neverOlder(t *testing.T, r *rig, disturb func()) {
	p := r.start(r.config("a"))
	until(t, "the instance is ready", p.Ready)
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(r.naming.Topic(topics.Balances)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const rounds, each, keys = 20, 40, 5
	seen := map[string]int64{}
	total, asked := int64(0), 0
	for round := range rounds {
		if round%5 == 4 {
			disturb()
		}
		r.send(each, keys)
		for total < int64((round+1)*each) {
			fetches := reader.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("%d of %d movements are seen", total, (round+1)*each)
			}
			fetches.EachRecord(func(rec *kgo.Record) {
				var b event.InventoryBalance
				if err := serde.Local().Decode(rec.Value, &b); err != nil {
					t.Fatal(err)
				}
				total += b.Version - seen[string(rec.Key)]
				seen[string(rec.Key)] = b.Version
				_, n, f, err := count(ctx, p, string(rec.Key))
				if err != nil || !f.Here || n < b.Version {
					t.Fatalf("version %d of %s was seen, a query then says %d, %+v, %v", b.Version, rec.Key, n, f, err)
				}
				asked++
			})
		}
	}
	if asked < rounds {
		t.Errorf("only %d queries were made", asked)
	}
	p.close(t)
	r.verify()
}

// What is restored is not answered for, and the error says how far it is.
func TestQueryOfAPartitionThatIsRestoredSaysSo(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	before := r.changelogProducer()
	if err := before.ProduceSync(t.Context(), r.state("k", 0, 100, 1)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p := r.start(r.config("a")) // the end of its changelog is in a transaction that is open
	var restoring *RestoringError
	until(t, "the restore is told", func() bool {
		_, _, _, err := count(t.Context(), p, "k")
		return errors.As(err, &restoring)
	})
	if restoring.Partition != 0 || restoring.Progress != 0 {
		t.Errorf("%+v: nothing of it is read", restoring)
	}
	if err := before.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	until(t, "the restored state is answered", func() bool {
		sum, n, _, err := count(t.Context(), p, "k")
		return err == nil && sum == 100 && n == 1
	})
}

// A worker that waits for records answers at once, not when its wait is over.
func TestQueryWakesAnIdleWorker(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(10, 1)
	p := r.start(r.config("a"))
	r.drained()
	began := time.Now()
	const n = 50
	for range n {
		if _, got, _, err := count(t.Context(), p, "k0"); err != nil || got != 10 {
			t.Fatal(got, err)
		}
	}
	if took := time.Since(began); took > n*idleWait/10 {
		t.Errorf("%d queries one after the other took %v", n, took)
	}
	until(t, "queries do not keep a task from being caught up", func() bool {
		_, _, _, err := count(t.Context(), p, "k0")
		return err == nil && p.metric("crossdock_task_lag_records") == 0
	})
}

// Queries that wait are bounded, and can be given up; one that is given up takes nobody's time.
func TestQueriesThatWaitAreBoundedAndCanBeGivenUp(t *testing.T) {
	c := fake(t)
	var held atomic.Bool
	inside, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, c.ListenAddrs(), countingStage(func(processors.Context, *event.InventoryMovement) error {
		if held.CompareAndSwap(true, false) {
			close(inside)
			<-release
		}
		return nil
	}), 1)
	r.send(10, 1)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "the instance is ready", p.Ready)
	held.Store(true)
	r.send(10, 1)
	<-inside // the worker is in a transaction until it is released

	gaveUp := errors.New("given up")
	ctx, giveUp := context.WithCancelCause(t.Context())
	var waiting sync.WaitGroup
	answers := make(chan error, maxWaitingQueries)
	for n := range maxWaitingQueries {
		waiting.Go(func() {
			of := t.Context()
			if n%2 == 0 {
				of = ctx
			}
			_, n, _, err := count(of, p, "k0")
			if err == nil && n != 20 {
				err = fmt.Errorf("%d movements: a query sees half a transaction", n)
			}
			answers <- err
		})
	}
	w := p.workers[0]
	until(t, "all wait", func() bool { return w.queries.asked.Load() == maxWaitingQueries })
	if _, _, _, err := count(t.Context(), p, "k0"); !errors.Is(err, ErrQueriesWait) {
		t.Errorf("one more than the bound: %v", err)
	}
	giveUp(gaveUp)
	for range maxWaitingQueries / 2 {
		if err := <-answers; !errors.Is(err, gaveUp) {
			t.Errorf("a query that was given up: %v", err)
		}
	}
	close(release)
	waiting.Wait()
	for range maxWaitingQueries / 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := w.queries.asked.Load(); n != 0 {
		t.Errorf("%d queries are left", n)
	}
}

// Two instances: each answers for its own partitions and names the other for the rest; when one leaves, the other has all.
func TestOwnersAreNamedAndFollowARebalance(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(400, 40)
	a := r.start(r.querying("a"))
	r.drained()
	b := r.start(r.querying("b"))
	keys := make([][]byte, 40)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "k%d", i)
	}
	ask := func(p *process) (here map[int32]bool, ok bool) {
		found, err := p.Query(t.Context(), "counts", keys)
		if err != nil {
			return nil, false
		}
		here = map[int32]bool{}
		for _, f := range found {
			if f.Here && f.Value == nil {
				t.Errorf("a key is said not to be there: %+v", f)
			}
			here[f.Partition] = f.Here
		}
		return here, true
	}
	until(t, "each has two partitions and names the other for the rest", func() bool {
		has, ok := ask(a)
		others, ok2 := ask(b)
		if !ok || !ok2 {
			return false
		}
		for p := range int32(4) {
			if has[p] == others[p] {
				return false
			}
			for _, side := range []struct {
				of   *process
				name string
				here bool
			}{{a, "a", has[p]}, {b, "b", others[p]}} {
				o, err := side.of.Owner(t.Context(), p)
				if err != nil || o.Self != side.here || o.Address != "http://"+o.Instance || (o.Instance == side.name) != side.here {
					return false
				}
			}
		}
		return true
	})
	b.close(t)
	if err := r.leave("b"); err != nil {
		t.Fatal(err)
	}
	until(t, "who is left has all", func() bool {
		has, ok := ask(a)
		for p := range int32(4) {
			o, err := a.Owner(t.Context(), p)
			ok = ok && has[p] && err == nil && o.Self
		}
		return ok
	})
	a.close(t)
	r.verify()
}

// leave removes an instance's static members from the group, as a scale-in does.
func (r *rig) leave(instance string) error {
	var names []string
	for n := range r.workers {
		names = append(names, fmt.Sprintf("%s%d", MemberPrefix(r.app, instance), n))
	}
	return leave(r.t.Context(), kadm.NewClient(r.client), r.app, "test", names...)
}

// A worker that the coordinator does not confirm may have lost its partitions without knowing it: it does not answer.
func TestWorkerThatTheGroupDoesNotConfirmDoesNotAnswer(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(10, 1)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "the instance is ready", p.Ready)
	away := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.CoordinatorNotAvailable, Count: -1})
	if _, _, f, err := count(t.Context(), p, "k0"); !errors.Is(err, ErrCutOff) {
		t.Errorf("%+v, %v", f, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, f, err := count(ctx, p, "k0"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who has less time: %+v, %v", f, err)
	}
	away.Remove()
	until(t, "a worker that is confirmed answers", func() bool {
		_, n, _, err := count(t.Context(), p, "k0")
		return err == nil && n == 10
	})
	// One proof is good for a third of a session timeout, and an old one is none.
	w := p.workers[0]
	away = c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.CoordinatorNotAvailable, Count: -1})
	defer away.Remove()
	if _, n, _, err := count(t.Context(), p, "k0"); err != nil || n != 10 {
		t.Errorf("%d, %v: a proof stands for a while", n, err)
	}
	w.pulse.last.Store(int64(time.Since(w.pulse.base) - w.cfg.SessionTimeout))
	if _, _, f, err := count(t.Context(), p, "k0"); !errors.Is(err, ErrCutOff) {
		t.Errorf("an old proof: %+v, %v", f, err)
	}
}

// What a query costs that meets an idle worker: the wake, a turn, the reads and the copies.
func BenchmarkQueryOfAnIdleWorker(b *testing.B) {
	c := fake(b)
	r := newRig(b, c.ListenAddrs(), countingStage(nil), 1)
	r.send(5000, MaxQueryKeys)
	p := r.start(r.config("a"))
	r.drained()
	until(b, "the instance is ready", p.Ready)
	all := make([][]byte, MaxQueryKeys)
	for i := range all {
		all[i] = fmt.Appendf(nil, "k%d", i)
	}
	for _, n := range []int{1, MaxQueryKeys} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Query(b.Context(), "counts", all[:n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
