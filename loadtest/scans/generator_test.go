package scans

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crossdock/avro/event"
	"crossdock/avro/serde"
)

func enriched(t testing.TB, change func(*Load)) *Generator {
	t.Helper()
	l := DefaultLoad(1)
	if change != nil {
		change(&l)
	}
	g, err := NewEnriched(l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// hash is that of the keys and values of n movements.
func hash(g *Generator, n int) string {
	h := sha256.New()
	var b []byte
	for range n {
		scan := g.Next()
		b = g.AppendKey(b[:0])
		b = scan.Movement.AppendAvro(b)
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// The golden hashes, of keys and unframed values, change with the generator and with the schema of movements, and then on purpose.
func TestEqualSeedsGiveEqualBytes(t *testing.T) {
	const n = 20_000
	for name, c := range map[string]struct {
		g    *Generator
		want string
	}{
		"enriched": {enriched(t, nil), "47adabba5b5d9445"},
		"scans":    {scanned(t, nil), "9796dbf55a293abe"},
	} {
		got := hash(c.g, n)
		if got != c.want {
			t.Errorf("%s: hash of the first %d records is %s, not %s", name, n, got, c.want)
		}
		if again := hash(c.g.Again(), n); again != got {
			t.Errorf("%s: the same run made again has hash %s, not %s", name, again, got)
		}
	}
	if other := hash(enriched(t, func(l *Load) { l.Seed = 2 }), n); other == hash(enriched(t, nil), n) {
		t.Error("another seed gives the same bytes")
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	for name, g := range map[string]*Generator{"enriched": enriched(t, nil), "scans": scanned(t, nil)} {
		s := serde.Local()
		var b []byte
		step := func() {
			scan := g.Next()
			b = g.AppendKey(b[:0])
			b = s.Append(b, &scan.Movement)
		}
		for range 20_000 {
			step()
		}
		if n := testing.AllocsPerRun(10_000, step); n != 0 {
			t.Errorf("%s: %v allocations a movement", name, n)
		}
	}
}

// near fails where a share is further from what it must be than five standard deviations of n draws.
func near(t *testing.T, what string, got, n int, want float64) {
	t.Helper()
	share := float64(got) / float64(n)
	if bound := 5 * math.Sqrt(want*(1-want)/float64(n)); math.Abs(share-want) > bound {
		t.Errorf("%s: share %.5f of %d, not %.5f within %.5f", what, share, n, want, bound)
	}
}

func TestSharesAreThoseOfTheLoad(t *testing.T) {
	const n = 500_000
	g := enriched(t, nil)
	l := g.Load()
	var duplicates, reEnveloped, late, busy, first, top100, lots int
	var made [kinds]int
	for range n {
		scan := g.Next()
		if scan.Copy != Original {
			duplicates++
			if scan.Copy == ReEnveloped {
				reEnveloped++
			}
			continue
		}
		f := &g.recent[(g.originals-1)%int64(cap(g.recent))]
		made[scan.Kind]++
		if scan.Movement.Header.EventTime < scan.At {
			late++
			if by := time.Duration(scan.At-scan.Movement.Header.EventTime) * time.Microsecond; by < l.LateMin || by > l.LateMax {
				t.Fatalf("movement %d is late by %v", scan.Seq, by)
			}
		}
		if int(f.site) < l.BusySites {
			busy++
		}
		if f.item == 0 {
			first++
		}
		if f.item < 100 {
			top100++
		}
		if scan.Movement.Lot.Valid {
			lots++
		}
	}
	originals := n - duplicates
	near(t, "duplicates", duplicates, n, l.Duplicates)
	near(t, "duplicates in a new envelope", reEnveloped, duplicates, l.ReEnveloped)
	near(t, "late", late, originals, l.OutOfOrder)
	near(t, "at busy sites", busy, originals, l.BusyShare)
	near(t, "with a lot", lots, originals, l.LotShare)
	weights := zipfWeights(l.SKUs, l.ZipfExponent)
	all, hundred := 0.0, 0.0
	for i, w := range weights {
		all += w
		if i < 100 {
			hundred += w
		}
	}
	near(t, "of the first SKU", first, originals, weights[0]/all)
	near(t, "of the first hundred SKUs", top100, originals, hundred/all)
	sum := 0.0
	for _, w := range l.Mix.weights() {
		sum += w
	}
	for k, w := range l.Mix.weights() {
		near(t, Kind(k).String(), made[k], originals, w/sum)
	}
}

// The inventory workload of the benchmark: a quarter of a kilobyte a record, half of the records open a key.
func TestHalfOfTheEnrichedMovementsOpenAKey(t *testing.T) {
	millions(t)
	const n = 2_000_000
	g := enriched(t, nil)
	keys := make(map[int64]struct{}, n/2)
	size := 0
	s := serde.Local()
	var b []byte
	for range n {
		scan := g.Next()
		b = s.Append(b[:0], &scan.Movement)
		size += len(b)
		f := &g.recent[(g.originals-1)%int64(cap(g.recent))]
		keys[int64(f.item)<<32|int64(f.site)] = struct{}{}
	}
	if got := float64(size) / n; math.Abs(got-249) > 1 {
		t.Errorf("%.1f bytes a value, not 249", got)
	}
	if got := len(keys); math.Abs(float64(got)-1_018_735) > 3000 {
		t.Errorf("%d keys, not about 1,018,735", got)
	}
	t.Logf("%d keys, %.1f bytes a value", len(keys), float64(size)/n)
}

// clone is a copy of a movement that outlives the generator's buffer.
func clone(t *testing.T, m *event.InventoryMovement) *event.InventoryMovement {
	t.Helper()
	c := new(event.InventoryMovement)
	if err := c.DecodeAvro(m.AppendAvro(nil)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARepeatedMovementDiffersInItsEnvelopeAlone(t *testing.T) {
	g := enriched(t, func(l *Load) { l.Duplicates = 0.2; l.DuplicateSpan = 500 })
	sent := map[string]*event.InventoryMovement{}
	at := map[string]int{}
	var copies [3]int
	originals := 0
	for range 20_000 {
		scan := g.Next()
		copies[scan.Copy]++
		m := clone(t, &scan.Movement)
		was := sent[m.Header.DedupeKey]
		if scan.Copy == Original {
			if was != nil {
				t.Fatalf("movement %d is no copy, and its dedupe key was sent before: %s", scan.Seq, m.Header.DedupeKey)
			}
			originals++
			sent[m.Header.DedupeKey], at[m.Header.DedupeKey] = m, originals
			continue
		}
		if was == nil {
			t.Fatalf("movement %d repeats what was never sent", scan.Seq)
		}
		if originals-at[m.Header.DedupeKey] >= 500 {
			t.Fatalf("movement %d repeats one from %d originals ago", scan.Seq, originals-at[m.Header.DedupeKey])
		}
		if scan.Copy == ReEnveloped {
			if m.Header.EventID == was.Header.EventID {
				t.Fatalf("movement %d has a new envelope and the old event id", scan.Seq)
			}
			if len(m.Header.Ext) != 1 || m.Header.Ext[0].Key != "control" {
				t.Fatalf("movement %d has a new envelope without a control number", scan.Seq)
			}
			m.Header.EventID, m.Header.IngestTime, m.Header.Ext = was.Header.EventID, was.Header.IngestTime, was.Header.Ext
		}
		if diff := cmp.Diff(was, m); diff != "" {
			t.Fatalf("movement %d (%v) differs from its original:\n%s", scan.Seq, scan.Copy, diff)
		}
	}
	if copies[Exact] == 0 || copies[ReEnveloped] == 0 {
		t.Errorf("copies: %v", copies)
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	l := DefaultLoad(1)
	if err := l.Validate(); err != nil {
		t.Fatalf("the default load: %v", err)
	}
	l.Rate, l.Duplicates, l.LateMax, l.Mix, l.SKUs = 0, 1.5, 0, Mix{}, maxSKUs+1
	err := l.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"rate 0", "duplicates 1.5", "late by", "mix: every weight", "skus 10000001"} {
		if !contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
	if _, err := NewEnriched(l); err == nil {
		t.Error("a generator of a load that cannot be")
	}
}

func TestEventsAreDueAtASteadyRateForAsLongAsARunLasts(t *testing.T) {
	for _, c := range []struct {
		seq  int64
		rate int
		want int64
	}{{0, 3, 0}, {1, 3, 333_333}, {3, 3, 1_000_000}, {24_000 * 86_400, 24_000, 86_400_000_000}, {1e15, 250_000, 4e15}} {
		if got := due(c.seq, c.rate); got != c.want {
			t.Errorf("event %d at %d/s is due after %d µs, not %d", c.seq, c.rate, got, c.want)
		}
	}
}

func BenchmarkEnriched(b *testing.B) {
	g := enriched(b, nil)
	s := serde.Local()
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		scan := g.Next()
		key = g.AppendKey(key[:0])
		value = s.Append(value[:0], &scan.Movement)
	}
}
