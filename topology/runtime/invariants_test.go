package runtime

import (
	"context"
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

	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/topics"
)

// refuseOffsets makes the group refuse a number of offset commits.
func refuseOffsets(c *kfake.Cluster, n int) *kfake.FaultHandle {
	return c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: n})
}

// I1: fifty transactions in a row are aborted, and no store keeps an effect of one.
func TestI1FiftyAbortedTransactionsLeaveNothing(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	r.send(1000, 20)
	faults := refuseOffsets(c, 50)
	p := r.start(r.config("a"))
	r.drained()
	if faults.Hits() < 50 {
		t.Errorf("%d transactions were refused", faults.Hits())
	}
	r.send(1000, 20)
	r.drained()
	if n := p.metric("crossdock_transaction_aborts_total", "why=commit_refused"); n < 10 {
		t.Errorf("%v aborts are counted", n)
	}
	if n := p.metric("crossdock_worker_sessions_restarted_total"); n != 0 {
		t.Errorf("%v sessions were made anew: an abort that the offsets prove needs none", n)
	}
	p.close(t)
	r.verify()
}

// changelogProducer writes to the changelog in a transaction of its own, as an owner before would. No fencer knows its id.
func (r *rig) changelogProducer() *kgo.Client {
	r.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.TransactionalID(r.app+"-before"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	if err := c.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// state is a changelog record of the counting processor.
func (r *rig) state(key string, partition int32, sum, count int64) *kgo.Record {
	v := make([]byte, 16)
	for i := range 8 {
		v[i], v[8+i] = byte(sum>>(8*i)), byte(count>>(8*i))
	}
	return &kgo.Record{Topic: r.changelog(), Partition: partition, Key: []byte(key), Value: v}
}

// I3: an update whose markers are still being written is waited for: the end is the high watermark, not the last stable
// offset.
func TestI3NoRecordIsProcessedBeforeTheChangelogsEnd(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	before := r.changelogProducer()
	if err := before.ProduceSync(t.Context(), r.state("k", 0, 100, 1)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.produce(r.movement("k", "d", 11))

	fetches := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: r.changelog(), Observe: true, Count: -1})
	p := r.start(r.config("a"))
	// The restorer has asked for the changelog and was told that there is nothing stable.
	until(t, "the restorer asks for the changelog", func() bool { return fetches.Hits() > 0 })
	until(t, "the task is known", func() bool {
		return p.metric("crossdock_restore_progress_ratio") == 0 && p.workers[0].client.Load() != nil
	})
	if p.Ready() {
		t.Error("ready before the changelog's end")
	}
	if err := before.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r.drained()
	p.close(t)
	records := r.read(r.changelog())
	var last counted
	last.decode(records[len(records)-1].Value)
	if last.sum != 111 || last.count != 2 {
		t.Errorf("state is %d of %d movements, should be 111 of 2", last.sum, last.count)
	}
}

// I3: a tail of aborted records and markers alone is an end like any other.
func TestI3TailOfAbortedRecordsIsPassed(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	before := r.changelogProducer()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort} {
		if err := before.ProduceSync(t.Context(), r.state("k", 0, 100, 1)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := before.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		if err := before.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	r.produce(r.movement("k", "d", 11))
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	records := r.read(r.changelog())
	var last counted
	last.decode(records[len(records)-1].Value)
	if last.sum != 111 || last.count != 2 {
		t.Errorf("state is %d of %d movements, should be 111 of 2", last.sum, last.count)
	}
}

// applyThen lets the broker do what an EndTxn that commits asks for, and gives the client another answer: an error closes
// the connection.
func applyThen(t *testing.T, c *kfake.Cluster, n int, answer func(*kmsg.EndTxnRequest) (kmsg.Response, error)) *atomic.Int64 {
	side, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(side.Close)
	var passing atomic.Bool
	var applied atomic.Int64
	c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		end := req.(*kmsg.EndTxnRequest)
		if passing.Load() || !end.Commit || applied.Load() >= int64(n) {
			return nil, nil, false
		}
		applied.Add(1)
		c.SleepControl(func() {
			passing.Store(true)
			defer passing.Store(false)
			again := kmsg.NewPtrEndTxnRequest()
			again.TransactionalID, again.ProducerID, again.ProducerEpoch, again.Commit = end.TransactionalID, end.ProducerID, end.ProducerEpoch, true
			resp, err := again.RequestWith(context.Background(), side)
			if err != nil || resp.ErrorCode != 0 {
				t.Errorf("the commit was not applied: %v, %v", err, kerr.ErrorForCode(resp.ErrorCode))
			}
		})
		resp, err := answer(end)
		return resp, err, true
	})
	return &applied
}

// I4: the broker committed and the answer was an error that franz-go turns into (false, nil): the commit numbers tell.
func TestI4CommitThatIsReportedAsNoneIsFoundOut(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	applied := applyThen(t, c, 3, func(req *kmsg.EndTxnRequest) (kmsg.Response, error) {
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil
	})
	r.send(3000, 50)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "three commits were reported as none", func() bool { r.send(100, 50); r.drained(); return applied.Load() == 3 })
	if n := p.metric("crossdock_worker_sessions_restarted_total"); n < 1 {
		t.Errorf("%v sessions were made anew", n)
	}
	p.close(t)
	r.verify()
}

// I4: the broker committed, and neither that answer nor that of any repetition came until the client gave up.
func TestI4LostAnswerOfACommitIsNotAssumed(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	applied := applyThen(t, c, 1, func(*kmsg.EndTxnRequest) (kmsg.Response, error) {
		cut := time.Now()
		c.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if time.Since(cut) > r.config("a").EndTimeout+500*time.Millisecond {
				return nil, nil, false
			}
			return nil, errors.New("the connection is lost"), true
		})
		return nil, errors.New("the connection is lost")
	})
	r.send(3000, 50)
	p := r.start(r.config("a"))
	r.drained()
	until(t, "the client has given up", func() bool { return p.metric("crossdock_worker_sessions_restarted_total") > 0 })
	if applied.Load() != 1 {
		t.Errorf("%d answers were lost", applied.Load())
	}
	r.send(1000, 50)
	r.drained()
	p.close(t)
	r.verify()
}

// I4: the broker refuses the end of a transaction with an error that cannot be retried.
func TestI4FencedProducerAloneIsMadeAnew(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.workers = 2
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, TopLevel: true, Count: 2})
	r.send(3000, 50)
	p := r.start(r.config("a"))
	r.drained()
	if n := p.metric("crossdock_worker_sessions_restarted_total"); n < 1 {
		t.Errorf("%v sessions were made anew", n)
	}
	p.close(t)
	r.verify()
}

// A commit is what a transaction told the group of one partition.
type commit struct {
	at     input
	offset int64
	number uint64
}

// commits takes down every offset that the group is told.
func commits(c *kfake.Cluster) func() []commit {
	var mu sync.Mutex
	var all []commit
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, t := range req.(*kmsg.TxnOffsetCommitRequest).Topics {
			for _, p := range t.Partitions {
				all = append(all, commit{input{t.Topic, p.Partition}, p.Offset, readMark(p.Metadata).number})
			}
		}
		return nil, nil, false
	})
	return func() []commit { mu.Lock(); defer mu.Unlock(); return append([]commit(nil), all...) }
}

// I5: the metadata of every commit carries the task's commit number, one higher each time, across restarts.
func TestI5EveryCommitHasANumberOneHigher(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	told := commits(c)
	for range 3 {
		p := r.start(r.config("a"))
		for range 3 {
			r.send(500, 50)
			r.drained()
		}
		p.close(t)
	}
	next := map[input]uint64{}
	for _, m := range told() {
		if next[m.at]++; m.number != next[m.at] {
			t.Fatalf("commit of %v at offset %d has number %d, not %d", m.at, m.offset, m.number, next[m.at])
		}
	}
	if len(next) != 4 {
		t.Errorf("%d partitions were committed", len(next))
	}
	r.verify()
}

// table is a TableApplier that counts.
type table struct{ applied atomic.Int64 }

func (a *table) ApplyTable(topics.ID, []byte, []byte) error { a.applied.Add(1); return nil }

// waiting is a processor that keeps what comes until the tables change, and lets two go at a time.
type waiting struct{}

func (waiting) Process(ctx processors.Context, r *processors.Record) error {
	ctx.Store(0).Put(r.Key, r.Value)
	return nil
}

func (waiting) TablesChanged(ctx processors.Context, _ int) (more bool, err error) {
	s := ctx.Store(0)
	var keys [][]byte
	s.Each(func(key, _ []byte) bool {
		keys = append(keys, append([]byte(nil), key...))
		return len(keys) < 3
	})
	for i, key := range keys {
		if i == 2 {
			return true, nil
		}
		ctx.EmitRaw(topics.Ledger, key, s.Get(key), nil)
		s.Delete(key)
	}
	return false, nil
}

// tables starts the tables of a rig.
func (r *rig) tables(a TableApplier) *GlobalTables {
	r.t.Helper()
	g, err := NewGlobalTables([]kgo.Opt{kgo.SeedBrokers(r.brokers...)}, r.naming, a, discardLog())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- g.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			r.t.Error(err)
		}
	})
	return g
}

func waitingStage() topology.Stage {
	return topology.Stage{
		Name: "waiting", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Ledger}, Tables: true,
		Stores: []topology.Store{{Name: "counts"}}, New: func() processors.Processor { return waiting{} },
	}
}

// I5: a transaction that a change of the tables makes commits the present offset again, so that the group checks who is at
// work.
func TestI5ChangeOfTheTablesCommitsThePresentOffsetAgain(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), waitingStage(), 1)
	item := &kgo.Record{Topic: r.naming.Topic(topics.Items), Key: []byte("sku"), Value: []byte("item")}
	r.produce(item)
	applied := &table{}
	tables := r.tables(applied)
	for i := range 5 {
		r.produce(r.movement(fmt.Sprint("k", i), "d", 1))
	}
	p := r.start(r.config("a"), func(d *Deps) { d.Tables = tables })
	r.drained()
	until(t, "the first look is over", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) > 0 || tables.Generation() == 1 })
	told := commits(c)
	from := len(r.read(r.naming.Topic(topics.Ledger)))
	for i := range 5 {
		r.produce(r.movement(fmt.Sprint("l", i), "d", 1))
	}
	r.drained()
	r.produce(&kgo.Record{Topic: item.Topic, Key: []byte("sku"), Value: []byte("item")})
	until(t, "all that waited has gone", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) == 10 })
	p.close(t)
	again, last := 0, commit{}
	for _, m := range told() {
		if m.number != last.number+1 && last.number != 0 {
			t.Errorf("commit %d comes after %d", m.number, last.number)
		}
		if m.offset == last.offset {
			again++
		}
		last = m
	}
	if last.offset != 10 || again < (10-from)/2-1 {
		t.Errorf("the last commit is %+v, %d committed the offset before again: %+v", last, again, told())
	}
	if n := len(r.read(r.changelog())); n != 20 {
		t.Errorf("the changelog has %d records, not 10 and their 10 tombstones", n)
	}
}

// freeing is a processor that keeps what comes until the tables change, and lets as many go at a time as it may.
type freeing struct{ waiting }

func (freeing) TablesChanged(ctx processors.Context, limit int) (more bool, err error) {
	s := ctx.Store(0)
	var keys [][]byte
	s.Each(func(key, _ []byte) bool {
		keys = append(keys, append([]byte(nil), key...))
		return len(keys) <= limit
	})
	for i, key := range keys {
		if i == limit {
			return true, nil
		}
		ctx.EmitRaw(topics.Ledger, key, s.Get(key), nil)
		s.Delete(key)
	}
	return false, nil
}

// I7: what a change of the tables lets go is bounded in bytes as a batch is, and goes all the same: 60 events of 100 kB
// with a bound of 1 MiB take six transactions at least.
func TestI7WhatWaitedGoesInTransactionsOfBoundedBytes(t *testing.T) {
	c := fake(t)
	stage := waitingStage()
	stage.New = func() processors.Processor { return freeing{} }
	r := newRig(t, c.ListenAddrs(), stage, 1)
	tables := r.tables(&table{})
	cfg := r.config("a")
	cfg.Commit.MaxBytes = 1 << 20
	p := r.start(cfg, func(d *Deps) { d.Tables = tables })
	for i := range 60 {
		r.produce(&kgo.Record{Topic: r.input(), Key: fmt.Append(nil, i), Value: noise(100_000)})
		r.drained() // one by one, so that no batch of them is too much
	}
	before := p.metric("crossdock_task_commits_total")
	r.produce(&kgo.Record{Topic: r.naming.Topic(topics.Items), Key: []byte("sku"), Value: []byte("item")})
	until(t, "all that waited has gone", func() bool { return len(r.read(r.naming.Topic(topics.Ledger))) == 60 })
	until(t, "the commit is counted", func() bool { return p.metric("crossdock_task_commits_total") >= before+6 })
	p.close(t)
	if n := len(r.read(r.changelog())); n != 120 {
		t.Errorf("the changelog has %d records, not 60 and their 60 tombstones", n)
	}
}

// I6: whatever batches, workers and rebalances do, the ledger of a key is in the order of the inbox: verify compares.
func TestI6OrderOfAKeyOutlivesRebalances(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 8)
	r.workers = 2
	ctx, stop := context.WithCancel(t.Context())
	var feeding sync.WaitGroup
	feeding.Go(func() {
		for ctx.Err() == nil && r.next < 40_000 {
			r.send(100, 100)
		}
	})
	a := r.start(r.config("a"))
	until(t, "a is ready", a.Ready)
	for i := range 3 {
		refuseOffsets(c, 5)
		cfg := r.config(fmt.Sprint("b", i))
		cfg.Workers = 1 + i
		b := r.start(cfg)
		until(t, "b has tasks", func() bool { return b.Ready() && b.metric("crossdock_task_records_total") > 0 })
		b.close(t)
		r.remove(cfg)
	}
	stop()
	feeding.Wait()
	r.drained()
	a.close(t)
	r.verify()
}

// remove is what a scale-in does: static members that only close keep their partitions for the session timeout.
func (r *rig) remove(cfg Config) {
	r.t.Helper()
	leave := kadm.LeaveGroup(cfg.App)
	for n := range cfg.Workers {
		leave = leave.InstanceIDs(fmt.Sprintf("%s/%s/%d", cfg.App, cfg.Instance, n))
	}
	if _, err := kadm.NewClient(r.client).LeaveGroup(r.t.Context(), leave); err != nil {
		r.t.Error(err)
	}
}

// A partition without a committed offset, whose log does not start at 0, is aborted and read again from its start.
func TestAbortBeforeTheFirstCommitReturnsToTheLogsStart(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(100, 10)
	r.cut(1 << 40)
	r.sent = nil
	refuseOffsets(c, 3)
	r.send(100, 10)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	r.verify()
}

// cut deletes the records of the input's first partition up to an offset, as retention does.
func (r *rig) cut(to int64) {
	r.t.Helper()
	offsets := kadm.Offsets{}
	adm := kadm.NewClient(r.client)
	ends, err := adm.ListEndOffsets(r.t.Context(), r.input())
	if err != nil {
		r.t.Fatal(err)
	}
	ends.Each(func(e kadm.ListedOffset) { offsets.AddOffset(e.Topic, e.Partition, min(to, e.Offset), -1) })
	if _, err := adm.DeleteRecords(r.t.Context(), offsets); err != nil {
		r.t.Fatal(err)
	}
}

func TestLostInputStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	r.send(100, 10)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	r.send(100, 10)
	r.cut(150)
	if reason := r.start(r.config("a")).exitReason(t); reason != DataLoss {
		t.Errorf("stopped with %s", reason)
	}
}

func TestMissingTopicStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	if _, err := kadm.NewClient(r.client).DeleteTopics(t.Context(), r.changelog()); err != nil {
		t.Fatal(err)
	}
	if reason := r.start(r.config("a")).exitReason(t); reason != MissingTopic {
		t.Errorf("stopped with %s", reason)
	}
}

// An input that is given partitions while the stage runs needs them in the changelog too: the worker must not join and
// leave for ever, which would stop its other partitions as well.
func TestInputThatOutgrowsItsChangelogStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.send(100, 10)
	cfg := r.config("a")
	cfg.Client = append(cfg.Client, kgo.MetadataMaxAge(200*time.Millisecond))
	p := r.start(cfg)
	r.drained()
	if _, err := kadm.NewClient(r.client).CreatePartitions(t.Context(), 1, r.input()); err != nil {
		t.Fatal(err)
	}
	if reason := p.exitReason(t); reason != PartitionsMismatch {
		t.Errorf("stopped with %s", reason)
	}
}

func TestTwoProcessesWithOneNameAreFoundOut(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(1000, 50)
	cfg := r.config("a")
	cfg.Workers = 1
	one := r.start(cfg)
	until(t, "the first is ready", one.Ready)
	other := r.start(cfg)
	var err error
	select { // whose producer is fenced first takes the name back once, so that either may be the one to go
	case err = <-one.over:
		one.waited, one = true, other
	case err = <-other.over:
		other.waited = true
	case <-time.After(30 * time.Second):
		t.Fatal("two processes of one name live on")
	}
	var x *ExitError
	if !errors.As(err, &x) || x.Reason != NameTaken {
		t.Errorf("stopped with %v", err)
	}
	r.drained()
	one.close(t)
	r.verify()
}

func TestLostNameWithinASessionTimeoutOfOurOwnRestartIsTakenBackOnce(t *testing.T) {
	now := time.Now()
	f := fences{window: time.Minute, created: now.Add(-10 * time.Second)}
	if f.isTaken(now) {
		t.Error("the first loss may be our own old request")
	}
	f.created = now
	if !f.isTaken(now.Add(time.Second)) {
		t.Error("the second is another process")
	}
	old := fences{window: time.Minute, created: now.Add(-time.Hour)}
	if !old.isTaken(now) {
		t.Error("no request of our own is that old")
	}
}

// I5: a task without a record commits its present offset only while its partition is this worker's. The client looks after
// the partitions of records alone, and a callback that comes while a transaction ends is forgotten with it.
func TestI5TaskThatWasTakenAwayCommitsNoPresentOffset(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), waitingStage(), 1)
	p, err := New(r.config("a"), r.stage, Deps{Serde: serde.Local(), Tables: r.tables(&table{}), Logger: discardLog()})
	if err != nil {
		t.Fatal(err)
	}
	w := p.workers[0]
	w.txn = newTransaction()
	w.fencer.connect(r.client, nil, nil)
	if w.session, err = newSession(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	defer w.session.close(t.Context())
	at := input{r.input(), 0}
	until(t, "the partition is owned", func() bool { _, ok := w.session.client.CommittedOffsets()[at.topic][at.partition]; return ok })
	touched := &run{input: at, grant: w.session.grantOf(at), changes: make([]*kgo.Record, len(p.topics.changelogs)), touched: true, done: kgo.EpochOffset{Offset: 7}}
	w.txn.touched = []*run{touched}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	if err := w.numberOffsets(req); err != nil || len(req.Topics) != 1 || req.Topics[0].Partitions[0].Offset != 7 {
		t.Fatalf("its own offset is %+v, %v", req.Topics, err)
	}
	touched.sequence-- // it went and came back
	if err := w.numberOffsets(kmsg.NewPtrTxnOffsetCommitRequest()); !errors.Is(err, kerr.IllegalGeneration) {
		t.Errorf("a task of an earlier grant commits: %v", err)
	}
	touched.sequence++
	touched.partition = 1 // another's
	if err := w.numberOffsets(kmsg.NewPtrTxnOffsetCommitRequest()); !errors.Is(err, kerr.IllegalGeneration) {
		t.Errorf("a task without a partition commits: %v", err)
	}
}
