package latency

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"crossdock/loadtest/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pipeline that takes a millisecond for an event, and stands still for a second: events are due every millisecond. Who
// counts from the intended time sees a thousand of them wait. Who waits for an answer before it sends the next, and counts
// from when it sent, sees one: that is coordinated omission.
func TestAStalledSecondIsSeenByAllEventsThatWereDueInIt(t *testing.T) {
	const (
		rate     = 1000
		run      = 10 * time.Second
		stallAt  = 5 * time.Second
		stall    = time.Second
		service  = 200 * time.Microsecond
		affected = 10 * time.Millisecond
	)
	// pipeline is when an event that is handed over at a time is done.
	pipeline := func(handed, free time.Duration) time.Duration {
		start := max(handed, free)
		if start >= stallAt && start < stallAt+stall {
			start = stallAt + stall
		}
		return start + service
	}
	honest, naive := New(Options{}), New(Options{})
	var free time.Duration
	for i := range int(run.Seconds() * rate) {
		due := time.Duration(i) * time.Second / rate
		free = pipeline(due, free)
		honest.Add(Balance, due, free)
	}
	var now time.Duration
	for i := range int(run.Seconds() * rate) {
		sent := max(now, time.Duration(i)*time.Second/rate)
		now = pipeline(sent, 0)
		naive.Add(Balance, sent, now)
	}
	over := func(r *Recorder) (n int64) {
		for _, column := range r.Hops()[0].Heat {
			for row := range column {
				if row > 0 && edges[row-1] >= affected.Microseconds() {
					n += column[row]
				}
			}
		}
		return n
	}
	// Some 250 more wait behind those that were due in the second: the pipeline works them off at 5,000 a second.
	if n := over(honest); n < 1000 || n > 1300 {
		t.Errorf("from the intended time %d events waited for more than %v, want some 1,240", n, affected)
	}
	if n := over(naive); n != 1 {
		t.Errorf("from the time of sending %d events waited, want the one that was under way", n)
	}
	h, n := honest.Hops()[0].Latency, naive.Hops()[0].Latency
	if h.P99 < 850_000 || n.P99 > 1000 {
		t.Errorf("p99: %d us from the intended time, want about 0.9 s; %d us from sending, want the service time", h.P99, n.P99)
	}
	if h.Max != n.Max {
		t.Errorf("the longest wait is the same: %d and %d us", h.Max, n.Max)
	}
}

func TestQuantilesAreExactToThreeDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.SliceOfN(rapid.Int64Range(0, time.Hour.Microseconds()), 1, 300).Draw(t, "us")
		r := New(Options{})
		for i, v := range us {
			r.Add(Row, time.Duration(i)*time.Second, time.Duration(i)*time.Second+time.Duration(v)*time.Microsecond)
		}
		slices.Sort(us)
		l := r.Hops()[0].Latency
		for _, q := range []struct {
			have int64
			rank float64
		}{{l.P50, .5}, {l.P90, .9}, {l.P99, .99}, {l.P999, .999}} {
			want := us[max(0, int(q.rank*float64(len(us))+0.5)-1)]
			if off := q.have - want; off < 0 || off > want/1000+1 {
				t.Fatalf("quantile %g is %d, want %d to three digits, of %v", q.rank, q.have, want, us)
			}
		}
		if l.Max != us[len(us)-1] {
			t.Fatalf("max %d, want %d", l.Max, us[len(us)-1])
		}
	})
}

func TestLongerThanToldApartIsCountedAtTheTopAndSaid(t *testing.T) {
	r := New(Options{})
	r.Add(Balance, 0, time.Millisecond)
	r.Add(Balance, 0, 3*time.Hour)
	h := r.Hops()[0]
	if h.Measured != 2 || h.Beyond != 1 || h.Latency.Max != (3*time.Hour).Microseconds() {
		t.Fatalf("%+v", h)
	}
	if top := h.Latency.P99; top < time.Hour.Microseconds() || top > time.Hour.Microseconds()*1001/1000 {
		t.Errorf("p99 %d: a latency of 3 h counts as one of an hour", top)
	}
	if last := h.Heat[0][len(h.Edges)]; last != 1 {
		t.Errorf("the open row has %d", last)
	}
}

func TestSeenBeforeIntendedIsNoLatency(t *testing.T) {
	r := New(Options{})
	r.Add(Enriched, time.Second, time.Second-300*time.Microsecond)
	r.Add(Enriched, -time.Second, time.Millisecond) // a clock that jumped: the run has no time before its start
	h := r.Hops()[0]
	if h.Measured != 2 || h.Latency.Max != 1000 || h.Heat[0][0] != 1 || h.Heat[1][0] != 1 {
		t.Fatalf("%+v", h)
	}
}

func TestAnEventOfASampleCountsForThoseThatItStandsFor(t *testing.T) {
	r := New(Options{})
	for range 90 {
		r.Add(Balance, 0, time.Millisecond)
	}
	r.AddFor(Balance, 0, time.Second, 10)
	h := r.Hops()[0]
	if h.Measured != 91 {
		t.Errorf("measured %d, want the events that were looked at", h.Measured)
	}
	if h.Latency.P90 != 1000 || h.Latency.P99 < 999_000 {
		t.Errorf("%+v: 10 of 100 took a second", h.Latency)
	}
	if seen := r.Seen(Balance); !reflect.DeepEqual(seen, []int64{90, 10}) {
		t.Errorf("seen %v", seen)
	}
}

func TestARunOfAnyLengthHasAtMost600Slices(t *testing.T) {
	r := New(Options{})
	const n = 5000
	for i := range n {
		r.Add(Balance, time.Duration(i)*time.Second, time.Duration(i)*time.Second+3*time.Millisecond)
	}
	if r.Slice() != 16*time.Second || r.Slices() > MaxSlices {
		t.Fatalf("%d slices of %v", r.Slices(), r.Slice())
	}
	for i, column := range r.Hops()[0].Heat {
		if want := int64(min(16, n-16*i)); column[2] != want || r.Seen(Balance)[i] != want {
			t.Fatalf("slice %d: %v, seen %d, want %d in the row to 5 ms", i, column, r.Seen(Balance)[i], want)
		}
	}
	// A straggler makes room for itself.
	r.Add(Row, 0, 100*time.Hour)
	if r.Slices() > MaxSlices {
		t.Fatalf("%d slices of %v", r.Slices(), r.Slice())
	}
}

func TestWidenAgreesOnSlicesBeforehand(t *testing.T) {
	r := New(Options{})
	r.Add(Balance, 3*time.Second, 3*time.Second)
	r.Widen(600 * time.Second)
	if r.Slice() != time.Second {
		t.Fatal(r.Slice())
	}
	r.Widen(601 * time.Second)
	if r.Slice() != 2*time.Second || r.Seen(Balance)[1] != 1 {
		t.Fatal(r.Slice(), r.Seen(Balance))
	}
}

// Whoever took it, and however far each Recorder had coarsened: the same events make the same report.
func TestMergedRecordersAreAsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type added struct {
			Hop      Hop
			Intended time.Duration
			Took     time.Duration
			For      int64
			Who      int
		}
		gen := rapid.Custom(func(t *rapid.T) added {
			return added{
				Hop(rapid.IntRange(0, Hops-1).Draw(t, "hop")), time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "intended")),
				time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "took")), rapid.Int64Range(1, 4).Draw(t, "for"), rapid.IntRange(0, 2).Draw(t, "who"),
			}
		})
		one, parts := New(Options{}), []*Recorder{New(Options{}), New(Options{}), New(Options{})}
		for _, a := range rapid.SliceOfN(gen, 0, 60).Draw(t, "added") {
			one.AddFor(a.Hop, a.Intended, a.Intended+a.Took, a.For)
			parts[a.Who].AddFor(a.Hop, a.Intended, a.Intended+a.Took, a.For)
		}
		before := parts[2].Hops()
		merged := New(Options{})
		for _, p := range parts {
			merged.Merge(p)
		}
		if want, have := one.Hops(), merged.Hops(); !reflect.DeepEqual(want, have) {
			t.Fatalf("apart %+v\ntogether %+v", have, want)
		}
		for h := range Hop(Hops) {
			if want, have := one.Seen(h), merged.Seen(h); !reflect.DeepEqual(want, have) {
				t.Fatalf("%v: apart %v, together %v", h, have, want)
			}
		}
		if !reflect.DeepEqual(before, parts[2].Hops()) {
			t.Fatal("what was merged has changed")
		}
		// A look at them all is one look.
		for h := range Hop(Hops) {
			l, n := Look(parts...).Latency(h)
			if wantL, wantN := Look(one).Latency(h); l != wantL || n != wantN {
				t.Fatalf("%v: %+v of %d, want %+v of %d", h, l, n, wantL, wantN)
			}
		}
	})
}

func TestTwoSnapshotsTellWhatCameBetween(t *testing.T) {
	r := New(Options{})
	for range 1000 {
		r.Add(Balance, 0, time.Second)
	}
	mark := Look(r)
	if _, n := Look(r).Since(mark).Latency(Balance); n != 0 {
		t.Errorf("%d events since now", n)
	}
	for range 10 {
		r.Add(Balance, 2*time.Second, 2*time.Second+5*time.Millisecond)
	}
	r.Add(Row, 0, time.Minute)
	now := Look(r).Since(mark)
	if l, n := now.Latency(Balance); n != 10 || l.P50 < 5000 || l.Max > 5010 {
		t.Errorf("%+v of %d", l, n)
	}
	if _, n := now.Latency(Row); n != 1 {
		t.Errorf("%d rows", n)
	}
	if _, n := now.Latency(Accepted); n != 0 {
		t.Error("nothing was accepted")
	}
	if _, n := Look(r).Since(nil).Latency(Balance); n != 1010 {
		t.Errorf("%d in all", n)
	}
}

func TestAWindowLooksBackAsFarAsItIsLong(t *testing.T) {
	r := New(Options{})
	for range 7 {
		r.Add(Balance, 0, time.Second)
	}
	w := NewWindow(10*time.Second, time.Second, r)
	for s := 2; s <= 60; s++ {
		now := time.Duration(s) * time.Second
		r.Add(Balance, now, now)
		if _, n := w.Look(now).Latency(Balance); n != int64(min(s-1, 10)) {
			t.Fatalf("at %v the window has %d events", now, n)
		}
		if len(w.past) > windowLooks+2 {
			t.Fatalf("%d looks kept", len(w.past))
		}
	}
}

func TestTheCurveGrowsFromZeroToOne(t *testing.T) {
	r := New(Options{})
	for i := range 100_000 {
		r.Add(Balance, 0, time.Duration(i)*time.Microsecond)
	}
	curve := r.Hops()[0].Quantiles
	if len(curve) < 50 || len(curve) > 300 {
		t.Fatalf("%d points", len(curve))
	}
	if first, last := curve[0].Quantile, curve[len(curve)-1]; first != 0 || last != (report.Point{Quantile: 1, US: 99_999}) {
		t.Fatalf("from %v to %v", first, last)
	}
	for i := 1; i < len(curve); i++ {
		if curve[i].Quantile < curve[i-1].Quantile || curve[i].US < curve[i-1].US {
			t.Fatalf("point %d falls: %v", i, curve[i-1:i+1])
		}
	}
}

func TestAnEdgeBelongsToTheRowBelowIt(t *testing.T) {
	for us, want := range map[int64]int{0: 0, 1000: 0, 1001: 1, 60_000_000: rows - 2, 60_000_001: rows - 1} {
		if have := row(us); have != want {
			t.Errorf("%d us stands in row %d, want %d", us, have, want)
		}
	}
}

func TestEveryHopSaysWhatItIs(t *testing.T) {
	for _, h := range All() {
		if h.String() == "" || h.Doc() == "" {
			t.Error(uint8(h))
		}
	}
	if len(All()) != Hops {
		t.Error(All())
	}
}

func TestLookingDisturbsNobody(t *testing.T) {
	r := New(Options{})
	var adding sync.WaitGroup
	adding.Go(func() {
		for i := range 20_000 {
			r.Add(Balance, time.Duration(i)*time.Second, time.Duration(i)*time.Second+time.Duration(i))
		}
	})
	for range 20 {
		if _, n := Look(r).Latency(Balance); n > 20_000 {
			t.Error(n)
		}
		r.Hops()
		New(Options{}).Merge(r)
	}
	adding.Wait()
	if _, n := Look(r).Latency(Balance); n != 20_000 {
		t.Error(n)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, hops := range []int{1, 3} {
		b.Run(fmt.Sprintf("hops=%d", hops), func(b *testing.B) {
			r := New(Options{})
			i := 0
			for b.Loop() {
				at := time.Duration(i) * 40 * time.Microsecond
				r.Add(Hop(i%hops), at, at+time.Duration(i%50_000)*time.Microsecond)
				i++
			}
		})
	}
}

func BenchmarkLook(b *testing.B) {
	r := New(Options{})
	for h := range Hop(Hops) {
		r.Add(h, 0, time.Millisecond)
	}
	for b.Loop() {
		Look(r).Latency(Balance)
	}
}
