package parking_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/processors/enrich"
	"crossdock/processors/internal/fake"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/topology/topics"
)

const week = 7 * 24 * time.Hour

// limitedLot is a lot whose events wait a week.
func limitedLot(t testing.TB) *lot {
	l := newLot(t)
	l.limit = week
	l.restart()
	return l
}

func (l *lot) restart() { l.task = l.task.Restarted(l.processor()) }

// later moves the clock and calls what is due.
func (l *lot) later(t interface{ Fatal(...any) }, by time.Duration, limit int) (ids []string, calls int) {
	l.task.Clock += by.Microseconds()
	out, calls := l.fire(t, limit)
	return l.ids(t, out), calls
}

// overdue is what becomes of an event that is given up.
func overdue(offset int, id string) []string {
	return []string{"MASTER_DATA_MISSING/" + id, fmt.Sprintf("dead x.parking-inbox/3/%d/0 MASTER_DATA_MISSING", offset)}
}

func parkedOutput(l *lot, p *event.ParkedEvent) fake.Output {
	return fake.Output{To: topics.ParkingInbox, Key: masterdata.ReferenceOf(p).AppendKey(nil), Value: l.task.Serde.Append(nil, p)}
}

func TestN5EventIsGivenUpAfterTheTimeLimitWithItsBytes(t *testing.T) {
	l := limitedLot(t)
	parked := l.parkedBy(t, scan("e", "TEA", "EA"))
	if err := l.park(parked); err != nil {
		t.Fatal(err)
	}
	l.task.Commit()
	if got, _ := l.later(t, week-time.Microsecond, 100); len(got) != 0 {
		t.Fatalf("given up too early: %v", got)
	}
	l.task.Clock++
	out, _ := l.fire(t, 100)
	if got := l.ids(t, out); !slices.Equal(got, overdue(1, "e")) {
		t.Fatalf("became %v", got)
	}
	var x event.LogisticsException
	if err := l.task.Serde.Decode(out[0].Value, &x); err != nil {
		t.Fatal(err)
	}
	if x.Class != enrich.ClassNeverKnown || x.Stage != parking.Stage || string(out[0].Key) != "TEA" || !strings.Contains(x.Detail, "7 days for item TEA of wms") || !x.Retryable ||
		int64(x.OpenedAt) != l.task.Clock || x.Header.CausationID.Value != "e" {
		t.Errorf("the exception is %+v with key %s", x, out[0].Key)
	}
	var d event.DeadLetter
	if err := l.task.Serde.Decode(out[1].Value, &d); err != nil {
		t.Fatal(err)
	}
	if d.Topic != "x."+topics.ParkingInbox.String() || d.Offset != 1 || string(d.Key.Value) != string(parked.Key) || string(d.Value.Value) != string(parked.Value) {
		t.Errorf("the dead letter is %+v", d)
	}
	if r, e := l.task.Store(parking.References).Len(), l.task.Store(parking.Events).Len(); r != 0 || e != 0 {
		t.Errorf("%d references and %d events are left", r, e)
	}
	if _, set := l.task.NextTimer(); set || l.counters.Overdue.Load() != 1 {
		t.Errorf("a timer is left: %v; %d given up", set, l.counters.Overdue.Load())
	}
	// A replay of its bytes waits anew.
	if err := l.park(parked); err != nil {
		t.Fatal(err)
	}
	l.task.Commit()
	if got, _ := l.later(t, week-time.Second, 100); len(got) != 0 {
		t.Errorf("the replay is given up at once: %v", got)
	}
	l.item(t, "TEA", 1)
	if got, _ := l.release(t, 100); !slices.Equal(got, []string{"e"}) {
		t.Errorf("the replay became %v", got)
	}
}

func TestN5EachEventHasItsOwnTime(t *testing.T) {
	l := limitedLot(t)
	for i := range 3 {
		l.arrive(t, scan(fmt.Sprint("e", i), "TEA", "EA"))
		l.task.Commit()
		l.task.Clock += time.Hour.Microseconds()
	}
	for i := range 3 {
		by := time.Hour
		if i == 0 {
			by = week - 3*time.Hour
		}
		if got, _ := l.later(t, by, 100); !slices.Equal(got, overdue(i+1, fmt.Sprint("e", i))) {
			t.Fatalf("event %d became %v", i, got)
		}
	}
}

// A timer of the limit that comes when the reference is known lets the events go on: nothing that can be applied is given up.
func TestN5EventWhoseReferenceIsKnownIsNeverGivenUp(t *testing.T) {
	l := limitedLot(t)
	l.arrive(t, scan("a", "TEA", "EA"))
	l.task.Commit()
	l.item(t, "TEA", 1)
	if got, _ := l.later(t, 2*week, 100); !slices.Equal(got, []string{"a"}) { // before anybody has looked again
		t.Fatalf("became %v", got)
	}
	if got, _ := l.later(t, 2*week, 100); len(got) != 0 {
		t.Errorf("and then %v", got)
	}
}

func TestN5ReferenceThatIsWithdrawnWhileItsEventsLeaveKeepsTheirTime(t *testing.T) {
	l := limitedLot(t)
	for i := range 5 {
		l.arrive(t, scan(fmt.Sprint("e", i), "TEA", "EA"))
	}
	l.task.Commit()
	l.item(t, "TEA", 1)
	l.lookAgain(t, 100)
	out, more, err := l.task.FireTimers(3)
	if got := l.ids(t, out); err != nil || !more || !slices.Equal(got, []string{"e0", "e1"}) {
		t.Fatalf("%v left, more %v, %v", got, more, err)
	}
	l.tables.DeleteItem("TEA")
	if got, _ := l.later(t, week-time.Second, 100); len(got) != 0 {
		t.Fatalf("%v left, and the item is gone", got)
	}
	got, _ := l.later(t, time.Second, 100)
	if want := slices.Concat(overdue(3, "e2"), overdue(4, "e3"), overdue(5, "e4")); !slices.Equal(got, want) {
		t.Errorf("became %v", got)
	}
}

// A timer of the limit that finds its reference known asks for their release; where it is withdrawn before that comes, they wait on
// for the time that is left.
func TestN5ReferenceThatIsWithdrawnBeforeItsEventsLeaveKeepsTheirTime(t *testing.T) {
	l := limitedLot(t)
	l.arrive(t, scan("a", "TEA", "EA"))
	l.task.Commit()
	l.task.Clock += time.Hour.Microseconds()
	l.arrive(t, scan("b", "TEA", "EA"))
	l.task.Commit()
	l.item(t, "TEA", 1)
	l.task.Clock += (week - time.Hour).Microseconds()
	if out, more, err := l.task.FireTimers(100); err != nil || !more || len(out) != 0 {
		t.Fatalf("%v left, more %v, %v", l.ids(t, out), more, err)
	}
	l.tables.DeleteItem("TEA")
	if got, _ := l.later(t, 0, 100); !slices.Equal(got, overdue(1, "a")) {
		t.Fatalf("became %v", got)
	}
	if got, _ := l.later(t, time.Hour, 100); !slices.Equal(got, overdue(2, "b")) {
		t.Errorf("became %v", got)
	}
}

func TestN5GivingUpIsBoundedByTheLimitOfACall(t *testing.T) {
	l := limitedLot(t)
	var want []string
	for i := range 25 {
		l.arrive(t, scan(fmt.Sprint("e", i), "TEA", "EA"))
		want = append(want, overdue(i+1, fmt.Sprint("e", i))...)
	}
	l.task.Commit()
	got, calls := l.later(t, week, 10)
	if !slices.Equal(got, want) || calls < 5 {
		t.Errorf("in %d calls: %v", calls, got)
	}
}

// What was parked under another limit, or none, or by a version that knew no timers, is adopted when the task is opened.
func TestTimeLimitThatChangesHoldsForWhatWaitsAlready(t *testing.T) {
	for _, c := range []struct{ before, after time.Duration }{{0, week}, {2 * week, week}, {week / 2, week}, {week, week}} {
		t.Run(fmt.Sprint(c.before, " becomes ", c.after), func(t *testing.T) {
			l := newLot(t)
			l.limit = c.before
			l.restart()
			l.arrive(t, scan("e", "TEA", "EA"))
			l.task.Commit()
			l.limit = c.after
			l.task.Clock += time.Hour.Microseconds()
			l.restart()
			l.lookAgain(t, 100)
			if got, _ := l.later(t, 0, 100); len(got) != 0 {
				t.Fatalf("given up at once: %v", got)
			}
			if got, _ := l.later(t, week-2*time.Hour, 100); len(got) != 0 {
				t.Fatalf("given up too early: %v", got)
			}
			l.restart()
			l.lookAgain(t, 100)
			if got, _ := l.later(t, time.Hour, 100); !slices.Equal(got, overdue(1, "e")) {
				t.Errorf("became %v", got)
			}
		})
	}
	l := limitedLot(t)
	l.arrive(t, scan("e", "TEA", "EA"))
	l.task.Commit()
	l.limit = 0
	l.restart()
	l.lookAgain(t, 100)
	if got, _ := l.later(t, 10*week, 100); len(got) != 0 {
		t.Errorf("given up without a limit: %v", got)
	}
}

// TestN5EveryEventLeavesOnceOnTimeOrIsGivenUpOnTime plays arrivals, master data that comes and goes, time, aborts and restarts:
// what leaves is in order, and nothing is given up before its time, or waits for longer.
func TestN5EveryEventLeavesOnceOnTimeOrIsGivenUpOnTime(t *testing.T) {
	type waiting struct {
		id    string
		since int64
	}
	rapid.Check(t, func(rt *rapid.T) {
		l := newLot(t)
		l.limit = time.Hour
		l.restart()
		waits := map[string][]waiting{}
		known := map[string]bool{}
		version := int64(0)
		skus := []string{"A", "B", "C"}
		sku := rapid.SampledFrom(skus)
		take := func(ids []string) {
			for _, id := range ids {
				if strings.HasPrefix(id, "dead ") {
					continue // beside its exception
				}
				id, given := strings.CutPrefix(id, "MASTER_DATA_MISSING/")
				s, _, _ := strings.Cut(id, "-")
				if len(waits[s]) == 0 || waits[s][0].id != id {
					rt.Fatalf("%s left, %v wait", id, waits[s])
				}
				if age := l.task.Clock - waits[s][0].since; given && (age < time.Hour.Microseconds() || known[s]) {
					rt.Fatalf("%s is given up after %d us, known: %v", id, age, known[s])
				}
				waits[s] = waits[s][1:]
			}
		}
		for i := range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0, 1, 2, 3:
				s := sku.Draw(rt, "sku")
				id := fmt.Sprint(s, "-", i)
				p := &event.ParkedEvent{EventID: id, Missing: event.MissingKindItem, System: "wms", Code: s, ParkedAt: event.Micros(l.task.Clock), Event: l.task.Serde.Append(nil, scan(id, s, "EA"))}
				if err := l.park(parkedOutput(l, p)); err != nil {
					rt.Fatal(err)
				}
				if rapid.IntRange(0, 4).Draw(rt, "aborted") == 0 {
					l.task.Abort()
					continue
				}
				waits[s] = append(waits[s], waiting{id, l.task.Clock})
				take(l.ids(rt, l.task.Commit()))
			case 4:
				s := sku.Draw(rt, "known")
				version++
				l.item(rt, s, version)
				known[s] = true
			case 5:
				s := sku.Draw(rt, "withdrawn")
				l.tables.DeleteItem(s)
				known[s] = false
			case 6:
				l.restart()
				l.lookAgain(rt, 2)
			case 7:
				l.lookAgain(rt, rapid.IntRange(1, 3).Draw(rt, "limit"))
			case 8:
				out, _, err := l.task.FireTimers(rapid.IntRange(1, 4).Draw(rt, "limit"))
				if err != nil {
					rt.Fatal(err)
				}
				take(l.ids(rt, out))
			case 9:
				ids, _ := l.later(rt, time.Duration(rapid.IntRange(0, 45).Draw(rt, "minutes"))*time.Minute, rapid.IntRange(1, 5).Draw(rt, "limit"))
				take(ids)
				for s, w := range waits {
					if len(w) > 0 && l.task.Clock-w[0].since >= time.Hour.Microseconds() {
						rt.Fatalf("%s %v waits for longer than the limit", s, w)
					}
				}
			}
		}
		ids, _ := l.later(rt, 2*time.Hour, 3)
		take(ids)
		for s, w := range waits {
			if len(w) > 0 {
				rt.Fatalf("%s %v waits for ever", s, w)
			}
		}
		if _, set := l.task.NextTimer(); set || l.task.Store(parking.References).Len()+l.task.Store(parking.Events).Len() > 0 {
			rt.Fatal("a timer, a reference or an event is left")
		}
	})
}
