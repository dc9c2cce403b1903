package trial

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/send"
)

func TestACourseTellsSlicesBetweenItsLooks(t *testing.T) {
	var c course
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
	if got := c.recently(2 * time.Second); got != 200 {
		t.Errorf("%v a second lately, want 200", got)
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
