package testdriver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

// reminding sets a timer for what a record's value says ("1h"), tells when it comes, and reminds once more a minute later.
type reminding struct{}

func (reminding) Process(ctx processors.Context, r *processors.Record) error {
	by, err := time.ParseDuration(string(r.Value))
	if err != nil {
		return processors.Rejectf("NO_DURATION", "", "%v", err)
	}
	ctx.SetTimer("first", r.Key, ctx.Now()+by.Microseconds())
	return nil
}

func (reminding) OnTimer(ctx processors.Context, t processors.Timer, _ int) error {
	ctx.EmitRaw(topics.Ledger, t.Key, fmt.Appendf(nil, "%s at %s", t.Name, time.UnixMicro(ctx.Now()).UTC().Format("15:04:05")), nil)
	if t.Name == "first" {
		ctx.SetTimer("again", t.Key, t.At+time.Minute.Microseconds())
	}
	return nil
}

func remindingStage(name string, timers bool) topology.Stage {
	return topology.Stage{Name: name, Inputs: []topics.ID{topics.Movements}, Outputs: []topics.ID{topics.Ledger},
		Stores: []topology.Store{{Name: "s"}, {Name: "timers", Timers: timers}}, New: func() processors.Processor { return reminding{} }}
}

func advance(t *testing.T, d *testdriver.Driver, by time.Duration) {
	t.Helper()
	if err := d.Advance(by); err != nil {
		t.Fatal(err)
	}
}

// The clock stops at each timer, of whichever task, so that what comes of it has its time; aborts and a restart change nothing.
func TestTimersFireInTheOrderOfTheirTimesWhenTheClockMoves(t *testing.T) {
	for _, o := range []testdriver.Options{{}, {Aborts: 2}, {Partitions: 3, BatchRecords: 1}} {
		o.Stages = []topology.Stage{remindingStage("remind", true)}
		d := newDriver(t, o)
		out := d.Output(topics.Ledger)
		in := d.Input(topics.Movements)
		pipe(t, in, "a", "1h")
		pipe(t, in, "b", "30m")
		pipe(t, in, "c", "nonsense")
		pipe(t, in, "d", "2h")
		advance(t, d, 30*time.Minute-time.Microsecond)
		if n := out.Len(); n != 0 {
			t.Fatalf("%d came too early", n)
		}
		if err := d.Restart(); err != nil {
			t.Fatal(err)
		}
		advance(t, d, time.Hour)
		if got, want := values(out), "b=first at 00:30:00 b=again at 00:31:00 a=first at 01:00:00 a=again at 01:01:00"; got != want {
			t.Errorf("%+v:\n got %s\nwant %s", o, got, want)
		}
		if want := time.Date(2026, 1, 1, 1, 29, 59, 999_999_000, time.UTC); !d.Now().Equal(want) {
			t.Errorf("the clock stands at %v", d.Now())
		}
		advance(t, d, 24*time.Hour)
		if got, want := values(out), "d=first at 02:00:00 d=again at 02:01:00"; got != want {
			t.Errorf("%+v:\n got %s\nwant %s", o, got, want)
		}
	}
}

func TestTimerWithoutAStoreForItIsNamed(t *testing.T) {
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{remindingStage("remind", false)}})
	pipe(t, d.Input(topics.Movements), "a", "1h")
	letters, err := d.DeadLetters()
	if err != nil || len(letters) != 1 || letters[0].Cause != string(processors.Panicked) || !strings.Contains(letters[0].Detail, "stage remind declares no store for timers") {
		t.Errorf("%+v, %v", letters, err)
	}
}

// A timer that is set for now by each that comes never ends: the driver says so.
func TestTimersWithoutEndAreFoundOut(t *testing.T) {
	s := remindingStage("restless", true)
	s.New = func() processors.Processor { return restless{} }
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{s}})
	if err := d.Input(topics.Movements).PipeBytes([]byte("k"), []byte("0s")); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("%v", err)
	}
}

type restless struct{ reminding }

func (restless) OnTimer(ctx processors.Context, t processors.Timer, _ int) error {
	ctx.SetTimer(t.Name, t.Key, ctx.Now())
	return nil
}
