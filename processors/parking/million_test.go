package parking_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/processors/enrich"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/runtime/task"
	"crossdock/topology/topics"
)

// tally is a Sink that counts what comes out, by topic, and what of it came under some keys.
type tally struct {
	out  [topics.Count]int
	keys map[string]int
}

func (s *tally) Output(_ *task.Task, o *task.Output) {
	s.out[o.To]++
	if n, watched := s.keys[string(o.Key)]; watched {
		s.keys[string(o.Key)] = n + 1
	}
}

func (*tally) Changelog(*task.Task, int, []byte, []byte, uint32) {}

// crowd is how many events wait for one reference; CROSSDOCK_TEST_PARKED=1000000 makes it a million.
func crowd(t *testing.T) int {
	n := 100_000
	if s := os.Getenv("CROSSDOCK_TEST_PARKED"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// N5: a million events of one reference leave in transactions of a thousand, on the runtime's own task code. Between any two of
// them others go on: a record of another key passes, what waits for another reference leaves at its turn, and what arrives
// for the same reference queues behind.
func TestN5AMillionEventsOfOneReferenceHoldUpNobodyElse(t *testing.T) {
	const limit = 1000
	n := crowd(t)
	var tables masterdata.Tables
	if _, err := tables.ApplySite(&event.SiteMaster{Site: "DC1", Version: 1}); err != nil {
		t.Fatal(err)
	}
	know := func(skus ...string) {
		for _, sku := range skus {
			if _, err := tables.ApplyItem(&event.ItemMaster{SKU: sku, Version: 1, BaseUOM: "EA", Integral: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	sink := &tally{keys: map[string]int{"TEA|DC1": 0, "CUP|DC1": 0, "POT|DC1": 0}}
	var arena task.Arena
	stage := topology.Stage{
		Name: parking.Stage, Stores: []topology.Store{{Name: "references"}, {Name: "events"}, {Name: "timers", Timers: true}},
		New: func() processors.Processor {
			return parking.New(parking.Options{Tables: &tables, Finisher: enrich.NewResolver(&tables), Codec: serde.Local(), Limit: week})
		},
	}
	run := task.New(task.Config{Stage: stage, Serde: serde.Local(), Stores: []*store.Partition{store.New(), store.New(), store.New()}, Arena: &arena, Sink: sink})
	clock, offset := int64(now), int64(0)
	commit := func() {
		if err := run.Flush(); err != nil {
			t.Fatal(err)
		}
		run.Commit()
		arena.Reset()
	}
	arrive := func(id, sku string) {
		p := &event.ParkedEvent{EventID: id, Missing: event.MissingKindItem, System: "wms", Code: sku, ParkedAt: now, Event: serde.Local().Append(nil, scan(id, sku, "EA"))}
		offset++
		if err := run.Process(&processors.Record{Topic: "parking-inbox", Offset: offset, Key: masterdata.ReferenceOf(p).AppendKey(nil), Value: serde.Local().Append(nil, p)}); err != nil {
			t.Fatal(err)
		}
	}
	fire := func() {
		t.Helper()
		if _, _, err := run.NextTimer(); err != nil {
			t.Fatal(err)
		}
		before := sink.out[topics.InventoryInbox]
		run.Begin(clock)
		if _, err := run.FireTimers(limit); err != nil {
			t.Fatal(err)
		}
		commit()
		if made := sink.out[topics.InventoryInbox] - before; made > limit {
			t.Fatalf("a transaction made %d records", made)
		}
	}
	for i := range n {
		if i%10_000 == 0 {
			commit()
			run.Begin(clock)
		}
		arrive(fmt.Sprint("e", i), "TEA")
	}
	arrive("c", "CUP")
	commit()

	know("TEA", "POT")
	began := time.Now()
	look := func() {
		run.Begin(clock)
		for more := true; more; {
			var err error
			if more, err = run.TablesChanged(limit); err != nil {
				t.Fatal(err)
			}
		}
		commit()
	}
	look()
	transactions, late := 0, 0
	var longest time.Duration
	for sink.keys["TEA|DC1"] < n+late {
		clock++
		from := time.Now()
		fire()
		longest = max(longest, time.Since(from))
		transactions++
		if transactions > n/limit*2+10 {
			t.Fatalf("%d of %d have left after %d transactions", sink.keys["TEA|DC1"], n+late, transactions)
		}
		switch transactions {
		case n / limit / 4: // another reference becomes known
			know("CUP")
			look()
		case n/limit/4 + 2:
			if sink.keys["CUP|DC1"] != 1 {
				t.Error("what waited for another reference has not left after two transactions")
			}
		case n / limit / 2: // one arrives for the same reference
			run.Begin(clock)
			arrive("behind", "TEA")
			commit()
			late++
		}
		if transactions%10 == 0 { // a record whose reference is known
			before := sink.keys["POT|DC1"]
			run.Begin(clock)
			arrive(fmt.Sprint("pot", transactions), "POT")
			commit()
			if sink.keys["POT|DC1"] != before+1 {
				t.Fatal("a record of another key waited")
			}
		}
	}
	t.Logf("%d events left in %d transactions, %v; the longest took %v", n+late, transactions, time.Since(began).Round(time.Millisecond), longest.Round(time.Microsecond))
	fire()
	for i, s := range run.Stores() {
		if s.Len() != 0 {
			t.Errorf("store %d has %d keys left", i, s.Len())
		}
	}
	if sink.keys["TEA|DC1"] != n+late || sink.keys["CUP|DC1"] != 1 {
		t.Errorf("left: %v", sink.keys)
	}
}
