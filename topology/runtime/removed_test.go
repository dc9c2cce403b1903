package runtime

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/internal/testservices"
)

// A worker that is removed while it lives stays out, so that a stop finds it out of the group; without one it comes back.
func TestRemovedWorkerStaysOutAndComesBackIfNobodyStopsIt(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, b testservices.Cluster) {
		r := newRig(t, []string{b.Addr}, countingStage(nil), 2)
		log := &logged{}
		p := r.start(r.config("a"), log.to)
		r.send(100, 10)
		r.drained()
		until(t, "it has been heard of", func() bool { return p.workers[0].session.contact.steady() })
		left, err := Leave(t.Context(), r.client, r.app, MemberPrefix(r.app, "a"))
		if err != nil || len(left.Members) != 1 {
			t.Fatal(left, err)
		}
		began := time.Now()
		until(t, "it knows", func() bool { return log.count("somebody removed this worker") == 1 })
		until(t, "it is out", func() bool { return len(r.memberIDs()) == 0 })
		until(t, "it is back", func() bool { return len(r.memberIDs()) == 1 })
		if took := time.Since(began); took < RejoinAfter {
			t.Errorf("it was back after %v", took)
		}
		r.send(100, 10)
		r.drained()
		if log.count("somebody removed this worker") != 1 {
			t.Error("it was removed once")
		}
		p.close(t)
		r.verify()
	})
}

func TestWorkerThatWasAwayWasNotRemoved(t *testing.T) {
	c := contact{window: time.Minute}
	beat := func() { c.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Heartbeat), kgo.BrokerE2E{}) }
	if c.steady() {
		t.Error("nothing was heard yet")
	}
	beat()
	c.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.Produce), kgo.BrokerE2E{})
	if !c.steady() {
		t.Error("its heartbeats go on")
	}
	c.last = time.Now().Add(-40 * time.Second) // the process was stopped for a while
	beat()
	beat()
	if c.steady() {
		t.Error("the group may have given it up")
	}
}
