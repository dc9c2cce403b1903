package pace

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func plan(t testing.TB, segments ...Segment) *Plan {
	t.Helper()
	p, err := New(segments...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rates are in thousandths, so that a second implementation in fractions starts from the same numbers.
var rates = rapid.OneOf(
	rapid.Just(uint64(0)), rapid.Uint64Range(1, 5_000), rapid.Uint64Range(1, 30_000_000), rapid.Uint64Range(1, MaxRate*perRate),
)

var lengths = rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, int64(time.Minute)), rapid.Int64Range(1, int64(MaxRamp)))

func drawn(t *rapid.T) []Segment {
	n := rapid.IntRange(1, 6).Draw(t, "segments")
	segments := make([]Segment, n)
	moving := false
	for i := range segments {
		s := &segments[i]
		s.For = time.Duration(lengths.Draw(t, "for"))
		s.From = float64(rates.Draw(t, "from")) / perRate
		s.To = s.From
		if rapid.Bool().Draw(t, "ramp") {
			s.To = float64(rates.Draw(t, "to")) / perRate
		}
		moving = moving || s.From > 0 || s.To > 0
	}
	if !moving {
		segments[n-1].To = 7
	}
	return segments
}

// events is how many events of the segments lie before a nanosecond, in exact fractions: the slow, obvious way.
func events(segments []Segment, at int64) *big.Rat {
	sum := new(big.Rat)
	for _, s := range segments {
		t := min(at, int64(s.For))
		from := big.NewRat(int64(math.Round(s.From*perRate)), perRate*int64(time.Second))
		to := big.NewRat(int64(math.Round(s.To*perRate)), perRate*int64(time.Second))
		share := big.NewRat(t, int64(s.For))
		then := new(big.Rat).Add(from, new(big.Rat).Mul(new(big.Rat).Sub(to, from), share))
		mean := new(big.Rat).Quo(new(big.Rat).Add(from, then), big.NewRat(2, 1))
		sum.Add(sum, mean.Mul(mean, big.NewRat(t, 1)))
		if at -= t; at == 0 {
			break
		}
	}
	return sum
}

func ceil(r *big.Rat) int64 {
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}

func TestByIsTheCountOfExactFractions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := drawn(t)
		p, err := New(segments...)
		if err != nil {
			t.Fatal(err)
		}
		if want := ceil(events(segments, int64(p.Duration()))); p.Count() != want {
			t.Fatalf("the plan has %d events, not %d", p.Count(), want)
		}
		at := rapid.Int64Range(0, int64(p.Duration())-1).Draw(t, "at")
		if got, want := p.By(time.Duration(at)), ceil(events(segments, at+1)); got != want {
			t.Fatalf("%d events are due by %d ns, not %d", got, at, want)
		}
	})
}

func TestAtNeverFallsAndAgreesWithByToTheNanosecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, err := New(drawn(t)...)
		if err != nil {
			t.Fatal(err)
		}
		n := rapid.Int64Range(0, p.Count()+p.Count()/2+1).Draw(t, "seq")
		at := p.At(n)
		if at == math.MaxInt64 {
			return
		}
		if n < p.Count() && at >= p.Duration() {
			t.Fatalf("event %d of %d is due at %v, after the end of %v", n, p.Count(), at, p.Duration())
		}
		if n >= p.Count() && at < p.Duration() {
			t.Fatalf("event %d, beyond the plan's %d, is due at %v, before its end", n, p.Count(), at)
		}
		if next := p.At(n + 1); next < at {
			t.Fatalf("event %d is due at %v, the next one at %v", n, at, next)
		}
		if by := p.By(at); by < n+1 {
			t.Fatalf("event %d is due at %v, but by then only %d are", n, at, by)
		}
		if at > 0 {
			if by := p.By(at - 1); by > n {
				t.Fatalf("event %d is due at %v, but %d are a nanosecond before", n, at, by)
			}
		}
	})
}

// What a float guesses differs between machines; what is answered may not.
func TestTheAnswerDoesNotDependOnTheGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, to := rates.Draw(t, "from"), rates.Draw(t, "to")
		length := uint64(lengths.Draw(t, "for"))
		if from == to {
			return
		}
		g := &segment{from: from, to: to, length: length}
		whole := g.area(length)
		a := wide{rapid.Uint64Range(0, whole.high).Draw(t, "high"), rapid.Uint64().Draw(t, "low")}
		if whole.less(a) {
			a = whole
		}
		want := g.ramped(a, g.guess(a))
		guess := rapid.Uint64Range(0, length).Draw(t, "guess")
		if got := g.ramped(a, guess); got != want {
			t.Fatalf("guess %d leads to %d, guess %d to %d", g.guess(a), want, guess, got)
		}
	})
}

func TestAWalkGivesTheTimesOfAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := drawn(t)
		for i := range segments {
			// Few enough that a walk passes every border.
			segments[i].For = segments[i].For%time.Millisecond + 1
		}
		p, err := New(segments...)
		if err != nil {
			t.Fatal(err)
		}
		w := p.Walk()
		for n := range min(p.Count()+20, 100_000) {
			if got, want := w.Next(), p.At(n); got != want {
				t.Fatalf("event %d of %d: the walk says %v, the plan %v", n, p.Count(), got, want)
			}
		}
	})
}

func TestTenHoursAtAMillionASecondDoNotDrift(t *testing.T) {
	p := plan(t, Segment{10 * time.Hour, 1_000_000, 1_000_000})
	if p.Count() != 36_000_000_000 {
		t.Fatalf("%d events", p.Count())
	}
	if at := p.At(p.Count() - 1); at != 10*time.Hour-time.Microsecond {
		t.Fatalf("the last one is due at %v", at)
	}
	third := plan(t, Segment{10 * time.Hour, 300_000, 300_000}) // a period of 3.33 us
	if at := third.At(third.Count() - 1); at != 10*time.Hour-3334*time.Nanosecond {
		t.Fatalf("the last one is due at %v", at)
	}
}

func TestTheLargestPlanDoesNotOverflow(t *testing.T) {
	for _, s := range []Segment{
		{MaxDuration, MaxRate, MaxRate}, {MaxRamp, 0, MaxRate}, {MaxRamp, MaxRate, 0}, {MaxRamp, MaxRate - 1, MaxRate},
	} {
		p := plan(t, s)
		want := ceil(events([]Segment{s}, int64(s.For)))
		if p.Count() != want {
			t.Errorf("%+v: %d events, not %d", s, p.Count(), want)
		}
		for _, n := range []int64{0, 1, want / 3, want - 1} {
			if by, before := p.By(p.At(n)), p.By(p.At(n)-1); by < n+1 || before > n {
				t.Errorf("%+v: event %d is due at %v; by then %d are, a nanosecond before %d", s, n, p.At(n), by, before)
			}
		}
	}
	if at := plan(t, Segment{time.Second, MinRate, MinRate}).At(math.MaxInt64); at != math.MaxInt64 {
		t.Errorf("what lies beyond the end of time is due at %v", at)
	}
}

func TestRampsStepsAndSpikesHaveTheEventsOfTheirRates(t *testing.T) {
	p := plan(t,
		Segment{10 * time.Second, 0, 1000},    // 5,000
		Segment{20 * time.Second, 1000, 1000}, // 20,000
		Segment{2 * time.Second, 1300, 1300},  // 2,600
		Segment{5 * time.Second, 0, 0},
		Segment{10 * time.Second, 1000, 0}, // 5,000
	)
	for at, want := range map[time.Duration]int64{
		10 * time.Second: 5001, 30 * time.Second: 25_001, 32 * time.Second: 27_600, 36 * time.Second: 27_600, 47 * time.Second: 32_601,
	} {
		if got := p.By(at); got != want {
			t.Errorf("%d are due by %v, not %d", got, at, want)
		}
	}
	if p.Count() != 32_600 || p.Peak() != 1300 || p.Duration() != 47*time.Second {
		t.Errorf("%d events, peak %g, %v", p.Count(), p.Peak(), p.Duration())
	}
	for at, want := range map[time.Duration]float64{
		-1: 0, 0: 0, 5 * time.Second: 500, 31 * time.Second: 1300, 33 * time.Second: 0, 42 * time.Second: 500, time.Hour: 1000,
	} {
		if got := p.Rate(at); got != want {
			t.Errorf("the rate at %v is %g, not %g", at, got, want)
		}
	}
	if at := p.At(27_600); at != 37*time.Second {
		t.Errorf("the first event after the pause is due at %v", at)
	}
}

func TestEverySegmentThatCannotBeIsNamed(t *testing.T) {
	_, err := New(
		Segment{0, 1, 1}, Segment{time.Second, -1, 5}, Segment{time.Second, math.NaN(), 5}, Segment{time.Second, 1, 2e7},
		Segment{25 * time.Hour, 1, 2}, Segment{time.Second, 0.0001, 1}, Segment{time.Second, math.Inf(1), 1}, Segment{MaxDuration, 1, 1},
	)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"segment 1: it lasts 0s", "segment 2: a rate of -1", "segment 3: a rate of NaN", "segment 4: a rate of 2e+07",
		"segment 5: its rate changes for 25h", "segment 6: a rate of 0.0001", "segment 7: a rate of +Inf", "segment 8 ends later",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	for _, none := range [][]Segment{nil, {{time.Second, 0, 0}}} {
		if _, err := New(none...); err == nil || !strings.Contains(err.Error(), "no event is ever due") {
			t.Errorf("%v: %v", none, err)
		}
	}
}

// Times of a plan with everything in it, as they were first computed: another machine, compiler or rounding may not
// change one of them.
func TestTimesAreEqualOnEveryMachine(t *testing.T) {
	p := plan(t,
		Segment{30 * time.Second, 0, 6000}, Segment{2 * time.Minute, 6000, 6000}, Segment{time.Minute, 6000, 24_000},
		Segment{time.Minute, 31_200, 31_200}, Segment{90 * time.Second, 24_000, 333.333},
	)
	hash, w := uint64(14695981039346656037), p.Walk()
	for range p.Count() {
		hash = (hash ^ uint64(w.Next())) * 1099511628211
	}
	const count, golden = 4_677_000, 0x90b7d3decba16f0b
	if p.Count() != count || hash != golden {
		t.Errorf("%d events with hash %#x, not %d with %#x", p.Count(), hash, count, uint64(golden))
	}
}

func BenchmarkAt(b *testing.B) {
	for name, p := range benchmarked(b) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				p.At(int64(i) % p.Count())
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	for name, p := range benchmarked(b) {
		b.Run(name, func(b *testing.B) {
			w := p.Walk()
			for range b.N {
				if w.seq == p.Count() {
					w = p.Walk()
				}
				w.Next()
			}
		})
	}
}

func benchmarked(b *testing.B) map[string]*Plan {
	return map[string]*Plan{
		"steady": plan(b, Segment{time.Hour, 250_000, 250_000}),
		"ramp":   plan(b, Segment{time.Hour, 10, 500_000}),
	}
}
