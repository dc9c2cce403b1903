package scans

import (
	"fmt"
	"testing"
	"time"

	"crossdock/avro/event"
)

// Rows are what was counted from the movements before the cut-off, recounted here with the master data alone, but for the
// share that differs.
func TestRowsAreWhatWasCountedButForTheirShare(t *testing.T) {
	const every = 20 * time.Second
	g := retailed(t, func(l *Load) {
		l.SKUs, l.Sites, l.BusySites = 400, 24, 6
		l.Snapshots = Snapshots{Every: every, Rows: 100, Differing: 0.05}
		l.Offline.Share, l.Poison, l.Duplicates = 0.05, 0.02, 0.05
	})
	m := newMeaning()
	m.read(t, g)
	type posting struct {
		seq    int64
		bucket event.Bucket
		qty    int64
	}
	book := map[string][]posting{}
	pages := map[string]map[int32]int{}
	var rows, differing, since int
	last := map[string]event.Micros{}
	reports := map[string]bool{}
	for range 1_500_000 {
		s := g.Next()
		sku, site := g.Canonical()
		if s.Kind.Movement() {
			since++
			if s.Copy != Original || s.Poison != NotPoison {
				continue
			}
			e := &s.Movement
			qty := m.base(t, e, sku)
			if e.From.Valid {
				book[sku+"|"+site] = append(book[sku+"|"+site], posting{s.Seq, e.From.Value.Bucket, -qty})
			}
			if e.To.Valid {
				book[sku+"|"+site] = append(book[sku+"|"+site], posting{s.Seq, e.To.Value.Bucket, qty})
			}
			if e.Header.SourceSeq.Value != s.Seq {
				t.Fatalf("event %d has the sequence number %d", s.Seq, e.Header.SourceSeq.Value)
			}
			continue
		}
		if s.Kind != Snapshot {
			since++
			continue
		}
		if since < rowEvery-1 && rows > 0 {
			t.Fatalf("event %d is a row, %d events after the last", s.Seq, since)
		}
		since = 0
		rows++
		e := g.retail.hand.row
		if e.SKU != sku || e.Header.Site != site || e.AsOf > s.At || e.SeqCutoff.Value > s.Seq {
			t.Fatalf("event %d: %+v", s.Seq, e)
		}
		if !reports[e.ReportID] {
			reports[fmt.Sprint(e.ReportID)] = true
			if was, ok := last[site]; ok {
				if gap := time.Duration(e.AsOf-was) * time.Microsecond; gap < every*9/10 || gap > every*11/10 {
					t.Fatalf("site %s reports %v after its last report", site, gap)
				}
			}
			last[site] = e.AsOf
			pages[fmt.Sprint(e.ReportID)] = map[int32]int{}
		}
		if e.Page < 1 || e.Page > e.PageCount {
			t.Fatalf("event %d is page %d of %d", s.Seq, e.Page, e.PageCount)
		}
		var want, got [countedBuckets + 2]int64
		for _, p := range book[sku+"|"+site] {
			if p.seq < e.SeqCutoff.Value {
				want[p.bucket] += p.qty
			}
		}
		for _, b := range e.Balances {
			if b.Qty != b.QtySrc || b.Qty%event.QuantityScale != 0 {
				t.Fatalf("event %d: %+v", s.Seq, b)
			}
			got[b.Bucket] = int64(b.Qty) / event.QuantityScale
		}
		off := got[event.BucketAvailable] - want[event.BucketAvailable]
		if off != 0 {
			differing++
		}
		got[event.BucketAvailable] -= off
		if off > 3 || off < -3 || got != want {
			t.Fatalf("event %d: %s at %s is told as %v, and is %v", s.Seq, sku, site, got, want)
		}
	}
	near(t, "differing rows", differing, rows, 0.05)
	if len(last) != 24 || rows < 7000 {
		t.Errorf("%d rows of %d sites", rows, len(last))
	}
}

// What does not fit into a quarter of the events is left out, a report at a time.
func TestReportsTakeAtMostAQuarterOfTheEvents(t *testing.T) {
	g := retailed(t, func(l *Load) {
		l.SKUs, l.Sites, l.BusySites, l.Rate = 300, 50, 5, 500
		l.Snapshots = Snapshots{Every: time.Second, Rows: 300}
	})
	rows := 0
	const n = 200_000
	for range n {
		s := g.Next()
		if s.Kind != Snapshot {
			continue
		}
		rows++
		if old := s.At - g.retail.hand.row.AsOf; old > 3_000_000 {
			t.Fatalf("event %d: its report was cut %d µs ago", s.Seq, old)
		}
	}
	if share := float64(rows) / n; share < 0.2 || share > 0.25 {
		t.Errorf("%.3f of the events are rows", share)
	}
	if r := &g.retail.reports; r.start+event.Micros(r.turn/50*1_000_000) < g.retail.scan.At-5_000_000 {
		t.Errorf("report %d is due, far behind", r.turn)
	}
}
