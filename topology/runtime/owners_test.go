package runtime

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
