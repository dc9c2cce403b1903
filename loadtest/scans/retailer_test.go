package scans

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/pace"
	"crossdock/topology/topics"
)

func retailed(t testing.TB, change func(*Load)) *Generator {
	t.Helper()
	l := DefaultLoad(1)
	l.Run = "LT7F3K"
	if change != nil {
		change(&l)
	}
	g, err := NewRetailer(l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// everything has all features on, often.
func everything(l *Load) {
	l.SKUs, l.Sites, l.BusySites = 5000, 40, 5
	l.Offline.Share, l.Offline.Max = 0.1, 10*time.Minute
	l.Hottest = Hottest{Share: 0.01, Age: 2 * time.Second}
	l.Snapshots.Every = 20 * time.Second
	l.Poison = 0.05
	l.HotShare = 0.1
}

// hashFramed is that of the keys, framed values and topics of n events.
func hashFramed(g *Generator, n int) string {
	h := sha256.New()
	s := serde.Local()
	var b []byte
	for range n {
		scan := g.Next()
		b = g.AppendKey(append(b[:0], byte(scan.Topic)))
		b = g.AppendValue(b, s)
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// The golden hashes change with the generator and with the schemas, and then on purpose: another machine or version of Go
// may not change them.
func TestEqualRetailersGiveEqualBytes(t *testing.T) {
	const n = 200_000
	for name, c := range map[string]struct {
		change func(*Load)
		want   string
	}{"default": {nil, "b6f943b129a00d94"}, "everything": {everything, "73abe0a612ecdca5"}} {
		g := retailed(t, c.change)
		got := hashFramed(g, n)
		if got != c.want {
			t.Errorf("%s: hash of the first %d events is %s, not %s", name, n, got, c.want)
		}
		if again := hashFramed(g.Again(), n); again != got {
			t.Errorf("%s: the same run made again has hash %s, not %s", name, again, got)
		}
	}
	if hashFramed(retailed(t, func(l *Load) { l.Seed = 2 }), n) == hashFramed(retailed(t, nil), n) {
		t.Error("another seed gives the same bytes")
	}
}

func TestARetailerAllocatesNothingOnceItIsWarm(t *testing.T) {
	g := retailed(t, everything)
	s := serde.Local()
	var b []byte
	step := func() {
		g.Next()
		b = g.AppendKey(b[:0])
		b = g.AppendValue(b, s)
		sku, site := g.Canonical()
		b = append(append(b, sku...), site...)
	}
	for range 300_000 {
		step()
	}
	if n := testing.AllocsPerRun(200_000, step); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// Memory depends on the load and not on the length of the run.
func TestARetailersMemoryDoesNotGrowWithTheRun(t *testing.T) {
	millions(t)
	g := retailed(t, everything)
	room := func() [6]int {
		r := g.retail
		return [6]int{
			cap(r.repeats.recent), len(r.repeats.moved), len(r.hottest.ring), len(r.reports.counted), cap(r.reports.lines), cap(r.hand.text.b),
		}
	}
	before := room()
	most := 0
	for range 2_000_000 {
		g.Next()
		most = max(most, len(g.retail.flushes.heap))
	}
	if diff := cmp.Diff(before, room()); diff != "" {
		t.Errorf("it grew:\n%s", diff)
	}
	if most == 0 || most > 60 {
		t.Errorf("%d devices flushed at once: a tenth of 24,000 a second, at 125 a second each, are about 20", most)
	}
}

// The key is the one that the event's fields make, on the topic that carries its schema.
func TestKeysAreThoseOfTheTopics(t *testing.T) {
	g := retailed(t, everything)
	carries := func(id topics.ID, k event.Kind) bool {
		for _, s := range id.Lookup().Schemas {
			if s == k.String() {
				return true
			}
		}
		return false
	}
	var want []byte
	seen := map[topics.ID]int{}
	for range 100_000 {
		s := g.Next()
		seen[s.Topic]++
		switch e := g.Record().(type) {
		case *event.InventoryMovement:
			want = topics.Key(want[:0], e.Header.SourceSystem, e.Header.Site, e.SKU)
		case *event.ShipmentMilestone:
			want = topics.Key(want[:0], e.Shipment)
		case *event.OrderRelease:
			want = topics.Key(want[:0], e.Order, e.Header.Site)
		case *event.ItemMaster:
			want = topics.Key(want[:0], e.SKU)
		case *event.InventorySnapshot:
			want = topics.Key(want[:0], e.SKU, e.Header.Site)
		}
		if s.Poison == WrongKind {
			m := &s.Movement
			want = topics.Key(want[:0], m.Header.SourceSystem, m.Header.Site, m.SKU)
		} else if !carries(s.Topic, g.Record().Kind()) {
			t.Fatalf("event %d: %v does not carry %v", s.Seq, s.Topic, g.Record().Kind())
		}
		if got := g.AppendKey(nil); string(got) != string(want) {
			t.Fatalf("event %d (%v): key %s, not %s", s.Seq, s.Kind, got, want)
		}
		if s.Counts() != (s.Topic == topics.Movements && s.Poison == NotPoison) || s.Kind.Movement() != (s.Topic == topics.Movements) {
			t.Fatalf("event %d: a %v on %v with poison %q counts: %v", s.Seq, s.Kind, s.Topic, s.Poison, s.Counts())
		}
		if !s.Kind.Movement() && (s.Movement.SKU != "" || s.Movement.Header.EventID != "") {
			t.Fatalf("event %d is a %v, and there is a movement", s.Seq, s.Kind)
		}
	}
	for _, id := range []topics.ID{topics.Movements, topics.ShipmentsInbox, topics.OrdersInbox, topics.Items, topics.InventoryInbox} {
		if seen[id] == 0 {
			t.Errorf("nothing for %v", id)
		}
	}
}

// Order is kept by key, so all movements of an item at a site need one, and no others may have it.
func TestARetailersKeyForAnItemAtASiteIsAlwaysTheSame(t *testing.T) {
	g := retailed(t, func(l *Load) { l.SKUs, l.Sites, l.BusySites, l.Poison = 500, 30, 5, 0 })
	keys, means := map[string]string{}, map[string]string{}
	for range 300_000 {
		if s := g.Next(); !s.Kind.Movement() {
			continue
		}
		key := string(g.AppendKey(nil))
		sku, site := g.Canonical()
		canonical := sku + "|" + site
		if was, ok := keys[canonical]; ok && was != key {
			t.Fatalf("%s has the keys %s and %s", canonical, was, key)
		}
		if was, ok := means[key]; ok && was != canonical {
			t.Fatalf("key %s means %s and %s", key, was, canonical)
		}
		keys[canonical], means[key] = key, canonical
	}
	if len(keys) < 10_000 {
		t.Errorf("%d keys", len(keys))
	}
}

// cloned is a record that outlives the generator's buffer.
func cloned(t testing.TB, r event.Record) *event.InventoryMovement {
	t.Helper()
	m := new(event.InventoryMovement)
	if err := m.DecodeAvro(r.AppendAvro(nil)); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestARetailerRepeatsWhatWentBeforeInItsEnvelopeAlone(t *testing.T) {
	const depth = 8
	g := retailed(t, func(l *Load) {
		everything(l)
		l.Duplicates, l.DuplicateSpan, l.DuplicateDepth, l.HotShare, l.Hottest = 0.1, 2000, depth, 0.5, Hottest{}
	})
	sent := map[string]*event.InventoryMovement{}
	younger := map[string][]string{}
	var copies [ReEnveloped + 1]int
	for range 60_000 {
		s := g.Next()
		if !s.Kind.Movement() {
			continue
		}
		if s.Poison != NotPoison {
			if s.Copy != Original || sent[s.Movement.Header.DedupeKey] != nil {
				t.Fatalf("event %d is poison (%v) and a repetition", s.Seq, s.Poison)
			}
			continue
		}
		copies[s.Copy]++
		m := cloned(t, &s.Movement)
		key := string(g.AppendKey(nil))
		was := sent[m.Header.DedupeKey]
		if s.Copy == Original {
			if was != nil {
				t.Fatalf("event %d is no repetition, and %s was sent before", s.Seq, m.Header.DedupeKey)
			}
			sent[m.Header.DedupeKey] = m
			younger[key] = append(younger[key], m.Header.DedupeKey)
			continue
		}
		if was == nil {
			t.Fatalf("event %d repeats what was never sent", s.Seq)
		}
		history := younger[key]
		found := false
		for _, k := range history[max(0, len(history)-depth-1):] {
			found = found || k == m.Header.DedupeKey
		}
		if !found {
			t.Fatalf("event %d repeats one with more than %d younger ones of its key", s.Seq, depth)
		}
		if s.Copy == ReEnveloped {
			if m.Header.EventID == was.Header.EventID || m.Header.IngestTime != s.At {
				t.Fatalf("event %d: a new envelope has its own event id and ingest time", s.Seq)
			}
			last := len(m.Header.Ext) - 1
			if m.Header.Ext[last].Key != "control" {
				t.Fatalf("event %d: a new envelope has a control number: %v", s.Seq, m.Header.Ext)
			}
			m.Header.EventID, m.Header.IngestTime, m.Header.Ext = was.Header.EventID, was.Header.IngestTime, m.Header.Ext[:last]
		}
		if diff := cmp.Diff(was, m); diff != "" {
			t.Fatalf("event %d (%v) differs from its original:\n%s", s.Seq, s.Copy, diff)
		}
	}
	n := copies[Original] + copies[Exact] + copies[ReEnveloped]
	near(t, "repeated", copies[Exact]+copies[ReEnveloped], n, 0.1/0.95)
	near(t, "of those, in a new envelope", copies[ReEnveloped], copies[Exact]+copies[ReEnveloped], 0.5)
}

func TestTheHottestKeyIsRepeatedAfterItsAge(t *testing.T) {
	millions(t)
	const age = 30 * time.Second
	g := retailed(t, func(l *Load) {
		l.SKUs, l.Sites, l.BusySites, l.Duplicates, l.Poison = 1000, 20, 4, 0, 0
		l.Hottest = Hottest{Share: 0.01, Age: age}
	})
	made := map[string]event.Micros{}
	hottest, late, movements := "", 0, 0
	for range 2_000_000 {
		s := g.Next()
		if !s.Kind.Movement() {
			continue
		}
		if s.At-g.retail.start > event.Micros(2*age/time.Microsecond) {
			movements++
		}
		sku, site := g.Canonical()
		if s.Copy == Original {
			if hottest == "" {
				hottest = strings.Clone(g.retail.names.prefix + "000000|" + g.retail.names.sites[0].name)
			}
			if sku+"|"+site == hottest {
				made[strings.Clone(s.Movement.Header.DedupeKey)] = s.At
			}
			continue
		}
		if sku+"|"+site != hottest {
			t.Fatalf("event %d repeats a movement of %s at %s", s.Seq, sku, site)
		}
		at, ok := made[s.Movement.Header.DedupeKey]
		if by := time.Duration(s.At-at) * time.Microsecond; !ok || by < age {
			t.Fatalf("event %d repeats one of %v before (sent: %v)", s.Seq, by, ok)
		}
		if s.At-g.retail.start > event.Micros(2*age/time.Microsecond) {
			late++
		}
	}
	near(t, "late repetitions of the hottest key", late, movements, 0.01)
}

func TestAPaceSaysWhenTheEventsOfEveryShapeAreDue(t *testing.T) {
	plan, err := pace.New(pace.Segment{For: time.Second, To: 1000}, pace.Segment{For: time.Second, From: 3000, To: 3000})
	if err != nil {
		t.Fatal(err)
	}
	paced := func(l *Load) { l.Pace, l.Rate = plan, 0 }
	for name, g := range map[string]*Generator{"enriched": enriched(t, paced), "scans": scanned(t, paced), "retailer": retailed(t, paced)} {
		for _, g := range []*Generator{g, g.Again()} {
			for seq := range plan.Count() + 1000 {
				s := g.Next()
				if want := event.MicrosOf(g.Load().Start) + event.Micros(plan.At(seq).Microseconds()); s.At != want {
					t.Fatalf("%s: event %d is due at %v, not %v", name, seq, s.At, want)
				}
			}
		}
	}
	steady := retailed(t, func(l *Load) { l.Rate = 7777 })
	for seq := range int64(50_000) {
		if got, want := steady.Next().At-steady.retail.start, event.Micros(due(seq, 7777)); got != want {
			t.Fatalf("event %d of a steady rate is due after %d µs, not %d", seq, got, want)
		}
	}
}

// A picker's basket: mean 10.3, median 8 (FIMI retail.dat).
func TestOrdersHaveTheLinesOfABasket(t *testing.T) {
	g := retailed(t, func(l *Load) { l.Mix.Order = 50 })
	var lines, orders, small int
	for range 100_000 {
		if s := g.Next(); s.Kind == Order {
			n := len(g.retail.hand.order.Lines)
			lines += n
			orders++
			if n <= 8 {
				small++
			}
		}
	}
	if mean := float64(lines) / float64(orders); mean < 9.8 || mean > 10.8 {
		t.Errorf("%.2f lines an order, not 10.3", mean)
	}
	if half := float64(small) / float64(orders); half < 0.42 || half > 0.58 {
		t.Errorf("%.2f of the orders have up to 8 lines", half)
	}
}

func TestTheMilestonesOfAShipmentComeInOrder(t *testing.T) {
	g := retailed(t, nil)
	at := map[string]int{}
	for range 100_000 {
		if s := g.Next(); s.Kind != Milestone {
			continue
		}
		m := &g.retail.hand.milestone
		n := at[m.Shipment]
		if n >= len(milestones) || m.StatusCanon != milestones[n].canonical {
			t.Fatalf("milestone %d of shipment %s is %s", n, m.Shipment, m.StatusCanon)
		}
		at[strings.Clone(m.Shipment)]++
	}
	if len(at) < 2500 {
		t.Errorf("%d shipments", len(at))
	}
}

func BenchmarkRetailer(b *testing.B) {
	g := retailed(b, nil)
	s := serde.Local()
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
		key = g.AppendKey(key[:0])
		value = g.AppendValue(value[:0], s)
	}
}

// What the oracle's replay costs beside the oracle.
func BenchmarkRetailerReplay(b *testing.B) {
	g := retailed(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
