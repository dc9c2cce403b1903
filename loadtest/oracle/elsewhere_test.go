package oracle

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crossdock/avro/event"
	"crossdock/avro/serde"
)

// spoilt is what a run sent that must not reach a balance, and what a pipeline without a fault makes of it.
func spoilt(t *testing.T) (*Oracle, honest) {
	t.Helper()
	c, err := NewCatalogue([]event.ItemMaster{{SKU: "r1-TEA", BaseUOM: "EA", Integral: true}}, []event.SiteMaster{{Site: "DC1"}})
	if err != nil {
		t.Fatal(err)
	}
	o := New(Options{Runs: []string{"r1"}, Catalogue: c})
	s := serde.Local()
	scan := func(id, sku, unit string, qty event.Quantity) *event.InventoryMovement {
		m := move("wms:"+id+"/r1:1", sku, "DC1", event.BucketExternal, event.BucketAvailable, 0, 100)
		m.Header.EventID, m.QtySrc, m.UOMSrc = id, qty, unit
		return m
	}
	good := scan("good", "r1-TEA", "EA", 5*micro)
	half, unknown, crate := scan("half", "r1-TEA", "EA", micro/2), scan("unknown", "r1-POT", "EA", micro), scan("crate", "r1-TEA", "CRATE", micro)
	for _, m := range []*event.InventoryMovement{good, half, half, unknown, crate} {
		if _, err := o.Received(m); err != nil {
			t.Fatal(err)
		}
	}
	o.Aside() // a milestone
	key, cut := []byte("wms|DC1|r1-TEA"), s.Append(nil, good)
	cut = cut[:len(cut)-20]
	if _, err := o.Unreadable("BAD_RECORD", key, cut); err != nil {
		t.Fatal(err)
	}
	posted := *good
	posted.QtyDelta = good.QtySrc
	h := run([]*event.InventoryMovement{&posted})
	exception := func(m *event.InventoryMovement, class string) *event.LogisticsException {
		x := &event.LogisticsException{ExceptionID: class + "/" + m.Header.DedupeKey, Class: class, Reference: m.SKU}
		x.Header.CausationID = event.Some(m.Header.EventID)
		return x
	}
	parked := func(m *event.InventoryMovement, kind event.MissingKind) *event.ParkedEvent {
		return &event.ParkedEvent{EventID: m.Header.EventID, Missing: kind, Code: m.SKU, Event: s.Append(nil, m)}
	}
	h.letters = []*event.DeadLetter{{ID: "movements/0/7/0", Cause: "BAD_RECORD", Topic: "movements", Offset: 7, Key: event.Some(key), Value: event.Some(cut)}}
	h.exceptions = []*event.LogisticsException{exception(half, "UNIT_REMAINDER"), exception(half, "UNIT_REMAINDER")}
	h.parked = []*event.ParkedEvent{parked(unknown, event.MissingKindItem), parked(crate, event.MissingKindUnit)}
	return o, h
}

func TestWhatComesOutElsewhereIsVerified(t *testing.T) {
	o, h := spoilt(t)
	again := *h.parked[0] // found by a second reference: the same event goes on waiting
	again.Hops = 1
	h.parked = append(h.parked, &again)
	v := judge(o, h)
	if v.String() != "verified: 7 events, 0 lost, 0 duplicated" || v.Fates != [len(fateNames)]int64{Counted: 1, Refused: 4, Aside: 1, Unreadable: 1} {
		t.Errorf("%s: %v", v.String(), v.Fates)
	}
	want, got := map[Trouble]int32{
		{DeadLetters, "BAD_RECORD"}: 1, {Exceptions, "UNIT_REMAINDER"}: 2, {Parked, "ITEM"}: 1, {Parked, "UNIT"}: 1,
	}, map[Trouble]int32{}
	for _, trouble := range o.troubles {
		got[trouble.what] += trouble.sent
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Each wrong rule about what must not reach a balance, each fault of the readings behind the topics, and each mistake
// about whose stock it is must be seen, by the problem that it is.
func TestEveryWrongRuleBesideTheTopicsIsSeen(t *testing.T) {
	letter := func(cause, key, value string) *event.DeadLetter {
		return &event.DeadLetter{Cause: cause, Topic: "movements", Offset: 9, Key: event.Some([]byte(key)), Value: event.Some([]byte(value))}
	}
	for _, c := range []struct {
		name    string
		wrong   func(h *honest)
		problem Problem
		says    string
	}{
		{"a broken record is dropped in silence", func(h *honest) { h.letters = nil }, Lost, "dead letters BAD_RECORD was expected"},
		{"a broken record becomes a dead letter twice", func(h *honest) { h.letters = append(h.letters, h.letters[0]) }, Duplicated, "it came out 2 times and was sent 1 times"},
		{"a dead letter has a wrong cause", func(h *honest) { h.letters[0].Cause = "PANIC" }, Wrong, "dead letters PANIC, dead letters BAD_RECORD was expected"},
		{"a good movement becomes a dead letter", func(h *honest) {
			h.letters = append(h.letters, letter("PANIC", "wms|DC1|r1-TEA", "x"))
		}, Unexpected, "dead letters PANIC"},
		{"a dead letter's bytes are not those that were sent", func(h *honest) {
			h.letters[0].Value = event.Some(h.letters[0].Value.Value[:20])
		}, Unexpected, "unexpected"},
		{"a remainder is rounded and posted", func(h *honest) {
			m := move("wms:half/r1:1", "r1-TEA", "DC1", event.BucketExternal, event.BucketAvailable, 1, 100)
			posted := move("wms:good/r1:1", "r1-TEA", "DC1", event.BucketExternal, event.BucketAvailable, 5, 100)
			wrong := run([]*event.InventoryMovement{posted, m})
			h.balances, h.postings, h.exceptions = wrong.balances, wrong.postings, nil
		}, Duplicated, "version 2, 1 was expected"},
		{"a repetition's exception is lost", func(h *honest) { h.exceptions = h.exceptions[:1] }, Lost, "it came out 1 times and was sent 2 times"},
		{"an exception is told three times", func(h *honest) { h.exceptions = append(h.exceptions, h.exceptions[0]) }, Duplicated, "it came out 3 times and was sent 2 times"},
		{"an exception has a wrong class", func(h *honest) { h.exceptions[0].Class = "LOT_MISSING" }, Wrong, "exceptions LOT_MISSING, exceptions UNIT_REMAINDER was expected"},
		{"a warning is made up", func(h *honest) {
			x := *h.exceptions[0]
			x.Class, x.Header.CausationID = "ITEM_BLOCKED", event.Some("good")
			h.exceptions = append(h.exceptions, &x)
		}, Unexpected, "event good unexpected"},
		{"an unknown item is held instead of parked", func(h *honest) {
			x := *h.exceptions[0]
			x.Header.CausationID = event.Some("unknown")
			h.exceptions, h.parked = append(h.exceptions, &x), h.parked[1:]
		}, Lost, "parked ITEM was expected"},
		{"a parked event is lost", func(h *honest) { h.parked = h.parked[:1] }, Lost, "parked UNIT was expected"},
		{"a parked event is parked twice", func(h *honest) { h.parked = append(h.parked, h.parked[1]) }, Duplicated, "event crate duplicated"},
		{"an event waits for the wrong reference", func(h *honest) { h.parked[1].Missing = event.MissingKindSite }, Wrong, "parked SITE, parked UNIT was expected"},
		{"a good movement is parked", func(h *honest) {
			p := *h.parked[0]
			p.EventID = "good"
			h.parked = append(h.parked, &p)
		}, Unexpected, "event good unexpected"},
		{"the state forgets a key", func(h *honest) { h.said = []*Row{} }, Lost, "state: r1-TEA|DC1 lost (1): no balance"},
		{"the state answers with what is not committed", func(h *honest) { h.said[0].Version++ }, Duplicated, "state: r1-TEA|DC1 duplicated (1)"},
		{"the state answers with an old balance", func(h *honest) { h.said[0].AsOf-- }, Wrong, "state: r1-TEA|DC1 wrong: version 1, 1 was expected; as of"},
		{"the state swaps two buckets", func(h *honest) {
			r := h.said[0]
			r.Buckets[0], r.Buckets[4] = r.Buckets[4], r.Buckets[0]
			r.ATS = 0
		}, Wrong, "AVAILABLE 0 instead of 5, QC 5 instead of 0"},
		{"the state adds up wrongly", func(h *honest) { h.said[0].OnHand++ }, Inconsistent, "state: r1-TEA|DC1 inconsistent: version 1: on hand is"},
		{"the table lacks a key", func(h *honest) { h.rows = []*Row{} }, Lost, "table: r1-TEA|DC1 lost (1): no balance"},
		{"the table has a key twice", func(h *honest) { h.rows = append(h.rows, h.rows[0]) }, Duplicated, "table: r1-TEA|DC1 duplicated: version 1 was said twice"},
		{"the table cuts decimals", func(h *honest) { h.rows[0].Buckets[0]--; h.rows[0].OnHand--; h.rows[0].ATS-- }, Wrong, "AVAILABLE 4.999999 instead of 5"},
		{"the table has another time zone", func(h *honest) { h.rows[0].AsOf += 3_600_000_000 }, Wrong, "table: r1-TEA|DC1 wrong"},
		{"the table sells what is not there", func(h *honest) { h.rows[0].ATS++ }, Inconsistent, "available to sell is"},
		{"a key of the run is made up", func(h *honest) { h.rows = append(h.rows, &Row{SKU: "r1-POT", Site: "DC1", Version: 1}) }, Unexpected, "r1-POT|DC1 unexpected"},
		{"a balance of the run lies under a foreign key", func(h *honest) {
			b := *h.balances[0]
			b.SKU = "HOUSE"
			h.balances[0] = &b
		}, Lost, "balances: r1-TEA|DC1 lost (1): no balance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, h := spoilt(t)
			h.rows, h.said = newest(h.balances), newest(h.balances)
			c.wrong(&h)
			v := judge(o, h)
			report := v.String()
			if v.OK() || !strings.HasPrefix(report, "verified: FAILED: 7 events") {
				t.Fatalf("passed: %s", report)
			}
			if v.Events(c.problem) == 0 {
				t.Errorf("nothing is %v: %s", c.problem, report)
			}
			if !strings.Contains(report, c.says) {
				t.Errorf("%q is not in the report: %s", c.says, report)
			}
		})
	}
}

// What else stands on the system is counted, and is no problem.
func TestOtherStockIsPassedOver(t *testing.T) {
	o, h := spoilt(t)
	h.rows, h.said = newest(h.balances), newest(h.balances)
	other := move("x", "HOUSE", "DC1", event.BucketExternal, event.BucketAvailable, 9, 1)
	ten := move("y", "r10-TEA", "DC1", event.BucketExternal, event.BucketAvailable, 9, 1)
	more := run([]*event.InventoryMovement{other, ten, other})
	h.balances = append(h.balances, more.balances...)
	h.postings = append(h.postings, more.postings...)
	h.rows = append(h.rows, newest(more.balances)...)
	h.letters = append(h.letters, letterOf(ten, "BAD_RECORD"), &event.DeadLetter{Cause: "BAD_FRAMING", Value: event.Some([]byte("hello"))})
	h.exceptions = append(h.exceptions, &event.LogisticsException{ExceptionID: "LOT_MISSING/wms:z/r10:1", Class: "LOT_MISSING"})
	h.parked = append(h.parked, &event.ParkedEvent{EventID: "z", Code: "HOUSE"})
	v := judge(o, h)
	if !v.OK() {
		t.Fatal(v.String())
	}
	foreign := map[string]int64{}
	for _, f := range v.Findings {
		foreign[f.Source] = f.Foreign
	}
	for source, n := range map[string]int64{"balances": 2, "ledger": 2, "table": 2, "table ledger": 2, "state": 0, "dead letters": 2, "exceptions": 1, "parked": 1} {
		if foreign[source] != n {
			t.Errorf("%s: %d foreign, %d were expected", source, foreign[source], n)
		}
	}
}

func TestAMovementOfNoRunIsRefusedByName(t *testing.T) {
	o := New(Options{Runs: []string{"r1", "r2"}})
	var none *NotOfRunError
	_, err := o.Expect(move("in", "r10-TEA", "DC1", event.BucketExternal, event.BucketAvailable, 1, 1))
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "r10-TEA") {
		t.Error(err)
	}
	if fate, err := o.Expect(move("in", "r2-TEA", "DC1", event.BucketExternal, event.BucketAvailable, 1, 1)); fate != Counted || err != nil {
		t.Error(fate, err)
	}
}

func TestTroublesAreBounded(t *testing.T) {
	o := New(Options{MaxTroubles: 1})
	for i, key := range []string{"a", "a", "b"} {
		if _, err := o.Unreadable("BAD_RECORD", []byte(key), nil); (err != nil) != (i == 2) || err != nil && !errors.Is(err, ErrTooManyTroubles) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// The numbers of the rows of a table must be 1 to n, whatever their order.
func TestATableOfPostingsIsNumberedWithoutGaps(t *testing.T) {
	sent := shop()
	for _, c := range []struct {
		name  string
		wrong func(p []*event.LedgerPosting)
		says  string
	}{
		{"a number is skipped", func(p []*event.LedgerPosting) { p[len(p)-1].PostingNo++ }, "numbers are not 1 to"},
		{"a number is given twice", func(p []*event.LedgerPosting) { p[0].PostingNo = 2 }, "numbers are not 1 to"},
	} {
		h := run(sent).copyOf()
		c.wrong(h.postings)
		o := told(t, sent)
		ledger := o.Ledger("table", 0)
		slices.Reverse(h.postings)
		if err := ledger.Rows(each(h.postings)); err != nil {
			t.Fatal(err)
		}
		v := o.Judge(ledger.Finding())
		if v.OK() || v.Events(Disordered) != 1 || !strings.Contains(v.String(), c.says) {
			t.Errorf("%s: %s", c.name, v.String())
		}
	}
}

// An answer about another key than was asked for is seen.
func TestAnAnswerAboutAnotherKeyIsSeen(t *testing.T) {
	sent := shop()
	o := told(t, sent)
	rows := newest(run(sent).balances)
	c := o.Balances("state", 0)
	sku, _ := o.Key(0)
	for i := range o.Keys() {
		at := slices.IndexFunc(rows, func(r *Row) bool { return r.SKU == sku })
		c.Answer(i, rows[at])
	}
	v := o.Judge(c.Finding())
	if v.OK() || v.Events(Inconsistent) != 1 || v.Events(Lost) == 0 {
		t.Error(v.String())
	}
}
