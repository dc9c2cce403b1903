package oracle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// shop is a day at two keys: goods in, picks, a late one, a repeated one, a count that finds less.
func shop() []*event.InventoryMovement {
	repeated := move("pick-2", "TEA", "DC1", event.BucketAvailable, event.BucketPicked, 3, 400)
	again := *repeated
	again.Header.EventID = "a new envelope"
	return []*event.InventoryMovement{
		move("in-1", "TEA", "DC1", event.BucketExternal, event.BucketAvailable, 100, 100),
		move("in-2", "CUP", "DC1", event.BucketExternal, event.BucketQC, 40, 150),
		move("pick-1", "TEA", "DC1", event.BucketAvailable, event.BucketPicked, 2, 300),
		repeated,
		move("put-1", "CUP", "DC1", event.BucketQC, event.BucketAvailable, 40, 500),
		&again,
		move("late-1", "TEA", "DC1", event.BucketAvailable, event.BucketDamaged, 1, 200),
		move("count-1", "CUP", "DC1", event.BucketExternal, event.BucketAvailable, -4, 600),
	}
}

func told(t *testing.T, sent []*event.InventoryMovement) *Oracle {
	t.Helper()
	o := New(Options{})
	for _, m := range sent {
		if _, err := o.Expect(m); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// copyOf is a deep copy, so that a mutation changes nothing else.
func (h honest) copyOf() honest {
	var c honest
	for _, b := range h.balances {
		d := *b
		c.balances = append(c.balances, &d)
	}
	for _, p := range h.postings {
		d := *p
		c.postings = append(c.postings, &d)
	}
	return c
}

// Each wrong rule, of a pipeline or of what carries its output, must be seen, by the problem that it is.
func TestEveryWrongRuleIsSeen(t *testing.T) {
	sent := shop()
	// rerun is the pipeline with a wrong rule for its input.
	rerun := func(change func(sent []*event.InventoryMovement) []*event.InventoryMovement) func(honest) honest {
		return func(honest) honest {
			var own []*event.InventoryMovement
			for _, m := range sent {
				c := *m
				own = append(own, &c)
			}
			return run(change(own))
		}
	}
	// output is a fault behind the pipeline.
	output := func(change func(h *honest)) func(honest) honest {
		return func(h honest) honest {
			change(&h)
			return h
		}
	}
	type list = []*event.InventoryMovement
	for _, c := range []struct {
		name    string
		wrong   func(honest) honest
		problem Problem
		says    string // part of the report
	}{
		{"a movement is lost", rerun(func(s list) list { return slices.Delete(s, 2, 3) }), Lost, "TEA|DC1 lost (1)"},
		{"a key's only movement is lost", rerun(func(s list) list {
			return slices.DeleteFunc(s, func(m *event.InventoryMovement) bool { return m.SKU == "CUP" })
		}), Lost, "CUP|DC1 lost (3): no balance"},
		{"a repeated movement is counted", rerun(func(s list) list { s[5].Header.DedupeKey = "pick-2 "; return s }), Duplicated, "TEA|DC1 duplicated (1)"},
		{"a movement is made up", rerun(func(s list) list {
			return append(s, move("new", "TEA", "DC1", event.BucketExternal, event.BucketAvailable, 1, 1))
		}), Duplicated, "TEA|DC1 duplicated (1)"},
		{"a movement goes to another key", rerun(func(s list) list { s[2].SKU = "CUP"; return s }), Unexpected, "posting 2 of pick-1, which was never sent for it"},
		{"a key is made up", rerun(func(s list) list { s[2].SKU = "POT"; return s }), Unexpected, "POT|DC1 unexpected"},
		{"a late movement is dropped", rerun(func(s list) list { return slices.Delete(s, 6, 7) }), Lost, "DAMAGED 0 instead of 1"},
		{"a quantity is changed", rerun(func(s list) list { s[2].QtyDelta += micro; return s }), Wrong, "AVAILABLE 93 instead of 94"},
		{"a quantity is rounded", rerun(func(s list) list { s[2].QtyDelta++; return s }), Wrong, "AVAILABLE 93.999999 instead of 94"},
		{"two buckets are swapped", rerun(func(s list) list { s[4].From, s[4].To = s[4].To, s[4].From; return s }), Wrong, "QC 80 instead of 0"},
		{"a wrong bucket is taken from", rerun(func(s list) list { s[6].From.Value.Bucket = event.BucketHold; return s }), Wrong, "HOLD -1 instead of 0"},
		{"a sign is ignored", rerun(func(s list) list { s[7].QtyDelta = -s[7].QtyDelta; return s }), Wrong, "AVAILABLE 44 instead of 36"},
		{"two faults cancel out in a sum", rerun(func(s list) list { s[2].QtyDelta += micro; s[3].QtyDelta -= micro; return s }), Wrong, "their places, quantities or times"},
		{"as-of is the last event time, not the latest", rerun(func(s list) list { s[3].Header.EventTime = 250; return s }), Wrong, "as of"},
		{"one is lost and another counted twice", rerun(func(s list) list {
			s[2].Header.DedupeKey, s[2].QtyDelta = "in-1 ", 100*micro
			s[2].From, s[2].To = s[0].From, s[0].To
			return s
		}), Lost, "ledger: TEA|DC1 lost (1)"},
		{"a version is skipped", output(func(h *honest) { h.balances[len(h.balances)-1].Version++ }), Duplicated, "version 4, 3 was expected"},
		{"a balance is published twice", output(func(h *honest) { h.balances = append(h.balances, h.balances[len(h.balances)-1]) }), Duplicated, "version 3 was said twice"},
		{"an old balance comes after a newer one", output(func(h *honest) { h.balances = append(h.balances, h.balances[0]) }), Disordered, "version 1 after version 4"},
		{"the newest balance is lost", output(func(h *honest) { h.balances = h.balances[:len(h.balances)-1] }), Lost, "version 2, 3 was expected"},
		{"on hand is not the sum", output(func(h *honest) { h.balances[3].OnHand++ }), Inconsistent, "on hand is"},
		{"more is sold than there is", output(func(h *honest) { h.balances[0].ATS++ }), Inconsistent, "available to sell is"},
		{"negative stock is hidden", output(func(h *honest) { h.balances[0].Negative = true }), Inconsistent, "negative is true"},
		{"a balance lies under another key", output(func(h *honest) { h.balances[0].Site = "DC2" }), Unexpected, "DC2 unexpected"},
		{"versions start at 0", output(func(h *honest) { h.balances[0].Version = 0 }), Inconsistent, "from 1"},
		{"a posting is lost", output(func(h *honest) { h.postings = slices.Delete(h.postings, 2, 3) }), Lost, "3 postings, 4 were expected"},
		{"the last posting is lost", output(func(h *honest) { h.postings = h.postings[:len(h.postings)-1] }), Lost, "2 postings, 3 were expected"},
		{"a posting is doubled", output(func(h *honest) { h.postings = append(h.postings, h.postings[0]) }), Duplicated, "counts in-1 again"},
		{"a posting number is skipped", output(func(h *honest) { h.postings[len(h.postings)-1].PostingNo++ }), Disordered, "posting 4 after posting 2"},
		{"a posting's quantity is changed", output(func(h *honest) { h.postings[0].Qty++ }), Wrong, "their places, quantities or times"},
		{"a posting's buckets are swapped", output(func(h *honest) {
			h.postings[2].FromBucket, h.postings[2].ToBucket = h.postings[2].ToBucket, h.postings[2].FromBucket
		}), Wrong, "their places, quantities or times"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(told(t, sent), c.wrong(run(sent).copyOf()))
			report := v.String()
			if v.OK() || !strings.HasPrefix(report, "verified: FAILED: 8 events") {
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

func TestARowThatCannotBeReadIsAnError(t *testing.T) {
	away := errors.New("connection lost")
	o := told(t, shop())
	err := o.Balances("clickhouse", 0).Rows(func(yield func(*Row, error) bool) { yield(nil, away) })
	if !errors.Is(err, away) || !strings.Contains(err.Error(), "clickhouse") {
		t.Error(err)
	}
}

func TestNothingSentAndNothingReadAreNoProof(t *testing.T) {
	o := New(Options{})
	v := o.Judge(o.Balances("balances", 0).Finding())
	if v.OK() || v.String() != "verified: FAILED: no event was sent" {
		t.Error(v.String())
	}
	o = told(t, shop())
	v = o.Judge()
	if v.OK() || v.String() != "verified: FAILED: nothing was read to compare with" {
		t.Error(v.String())
	}
}

func TestAReportListsTheFirstDifferencesAndCountsTheRest(t *testing.T) {
	o := New(Options{})
	for i := range 50 {
		if _, err := o.Expect(move("in", fmt.Sprintf("S%02d", i), "DC1", event.BucketExternal, event.BucketAvailable, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	v := o.Judge(o.Balances("balances", 3).Finding())
	if v.Events(Lost) != 50 || len(v.Findings[0].Differences) != 3 || v.Findings[0].Omitted != 47 ||
		!strings.HasSuffix(v.String(), "balances: and 47 more") {
		t.Error(v.String())
	}
	c := o.Balances("balances", 3)
	for i := range 50 {
		b := balanceOf(fmt.Sprintf("X%02d", i), "DC1", State{Version: 1})
		c.Record(topics.Key(nil, b.SKU, b.Site), b)
	}
	if f := c.Finding(); f.Events[Unexpected] != 50 || len(f.Differences) != 3 {
		t.Errorf("%+v", f)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	o := New(Options{MaxKeys: 2})
	for i := range 3 {
		_, err := o.Expect(move("in", fmt.Sprint(i), "DC1", event.BucketExternal, event.BucketAvailable, 1, 1))
		if (err != nil) != (i == 2) || err != nil && !errors.Is(err, ErrTooManyKeys) {
			t.Errorf("key %d: %v", i, err)
		}
	}
}

// A policy changes what may be sold without a posting: the same version may be said again with another safety stock.
func TestAChangedSafetyStockIsNoDuplicate(t *testing.T) {
	sent := shop()
	h := run(sent)
	last := *h.balances[len(h.balances)-1]
	last.SafetyStock = 5 * micro
	last.ATS = last.Available - last.SafetyStock
	h.balances = append(h.balances, &last)
	if v := judge(told(t, sent), h); !v.OK() {
		t.Error(v.String())
	}
}
