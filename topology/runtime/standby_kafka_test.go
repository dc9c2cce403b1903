package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// preload writes the state of so many keys to the changelog, as if each had moved once.
func (r *rig) preload(keys int) {
	r.t.Helper()
	var failed atomic.Pointer[error]
	for n := range keys {
		v := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 7), 1)
		r.client.Produce(r.t.Context(), &kgo.Record{Topic: r.changelog(), Key: fmt.Appendf(nil, "p%d", n), Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
	}
	if err := r.client.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		r.t.Fatal(*err)
	}
}

// waits reads committed outputs as they come, and tells the longest time that one came after its input was sent: postings have
// their inputs' times.
func (r *rig) waits() (longest func() time.Duration) {
	r.t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(20*time.Millisecond),
		kgo.ConsumeTopics(r.naming.Topic(topics.Ledger)), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	if err != nil {
		r.t.Fatal(err)
	}
	var most atomic.Int64
	ctx, stop := context.WithCancel(r.t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			f := reader.PollFetches(ctx)
			now := time.Now()
			f.EachRecord(func(rec *kgo.Record) { most.Store(max(most.Load(), int64(now.Sub(rec.Timestamp)))) })
		}
	}()
	end := func() time.Duration {
		stop()
		<-over
		reader.Close()
		return time.Duration(most.Load())
	}
	done := false
	r.t.Cleanup(func() {
		if !done {
			end()
		}
	})
	return func() time.Duration { done = true; return end() }
}

// failoverKeys is how many keys there are in a failover to a standby: a million, or what CROSSDOCK_TEST_KEYS says.
func failoverKeys(t *testing.T) int {
	if s := os.Getenv("CROSSDOCK_TEST_KEYS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return 1_000_000
}

// The standbys of a million keys, half of which another instance has, work within a second of their assignment.
func TestStandbyOfAMillionKeysTakesOverInASecond(t *testing.T) {
	keys := failoverKeys(t)
	within := func(memory bool) (longest time.Duration) {
		r := newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 8)
		r.memory = memory
		r.preload(keys)
		log := &said{}
		start := func(name string, deps ...func(*Deps)) *process {
			cfg := r.failover(name)
			own := r.stateful(name, 1)
			cfg.Balancer, cfg.StandbyReplicas = own.Balancer, 1
			if !memory {
				o := store.Options{CacheBytes: 512 << 20, Logger: discardLog()}
				db, err := store.Open(r.folder(name), o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close(context.Background()) })
				deps = append(deps, func(d *Deps) { d.State = db })
			}
			return r.start(cfg, deps...)
		}
		a := start("a", log.logging)
		b := start("b")
		r.settled(map[*process]int{a: 4, b: 4})
		a.replicated(t, 4)
		b.replicated(t, 4)
		lost := r.partitionsOf("b")
		before := len(log.taken())
		ctx, stop := context.WithCancel(t.Context())
		halt := r.feed(ctx)
		defer func() { stop(); halt() }()
		moment := time.Now()
		b.stop()
		if _, err := Leave(t.Context(), r.client, r.app, MemberPrefix(r.app, "b")); err != nil {
			t.Fatal(err)
		}
		took := r.committedAfter(moment, lost)
		b.close(t)
		for _, m := range log.taken()[before:] {
			longest = max(longest, m.took)
			if m.records-m.followed > 20_000 {
				t.Errorf("%d records were read after the assignment", m.records-m.followed)
			}
		}
		t.Logf("%d keys, in memory %v: from leave to the first committed output %s, of it %v from a task's opening to its work", keys, memory, summary(took), longest)
		return longest
	}
	for _, memory := range []bool{false, true} {
		var all []time.Duration
		for range 3 { // the machine may be at other work
			all = append(all, within(memory))
			if all[len(all)-1] <= time.Second {
				break
			}
		}
		if all[len(all)-1] > time.Second {
			t.Errorf("standbys took %v to begin", all)
		}
	}
}

// Two processes are restarted one after the other under load, twice: no record waits longer than three seconds.
func TestRollingRestartKeepsNoRecordWaitingForThreeSeconds(t *testing.T) {
	within(t, 3*time.Second, func(r *rig) time.Duration {
		r.child.OwnAssignor, r.child.Standbys = true, 1
		running, halt := r.pair()
		longest := r.waits()
		all := []int32{0, 1, 2, 3, 4, 5, 6, 7}
		for life := range 2 {
			for _, name := range []string{"a", "b"} {
				if err := running[name].Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if err := running[name].Wait(); err != nil {
					t.Error(err)
				}
				running[name] = r.spawn(name, life+1)
				until(t, "every partition's outputs follow its inputs", func() bool {
					return slices.Max(slices.Collect(maps.Values(r.committedAfter(time.Now(), all)))) < time.Second
				})
			}
		}
		most := longest()
		t.Logf("the longest that a record waited in four restarts: %v", most.Round(time.Millisecond))
		if err := running["a"].Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := running["a"].Wait(); err != nil {
			t.Error(err)
		}
		r.finish(halt, running["b"])
		return most
	})
}

// A process is added under load to one that has the state of 300,000 keys: it gets its half when it has read it, and no record waits
// for that.
func TestNoRecordWaitsForTheRestoreOfAnAddedProcess(t *testing.T) {
	within(t, 3*time.Second, func(r *rig) time.Duration {
		r.child.OwnAssignor, r.workers, r.child.Failover = true, 2, true
		r.preload(300_000)
		a := r.spawn("a", 0)
		ctx, stop := context.WithCancel(t.Context())
		wait := r.feed(ctx)
		halt := func() { stop(); wait() }
		t.Cleanup(halt)
		all := []int32{0, 1, 2, 3, 4, 5, 6, 7}
		until(t, "one works", func() bool {
			return len(r.partitionsOf("a")) == 8 && slices.Max(slices.Collect(maps.Values(r.committedAfter(time.Now(), all)))) < time.Second
		})
		longest := r.waits()
		began := time.Now()
		b := r.spawn("b", 0)
		t.Cleanup(func() {
			_, _ = a.Process.Kill(), b.Process.Kill()
			_, _ = a.Wait(), b.Wait()
		})
		until(t, "both have half", func() bool { return len(r.partitionsOf("a")) == 4 && len(r.partitionsOf("b")) == 4 })
		took := time.Since(began)
		until(t, "every partition's outputs follow its inputs", func() bool {
			return slices.Max(slices.Collect(maps.Values(r.committedAfter(time.Now(), all)))) < time.Second
		})
		most := longest()
		log, err := os.ReadFile(b.log)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range takenIn(string(log)) {
			if m.records-m.followed > 15_000 {
				t.Errorf("a partition moved when %d of %d records were read", m.followed, m.records)
			}
		}
		t.Logf("half of the partitions had moved after %v; the longest that a record waited: %v", took.Round(time.Millisecond), most.Round(time.Millisecond))
		halt()
		r.drained()
		for _, k := range []*killable{a, b} {
			if err := k.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := k.Wait(); err != nil {
				t.Error(err)
			}
		}
		return most
	})
}
