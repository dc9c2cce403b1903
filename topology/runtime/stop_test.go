package runtime

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/processors"
)

// stopsWithinASecond stops an instance and holds that it leaves at once, and nothing behind.
func (r *rig) stopsWithinASecond(p *process) {
	r.t.Helper()
	began := time.Now()
	p.close(r.t)
	took := time.Since(began)
	r.t.Logf("it left after %v", took.Round(time.Millisecond))
	if took > time.Second {
		r.t.Errorf("it left after %v", took)
	}
	// An abort is over when its markers are written, which is a moment after it was asked for.
	var open []string
	until(r.t, "nothing is left open", func() bool { open = r.open(); return len(open) == 0 })
}

// deaf joins the group and is never heard of again: every rebalance waits a minute for it, as for a member that has died.
func (r *rig) deaf() {
	r.t.Helper()
	name := prefix(r.app) + "deaf/0"
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.InstanceID, join.ProtocolType = r.app, &name, "consumer"
	join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 60_000, 60_000
	protocol := kmsg.NewJoinGroupRequestProtocol()
	balancer := kgo.CooperativeStickyBalancer()
	protocol.Name, protocol.Metadata = balancer.ProtocolName(), balancer.JoinGroupMetadata([]string{r.input()}, nil, -1)
	join.Protocols = append(join.Protocols, protocol)
	joined, err := join.RequestWith(r.t.Context(), r.client)
	if err == nil {
		err = kerr.ErrorForCode(joined.ErrorCode)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.InstanceID, sync.MemberID, sync.Generation = r.app, &name, joined.MemberID, joined.Generation
	sync.ProtocolType, sync.Protocol = &join.ProtocolType, &protocol.Name
	synced, err := sync.RequestWith(r.t.Context(), r.client)
	if err == nil {
		err = kerr.ErrorForCode(synced.ErrorCode)
	}
	// The next rebalance may have begun before the answer: it waits for this member all the same.
	if err != nil && !errors.Is(err, kerr.RebalanceInProgress) {
		r.t.Fatal(err)
	}
}

func (r *rig) rebalances() bool {
	groups, err := kadm.NewClient(r.client).DescribeGroups(r.t.Context(), r.app)
	return err == nil && groups[r.app].State == "PreparingRebalance"
}

// memberIDs are the group.instance.ids of the group.
func (r *rig) memberIDs() []string {
	there, err := members(r.t.Context(), kadm.NewClient(r.client), r.app, "")
	if err != nil {
		return []string{err.Error()}
	}
	var ids []string
	for id := range there {
		ids = append(ids, strings.TrimPrefix(id, prefix(r.app)))
	}
	slices.Sort(ids)
	return ids
}

// Whatever a worker waits for, it leaves within a second, and leaves nothing open.
func TestStopTakesASecondAtMost(t *testing.T) {
	brokers := func(t *testing.T, f func(t *testing.T, r *rig)) {
		testservices.Brokers(t, func(t *testing.T, b testservices.Cluster) { f(t, newRig(t, []string{b.Addr}, countingStage(nil), 4)) })
	}
	t.Run("idle", func(t *testing.T) {
		brokers(t, func(t *testing.T, r *rig) {
			p := r.start(r.failover("a"))
			until(t, "it is ready", p.Ready)
			r.stopsWithinASecond(p)
			if ids := r.memberIDs(); !slices.Contains(ids, "a/0") {
				t.Errorf("members are %v: a restart would find its place taken", ids)
			}
		})
	})
	t.Run("under load", func(t *testing.T) {
		brokers(t, func(t *testing.T, r *rig) {
			r.send(20_000, 300)
			p := r.start(r.failover("a"))
			until(t, "it works", func() bool { return p.metric("crossdock_task_commits_total") > 0 })
			r.stopsWithinASecond(p)
			again := r.start(r.failover("a"))
			r.drained()
			again.close(t)
			r.verify()
		})
	})
	t.Run("joining a group that waits for a dead member", func(t *testing.T) {
		brokers(t, func(t *testing.T, r *rig) {
			r.deaf()
			p := r.start(r.failover("a"))
			until(t, "the group waits", r.rebalances)
			r.stopsWithinASecond(p)
			if ids := r.memberIDs(); slices.Contains(ids, "a/0") {
				t.Errorf("members are %v: the group waits for one that has stopped", ids)
			}
		})
	})
	t.Run("ending a transaction in such a rebalance", func(t *testing.T) {
		brokers(t, func(t *testing.T, r *rig) {
			ctx, halt := context.WithCancel(t.Context())
			wait := r.feed(ctx)
			defer func() { halt(); wait() }()
			p := r.start(r.failover("a"))
			until(t, "it works", func() bool { return p.metric("crossdock_task_commits_total") > 3 })
			r.deaf()
			until(t, "the group waits", r.rebalances)
			until(t, "a transaction waits", func() bool { return len(r.open()) > 0 })
			r.stopsWithinASecond(p)
			if ids := r.memberIDs(); slices.Contains(ids, "a/0") {
				t.Errorf("members are %v: the group waits for one that has stopped", ids)
			}
		})
	})
	t.Run("in a batch that takes long", func(t *testing.T) {
		r := newRig(t, fake(t).ListenAddrs(), countingStage(func(processors.Context, *event.InventoryMovement) error {
			<-time.After(5 * time.Millisecond) // at work
			return nil
		}), 1)
		r.send(2000, 300)
		p := r.start(r.failover("a"))
		until(t, "it works", func() bool { return len(r.open()) > 0 })
		r.stopsWithinASecond(p)
	})
	t.Run("while its producer id cannot be loaded", func(t *testing.T) {
		c := fake(t)
		r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
		loads := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, Count: -1})
		p := r.start(r.failover("a"))
		until(t, "it is asked for", func() bool { return loads.Hits() > 0 })
		r.stopsWithinASecond(p)
	})
	t.Run("while it restores", func(t *testing.T) {
		c := fake(t)
		r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
		before := r.changelogProducer()
		if err := before.ProduceSync(t.Context(), r.state("k", 0, 100, 1)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		p := r.start(r.failover("a"))
		until(t, "it restores", func() bool { _, why := p.Readiness(); return strings.HasPrefix(why, "restoring ") })
		r.stopsWithinASecond(p)
	})
	t.Run("while the brokers are away", func(t *testing.T) {
		var took []time.Duration
		for range 3 { // the machine may be at other work: closing takes many goroutines' turns
			c := fake(t)
			met, gone := make(chan struct{}), make(chan struct{})
			r := newRig(t, c.ListenAddrs(), countingStage(on("d60", func(processors.Context) error {
				close(met)
				<-gone
				return nil
			})), 1)
			r.send(100, 10)
			p := r.start(r.failover("a"))
			<-met // in the middle of a transaction
			c.Close()
			close(gone)
			began := time.Now()
			p.close(t)
			if took = append(took, time.Since(began)); took[len(took)-1] <= time.Second {
				return
			}
		}
		t.Errorf("it left after %v", took)
	})
}
