package runtime

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/internal/testservices"
	"crossdock/topology/runtime/assignor"
)

// forgetful is a balancer that leaves each topic's last partition to nobody, a number of times.
type forgetful struct {
	kgo.GroupBalancer
	times *atomic.Int64
}

type forgetfulMembers struct {
	kgo.GroupMemberBalancer
	times *atomic.Int64
}

func (b forgetful) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	m, topics, err := b.GroupBalancer.MemberBalancer(members)
	return forgetfulMembers{m, b.times}, topics, err
}

func (b forgetfulMembers) BalanceOrError(topics map[string]int32) (kgo.IntoSyncAssignment, error) {
	if b.times.Add(-1) >= 0 {
		for t := range topics {
			topics[t]--
		}
	}
	return b.GroupMemberBalancer.(kgo.GroupMemberBalancerOrError).BalanceOrError(topics)
}

func TestPartitionThatBelongsToNobodyForcesARebalance(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(1000, 100)
	cfg := r.config("a")
	cfg.HeartbeatInterval, cfg.RebalanceTimeout = 50*time.Millisecond, 200*time.Millisecond
	forgotten := &atomic.Int64{}
	forgotten.Store(1)
	cfg.Balancer = forgetful{kgo.CooperativeStickyBalancer(), forgotten}
	p := r.start(cfg)
	until(t, "it is found out", func() bool { return p.metric("crossdock_group_unowned_partitions_count") == 1 })
	r.drained()
	until(t, "it is well again", func() bool { return p.metric("crossdock_group_unowned_partitions_count") == 0 })
	p.close(t)
	r.verify()
}

// A static member that dies between giving a partition up and joining again, and is back under its name, gets its old share
// without what it gave up: that belongs to nobody, and the group is content.
func TestPartitionGivenUpByAMemberThatDiedBeforeItJoinedAgainIsFound(t *testing.T) {
	r := newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 4)
	r.send(1000, 100)
	lives, die := context.WithCancel(t.Context())
	defer die()
	balancer := func(instance string) kgo.Opt { return kgo.Balancers(assignor.New(instance)) }
	first := r.newcomer("b/0", kgo.WithContext(lives), balancer("b"), kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
		if len(taken) > 0 {
			die() // with -9: it says nothing to anybody
		}
	}))
	until(t, "it has all", func() bool { return len(r.partitionsOf("b")) == 4 })
	cfg := r.config("a")
	cfg.Balancer = assignor.New("a")
	cfg.RebalanceTimeout = 600 * time.Millisecond
	p := r.start(cfg)
	until(t, "it has died", func() bool { return lives.Err() != nil })
	first.Close()
	cfg = r.config("b")
	cfg.Balancer = assignor.New("b")
	cfg.RebalanceTimeout = 600 * time.Millisecond
	q := r.start(cfg)
	until(t, "it is found out", func() bool {
		return p.metric("crossdock_group_unowned_partitions_count")+q.metric("crossdock_group_unowned_partitions_count") > 0
	})
	r.drained()
	until(t, "each has half", func() bool { return len(r.partitionsOf("a")) == 2 && len(r.partitionsOf("b")) == 2 })
	p.close(t)
	q.close(t)
	r.verify()
}

// Kafka rebalances for a member that is not the leader only where it joins with other metadata than before: the generation
// in it sees to that, so any instance that finds a partition unowned is enough.
func TestMemberThatDoesNotLeadForcesARebalance(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, b testservices.Cluster) {
		r := newRig(t, []string{b.Addr}, countingStage(nil), 4)
		var all []*kgo.Client
		for _, name := range []string{"a", "b"} {
			all = append(all, r.newcomer(name+"/0", kgo.Balancers(assignor.New(name))))
			until(t, "it is a member", func() bool { return len(r.partitionsOf(name)) == 4-2*len(all[1:]) })
		}
		generations := func() (a, b int32) {
			_, a = all[0].GroupMetadata()
			_, b = all[1].GroupMetadata()
			return a, b
		}
		for n, c := range all { // one of them leads
			until(t, "the group is at one generation", func() bool { a, b := generations(); return a == b })
			was, _ := generations()
			c.ForceRebalance()
			until(t, fmt.Sprintf("member %d brings a new one about", n), func() bool { a, b := generations(); return a == b && a > was })
		}
	})
}
