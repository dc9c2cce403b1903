package sent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
)

func TestATallyTellsWhatWasCountedAndTakesBackWhatWasNotSent(t *testing.T) {
	var all Tally
	pick := Made{Kind: scans.Pick}
	all.Count(pick, 3)
	all.Count(Made{Kind: scans.Pick, Copy: scans.Exact}, 1)
	all.Count(Made{Kind: scans.Receive, Poison: scans.BadFraming, Offline: true}, 1)
	all.Count(Made{Kind: scans.Receive, OutOfTime: true}, 1)
	all.Count(pick, -1)
	want := report.Sent{
		Kinds: map[string]int64{scans.Pick.String(): 3, scans.Receive.String(): 2}, Poison: map[string]int64{scans.BadFraming.String(): 1},
		Copies: map[string]int64{scans.Original.String(): 4, scans.Exact.String(): 1}, Offline: 1, Late: 1,
	}
	var got report.Sent
	all.Tell(&got)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	again := Tally{Copies: all.Copies}
	again.Restore(all.Counts())
	if again != all {
		t.Errorf("%+v, want %+v", again, all)
	}
}

// The first event of a backlog decides from when on it is counted, and half of that time whose fault it is.
func TestLatenessIsTheReceiversWhereHalfOfTheBacklogWasSpentWaitingForIt(t *testing.T) {
	const ms = time.Millisecond
	var b Backlog
	for i, step := range []struct {
		intended, elapsed, waited time.Duration
		late, byReceiver          bool
	}{
		{0, 10 * ms, 0, false, false},
		{10 * ms, 60 * ms, 40 * ms, true, true},      // 40 of 50
		{20 * ms, 110 * ms, 40 * ms, true, false},    // 40 of 100: the tool does not come to it
		{110 * ms, 115 * ms, 40 * ms, false, false},  // caught up
		{120 * ms, 160 * ms, 40 * ms, true, false},   // nobody was waited for since
		{150 * ms, 200 * ms, 100 * ms, true, true},   // 60 of 80
		{180 * ms, 189 * ms, 100 * ms, false, false}, // within LateAfter
		{600 * ms, 605 * ms, 500 * ms, false, false}, // what was waited for before counts no more
		{610 * ms, 700 * ms, 500 * ms, true, false},
	} {
		if late, byReceiver := b.Leave(step.intended, step.elapsed, step.waited); late != step.late || byReceiver != step.byReceiver {
			t.Errorf("step %d: late %v, by the receiver %v", i+1, late, byReceiver)
		}
	}
}

func TestABottleneckIsMoreThanOneEventInAHundred(t *testing.T) {
	if said := Bottleneck(10, 1000, time.Second, "room"); said != "" {
		t.Error(said)
	}
	if said := Bottleneck(11, 1000, time.Second, "room"); said == "" {
		t.Error("11 of 1000 are not told")
	}
}
