package scans

import (
	"strings"
	"testing"
	"time"
)

// millions is said by tests that make so many events. One goroutine makes them: the race detector has nothing to find in them, takes
// ten times as long, and is left out for them (make test runs them without it).
func millions(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("makes millions of events")
	}
	if raceDetector {
		t.Skip("makes millions of events: is run without -race")
	}
}

func TestARetailersSharesAreThoseOfTheLoad(t *testing.T) {
	millions(t)
	const n = 1_000_000
	g := retailed(t, func(l *Load) { l.Offline.Share, l.Snapshots.Every = 0, 0 })
	l := g.Load()
	var movements, originals, duplicates, reEnveloped, poison, late, busy, first, top100, lots, ordered int
	var made [allKinds]int
	for range n {
		s := g.Next()
		made[s.Kind]++
		if !s.Kind.Movement() {
			continue
		}
		movements++
		switch {
		case s.Poison != NotPoison:
			poison++
			continue
		case s.Copy != Original:
			duplicates++
			if s.Copy == ReEnveloped {
				reEnveloped++
			}
			continue
		}
		originals++
		h := &s.Movement.Header
		if h.EventTime < s.At {
			late++
			if by := time.Duration(s.At-h.EventTime) * time.Microsecond; by < l.LateMin || by > l.LateMax {
				t.Fatalf("event %d is late by %v", s.Seq, by)
			}
		}
		hand := &g.retail.hand
		if int(hand.site) < l.BusySites {
			busy++
		}
		if hand.item == 0 {
			first++
		}
		if hand.item < 100 {
			top100++
		}
		if s.Movement.Lot.Valid {
			lots++
		}
		if s.Movement.Ref.Valid {
			ordered++
		}
	}
	near(t, "duplicates", duplicates, movements, l.Duplicates)
	near(t, "duplicates in a new envelope", reEnveloped, duplicates, l.ReEnveloped)
	near(t, "poison", poison, movements, l.Poison)
	near(t, "late", late, originals, l.OutOfOrder)
	near(t, "at busy sites", busy, originals, 0.7)
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
	// The published mix: 45 pick, 15 pack and ship, 12 receive and putaway, 8 adjust and count, 12 milestone, 5 return, 3
	// order and item. Repetitions are of the kinds of their originals, so they change nothing.
	for _, c := range []struct {
		what  string
		kinds []Kind
		want  float64
	}{
		{"pick", []Kind{Pick}, 0.45}, {"pack and ship", []Kind{Pack, Ship}, 0.15}, {"receive and putaway", []Kind{Receive, Putaway}, 0.12},
		{"adjust and count", []Kind{Adjust, Count}, 0.08}, {"milestone", []Kind{Milestone}, 0.12}, {"return", []Kind{Return}, 0.05},
		{"order and item", []Kind{Order, Item}, 0.03},
	} {
		sum := 0
		for _, k := range c.kinds {
			sum += made[k]
		}
		near(t, c.what, sum, n, c.want)
	}
	lotted := 0
	for i := range l.SKUs {
		if g.retail.names.lotTracked(i) {
			lotted++
		}
	}
	near(t, "items kept by lot", lotted, l.SKUs, l.LotShare)
	if lots == 0 || ordered < originals/2 {
		t.Errorf("of %d originals %d name a lot, %d an order", originals, lots, ordered)
	}
}

// Domain: one SKU has 30 % of a flash sale.
func TestAFlashSalesItemHasItsShareWhateverZipfSays(t *testing.T) {
	for _, zipf := range []float64{0, 0.9, 2} {
		flash := func(l *Load) { l.HotShare, l.ZipfExponent = 0.3, zipf }
		for name, g := range map[string]*Generator{"retailer": retailed(t, flash), "enriched": enriched(t, flash)} {
			hot, movements := 0, 0
			for range 200_000 {
				s := g.Next()
				if !s.Kind.Movement() || s.Copy != Original {
					continue
				}
				movements++
				if sku, _ := g.Canonical(); strings.HasSuffix(sku, "000000") {
					hot++
				}
			}
			near(t, name, hot, movements, 0.3)
		}
	}
	only := retailed(t, func(l *Load) { l.HotShare = 1 })
	for range 1000 {
		if s := only.Next(); s.Kind.Movement() && only.retail.hand.item != 0 {
			t.Fatalf("event %d is not of the only item", s.Seq)
		}
	}
}

func TestValidateNamesWhatARetailerCannotDo(t *testing.T) {
	l := DefaultLoad(1)
	l.Run, l.HotShare, l.Poison, l.Duplicates, l.Devices, l.Mix = "no run|", 2, 0.6, 0.5, 0, Mix{Milestone: 1, Order: -1}
	l.Offline.Max, l.Offline.FlushMax = time.Second, 1
	l.Hottest.Age = -1
	l.Snapshots.Rows = 0
	_, err := NewRetailer(l)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`run "no run|"`, "hot share 2", "leave room for movements", "of no devices", "offline for 5m0s to 1s", "flush 50 to 1", "hottest age",
		"snapshot rows 0", "mix: order -1", "every weight of a movement is 0",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
	l = DefaultLoad(1)
	l.Offline.Share, l.Snapshots.Rows, l.SKUs, l.Sites = 0.6, 10_000, 1_000_000, 2500
	if _, err = NewRetailer(l); err == nil || !strings.Contains(err.Error(), "offline share 0.6") || !strings.Contains(err.Error(), "at most 20000000 rows") {
		t.Error(err)
	}
	l.Offline.Share, l.Sites = 0.05, 2000
	if err := l.Validate(); err != nil {
		t.Errorf("the full 20 million rows: %v", err)
	}
}
