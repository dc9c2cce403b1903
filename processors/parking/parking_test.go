package parking_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/processors/enrich"
	"crossdock/processors/internal/fake"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/topology/topics"
)

const now = 1_764_000_000_000_000

type lot struct {
	tables   masterdata.Tables
	counters parking.Counters
	task     *fake.Task
	enrich   *fake.Task
	offset   int64
	limit    time.Duration // 0: none
}

func newLot(t testing.TB) *lot {
	l := new(lot)
	if _, err := l.tables.ApplySite(&event.SiteMaster{Site: "DC1", Version: 1}); err != nil {
		t.Fatal(err)
	}
	l.enrich = fake.NewTask(enrich.New(&l.tables), 0)
	l.task = fake.NewTask(l.processor(), 2)
	l.enrich.Clock, l.task.Clock = now, now
	return l
}

func (l *lot) processor() processors.Processor {
	return parking.New(parking.Options{Tables: &l.tables, Finisher: enrich.NewResolver(&l.tables), Codec: serde.Local(),
		Naming: topics.Naming{Prefix: "x."}, Limit: l.limit, Counters: &l.counters})
}

func (l *lot) item(t interface{ Fatal(...any) }, sku string, version int64, uoms ...string) {
	e := &event.ItemMaster{SKU: sku, Version: version, BaseUOM: "EA", Integral: true}
	for _, u := range uoms {
		e.UOMs = append(e.UOMs, event.ItemUnit{UOM: u, Num: 12, Den: 1})
	}
	if _, err := l.tables.ApplyItem(e); err != nil {
		t.Fatal(err)
	}
}

func scan(id, sku, uom string) *event.InventoryMovement {
	return &event.InventoryMovement{Header: event.EventHeader{EventID: id, DedupeKey: id, SourceSystem: "wms", Site: "DC1", EventTime: now},
		SKU: sku, Type: event.MovementTypeReceipt, QtySrc: event.QuantityScale, UOMSrc: uom}
}

// arrive enriches a movement and gives the task what is parked of it. It returns what went on at once.
func (l *lot) arrive(t interface{ Fatal(...any) }, m *event.InventoryMovement, headers ...processors.Header) []fake.Output {
	if err := l.enrich.Process(processors.Record{Topic: "x.movements", Value: l.enrich.Serde.Append(nil, m), Headers: headers}); err != nil {
		t.Fatal(err)
	}
	var on []fake.Output
	for _, o := range l.enrich.Commit() {
		if o.To != topics.ParkingInbox {
			on = append(on, o)
			continue
		}
		if err := l.park(o); err != nil {
			t.Fatal(err)
		}
	}
	return on
}

func (l *lot) park(o fake.Output) error {
	l.offset++
	return l.task.Process(processors.Record{Topic: "x.parking-inbox", Partition: 3, Offset: l.offset, Key: o.Key, Value: o.Value, Headers: o.Headers})
}

// ids are the events among outputs, in order, with the topic where it is not the inventory inbox.
func (l *lot) ids(t interface{ Fatal(...any) }, out []fake.Output) (ids []string) {
	for _, o := range out {
		kind, err := l.task.Serde.Kind(o.Value)
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case event.KindInventoryMovement:
			var m event.InventoryMovement
			if err := l.task.Serde.Decode(o.Value, &m); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, m.Header.EventID)
		case event.KindParkedEvent:
			var p event.ParkedEvent
			if err := l.task.Serde.Decode(o.Value, &p); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, p.EventID+" for "+string(o.Key))
		case event.KindLogisticsException:
			var x event.LogisticsException
			if err := l.task.Serde.Decode(o.Value, &x); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, x.ExceptionID)
		case event.KindDeadLetter:
			var d event.DeadLetter
			if err := l.task.Serde.Decode(o.Value, &d); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, "dead "+d.ID+" "+d.Cause)
		}
	}
	return ids
}

// release looks again until there is no more, and lets go what can.
func (l *lot) release(t interface{ Fatal(...any) }, limit int) (ids []string, calls int) {
	l.lookAgain(t, limit)
	out, calls := l.fire(t, limit)
	return l.ids(t, out), calls
}

func (l *lot) lookAgain(t interface{ Fatal(...any) }, limit int) {
	for more := true; more; {
		var out []fake.Output
		var err error
		if out, more, err = l.task.TablesChanged(limit); err != nil {
			t.Fatal(err)
		}
		if len(out) > 0 {
			t.Fatal("looking lets nothing go: ", l.ids(t, out))
		}
	}
}

// fire calls timers until none is due.
func (l *lot) fire(t interface{ Fatal(...any) }, limit int) (all []fake.Output, calls int) {
	for more := true; more; calls++ {
		var out []fake.Output
		var err error
		if out, more, err = l.task.FireTimers(limit); err != nil {
			t.Fatal(err)
		}
		if len(out) > max(limit, 2)+1 {
			t.Fatal(fmt.Sprintf("%d records in one call, the limit is %d", len(out), limit))
		}
		all = append(all, out...)
	}
	return all, calls
}

func TestN5EventsLeaveInTheOrderOfArrivalBoundedByTheLimit(t *testing.T) {
	l := newLot(t)
	var want []string
	for i := range 25 {
		id := fmt.Sprint("e", i)
		want = append(want, id)
		l.arrive(t, scan(id, "TEA", "EA"))
	}
	l.task.Commit()
	l.item(t, "TEA", 1)
	got, calls := l.release(t, 10)
	if !slices.Equal(got, want) {
		t.Errorf("left in the order %v", got)
	}
	if calls < 3 {
		t.Errorf("25 events left in %d calls of at most 10", calls)
	}
	if r, e := l.task.Store(parking.References).Len(), l.task.Store(parking.Events).Len(); r != 0 || e != 0 {
		t.Errorf("%d references and %d events are left", r, e)
	}
	if l.counters.Parked.Load() != 25 || l.counters.Released.Load() != 25 {
		t.Errorf("%d parked, %d released", l.counters.Parked.Load(), l.counters.Released.Load())
	}
}

func TestN5WhatArrivesQueuesBehindWhatWaits(t *testing.T) {
	l := newLot(t)
	l.arrive(t, scan("first", "TEA", "EA"))
	second := l.parkedBy(t, scan("second", "TEA", "EA"))
	third := l.parkedBy(t, scan("third", "TEA", "EA"))
	l.task.Commit()
	l.item(t, "TEA", 1)
	// The tables know it, and nobody has looked again yet.
	if err := l.park(second); err != nil {
		t.Fatal(err)
	}
	if out := l.task.Commit(); len(out) != 0 {
		t.Errorf("%v passed what waits", l.ids(t, out))
	}
	if got, _ := l.release(t, 100); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("left in the order %v", got)
	}
	// Nothing waits now: it passes at once.
	if err := l.park(third); err != nil {
		t.Fatal(err)
	}
	if got := l.ids(t, l.task.Commit()); !slices.Equal(got, []string{"third"}) || l.counters.Passed.Load() != 1 {
		t.Errorf("%v passed", got)
	}
}

// parkedBy is what the enrich stage would park of a movement now.
func (l *lot) parkedBy(t *testing.T, m *event.InventoryMovement) fake.Output {
	t.Helper()
	if err := l.enrich.Process(processors.Record{Topic: "x.movements", Value: l.enrich.Serde.Append(nil, m)}); err != nil {
		t.Fatal(err)
	}
	out := l.enrich.Commit()
	if len(out) != 1 || out[0].To != topics.ParkingInbox {
		t.Fatal("it was not parked")
	}
	return out[0]
}

func TestAbortedReleaseIsDoneAgain(t *testing.T) {
	l := newLot(t)
	for i := range 5 {
		l.arrive(t, scan(fmt.Sprint("e", i), "TEA", "EA"))
	}
	l.task.Commit()
	l.item(t, "TEA", 1)
	// The transaction is lost after the processor has done everything: the stores are as they were.
	aborting := &abortOnce{Processor: l.processor()}
	l.task = l.task.Restarted(aborting)
	l.lookAgain(t, 100)
	if _, _, err := l.task.FireTimers(100); err == nil {
		t.Fatal("it was to fail once")
	}
	if got, _ := l.release(t, 100); !slices.Equal(got, []string{"e0", "e1", "e2", "e3", "e4"}) {
		t.Errorf("left after the abort: %v", got)
	}
	if got, calls := l.release(t, 100); len(got) != 0 || calls != 1 {
		t.Errorf("left once more: %v in %d calls", got, calls)
	}
}

type abortOnce struct {
	processors.Processor
	done bool
}

func (a *abortOnce) TablesChanged(ctx processors.Context, limit int) (bool, error) {
	return a.Processor.(processors.TableWatcher).TablesChanged(ctx, limit)
}

func (a *abortOnce) OnTimer(ctx processors.Context, timer processors.Timer, limit int) error {
	err := a.Processor.(processors.TimerHandler).OnTimer(ctx, timer, limit)
	if !a.done {
		a.done = true
		return errors.New("the transaction is aborted")
	}
	return err
}

func TestSecondMissingReferenceMovesTheEventOn(t *testing.T) {
	l := newLot(t)
	trace := processors.Header{Key: "traceparent", Value: []byte("00-1-2-01")}
	l.arrive(t, scan("e", "TEA", "CA"), trace)
	l.task.Commit()
	l.task.Clock = now + 5
	l.item(t, "TEA", 1)
	l.lookAgain(t, 100)
	out, _ := l.fire(t, 100)
	if got := l.ids(t, out); !slices.Equal(got, []string{"e for UNIT|TEA|CA"}) {
		t.Fatalf("moved on as %v", got)
	}
	var p event.ParkedEvent
	var m event.InventoryMovement
	if err := l.task.Serde.Decode(out[0].Value, &p); err != nil {
		t.Fatal(err)
	}
	if err := l.task.Serde.Decode(p.Event, &m); err != nil {
		t.Fatal(err)
	}
	if p.Hops != 1 || p.ParkedAt != now || m.SKU != "TEA" || p.SKU.Value != "TEA" {
		t.Errorf("hops %d, parked at %d, SKU %s of %s", p.Hops, p.ParkedAt, m.SKU, p.SKU.Value)
	}
	if err := l.park(out[0]); err != nil {
		t.Fatal(err)
	}
	l.task.Commit()
	l.item(t, "TEA", 2, "CA")
	l.lookAgain(t, 100)
	out, _ = l.fire(t, 100)
	if got := l.ids(t, out); !slices.Equal(got, []string{"e"}) || out[0].To != topics.InventoryInbox || string(out[0].Key) != "TEA|DC1" {
		t.Fatalf("came to %v", got)
	}
	if len(out[0].Headers) != 1 || string(out[0].Headers[0].Value) != "00-1-2-01" {
		t.Errorf("arrived with headers %v", out[0].Headers)
	}
}

func TestTablesThatKeepChangingDoNotKeepTheStageLooking(t *testing.T) {
	l := newLot(t)
	l.arrive(t, scan("a", "TEA", "EA"))
	l.arrive(t, scan("b", "CUP", "EA"))
	l.task.Commit()
	resolver := enrich.NewResolver(&l.tables)
	version := int64(1)
	l.task = l.task.Restarted(parking.New(parking.Options{Tables: &l.tables, Codec: serde.Local(), Finisher: finisher(
		func(ctx processors.Context, p *event.ParkedEvent, e event.Record) error {
			version++
			l.item(t, "OTHER", version) // another record of a long table arrives meanwhile
			return resolver.Resume(ctx, p, e)
		})}))
	l.item(t, "TEA", 1)
	if got, calls := l.release(t, 100); !slices.Equal(got, []string{"a"}) || calls != 1 {
		t.Errorf("%v left in %d calls", got, calls)
	}
	// What became known while others left is seen by the next call.
	l.item(t, "CUP", 1)
	if got, _ := l.release(t, 100); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v left", got)
	}
}

type finisher func(ctx processors.Context, p *event.ParkedEvent, e event.Record) error

func (f finisher) Resume(ctx processors.Context, p *event.ParkedEvent, e event.Record) error {
	return f(ctx, p, e)
}

func (finisher) GiveUp(processors.Context, *event.ParkedEvent, event.Record, string, time.Duration) {}

func TestHopsAreLimitedToTheReferencesOfTheEvent(t *testing.T) {
	l := newLot(t)
	o := l.parkedBy(t, scan("e", "TEA", "CA"))
	for hop := range 3 {
		var p event.ParkedEvent
		if err := l.task.Serde.Decode(o.Value, &p); err != nil {
			t.Fatal(err)
		}
		if int(p.Hops) != hop {
			t.Fatalf("hop %d is counted as %d", hop, p.Hops)
		}
		// Master data comes and goes: each time the event gets on, something else is missing.
		if p.Missing == event.MissingKindUnit {
			l.item(t, "TEA", int64(100+hop), "CA")
			l.tables.DeleteSite("DC1")
		} else {
			_, _ = l.tables.ApplySite(&event.SiteMaster{Site: "DC1", Version: 1})
			l.tables.DeleteItem("TEA")
			l.item(t, "TEA", int64(hop+1))
		}
		if err := l.park(o); err != nil {
			t.Fatal(err)
		}
		out := l.task.Commit()
		if len(out) == 0 {
			t.Fatal("it waits for what is known")
		}
		if o = out[0]; o.To != topics.ParkingInbox {
			break
		}
	}
	for i := 0; o.To == topics.ParkingInbox && i < 10; i++ {
		l.item(t, "TEA", int64(200+i))
		_, _ = l.tables.ApplySite(&event.SiteMaster{Site: "DC1", Version: 2})
		var p event.ParkedEvent
		_ = l.task.Serde.Decode(o.Value, &p)
		p.Missing, p.Code, p.SKU = event.MissingKindItem, "TEA", event.Optional[string]{}
		if err := l.park(fake.Output{Key: masterdata.ReferenceOf(&p).AppendKey(nil), Value: l.task.Serde.Append(nil, &p)}); err != nil {
			t.Fatal(err)
		}
		o = l.task.Commit()[0]
	}
	if got := l.ids(t, []fake.Output{o}); o.To != topics.Exceptions || !strings.HasPrefix(got[0], enrich.ClassParkedTooLong) {
		t.Errorf("it ends as %v", got)
	}
}

func TestEventThatIsRefusedAfterWaitingIsADeadLetterAndTheOthersFollow(t *testing.T) {
	l := newLot(t)
	bad := scan("bad", "TEA", "EA")
	bad.From, bad.To = event.Some(event.Place{}), event.Some(event.Place{}) // from the outside to the outside
	l.arrive(t, scan("a", "TEA", "EA"))
	l.arrive(t, bad)
	l.arrive(t, scan("b", "TEA", "EA"))
	l.task.Commit()
	l.item(t, "TEA", 1)
	if got, _ := l.release(t, 100); !slices.Equal(got, []string{"a", "dead x.parking-inbox/3/2/0 BAD_MOVEMENT", "b"}) {
		t.Errorf("left: %v", got)
	}
}

func TestKeyMustBeTheMissingReference(t *testing.T) {
	l := newLot(t)
	o := l.parkedBy(t, scan("e", "TEA", "EA"))
	o.Key = []byte("ITEM|wms|CUP")
	var rejection *processors.Rejection
	if err := l.park(o); !errors.As(err, &rejection) || rejection.Cause != processors.BadKey {
		t.Errorf("got %v", err)
	}
}

// TestN5NothingIsLostAndOrderIsKept plays arrivals, master data that comes and goes, aborts and restarts, and holds what comes
// out against one list per reference.
func TestN5NothingIsLostAndOrderIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLot(t)
		waits := map[string][]string{} // by SKU, in order
		var arrived, left []string
		version := int64(0)
		known := map[string]bool{}
		sku := rapid.SampledFrom([]string{"A", "B", "C"})
		take := func(ids []string) {
			for _, id := range ids {
				s, _, _ := strings.Cut(id, "-")
				if len(waits[s]) == 0 || waits[s][0] != id {
					rt.Fatalf("%s left, %v wait", id, waits[s])
				}
				waits[s] = waits[s][1:]
				left = append(left, id)
			}
		}
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0, 1, 2, 3, 4:
				s := sku.Draw(rt, "sku")
				id := fmt.Sprint(s, "-", i)
				arrived = append(arrived, id)
				// In the topology this would come by way of enrich, and be parked only if unknown there; here another
				// instance parks it, whose tables are behind.
				m := scan(id, s, "EA")
				p := &event.ParkedEvent{EventID: id, Missing: event.MissingKindItem, System: "wms", Code: s, ParkedAt: now, Event: l.task.Serde.Append(nil, m)}
				if err := l.park(fake.Output{Key: masterdata.ReferenceOf(p).AppendKey(nil), Value: l.task.Serde.Append(nil, p)}); err != nil {
					rt.Fatal(err)
				}
				waits[s] = append(waits[s], id)
				take(l.ids(rt, l.task.Commit()))
			case 5, 6:
				s := sku.Draw(rt, "known")
				version++
				l.item(rt, s, version)
				known[s] = true
			case 7:
				s := sku.Draw(rt, "withdrawn")
				l.tables.DeleteItem(s)
				delete(known, s)
			case 8:
				l.task = l.task.Restarted(l.processor())
			case 9:
				ids, _ := l.release(rt, rapid.IntRange(1, 4).Draw(rt, "limit"))
				take(ids)
				for s := range known {
					if len(waits[s]) > 0 {
						rt.Fatalf("%v wait for %s, which is known", waits[s], s)
					}
				}
			}
			n := 0
			for _, w := range waits {
				n += len(w)
			}
			if events := l.task.Store(parking.Events).Len(); events != n {
				rt.Fatalf("%d events in the store, %d wait", events, n)
			}
			listed := uint64(0)
			if err := parking.List(l.task.Store(parking.References), func(w parking.Waiting) bool { listed += w.Events; return true }); err != nil || listed != uint64(n) {
				rt.Fatalf("%d listed, %d wait (%v)", listed, n, err)
			}
		}
		for _, s := range []string{"A", "B", "C"} {
			version++
			l.item(rt, s, version)
		}
		ids, _ := l.release(rt, 3)
		take(ids)
		slices.Sort(arrived)
		slices.Sort(left)
		if !slices.Equal(arrived, left) {
			rt.Fatalf("%v arrived, %v left", arrived, left)
		}
	})
}

func TestDamagedQueueStopsByName(t *testing.T) {
	l := newLot(t)
	l.task.Store(parking.References).Put([]byte("ITEM|wms|TEA"), []byte{1, 0, 7})
	var fatal *processors.Fatal
	if err := l.park(l.parkedBy(t, scan("e", "TEA", "EA"))); !errors.As(err, &fatal) {
		t.Errorf("got %v", err)
	}
}
