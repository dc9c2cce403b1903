package runtime

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

// The timeouts of failover tests are the least that brokers allow as a rule. The others follow from them.
const (
	failoverSession     = 6 * time.Second
	failoverTransaction = 4 * time.Second
)

// failover is the configuration of an instance in a test of failover: the product's own, but for the two timeouts.
func (r *rig) failover(instance string) Config {
	c := r.config(instance)
	c.HeartbeatInterval, c.RebalanceTimeout, c.EndTimeout = 0, 0, 0
	c.SessionTimeout, c.TransactionTimeout = failoverSession, failoverTransaction
	return c
}

// feed sends a thousand movements a second, of many keys, until the test's context ends: every partition has work at any time, and
// two processes under the race detector keep up, since what is measured starts behind their backlog.
func (r *rig) feed(ctx context.Context) (wait func()) {
	var feeding sync.WaitGroup
	feeding.Go(func() {
		pace := time.NewTicker(10 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			r.send(10, 300)
			<-pace.C
		}
	})
	return feeding.Wait
}

// partitionsOf are the inputs that the group has given to an instance.
func (r *rig) partitionsOf(instance string) (parts []int32) {
	groups, err := kadm.NewClient(r.client).DescribeGroups(r.t.Context(), r.app)
	if err != nil || groups[r.app].State != "Stable" {
		return nil
	}
	for _, m := range groups[r.app].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok || m.InstanceID == nil || !strings.HasPrefix(*m.InstanceID, MemberPrefix(r.app, instance)) {
			continue
		}
		for _, t := range assigned.Topics {
			parts = append(parts, t.Partitions...)
		}
	}
	slices.Sort(parts)
	return parts
}

// committedAfter measures, for each partition, how long after a moment a reader of committed records has the first output of
// an input that was sent after it: postings have their inputs' partition and time.
func (r *rig) committedAfter(moment time.Time, parts []int32) map[int32]time.Duration {
	r.t.Helper()
	at := map[int32]kgo.Offset{}
	for _, p := range parts {
		at[p] = kgo.NewOffset().AfterMilli(moment.Add(-time.Second).UnixMilli())
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(20*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.naming.Topic(topics.Ledger): at}))
	if err != nil {
		r.t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 40*time.Second)
	defer cancel()
	took := map[int32]time.Duration{}
	for len(took) < len(parts) {
		f := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("partitions %v were %v after 40 s", parts, took)
		}
		now := time.Now()
		f.EachRecord(func(rec *kgo.Record) {
			if _, known := took[rec.Partition]; !known && rec.Timestamp.After(moment) {
				took[rec.Partition] = now.Sub(moment)
			}
		})
	}
	return took
}

// pair starts two processes that share eight partitions, under load.
func (r *rig) pair() (map[string]*killable, func()) {
	r.workers, r.child.Failover = 2, true
	running := map[string]*killable{"a": r.spawn("a", 0), "b": r.spawn("b", 0)}
	r.t.Cleanup(func() {
		for _, k := range running {
			_ = k.Process.Kill()
			_ = k.Wait()
		}
	})
	ctx, stop := context.WithCancel(r.t.Context())
	wait := r.feed(ctx)
	halt := func() { stop(); wait() }
	r.t.Cleanup(halt)
	until(r.t, "both have half", func() bool { return len(r.partitionsOf("a")) == 4 && len(r.partitionsOf("b")) == 4 })
	all := []int32{0, 1, 2, 3, 4, 5, 6, 7}
	until(r.t, "every partition's outputs follow its inputs", func() bool {
		return slices.Max(slices.Collect(maps.Values(r.committedAfter(time.Now(), all)))) < time.Second
	})
	return running, halt
}

// killInATransaction kills a process with -9 while it has a transaction open, which its own restart will not abort.
func (r *rig) killInATransaction(k *killable, instance string) time.Time {
	until(r.t, "it is in a transaction", func() bool {
		if err := k.Process.Signal(syscall.SIGSTOP); err != nil {
			r.t.Fatal(err)
		}
		open, err := listOpenings(r.t.Context(), kadm.NewClient(r.client), MemberPrefix(r.app, instance))
		if err == nil && slices.ContainsFunc(open, func(o opening) bool { return !o.ending }) {
			return true
		}
		_ = k.Process.Signal(syscall.SIGCONT)
		return false
	})
	moment := time.Now()
	if err := k.Process.Kill(); err != nil {
		r.t.Fatal(err)
	}
	_ = k.Wait()
	return moment
}

// finish drains what was sent, stops what runs, and counts everything again.
func (r *rig) finish(halt func(), k *killable) {
	r.t.Helper()
	halt()
	r.drained()
	if err := k.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Fatal(err)
	}
	if err := k.Wait(); err != nil {
		r.t.Error(err)
	}
	r.verify()
}

func summary(took map[int32]time.Duration) string {
	all := slices.Sorted(maps.Values(took))
	return fmt.Sprintf("%v to %v", all[0].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
}

// A process is killed with -9 in the middle of a transaction. Another has its partitions, and who reads committed records has
// their outputs, within the session timeout and a second.
func TestFailoverTakesTheSessionTimeoutAndASecondAtMost(t *testing.T) {
	within(t, failoverSession+time.Second, func(r *rig) time.Duration {
		running, halt := r.pair()
		parts := r.partitionsOf("a")
		moment := r.killInATransaction(running["a"], "a")
		took := r.committedAfter(moment, parts)
		t.Logf("from kill -9 to the first committed output, of %d partitions: %s", len(parts), summary(took))
		r.finish(halt, running["b"])
		return slices.Max(slices.Collect(maps.Values(took)))
	})
}

// within runs what takes a time, up to three times: the machine may be at other work. What it must leave right is right each time.
func within(t *testing.T, limit time.Duration, f func(r *rig) time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 3 {
		took = append(took, f(newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 8)))
		if took[len(took)-1] <= limit {
			return
		}
	}
	t.Errorf("partitions stood still for %v, three times longer than %v", took, limit)
}

// What leaves is taken over within a second, after it has stopped and while it lives.
func TestFailoverAfterLeaveTakesASecondAtMost(t *testing.T) {
	for _, c := range []string{"a dead instance", "a live instance that stops then"} {
		t.Run(c, func(t *testing.T) {
			within(t, time.Second, func(r *rig) time.Duration {
				running, halt := r.pair()
				parts := r.partitionsOf("a")
				if c == "a dead instance" {
					r.killInATransaction(running["a"], "a")
				}
				moment := time.Now()
				left, err := Leave(t.Context(), r.client, r.app, MemberPrefix(r.app, "a"))
				if err != nil || len(left.Members) != 2 {
					t.Fatal(left, err)
				}
				t.Logf("leave took %v: %+v", time.Since(moment).Round(time.Millisecond), left)
				if c == "a dead instance" { // the other instance's fencer may have been first
					if open, err := listOpenings(t.Context(), kadm.NewClient(r.client), MemberPrefix(r.app, "a")); err != nil || len(open) > 0 {
						t.Error("it left its transaction open", open, err)
					}
				} else if err := running["a"].Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				took := r.committedAfter(moment, parts)
				t.Logf("from leave to the first committed output, of %d partitions: %s", len(parts), summary(took))
				r.finish(halt, running["b"])
				return slices.Max(slices.Collect(maps.Values(took)))
			})
		})
	}
}
