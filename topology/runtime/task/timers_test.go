package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// clockwork is a processor that sets and cancels timers as the record's value says ("set a 7; cancel b"), and tells of each that
// comes. One of the name "count" is a continuation: it emits as many records as it may, and comes again until its key, a number,
// is used up.
type clockwork struct {
	onTimer func(ctx processors.Context, t processors.Timer) error
}

func (p *clockwork) Process(ctx processors.Context, r *processors.Record) error {
	for _, line := range strings.Split(string(r.Value), "; ") {
		var name string
		var at int64
		if n, _ := fmt.Sscanf(line, "set %s %d", &name, &at); n == 2 {
			ctx.SetTimer(name, r.Key, at)
		} else if n, _ := fmt.Sscanf(line, "cancel %s", &name); n == 1 {
			ctx.CancelTimer(name, r.Key)
		} else {
			return processors.Rejectf("NO", "", "%q", line)
		}
	}
	return nil
}

func (p *clockwork) OnTimer(ctx processors.Context, t processors.Timer, limit int) error {
	if ctx.Record() != nil {
		return errors.New("a record is in hand")
	}
	if _, set := ctx.TimerAt(t.Name, t.Key); set {
		return errors.New("the timer is still set")
	}
	if p.onTimer != nil {
		return p.onTimer(ctx, t)
	}
	if t.Name == "chain" {
		ctx.SetTimer("a", append([]byte("of "), t.Key...), ctx.Now())
	}
	if t.Name != "count" {
		ctx.EmitRaw(topics.Ledger, t.Key, fmt.Appendf(nil, "%s at %d", t.Name, t.At), nil)
		return nil
	}
	s := ctx.Store(0)
	done := len(s.Get(t.Key))
	var total int
	_, _ = fmt.Sscan(string(t.Key), &total)
	n := min(limit, total-done)
	for range n {
		ctx.EmitRaw(topics.Ledger, t.Key, []byte("one"), nil)
	}
	s.Put(t.Key, make([]byte, done+n))
	if done+n < total {
		ctx.SetTimer(t.Name, t.Key, ctx.Now())
	}
	return nil
}

// wound is a task of clockwork over stores.
func wound(p *clockwork, stores ...*store.Partition) (*Task, *taken) {
	sink := &taken{}
	if len(stores) == 0 {
		stores = []*store.Partition{store.New(), store.New()}
	}
	return New(Config{
		Stage: topology.Stage{Name: "clockwork", Stores: []topology.Store{{Name: "s"}, {Name: "timers", Timers: true}}, New: func() processors.Processor { return p }},
		Serde: serde.Local(), Stores: stores, Arena: &Arena{}, Sink: sink,
	}), sink
}

func (t *Task) commitNow(tb interface{ Fatal(...any) }) {
	if err := t.Flush(); err != nil {
		tb.Fatal(err)
	}
	t.Commit()
}

func next(tb interface{ Fatal(...any) }, task *Task) int64 {
	at, set, err := task.NextTimer()
	if err != nil {
		tb.Fatal(err)
	}
	if !set {
		return -1
	}
	return at
}

func fire(tb interface{ Fatal(...any) }, task *Task, now int64, limit int) int {
	next(tb, task)
	task.Begin(now)
	n, err := task.FireTimers(limit)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestTimersComeOnceTheLongestDueFirst(t *testing.T) {
	task, sink := wound(&clockwork{})
	task.Begin(1)
	process(t, task, record(0, "k", "set b 20; set a 30; set c 10; set late 99"))
	process(t, task, record(1, "l", "set b 15"))
	task.commitNow(t)
	if at := next(t, task); at != 10 || task.Timers() != 5 {
		t.Fatalf("the next of %d is due at %d", task.Timers(), at)
	}
	if n := fire(t, task, 30, 100); n != 4 {
		t.Errorf("%d came", n)
	}
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=c at 10", "ledger l=b at 15", "ledger k=b at 20", "ledger k=a at 30")
	if n := fire(t, task, 98, 100); n != 0 || next(t, task) != 99 {
		t.Errorf("%d came again, the next is due at %d", n, next(t, task))
	}
	task.Abort()
}

func TestTimerMovesAndIsCancelled(t *testing.T) {
	task, sink := wound(&clockwork{})
	task.Begin(1)
	process(t, task, record(0, "k", "set a 10; set b 10; set c 10; set a 50"))
	process(t, task, record(1, "k", "cancel b; set c 5"))
	task.commitNow(t)
	fire(t, task, 20, 100)
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=c at 5")
	task.Begin(20)
	process(t, task, record(2, "k", "cancel a"))
	task.commitNow(t)
	if at := next(t, task); at != -1 {
		t.Errorf("one is due at %d", at)
	}
}

func TestTimerOfARejectedRecordIsNotSet(t *testing.T) {
	task, _ := wound(&clockwork{})
	task.Begin(1)
	process(t, task, record(0, "k", "set a 20"))
	process(t, task, record(1, "k", "set a 10; set b 10; nonsense"))
	if task.Rejected() == nil {
		t.Fatal("not rejected")
	}
	task.commitNow(t)
	if at := next(t, task); at != 20 || task.Timers() != 1 {
		t.Errorf("%d are set, the next is due at %d", task.Timers(), at)
	}
}

func TestAbortedTransactionLeavesTimersAsTheyWere(t *testing.T) {
	task, sink := wound(&clockwork{})
	task.Begin(1)
	process(t, task, record(0, "k", "set a 10; set b 11"))
	task.commitNow(t)
	for range 3 {
		if n := fire(t, task, 50, 100); n != 2 {
			t.Fatalf("%d came", n)
		}
		process(t, task, record(1, "k", "set a 5; set c 6"))
		task.Abort()
		if at := next(t, task); at != 10 || task.Timers() != 2 {
			t.Fatalf("after an abort %d are set, the next is due at %d", task.Timers(), at)
		}
	}
	sink.outputs = nil
	fire(t, task, 50, 100)
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=a at 10", "ledger k=b at 11")
}

// A continuation emits what it may and comes again in a later transaction, behind what was due before; so two of them take turns.
func TestContinuationComesInALaterTransactionBehindWhatWasDueBefore(t *testing.T) {
	task, sink := wound(&clockwork{})
	next(t, task) // those that are set from here on keep their order
	task.Begin(10)
	process(t, task, record(0, "25", "set count 10"))
	process(t, task, record(1, "24", "set count 10"))
	process(t, task, record(2, "k", "set a 10"))
	task.commitNow(t)
	var turns []string
	for i := int64(0); next(t, task) >= 0; i++ {
		sink.outputs = nil
		fire(t, task, 10, 10)
		task.commitNow(t)
		if len(sink.outputs) > 10 {
			t.Fatalf("%d records in a transaction of 10", len(sink.outputs))
		}
		seen := map[string]int{}
		for _, o := range sink.outputs {
			seen[o]++
		}
		turns = append(turns, fmt.Sprint(seen))
	}
	expect(t, "transactions", turns, "map[ledger 25=one:10]", "map[ledger 24=one:10]", "map[ledger 25=one:9 ledger k=a at 10:1]",
		"map[ledger 24=one:10]", "map[ledger 24=one:4 ledger 25=one:6]")
}

func TestTimerThatATimerSetsComesInALaterTransaction(t *testing.T) {
	task, sink := wound(&clockwork{})
	task.Begin(1)
	process(t, task, record(0, "k", "set chain 5"))
	task.commitNow(t)
	if n := fire(t, task, 10, 100); n != 1 {
		t.Errorf("%d came at once", n)
	}
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=chain at 5")
	fire(t, task, 10, 100)
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=chain at 5", "ledger of k=a at 10")
}

func TestTimersOutliveARestart(t *testing.T) {
	stores := []*store.Partition{store.New(), store.New()}
	task, _ := wound(&clockwork{}, stores...)
	task.Begin(1)
	process(t, task, record(0, "k", "set a 30; set b 20; set b 40"))
	task.commitNow(t)
	again := []*store.Partition{store.New(), store.New()}
	for i, s := range stores {
		s.Each(func(key, value []byte) bool { return again[i].Restore(key, value) == nil })
	}
	task, sink := wound(&clockwork{}, again...)
	if at := next(t, task); at != 30 {
		t.Fatalf("the next is due at %d", at)
	}
	fire(t, task, 100, 100)
	task.commitNow(t)
	expect(t, "came", sink.outputs, "ledger k=a at 30", "ledger k=b at 40")
}

// No record can be rejected for what a timer does, and to drop the timer would drop its work: the stage stops by name.
func TestTimerThatFailsStopsTheStage(t *testing.T) {
	for _, c := range []struct {
		name    string
		onTimer func(processors.Context, processors.Timer) error
		fatal   bool
	}{
		{"rejection", func(processors.Context, processors.Timer) error { return processors.Rejectf("NO", "", "no") }, true},
		{"error", func(processors.Context, processors.Timer) error { return errors.New("no") }, true},
		{"panic", func(processors.Context, processors.Timer) error { panic("no") }, false},
		{"too large an output", func(ctx processors.Context, _ processors.Timer) error {
			ctx.EmitRaw(topics.Ledger, nil, make([]byte, 2<<20), nil)
			return nil
		}, true},
	} {
		task, sink := wound(&clockwork{onTimer: c.onTimer})
		task.Begin(1)
		process(t, task, record(0, "k", "set a 1"))
		task.commitNow(t)
		next(t, task)
		task.Begin(2)
		_, err := task.FireTimers(10)
		var fatal *processors.Fatal
		var panicked *PanicError
		if c.fatal != errors.As(err, &fatal) || c.fatal == (errors.As(err, &panicked) && panicked.Tag == NoRecord) {
			t.Errorf("%s: %v", c.name, err)
		}
		task.Abort()
		if at := next(t, task); at != 1 || len(sink.outputs) != 0 {
			t.Errorf("%s: the timer is due at %d, %q came of it", c.name, at, sink.outputs)
		}
	}
}

func TestTimersThatDoNotReadStopTheStage(t *testing.T) {
	timers := store.New()
	if err := timers.Restore([]byte("\x01ak"), []byte("no time")); err != nil {
		t.Fatal(err)
	}
	task, _ := wound(&clockwork{}, store.New(), timers)
	var fatal *processors.Fatal
	if _, _, err := task.NextTimer(); !errors.As(err, &fatal) {
		t.Errorf("%v", err)
	}
}

func TestTimerKeysAreToldApart(t *testing.T) {
	long := strings.Repeat("n", 300)
	var timers timers
	for _, c := range [][2]string{{"", ""}, {"a", ""}, {"", "a"}, {"a", "b"}, {"ab", ""}, {long, "k\x00\xff"}} {
		name, key, ok := splitTimerKey(string(timers.keyOf(c[0], []byte(c[1]))))
		if !ok || name != c[0] || key != c[1] {
			t.Errorf("%q is read as %q of %q", c, name, key)
		}
	}
	for _, bad := range []string{"", "\x05abc", "\xff\xff\xff\xff\xff\xff"} {
		if _, _, ok := splitTimerKey(bad); ok {
			t.Errorf("%q is a timer's key", bad)
		}
	}
}

// TestI7QueueOfTimersIsBoundedAndForgetsNone plays what a task can do with timers beside a plain map of them: they come exactly
// when they are due, and the queue has a bound that is far below their number.
func TestI7QueueOfTimersIsBoundedAndForgetsNone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		stores := []*store.Partition{store.New(), store.New()}
		task, sink := wound(&clockwork{}, stores...)
		task.timers.max = 3
		set := map[string]int64{} // "name key"
		now := int64(100)
		for i := range rapid.IntRange(1, 100).Draw(rt, "steps") {
			abort := rapid.IntRange(0, 3).Draw(rt, "abort") == 0
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1, 2:
				task.Begin(now)
				kept := map[string]int64{}
				for k, v := range set {
					kept[k] = v
				}
				for j := range rapid.IntRange(1, 8).Draw(rt, "records") {
					name, key := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "name"), fmt.Sprint("k", rapid.IntRange(0, 12).Draw(rt, "key"))
					value := "cancel " + name
					if at := now + rapid.Int64Range(-5, 30).Draw(rt, "in"); rapid.IntRange(0, 3).Draw(rt, "what") > 0 {
						value = fmt.Sprintf("set %s %d", name, at)
						kept[name+" "+key] = at
					} else {
						delete(kept, name+" "+key)
					}
					if err := task.Process(record(int64(100*i+j), key, value)); err != nil {
						rt.Fatal(err)
					}
				}
				if abort {
					task.Abort()
				} else {
					task.commitNow(rt)
					set = kept
				}
			case 3, 4:
				now += rapid.Int64Range(-3, 20).Draw(rt, "by")
				sink.outputs = nil
				limit := rapid.IntRange(1, 4).Draw(rt, "limit")
				n := fire(rt, task, now, limit)
				var due []int64
				for _, at := range set {
					if at <= now {
						due = append(due, at)
					}
				}
				slices.Sort(due)
				if n > limit || n < min(1, len(due)) || n > len(due) {
					rt.Fatalf("%d came of %d that are due", n, len(due))
				}
				came := map[string]int64{}
				for j, o := range sink.outputs {
					var name, key string
					var at int64
					o = strings.NewReplacer("ledger ", "", "=", " ", " at", "").Replace(o)
					if _, err := fmt.Sscan(o, &key, &name, &at); err != nil || set[name+" "+key] != at || at != due[j] {
						rt.Fatalf("%s came, %v are due (%v)", o, due, err)
					}
					came[name+" "+key] = at
				}
				if abort {
					task.Abort()
					continue
				}
				task.commitNow(rt)
				for k := range came {
					delete(set, k)
				}
			case 5:
				task, sink = wound(&clockwork{}, stores...)
				task.timers.max = 3
			}
			want := int64(-1)
			for _, at := range set {
				if want < 0 || at < want {
					want = at
				}
			}
			if at := next(rt, task); at != want || task.Timers() != len(set) {
				rt.Fatalf("%d are set and the next is due at %d, it should be %d at %d", task.Timers(), at, len(set), want)
			}
			if n := len(task.timers.queue); n >= 6 {
				rt.Fatalf("%d in the queue", n)
			}
		}
	})
}
