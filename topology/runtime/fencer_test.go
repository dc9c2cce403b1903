package runtime

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

// leftOpen leaves a transaction open in a topic, as a worker does that is killed. Its broker would abort it in a minute.
func (r *rig) leftOpen(worker, topic string) *kgo.Client {
	r.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.TransactionalID(prefix(r.app)+worker), kgo.TransactionTimeout(time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	if err := c.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	if err := c.ProduceSync(r.t.Context(), &kgo.Record{Topic: topic, Key: []byte("left"), Value: []byte("open")}).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// open are the transactional ids of the application that hold readers back.
func (r *rig) open() []string {
	open, err := listOpenings(r.t.Context(), kadm.NewClient(r.client), prefix(r.app))
	if err != nil {
		return []string{err.Error()}
	}
	var ids []string
	for _, o := range open {
		ids = append(ids, o.id)
	}
	return ids
}

// newcomer asks to join the group, as a worker of another instance would. Closing it does not wait for the group.
func (r *rig) newcomer(worker string, opts ...kgo.Opt) *kgo.Client {
	r.t.Helper()
	ctx, kill := context.WithCancel(context.Background())
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.WithContext(ctx), kgo.SeedBrokers(r.brokers...), kgo.ConsumerGroup(r.app), kgo.InstanceID(prefix(r.app) + worker),
		kgo.ConsumeTopics(r.input()), kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.HeartbeatInterval(100 * time.Millisecond),
		kgo.RebalanceTimeout(2 * time.Second), kgo.DisableAutoCommit()}, opts...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { kill(); c.Close() })
	return c
}

// member joins the group, and stays until the test ends.
func (r *rig) member(worker string) {
	r.t.Helper()
	r.newcomer(worker)
	until(r.t, "it is a member", func() bool {
		there, err := members(r.t.Context(), kadm.NewClient(r.client), r.app, prefix(r.app))
		return err == nil && there[prefix(r.app)+worker]
	})
}

// A changelog whose dead owner left a transaction open is restored as soon as an instance of whatever name is there: a pod
// that comes back under another name, say.
func TestFencerEndsWhatADeadWorkerLeftOpen(t *testing.T) {
	for _, where := range []struct {
		name  string
		topic func(*rig) string
	}{
		{"in the changelog", func(r *rig) string { return r.changelog() }},
		{"in an output alone", func(r *rig) string { return r.naming.Topic(topics.Ledger) }},
	} {
		t.Run(where.name, func(t *testing.T) {
			testservices.Brokers(t, func(t *testing.T, b testservices.Cluster) {
				r := newRig(t, []string{b.Addr}, countingStage(nil), 2)
				r.send(100, 10)
				r.leftOpen("dead/0", where.topic(r))
				began := time.Now()
				p := r.start(r.config("other"))
				until(t, "it is ended", func() bool { return len(r.open()) == 0 })
				r.drained()
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
				if n := p.metric("crossdock_fencer_fenced_total", "why=departed"); n != 1 {
					t.Errorf("%v transactions were fenced", n)
				}
				p.close(t)
				r.verify()
			})
		})
	}
}

// A member's transaction is its own business until it is open for longer than its timeout.
func TestFencerWaitsForALiveMemberAndFencesItOnlyWhenOverdue(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.member("live/0")
	r.leftOpen("live/0", r.naming.Topic(topics.DeadLetters))
	was, err := listOpenings(t.Context(), kadm.NewClient(r.client), prefix(r.app))
	if err != nil || len(was) != 1 {
		t.Fatal(was, err)
	}
	var timeout atomic.Int32 // what the broker says of it
	timeout.Store(60_000)
	c.ControlKey(int16(kmsg.DescribeTransactions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		s := kmsg.NewDescribeTransactionsResponseTransactionState()
		s.TransactionalID, s.State, s.TimeoutMillis = was[0].id, stateOngoing, timeout.Load()
		s.ProducerID, s.ProducerEpoch, s.StartTimestamp = was[0].producer, was[0].epoch, was[0].start
		resp.TransactionStates = append(resp.TransactionStates, s)
		return resp, nil, true
	})
	p := r.start(r.config("a"))
	until(t, "it has looked often", func() bool { return p.metric("crossdock_fencer_looks_total") >= 5 })
	if open := r.open(); len(open) != 1 || p.metric("crossdock_fencer_fenced_total") != 0 {
		t.Fatalf("open are %v", open)
	}
	timeout.Store(200)
	until(t, "it is fenced", func() bool { return p.metric("crossdock_fencer_fenced_total", "why=overdue") > 0 })
	p.close(t)
}

// The request names the producer that it means: one that has taken the id since, and has nothing open, is not disturbed.
func TestProducerThatHasTakenTheIDSinceIsNotFenced(t *testing.T) {
	r := newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 1)
	r.leftOpen("one/0", r.changelog())
	open, err := listOpenings(t.Context(), kadm.NewClient(r.client), prefix(r.app))
	if err != nil || len(open) != 1 {
		t.Fatal(open, err)
	}
	next, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.TransactionalID(open[0].id))
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, _, err := next.ProducerID(t.Context()); err != nil {
		t.Fatal(err)
	}
	is, err := fence(t.Context(), r.client, open[0].id, open[0].producer, open[0].epoch, time.Minute)
	if is != succeeded || err != nil {
		t.Errorf("fencing what is over: %v, %v", is, err)
	}
	if err := next.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := next.ProduceSync(t.Context(), &kgo.Record{Topic: r.changelog(), Key: []byte("k")}).FirstErr(); err != nil {
		t.Errorf("the id's present owner was fenced: %v", err)
	}
	if err := next.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Error(err)
	}
}

// logged is a log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

func (l *logged) to(d *Deps) { d.Logger = slog.New(slog.NewTextHandler(l, nil)) }

func TestFencerWithoutRightsIsOffAndNamesThemOnce(t *testing.T) {
	for _, missing := range []struct {
		key kmsg.Key
		err *kerr.Error
	}{
		{kmsg.InitProducerID, kerr.TransactionalIDAuthorizationFailed},
		{kmsg.ListTransactions, kerr.TransactionalIDAuthorizationFailed},
		{kmsg.DescribeGroups, kerr.GroupAuthorizationFailed},
	} {
		t.Run(missing.key.Name(), func(t *testing.T) {
			c := fake(t)
			r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
			dead := r.leftOpen("dead/0", r.naming.Topic(topics.DeadLetters))
			c.ControlKey(int16(missing.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				switch q := req.(type) {
				case *kmsg.InitProducerIDRequest:
					if q.TransactionalID == nil || !strings.Contains(*q.TransactionalID, "dead") {
						return nil, nil, false
					}
					resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
					resp.ErrorCode = missing.err.Code
					return resp, nil, true
				case *kmsg.ListTransactionsRequest:
					resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
					resp.ErrorCode = missing.err.Code
					return resp, nil, true
				case *kmsg.DescribeGroupsRequest:
					resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
					g := kmsg.NewDescribeGroupsResponseGroup()
					g.Group, g.ErrorCode = r.app, missing.err.Code
					resp.Groups = append(resp.Groups, g)
					return resp, nil, true
				}
				return nil, nil, false
			})
			log := &logged{}
			r.send(100, 10)
			p := r.start(r.config("a"), log.to)
			until(t, "it says so", func() bool { return log.count("the fencer is off") > 0 })
			if log.count("Write on transactional ids that begin with "+prefix(r.app)) != 1 {
				t.Error("the rights are not named")
			}
			if err := dead.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
				t.Fatal(err)
			}
			r.drained() // the stage works without it
			p.fencer.ask()
			p.close(t)
			if n := log.count("the fencer is off"); n != 1 {
				t.Errorf("it said so %d times", n)
			}
			r.verify()
		})
	}
}

// An error that passes costs a look, not the fencer.
func TestFencerOutlivesErrorsOfTheBrokers(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.leftOpen("dead/0", r.changelog())
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: prefix(r.app) + "dead/0", Err: kerr.UnknownServerError, Count: 3})
	r.send(100, 10)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "it is ended", func() bool { return len(r.open()) == 0 })
	if n := p.metric("crossdock_fencer_errors_total"); n == 0 {
		t.Error("no error is counted")
	}
	p.close(t)
	r.verify()
}

// What is left open after the last assignment is found by the restore that it holds back.
func TestRestoreThatStandsWakesTheFencer(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	i, err := New(r.config("a"), r.stage, Deps{Logger: discardLog(), Serde: serde.Local()})
	if err != nil {
		t.Fatal(err)
	}
	stands := i.standing()
	j := &restore{at: input{r.changelog(), 0}, span: span{0, 10}, done: make(chan struct{})}
	i.homes.open(0, &home{restores: []*restore{j}})
	if stands() {
		t.Error("it was not seen before")
	}
	j.position.Store(5)
	if stands() {
		t.Error("it moves")
	}
	if !stands() {
		t.Error("it stands")
	}
	close(j.done)
	if stands() {
		t.Error("it is over")
	}

	r.leftOpen("dead/0", r.changelog())
	woken := newFencer(&i.cfg, i.log, newFencerMetrics(), func() bool { return true })
	woken.connect(r.client, i.topics.places(&i.stage), i.topics.changelogs)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	over := make(chan error, 1)
	go func() { over <- woken.run(ctx) }()
	until(t, "it is ended", func() bool { return len(r.open()) == 0 })
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
}
