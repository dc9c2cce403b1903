package runtime

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestReadinessNamesWhatIsBeingRestored(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	before := r.changelogProducer()
	if err := before.ProduceSync(t.Context(), r.state("k", 1, 100, 1)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p := r.start(r.config("a"))
	until(t, "the other partition runs", func() bool { h := p.homes.find(0); return h != nil && h.running.Load() })
	until(t, "it names the one that waits", func() bool {
		ok, why := p.Readiness()
		return !ok && strings.HasPrefix(why, "restoring "+r.changelog()+"/1 0 %") && !strings.Contains(why, "/0 ")
	})
	if err := before.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	until(t, "it is ready", p.Ready)
	if ok, why := p.Readiness(); !ok || why != "" {
		t.Errorf("ready, but %q", why)
	}
	p.close(t)
	if ok, _ := p.Readiness(); ok {
		t.Error("ready after its end")
	}
}

// A partition that is assigned and whose offset is not known yet is no running task.
func TestInstanceIsNotReadyBeforeItsOffsetsAreFetched(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	held := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: r.app, Err: kerr.CoordinatorLoadInProgress, Count: -1})
	p := r.start(r.config("a"))
	until(t, "the offsets are asked for", func() bool { return held.Hits() > 0 })
	until(t, "the worker knows of its assignment", func() bool { return p.workers[0].joined.Load() })
	if ok, why := p.Readiness(); ok || why == "" {
		t.Errorf("ready: %v, %q", ok, why)
	}
	held.Remove()
	until(t, "it is ready", p.Ready)
	p.close(t)
}

func TestInstanceIsNotReadyBeforeItHasJoined(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	r.workers = 2
	r.deaf()
	p := r.start(r.config("a"))
	until(t, "the group waits", r.rebalances)
	if ok, why := p.Readiness(); ok || why != "joining the group: worker 0, 1" {
		t.Errorf("ready: %v, %q", ok, why)
	}
	p.close(t)
}
