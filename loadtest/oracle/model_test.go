package oracle

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/topology/topics"
)

const micro = event.QuantityScale

// move is a movement of whole units.
func move(dedupe, sku, site string, from, to event.Bucket, qty int64, at int64) *event.InventoryMovement {
	m := &event.InventoryMovement{SKU: sku, QtyDelta: event.Quantity(qty) * micro}
	m.Header.DedupeKey, m.Header.Site, m.Header.EventTime = dedupe, site, event.Micros(at)
	if from != event.BucketExternal {
		m.From = event.Some(event.Place{Bucket: from})
	}
	if to != event.BucketExternal {
		m.To = event.Some(event.Place{Bucket: to})
	}
	return m
}

// recount is the rules once more, as slowly and as plainly as they can be said: every happening of a key in a map, then
// all of them summed up.
func recount(sent []*event.InventoryMovement) map[string]State {
	happened := map[string]map[string]*event.InventoryMovement{}
	for _, m := range sent {
		outside := !m.From.Valid && !m.To.Valid
		if m.From.Valid && m.From.Value.Bucket == event.BucketExternal {
			outside = !m.To.Valid || m.To.Value.Bucket == event.BucketExternal
		}
		if m.QtyDelta == 0 || outside || m.Header.DedupeKey == "" {
			continue
		}
		key := m.SKU + "|" + m.Header.Site
		if happened[key] == nil {
			happened[key] = map[string]*event.InventoryMovement{}
		}
		if happened[key][m.Header.DedupeKey] == nil {
			happened[key][m.Header.DedupeKey] = m
		}
	}
	want := map[string]State{}
	for key, movements := range happened {
		var s State
		for _, m := range movements {
			sign := event.Quantity(1)
			if m.Type == event.MovementTypeReversal {
				sign = -1
			}
			if s.Version++; s.Version == 1 || m.Header.EventTime > s.AsOf {
				s.AsOf = m.Header.EventTime
			}
			if m.From.Valid && m.From.Value.Bucket != event.BucketExternal {
				s.Buckets[m.From.Value.Bucket-1] -= sign * m.QtyDelta
			}
			if m.To.Valid && m.To.Value.Bucket != event.BucketExternal {
				s.Buckets[m.To.Value.Bucket-1] += sign * m.QtyDelta
			}
		}
		want[key] = s
	}
	return want
}

// history draws movements over few keys, repeated ones among them.
func history(t *rapid.T) []*event.InventoryMovement {
	n := rapid.IntRange(0, 60).Draw(t, "movements")
	var sent []*event.InventoryMovement
	for i := range n {
		if len(sent) > 0 && rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
			sent = append(sent, sent[rapid.IntRange(0, len(sent)-1).Draw(t, "which")])
			continue
		}
		m := move(
			fmt.Sprintf("d%d", i), rapid.SampledFrom([]string{"A", "B"}).Draw(t, "sku"), rapid.SampledFrom([]string{"X", "Y"}).Draw(t, "site"),
			event.Bucket(rapid.IntRange(0, held).Draw(t, "from")), event.Bucket(rapid.IntRange(0, held).Draw(t, "to")),
			rapid.Int64Range(-5, 5).Draw(t, "qty"), rapid.Int64Range(-3, 1000).Draw(t, "at"),
		)
		if rapid.IntRange(0, 9).Draw(t, "reversal") == 0 {
			m.Type = event.MovementTypeReversal
		}
		// The same document line may move stock at several keys.
		if rapid.IntRange(0, 9).Draw(t, "same line") == 0 {
			m.Header.DedupeKey = "line"
			m.SKU, m.QtyDelta, m.Header.EventTime, m.Type = "C"+fmt.Sprint(i), micro, 7, event.MovementTypeOther
		}
		sent = append(sent, m)
	}
	return sent
}

func TestTheOracleAgreesWithAPlainRecountInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := history(t)
		want := recount(sent)
		r := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "order")))
		for range 2 {
			o := New(Options{})
			for _, m := range sent {
				if _, err := o.Expect(m); err != nil {
					t.Fatal(err)
				}
			}
			got := map[string]State{}
			o.Each(func(sku, site string, s State) bool {
				got[sku+"|"+site] = s
				return true
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("recounted plainly (-) and by the oracle (+):\n%s", diff)
			}
			if o.Sent() != int64(len(sent)) || o.Keys() != len(want) {
				t.Fatalf("%d sent of %d, %d keys of %d", o.Sent(), len(sent), o.Keys(), len(want))
			}
			r.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
		}
	})
}

// honest is what a pipeline without a fault says of what was sent: balances after every posting, and the ledger.
type honest struct {
	balances   []*event.InventoryBalance
	postings   []*event.LedgerPosting
	rows       []*Row // of the table; nil: the newest balances
	said       []*Row // by the state; nil: the newest balances
	letters    []*event.DeadLetter
	exceptions []*event.LogisticsException
	parked     []*event.ParkedEvent
}

func run(sent []*event.InventoryMovement) honest {
	var h honest
	states := map[string]*State{}
	happened := map[string]bool{}
	for _, m := range sent {
		id := m.SKU + "|" + m.Header.Site + "|" + m.Header.DedupeKey
		from, to, qty := BucketOf(m.From), BucketOf(m.To), m.QtyDelta
		if from == event.BucketExternal && to == event.BucketExternal {
			h.letters = append(h.letters, letterOf(m, "BAD_MOVEMENT"))
			continue
		}
		if happened[id] || qty == 0 {
			continue
		}
		happened[id] = true
		if m.Type == event.MovementTypeReversal {
			qty = -qty
		}
		if qty < 0 {
			from, to, qty = to, from, -qty
		}
		key := m.SKU + "|" + m.Header.Site
		s := states[key]
		if s == nil {
			s = new(State)
			states[key] = s
			s.AsOf = m.Header.EventTime
		}
		s.Version++
		s.AsOf = max(s.AsOf, m.Header.EventTime)
		s.Buckets.add(from, -qty)
		s.Buckets.add(to, qty)
		h.balances = append(h.balances, balanceOf(m.SKU, m.Header.Site, *s))
		h.postings = append(h.postings, &event.LedgerPosting{
			EventID: m.Header.EventID, SKU: m.SKU, Site: m.Header.Site, PostingNo: s.Version, Type: m.Type,
			FromBucket: from, ToBucket: to, Qty: qty, EventTime: m.Header.EventTime, DedupeKey: m.Header.DedupeKey,
		})
	}
	return h
}

// letterOf is the dead letter of a movement.
func letterOf(m *event.InventoryMovement, cause string) *event.DeadLetter {
	return &event.DeadLetter{
		ID: "movements/0/1/0", Stage: "enrich", Cause: cause, Topic: "movements", Offset: 1,
		Key: event.Some(topics.Key(nil, m.SKU, m.Header.Site)), Value: event.Some(serde.Local().Append(nil, m)),
	}
}

func balanceOf(sku, site string, s State) *event.InventoryBalance {
	q := s.Buckets
	b := &event.InventoryBalance{
		SKU: sku, Site: site, Version: s.Version, AsOf: s.AsOf,
		Available: q[0], Allocated: q[1], Picked: q[2], Staged: q[3], QC: q[4], Damaged: q[5], Hold: q[6], Returned: q[7],
		InTransitIn: q[8], InTransitOut: q[9], Clearing: q[10],
		ATS: max(0, q[0]),
	}
	for i, n := range q {
		if i < 8 {
			b.OnHand += n
		}
		b.Negative = b.Negative || n < 0
	}
	return b
}

// rowOf is a balance as a table or an answer has it.
func rowOf(b *event.InventoryBalance) *Row {
	return &Row{
		SKU: b.SKU, Site: b.Site, Version: b.Version, AsOf: b.AsOf, Buckets: bucketsOf(b),
		OnHand: b.OnHand, SafetyStock: b.SafetyStock, ATS: b.ATS, Negative: b.Negative,
	}
}

// newest are the rows of a table that keeps the last balance of each key.
func newest(balances []*event.InventoryBalance) []*Row {
	at := map[string]int{}
	var rows []*Row
	for _, b := range balances {
		key := string(topics.Key(nil, b.SKU, b.Site))
		if i, ok := at[key]; ok {
			rows[i] = rowOf(b)
			continue
		}
		at[key] = len(rows)
		rows = append(rows, rowOf(b))
	}
	return rows
}

// each yields a list's elements without an error.
func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range list {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// answers are what a state that holds rows says when it is asked for each key that must be.
func answers(o *Oracle, c *BalanceCheck, rows []*Row) {
	for i := range o.Keys() {
		sku, site := o.Key(i)
		at := slices.IndexFunc(rows, func(r *Row) bool { return r.SKU == sku && r.Site == site })
		if at < 0 {
			c.Answer(i, nil)
			continue
		}
		c.Answer(i, rows[at])
	}
}

// judge reads what a pipeline said, in all places.
func judge(o *Oracle, h honest) Verdict {
	balances, ledger := o.Balances("balances", 0), o.Ledger("ledger", 0)
	for _, b := range h.balances {
		balances.Record(topics.Key(nil, b.SKU, b.Site), b)
	}
	for _, p := range h.postings {
		ledger.Record(topics.Key(nil, p.SKU, p.Site), p)
	}
	rows := h.rows
	if rows == nil {
		rows = newest(h.balances)
	}
	table, state, postings := o.Balances("table", 0), o.Balances("state", 0), o.Ledger("table ledger", 0)
	tabled := slices.Clone(h.postings)
	slices.Reverse(tabled) // a table has no order
	if err := errors.Join(table.Rows(each(rows)), postings.Rows(each(tabled))); err != nil {
		panic(err)
	}
	said := h.said
	if said == nil {
		said = newest(h.balances)
	}
	answers(o, state, said)
	letters, exceptions, parked := o.Elsewhere(DeadLetters, 0), o.Elsewhere(Exceptions, 0), o.Elsewhere(Parked, 0)
	for _, d := range h.letters {
		letters.DeadLetter(d)
	}
	for _, x := range h.exceptions {
		exceptions.Exception(x)
	}
	for _, p := range h.parked {
		parked.Parked(p)
	}
	return o.Judge(balances.Finding(), ledger.Finding(), table.Finding(), state.Finding(), postings.Finding(),
		letters.Finding(), exceptions.Finding(), parked.Finding())
}

func TestAPipelineWithoutAFaultIsVerified(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := history(t)
		o := New(Options{})
		for _, m := range sent {
			if _, err := o.Expect(m); err != nil {
				t.Fatal(err)
			}
		}
		v := judge(o, run(sent))
		if len(sent) > 0 && !v.OK() {
			t.Fatal(v.String())
		}
		if want := fmt.Sprintf("verified: %d events, 0 lost, 0 duplicated", len(sent)); len(sent) > 0 && v.String() != want {
			t.Fatalf("%q, not %q", v.String(), want)
		}
	})
}

// Whatever single movement a pipeline loses, counts twice or changes, the oracle sees it.
func TestAnySingleFaultIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := history(t)
		o := New(Options{})
		var counted []int
		for i, m := range sent {
			if fate, _ := o.Expect(m); fate == Counted {
				counted = append(counted, i)
			}
		}
		if len(counted) == 0 {
			return
		}
		at := counted[rapid.IntRange(0, len(counted)-1).Draw(t, "at")]
		m := *sent[at]
		faulty := append([]*event.InventoryMovement(nil), sent...)
		kind := rapid.SampledFrom([]string{"lost", "doubled", "quantity", "swapped", "time"}).Draw(t, "fault")
		switch kind {
		case "lost":
			// All repetitions with it: a repeated one would be counted in its place.
			faulty = faulty[:0]
			for _, other := range sent {
				if other.Header.DedupeKey != m.Header.DedupeKey || other.SKU != m.SKU || other.Header.Site != m.Header.Site {
					faulty = append(faulty, other)
				}
			}
		case "doubled":
			m.Header.DedupeKey += "'"
			faulty = append(faulty, &m)
		case "quantity":
			m.QtyDelta += micro * 11
			faulty[at] = &m
		case "swapped":
			if BucketOf(m.From) == BucketOf(m.To) {
				return // a move within a bucket is the same either way
			}
			m.From, m.To = m.To, m.From
			faulty[at] = &m
		case "time":
			m.Header.EventTime += 5000
			faulty[at] = &m
		}
		if v := judge(o, run(faulty)); v.OK() {
			t.Fatalf("%s movement %d of %d passed: %s", kind, at, len(sent), v.String())
		}
	})
}
