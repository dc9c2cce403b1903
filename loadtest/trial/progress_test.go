package trial

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/send"
)

func TestACourseTellsSlicesBetweenItsLooks(t *testing.T) {
	c := newCourse()
	if got := c.at(time.Second); got != (pulse{}) {
		t.Errorf("before the first look: %+v", got)
	}
	for _, p := range []send.Progress{
		{Elapsed: 200 * time.Millisecond, Made: 20, Acknowledged: 10},
		{Elapsed: time.Second, Made: 100, Acknowledged: 90},
		{Elapsed: time.Second, Made: 100, Acknowledged: 95}, // no time has passed: nothing new can be told by slice
		{Elapsed: 3 * time.Second, Made: 500, Acknowledged: 490},
	} {
		c.note(p)
	}
	for at, want := range map[time.Duration]pulse{
		0:                      {},
		100 * time.Millisecond: {100 * time.Millisecond, 10, 5},
		time.Second:            {time.Second, 100, 90},
		2 * time.Second:        {2 * time.Second, 300, 290},
		3 * time.Second:        {3 * time.Second, 500, 490},
		9 * time.Second:        {9 * time.Second, 500, 490},
	} {
		if got := c.at(at); got != want {
			t.Errorf("at %v: %+v, want %+v", at, got, want)
		}
	}
	if got := c.recently(); math.Abs(got-500.0/3) > 1e-9 { // of the whole, which is less than a while
		t.Errorf("%v a second lately", got)
	}
	c.note(send.Progress{Elapsed: 6 * time.Second, Made: 2000, Acknowledged: 2000})
	if got := c.recently(); got != 380 { // since the first second, when it were 100
		t.Errorf("%v a second lately, want 380", got)
	}
}

// A course of a week keeps no more than one of an hour, tells its slices as well, and what is recent as exactly.
func TestACourseIsBoundedHoweverLong(t *testing.T) {
	c := newCourse()
	const looks = 7 * 24 * 3600 // every second is enough
	for i := 1; i <= looks; i++ {
		rate := int64(100)
		if i > looks-4 {
			rate = 1000
		}
		c.note(send.Progress{Elapsed: time.Duration(i) * time.Second, Made: c.latest().Made + rate, Acknowledged: c.latest().Made})
		if n := c.pulses.Len(); n > maxPulses || len(c.lately) > 8 {
			t.Fatalf("%d looks, and %d of late", n, len(c.lately))
		}
	}
	if n := c.pulses.Len(); n < maxPulses/2 {
		t.Fatalf("%d looks", n)
	}
	for _, at := range []int64{1, 1008, looks / 7, looks / 2} {
		if got := c.at(time.Duration(at) * time.Second).made; got < 100*at-1 || got > 100*at {
			t.Errorf("%d made after %d s", got, at)
		}
	}
	if got := c.recently(); got != (4*1000+100)/5 {
		t.Errorf("%v a second lately", got)
	}
}

// What the brokers held up is told as an outage, and is none of the load test's lateness.
func TestLatenessIsWhatTheLoadTestItselfHeldUp(t *testing.T) {
	sums := movementsLog{&send.Log{Late: 900, LateMost: 9 * time.Second, LateByBroker: 899, LateByTool: 1, LateMostByTool: 12 * time.Millisecond}}.totals()
	if sums.late != 1 || sums.lateMost != 12*time.Millisecond {
		t.Errorf("%d events were late, the latest by %v", sums.late, sums.lateMost)
	}
}

// Whoever interrupts a run before it has sent anything is told so, whatever the check was at.
func TestARunInterruptedInItsChecksSaysThatNothingWasSent(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	p, err := profile.Load("base")
	if err != nil {
		t.Fatal(err)
	}
	interrupt()
	result, err := Run(ctx, Options{Kafka: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Profile: p, Run: "r", Out: t.TempDir(), Entry: report.Movements})
	if result != nil || !errors.Is(err, errInterrupted) {
		t.Errorf("%v, %v", result, err)
	}
}
