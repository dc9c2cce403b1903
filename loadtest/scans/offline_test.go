package scans

import (
	"testing"
	"time"

	"crossdock/avro/event"
)

func seconds(m event.Micros) float64 { return float64(m) / 1e6 }

// In equilibrium the scans of devices that were offline are their share of all movements, at any rate.
func TestOfflineDevicesHaveTheirShareOfAllMovements(t *testing.T) {
	millions(t)
	for _, c := range []struct {
		share   float64
		rate, n int
	}{{0.005, 24_000, 3_000_000}, {0.05, 24_000, 1_000_000}, {0.5, 24_000, 1_000_000}, {0.05, 100, 500_000}, {0.02, 250_000, 4_000_000}} {
		g := retailed(t, func(l *Load) { l.Rate, l.Offline.Share = c.rate, c.share })
		offline, movements := 0, 0
		for i := range c.n {
			s := g.Next()
			if i < c.n/2 || !s.Kind.Movement() {
				continue
			}
			movements++
			if s.Offline {
				offline++
			}
		}
		// Whole flushes begin and end: a few of them, of 640 scans each, are more or fewer.
		got := float64(offline) / float64(movements)
		if bound := c.share*0.05 + 2*1280/float64(movements); got < c.share-bound || got > c.share+bound {
			t.Errorf("%d events a second: share %.5f of the movements, not %.5f", c.rate, got, c.share)
		}
	}
}

// A device that comes back sends what it kept at 50 to 200 a second, oldest first but for some disorder, from the time in
// which it was away; the others go on meanwhile, and none of its scans was sent in time.
func TestAFlushIsPacedAndItsScansAreOfTheTimeAway(t *testing.T) {
	millions(t)
	type device struct {
		first, last, newest event.Micros
		n, disorder         int
		site                string
	}
	g := retailed(t, func(l *Load) {
		l.Offline.Share, l.Duplicates, l.Poison, l.Snapshots.Every = 0.02, 0, 0, 0
		l.Offline.Min, l.Offline.Max = 20*time.Minute, 2*time.Hour
	})
	flushing := map[int32]*device{}
	online := map[int32]bool{}
	var finished []*device
	for range 3_000_000 {
		s := g.Next()
		if !s.Kind.Movement() {
			continue
		}
		h := &s.Movement.Header
		if s.Device < 0 || len(h.Ext) != 1 || h.Ext[0].Key != "device" {
			t.Fatalf("event %d names no device: %v", s.Seq, h.Ext)
		}
		if h.CapturedTime.Value != h.EventTime || h.IngestTime != s.At {
			t.Fatalf("event %d: captured %v, happened %v, ingested %v", s.Seq, h.CapturedTime.Value, h.EventTime, h.IngestTime)
		}
		if !s.Offline {
			online[s.Device] = true
			continue
		}
		d := flushing[s.Device]
		if d != nil && s.At-d.last > 10_000_000 {
			finished = append(finished, d)
			d = nil
		}
		_, site := g.Canonical()
		if d == nil {
			d = &device{first: s.At, newest: h.EventTime, site: site}
			flushing[s.Device] = d
		}
		if site != d.site {
			t.Fatalf("device %d scans at %s and %s", s.Device, d.site, site)
		}
		away := time.Duration(s.At-h.EventTime) * time.Microsecond
		if away < 0 || away > 2*time.Hour+2*time.Minute {
			t.Fatalf("event %d is %v old", s.Seq, away)
		}
		if h.EventTime < d.newest {
			d.disorder++
			if by := d.newest - h.EventTime; by > 100_000_000 {
				t.Fatalf("event %d is %v before one that its device sent earlier", s.Seq, time.Duration(by)*time.Microsecond)
			}
		}
		d.newest = max(d.newest, h.EventTime)
		d.last = s.At
		d.n++
	}
	for _, d := range flushing {
		if g.retail.scan.At-d.last > 1_000_000 {
			finished = append(finished, d)
		}
	}
	disorder, scans := 0, 0
	for _, d := range finished {
		disorder += d.disorder
		scans += d.n
		if rate := float64(d.n-1) / seconds(d.last-d.first); rate < 45 || rate > 205 {
			t.Errorf("%d scans were flushed at %.0f a second", d.n, rate)
		}
		// Kept for 20 min to 2 h, at 320 an hour.
		if d.n < 106 || d.n > 640 {
			t.Errorf("a device kept %d scans", d.n)
		}
	}
	for id := range flushing {
		if online[id] {
			t.Errorf("device %d was offline, and sent scans in time", id)
		}
	}
	if len(finished) < 50 {
		t.Errorf("%d devices came back", len(finished))
	}
	if share := float64(disorder) / float64(scans); share < 0.01 || share > 0.06 {
		t.Errorf("%.3f of the scans are out of order, not about 0.03", share)
	}
}

// Where a run has fewer events a second than a device flushes, the others are still heard.
func TestAFlushAtALowRateDoesNotStopTheOthers(t *testing.T) {
	g := retailed(t, func(l *Load) { l.Rate, l.Offline.Share, l.Duplicates, l.Poison = 20, 0.3, 0, 0 })
	row, most := 0, 0
	for range 200_000 {
		s := g.Next()
		switch {
		case !s.Kind.Movement():
		case s.Offline:
			row++
			most = max(most, row)
		default:
			row = 0
		}
	}
	if most != flushesInARow {
		t.Errorf("%d flushed scans in a row, not %d", most, flushesInARow)
	}
}

// Devices are shared out as the traffic is, and every site has one.
func TestEverySiteHasDevicesAsItHasTraffic(t *testing.T) {
	g := retailed(t, nil)
	l := g.Load()
	f := g.retail.fleet
	all, busy := int32(0), int32(0)
	away := make([]int32, l.Sites)
	for _, d := range f.away {
		away[d.site]++
	}
	for i, c := range f.sites {
		n := c.online + away[i]
		if c.first != all || c.online < 1 {
			t.Fatalf("site %d: %+v", i, c)
		}
		all += n
		if i < l.BusySites {
			busy += n
		}
	}
	if all < 19_900 || all > 20_100 || busy < 13_900 || busy > 14_100 {
		t.Errorf("%d devices, %d of them at busy sites, not 20,000 and 14,000", all, busy)
	}
	// Each comes back once before one comes back twice.
	seen := map[int32]bool{}
	for turn := range f.away {
		d, _ := f.returns(turn)
		if seen[d] {
			t.Fatalf("device %d comes back twice within %d turns", d, turn)
		}
		seen[d] = true
	}
	one := newFleet(3, []float64{1, 1, 1})
	if len(one.away) != 3 || one.sites[2] != (crew{2, 1}) {
		t.Errorf("one device a site: %+v", one)
	}
}
