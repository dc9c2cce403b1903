package runtime

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/topology/runtime/assignor"
)

// join sends a request to join as a worker of the application, whose answer nobody waits for: as one that was sent on a
// connection that broke, and reaches the coordinator late.
func (r *rig) join(worker string, balancer kgo.GroupBalancer) {
	r.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType = r.app, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 2_000
	name := prefix(r.app) + worker
	req.InstanceID = &name
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = balancer.ProtocolName(), balancer.JoinGroupMetadata([]string{r.input()}, nil, -1)
	req.Protocols = append(req.Protocols, p)
	ctx, cancel := context.WithTimeout(r.t.Context(), 300*time.Millisecond)
	defer cancel()
	_, _ = req.RequestWith(ctx, r.client)
}

// However often a worker loses its name to old requests of its own process, it takes it back. Lost twice to another process's, it stops.
func TestNameLostToOwnRequestsIsTakenBackAlways(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.send(50, 5)
	p := r.start(r.config("a"))
	r.drained()
	for range 3 {
		restarted := p.metric("crossdock_worker_sessions_restarted_total")
		r.join("a/0", signed{p.cfg.Balancer, p.signature})
		until(t, "the name was lost", func() bool { return p.metric("crossdock_worker_sessions_restarted_total") > restarted })
		r.send(50, 5)
		r.drained()
	}
	for range 2 {
		r.send(50, 5)
		r.drained() // it is a member again
		restarted := p.metric("crossdock_worker_sessions_restarted_total")
		r.join("a/0", signed{p.cfg.Balancer, newSignature()})
		until(t, "the name was lost", func() bool {
			return len(p.over) > 0 || p.metric("crossdock_worker_sessions_restarted_total") > restarted
		})
	}
	if reason := p.exitReason(t); reason != NameTaken {
		t.Errorf("it stopped as %s", reason)
	}
	r.verify()
}

// A signature is behind what a balancer says, and changes nothing of it.
func TestSignatureLeavesTheBalancersPartAlone(t *testing.T) {
	for _, b := range []kgo.GroupBalancer{assignor.Advertising("one", "http://one"), kgo.CooperativeStickyBalancer()} {
		owned := map[string][]int32{"t": {3, 1}}
		var plain, with kmsg.ConsumerMemberMetadata
		if err := plain.ReadFrom(b.JoinGroupMetadata([]string{"t"}, owned, 4)); err != nil {
			t.Fatal(err)
		}
		s := newSignature()
		if err := with.ReadFrom((signed{b, s}).JoinGroupMetadata([]string{"t"}, owned, 4)); err != nil {
			t.Fatal(err)
		}
		n := len(plain.UserData)
		if !slices.Equal(with.UserData[:n], plain.UserData) || string(with.UserData[n:]) != string(s[:])+signatureEnd {
			t.Errorf("%s: user data %x became %x", b.ProtocolName(), plain.UserData, with.UserData)
		}
		if assignor.Address(with.UserData) != assignor.Address(plain.UserData) {
			t.Errorf("the address is %q", assignor.Address(with.UserData))
		}
	}
}
