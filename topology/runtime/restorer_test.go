package runtime

import (
	"context"
	"testing"

	"crossdock/topology/runtime/store"
)

// Two workers of an instance may restore one partition at a time, of which one has lost it: whichever asked first, the other
// is restored.
func TestRestoreOutlivesAnotherOfItsPartition(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 1)
	rec := r.state("k", 0, 100, 1)
	r.produce(rec)
	cfg := r.config("a")
	s, err := newRestorer(&cfg, discardLog())
	if err != nil {
		t.Fatal(err)
	}
	notify := func() {}
	open := store.Claim{End: 2} // its end does not come yet
	kept, lost := store.New(), store.New()
	owner := s.restore(r.changelog(), open, kept, notify)
	late := s.restore(r.changelog(), open, lost, notify)
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- s.run(ctx) }()
	until(t, "the later is read", func() bool { return late.records.Load() == 1 })
	s.cancel(late)
	r.produce(r.state("l", 0, 200, 2))
	until(t, "the owner's is restored", func() bool { done, _ := owner.finished(); return done })
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if kept.Len() != 2 {
		t.Errorf("%d keys are restored", kept.Len())
	}
}
