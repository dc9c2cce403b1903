package documents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/pace"
	"crossdock/loadtest/scans"
)

// ownSources is the shape in which each system is a source of its own name, with the settings that a source has by default.
func ownSources() Shape {
	s := Shape{Targets: make(map[string]Target)}
	for _, name := range Systems() {
		s.Targets[name] = Target{Source: name}
	}
	return s
}

func retailer(t testing.TB, change func(*scans.Load), segments ...pace.Segment) *scans.Generator {
	t.Helper()
	load := scans.DefaultLoad(5)
	if len(segments) > 0 {
		plan, err := pace.New(segments...)
		if err != nil {
			t.Fatal(err)
		}
		load.Pace = plan
	}
	load.SKUs, load.Sites, load.BusySites, load.Run = 500, 20, 4, "r1"
	load.Poison, load.Duplicates, load.Devices = 0.02, 0.05, 100
	load.Snapshots.Every = time.Second
	if change != nil {
		change(&load)
	}
	g, err := scans.NewRetailer(load)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// cut makes all documents of a load, copied, and what they say.
func cut(t testing.TB, g *scans.Generator, s Shape, count int64) (all []Document, said []Said) {
	t.Helper()
	c, err := NewCutter(g.Again(), s, count, func(s *Said) {
		one := *s
		one.Bytes = bytes.Clone(s.Bytes)
		one.SKU, one.Site = strings.Clone(s.SKU), strings.Clone(s.Site)
		if s.Movement != nil {
			m := new(event.InventoryMovement)
			if err := m.DecodeAvro(bytes.Clone(s.Movement.AppendAvro(nil))); err != nil {
				t.Fatal(err)
			}
			one.Movement = m
		}
		said = append(said, one)
	})
	if err != nil {
		t.Fatal(err)
	}
	for d := c.Next(); d != nil; d = c.Next() {
		one := *d
		one.Body, one.scans, one.originals = bytes.Clone(d.Body), slices.Clone(d.scans), slices.Clone(d.originals)
		all = append(all, one)
		c.Release(d)
	}
	return all, said
}

// The golden hash changes with the documents, and then on purpose: another machine or version of Go may not change it.
func TestEqualLoadsGiveEqualDocuments(t *testing.T) {
	const events = 50_000
	g := retailer(t, nil)
	sum := func() string {
		all, _ := cut(t, g, ownSources(), events)
		h := sha256.New()
		for i := range all {
			_, _ = h.Write(appendDigits([]byte(all[i].Key), int64(all[i].Due), 1))
			_, _ = h.Write(all[i].Body)
		}
		return hex.EncodeToString(h.Sum(nil))[:16]
	}
	first := sum()
	if again := sum(); again != first {
		t.Fatalf("%s, then %s", first, again)
	}
	if want := "524b10e517920731"; first != want {
		t.Errorf("documents hash to %s, want %s", first, want)
	}
}

func TestEveryEventIsInOneDocumentInTheOrderInWhichTheyAreDue(t *testing.T) {
	const events = 50_000
	g := retailer(t, nil)
	all, said := cut(t, g, ownSources(), events)
	total, last := 0, time.Duration(0)
	numbers := make(map[int64]bool)
	for i := range all {
		d := &all[i]
		total += d.Events()
		if d.Due < last {
			t.Fatalf("document %d is due at %v, after one at %v", d.Number, d.Due, last)
		}
		last = d.Due
		if numbers[d.Number] {
			t.Fatalf("document %d twice", d.Number)
		}
		numbers[d.Number] = true
		if len(d.Body) > 64<<10 {
			t.Errorf("document %d has %d bytes", d.Number, len(d.Body))
		}
	}
	if total != events {
		t.Errorf("%d events, want %d", total, events)
	}
	first := make(map[int64]int)
	for i := range said {
		if said[i].Copy == scans.Original {
			first[said[i].Seq]++
		}
	}
	for seq, n := range first {
		if n != 1 {
			t.Fatalf("original %d is said %d times", seq, n)
		}
	}
}

func TestADocumentDoesNotWaitLongerThanItMay(t *testing.T) {
	const wait = 100 * time.Millisecond
	s := ownSources()
	s.Wait = wait
	g := retailer(t, func(l *scans.Load) { l.Rate = 50 })
	all, said := cut(t, g, s, 500)
	due := make(map[int64]time.Duration)
	for i := range all {
		due[all[i].Number] = all[i].Due
	}
	start := event.MicrosOf(g.Load().Start)
	for i := range said {
		p := &said[i]
		if p.Copy != scans.Original {
			continue
		}
		at := time.Duration(p.At-start) * time.Microsecond
		if late := due[p.Number] - at; late < 0 || late > wait {
			t.Fatalf("event %d was due at %v, its document at %v", p.Seq, at, due[p.Number])
		}
	}
}

func TestLengthsAreThoseOfBaskets(t *testing.T) {
	const n = 200_000
	lengths := make([]int, n)
	sum := 0
	for i := range lengths {
		lengths[i] = length(7, int64(i))
		sum += lengths[i]
	}
	slices.Sort(lengths)
	if mean := float64(sum) / n; mean < 10.2 || mean > 10.45 {
		t.Errorf("mean %g", mean)
	}
	for _, q := range []struct {
		share float64
		want  int
	}{{0.5, 8}, {0.95, 27}, {0.99, 39}} {
		if got := lengths[int(q.share*n)]; got < q.want-1 || got > q.want+1 {
			t.Errorf("quantile %g is %d lines, want %d", q.share, got, q.want)
		}
	}
}

func TestDocumentsOfABusySystemHaveTheLengthOfBaskets(t *testing.T) {
	g := retailer(t, func(l *scans.Load) {
		l.Mix = scans.Mix{Pick: 1}
		l.Snapshots.Every, l.Poison, l.Sites, l.BusySites = 0, 0, 1, 1
	})
	all, _ := cut(t, g, ownSources(), 100_000)
	for i := range all[:len(all)-1] { // the last one is cut by the end
		if want := length(5, all[i].Number); all[i].Events() != want {
			t.Fatalf("document %d has %d events, want %d", all[i].Number, all[i].Events(), want)
		}
	}
}
