package sink

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
)

// What was read under a lease that has been taken away is never committed, not even when the partition has come back and is
// read under a new one: between the two, another process may have gone further, or less far.
func TestNothingIsCommittedForALeaseThatIsGone(t *testing.T) {
	ls := leases{topic: "t", byNum: map[int32]*lease{}}
	ls.assign([]int32{0, 1})
	old, other := ls.get(0), ls.get(1)
	old.start(50)
	other.start(0)
	ls.revoke([]int32{0})
	if !old.gone() || other.gone() {
		t.Fatalf("gone: %v, %v; want true, false", old.gone(), other.gone())
	}
	old.acknowledge(&reach{next: 200, epoch: 3})
	other.acknowledge(&reach{next: 7, epoch: 3})
	check := func(want map[int32]kgo.EpochOffset) {
		t.Helper()
		got, notes, err := ls.due()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(notes) != len(want) {
			t.Errorf("%d notes; due: %s", len(notes), diff)
		}
	}
	check(map[int32]kgo.EpochOffset{1: {Epoch: 3, Offset: 7}})
	ls.assign([]int32{0})
	again := ls.get(0)
	again.start(50)
	check(map[int32]kgo.EpochOffset{1: {Epoch: 3, Offset: 7}})
	again.acknowledge(&reach{next: 60, epoch: 4})
	check(map[int32]kgo.EpochOffset{0: {Epoch: 4, Offset: 60}, 1: {Epoch: 3, Offset: 7}})
}

// A partition is complete until the latest time at which its end lay no further than what is in the table; not longer.
func TestCompletenessNeverClaimsWhatIsNotThere(t *testing.T) {
	var c completeness
	want := func(until event.Micros) {
		t.Helper()
		if c.until != until {
			t.Errorf("complete until %d, want %d", c.until, until)
		}
	}
	c.observe(10, 100)
	c.reached(9)
	want(0)
	c.observe(20, 200)
	c.reached(10)
	want(100)
	c.reached(19)
	want(100)
	c.observe(20, 300)
	c.reached(20)
	want(300)
	// Far behind, with more ends than are remembered.
	for i := range 10 * mostSamples {
		c.observe(int64(1000+i), event.Micros(1000+i))
		if len(c.samples) > mostSamples {
			t.Fatalf("%d samples are kept", len(c.samples))
		}
	}
	c.reached(1500)
	if c.until > 1500 || c.until < 1000 {
		t.Errorf("complete until %d; the end lay at 1500 at 1500", c.until)
	}
	c.reached(int64(1000 + 10*mostSamples))
	want(event.Micros(1000 + 10*mostSamples - 1))
}
