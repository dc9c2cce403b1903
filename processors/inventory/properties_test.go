package inventory_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/processors/inventory"
	"crossdock/topology/topics"
)

// A book is the second implementation: every happening that was told, in a list, and balances worked out from the start
// each time, in numbers without a bound. It is slow and has nothing to get wrong.
type book struct{ happened []*event.InventoryMovement }

func (b *book) tell(m *event.InventoryMovement) {
	for _, h := range b.happened {
		if h.Header.DedupeKey == m.Header.DedupeKey && h.SKU == m.SKU && h.Header.Site == m.Header.Site {
			return
		}
	}
	b.happened = append(b.happened, m)
}

// stock is every bucket of a key, the outside included, and how many happenings made it.
func (b *book) stock(sku, site string) (buckets map[event.Bucket]*big.Int, postings int64, asOf event.Micros) {
	buckets = map[event.Bucket]*big.Int{}
	add := func(p event.Optional[event.Place], q *big.Int) {
		bucket := event.BucketExternal
		if p.Valid {
			bucket = p.Value.Bucket
		}
		if buckets[bucket] == nil {
			buckets[bucket] = new(big.Int)
		}
		buckets[bucket].Add(buckets[bucket], q)
	}
	for _, m := range b.happened {
		if m.SKU != sku || m.Header.Site != site || m.QtyDelta == 0 {
			continue
		}
		q := big.NewInt(int64(m.QtyDelta))
		if m.Type == event.MovementTypeReversal {
			q.Neg(q)
		}
		add(m.From, new(big.Int).Neg(q))
		add(m.To, q)
		if postings == 0 || m.Header.EventTime > asOf {
			asOf = m.Header.EventTime
		}
		postings++
	}
	return buckets, postings, asOf
}

// history draws movements of a few keys, duplicates among them, in any order of event time. A key gets fewer than 64.
func history(rt *rapid.T) []*event.InventoryMovement {
	var all []*event.InventoryMovement
	for i := range rapid.IntRange(1, 60).Draw(rt, "movements") {
		if len(all) > 0 && rapid.IntRange(0, 9).Draw(rt, "again") == 0 {
			twin := *all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")]
			twin.Header.EventID += "'"
			all = append(all, &twin)
			continue
		}
		from := event.Bucket(rapid.IntRange(0, int(event.BucketClearing)).Draw(rt, "from"))
		to := event.Bucket(rapid.IntRange(0, int(event.BucketClearing)).Draw(rt, "to"))
		if from == event.BucketExternal && to == event.BucketExternal {
			to = event.BucketAvailable
		}
		m := movement(fmt.Sprint("m", i), event.MovementTypeOther, 0, from, to)
		if rapid.Bool().Draw(rt, "reversal") {
			m.Type = event.MovementTypeReversal
		}
		m.SKU = rapid.SampledFrom([]string{"TEA", "C|UP"}).Draw(rt, "sku")
		m.Header.Site = rapid.SampledFrom([]string{"DC1", "DC2"}).Draw(rt, "site")
		m.QtyDelta = event.Quantity(rapid.Int64Range(-5_000_000, 5_000_000).Draw(rt, "qty"))
		m.QtySrc = m.QtyDelta
		m.Header.EventTime = event.Micros(rapid.Int64Range(-1000, now).Draw(rt, "event time"))
		all = append(all, m)
	}
	return all
}

// play runs a history with commits, aborts and restarts drawn between its records, and returns the last balance of each key and
// all postings.
func play(rt *rapid.T, all []*event.InventoryMovement) (map[string]event.InventoryBalance, []event.LedgerPosting) {
	task := newTask(nil)
	last := map[string]event.InventoryBalance{}
	var postings []event.LedgerPosting
	commit := func() {
		for _, o := range task.Commit() {
			switch o.To {
			case topics.Balances:
				var b event.InventoryBalance
				if err := task.Serde.Decode(o.Value, &b); err != nil {
					rt.Fatal(err)
				}
				if before, ok := last[string(o.Key)]; ok && b.Version <= before.Version {
					rt.Fatalf("version %d of %s after %d", b.Version, o.Key, before.Version)
				}
				last[string(o.Key)] = b
			case topics.Ledger:
				var p event.LedgerPosting
				if err := task.Serde.Decode(o.Value, &p); err != nil {
					rt.Fatal(err)
				}
				postings = append(postings, p)
			}
		}
	}
	begun := 0
	for i := 0; i < len(all); i++ {
		if err := task.Process(record(task, all[i])); err != nil {
			rt.Fatal(err)
		}
		switch rapid.IntRange(0, 7).Draw(rt, "then") {
		case 0, 1:
			commit()
			begun = i + 1
		case 2:
			if rapid.Bool().Draw(rt, "abort") {
				task.Abort()
				i = begun - 1
			}
		case 3:
			commit()
			begun = i + 1
			task = task.Restarted(inventory.New(inventory.Options{}))
		}
	}
	commit()
	return last, postings
}

func bucketsOf(b *event.InventoryBalance) map[event.Bucket]event.Quantity {
	return map[event.Bucket]event.Quantity{
		event.BucketAvailable: b.Available, event.BucketAllocated: b.Allocated, event.BucketPicked: b.Picked, event.BucketStaged: b.Staged,
		event.BucketQC: b.QC, event.BucketDamaged: b.Damaged, event.BucketHold: b.Hold, event.BucketReturned: b.Returned,
		event.BucketInTransitIn: b.InTransitIn, event.BucketInTransitOut: b.InTransitOut, event.BucketClearing: b.Clearing,
	}
}

func TestN1N3BalancesAreThoseOfTheBookInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := history(rt)
		var b book
		for _, m := range all {
			b.tell(m)
		}
		for _, order := range [][]*event.InventoryMovement{all, rapid.Permutation(all).Draw(rt, "order")} {
			last, postings := play(rt, order)
			keys := 0
			for _, sku := range []string{"TEA", "C|UP"} {
				for _, site := range []string{"DC1", "DC2"} {
					want, n, asOf := b.stock(sku, site)
					key := string(topics.Key(nil, sku, site))
					got, ok := last[key]
					if ok != (n > 0) {
						rt.Fatalf("%s: told %t, want %t", key, ok, n > 0)
					}
					if !ok {
						continue
					}
					keys++
					if got.SKU != sku || got.Site != site || got.Version != n || got.AsOf != asOf {
						rt.Fatalf("%s: %s at %s, version %d as of %d, want version %d as of %d", key, got.SKU, got.Site, got.Version, got.AsOf, n, asOf)
					}
					sum, onHand, negative := new(big.Int), event.Quantity(0), false
					for bucket, q := range bucketsOf(&got) {
						expected := int64(0)
						if w := want[bucket]; w != nil {
							expected = w.Int64()
						}
						if int64(q) != expected {
							rt.Fatalf("%s: %s is %s, want %s", key, bucket, q, event.Quantity(expected))
						}
						sum.Add(sum, big.NewInt(int64(q)))
						if bucket >= event.BucketAvailable && bucket <= event.BucketReturned {
							onHand += q
						}
						negative = negative || q < 0 && bucket != event.BucketClearing
					}
					// N1: what the outside gave is what the buckets hold.
					if outside := want[event.BucketExternal]; outside != nil {
						sum.Add(sum, outside)
					}
					if sum.Sign() != 0 {
						rt.Fatalf("%s: the buckets sum to %s", key, sum)
					}
					// N8
					if got.OnHand != onHand || got.Negative != negative || got.ATS != max(0, got.Available) {
						rt.Fatalf("%s: on hand %s, negative %t, ATS %s of available %s", key, got.OnHand, got.Negative, got.ATS, got.Available)
					}
				}
			}
			if keys != len(last) {
				rt.Fatalf("%d keys were told, %d exist", len(last), keys)
			}
			checkLedger(rt, postings, last)
		}
	})
}

// checkLedger recounts the balances from the postings alone (N1): each is double entry, numbered without a gap.
func checkLedger(rt *rapid.T, postings []event.LedgerPosting, last map[string]event.InventoryBalance) {
	stock := map[string]map[event.Bucket]event.Quantity{}
	number := map[string]int64{}
	for _, p := range postings {
		key := string(topics.Key(nil, p.SKU, p.Site))
		if p.Qty <= 0 {
			rt.Fatalf("posting %d of %s has quantity %s", p.PostingNo, key, p.Qty)
		}
		if number[key]++; p.PostingNo != number[key] {
			rt.Fatalf("posting %d of %s after %d", p.PostingNo, key, number[key]-1)
		}
		if stock[key] == nil {
			stock[key] = map[event.Bucket]event.Quantity{}
		}
		stock[key][p.FromBucket] -= p.Qty
		stock[key][p.ToBucket] += p.Qty
	}
	for key, b := range last {
		if number[key] != b.Version {
			rt.Fatalf("%s has version %d and %d postings", key, b.Version, number[key])
		}
		for bucket, q := range bucketsOf(&b) {
			if stock[key][bucket] != q {
				rt.Fatalf("%s: %s is %s by the balance, %s by the ledger", key, bucket, q, stock[key][bucket])
			}
		}
	}
}

func TestN8ATSIsNeverNegative(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		task := newTask(nil)
		available := rapid.Int64Range(-1000, 1000).Draw(rt, "available")
		safety := rapid.Int64Range(0, 1000).Draw(rt, "safety stock")
		records := []event.Record{
			movement("m", event.MovementTypeAdjust, available, event.BucketExternal, event.BucketAvailable),
			&event.InventoryPolicy{Header: event.EventHeader{EventID: "p", Site: "DC1"}, SKU: "TEA", Version: 1, SafetyStock: event.Quantity(safety) * event.QuantityScale},
		}
		var last event.InventoryBalance
		for _, e := range rapid.Permutation(records).Draw(rt, "order") {
			if err := task.Process(record(task, e)); err != nil {
				rt.Fatal(err)
			}
		}
		for _, b := range balances(t, task, task.Commit()) {
			last = b
		}
		if want := event.Quantity(max(0, available-safety)) * event.QuantityScale; last.ATS != want || last.Available != event.Quantity(available)*event.QuantityScale {
			rt.Fatalf("available %s, ATS %s, want ATS %s", last.Available, last.ATS, want)
		}
	})
}
