// Package pace says when each event of a run is due. The plan is fixed before the run begins, so that a pipeline that is
// slow makes events late and never the load smaller (an open loop: no coordinated omission).
//
// It is arithmetic alone and knows no clock. Invariants:
//
//   - Equal plans give equal times on every machine: integers decide. Floats occur only as a first guess, which exact
//     comparisons then correct, so that a fused multiply-add changes nothing.
//   - At never falls, and At and By agree to the nanosecond: By(t) is how many events have At at or before t.
//   - No error adds up: every time is computed from the plan's start, at hour ten as at second one.
package pace

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"time"
)

// The bounds of a plan. Within them no product of its arithmetic passes 128 bits.
const (
	MaxRate     = 10_000_000           // events a second
	MinRate     = 0.001                // events a second, above 0; rates are kept in thousandths
	MaxRamp     = 24 * time.Hour       // of one segment whose rate changes
	MaxDuration = 366 * 24 * time.Hour // of a plan
	MaxSegments = 100_000
)

// perRate is how many units of rate an event a second is, and perEvent how many units of area an event is: half a unit of
// rate for a nanosecond, the half because a ramp's area is the mean of two rates.
const (
	perRate  = 1000
	perEvent = 2 * perRate * uint64(time.Second)
)

// A Segment is a stretch of a plan in which the rate goes evenly from one value to another.
type Segment struct {
	For      time.Duration // above 0
	From, To float64       // events a second, 0 or more; equal: steady
}

// A Plan is a sequence of segments. It is made by New and never changes; any number of goroutines may ask it.
type Plan struct {
	segments []segment
	duration time.Duration
	count    int64
	peak     float64
}

// segment is a Segment in whole units, with what went before it. The last one of a plan has no end: it is what goes on
// after the plan.
type segment struct {
	from, to uint64 // thousandths of an event a second
	length   uint64 // nanoseconds; 0: no end, and steady
	start    uint64 // nanoseconds
	before   wide   // area: events times perEvent
}

// New makes a plan. It names every segment that cannot be, and refuses a plan without a rate above 0. Rates are rounded to
// thousandths of an event a second.
func New(segments ...Segment) (*Plan, error) {
	var problems []error
	total, moving := time.Duration(0), false
	if len(segments) > MaxSegments {
		return nil, fmt.Errorf("pace: %d segments: give at most %d", len(segments), MaxSegments)
	}
	for i, s := range segments {
		check := func(ok bool, format string, args ...any) {
			if !ok {
				problems = append(problems, fmt.Errorf("pace: segment %d: %w", i+1, fmt.Errorf(format, args...)))
			}
		}
		check(s.For > 0, "it lasts %v: give more than 0", s.For)
		check(s.From == s.To || s.For <= MaxRamp, "its rate changes for %v: give at most %v, or several segments", s.For, MaxRamp)
		for _, rate := range []float64{s.From, s.To} {
			check(rate == 0 || rate >= MinRate && rate <= MaxRate, "a rate of %g events a second: give 0, or %g to %d", rate, MinRate, MaxRate)
			moving = moving || rate > 0
			if s.From == s.To {
				break
			}
		}
		if s.For > MaxDuration-total {
			problems = append(problems, fmt.Errorf("pace: segment %d ends later than %v after the plan's start: give a shorter one", i+1, MaxDuration))
			break
		}
		total += max(s.For, 0)
	}
	if !moving {
		problems = append(problems, errors.New("pace: no event is ever due: give at least one segment with a rate above 0"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return build(segments), nil
}

func build(segments []Segment) *Plan {
	p := &Plan{segments: make([]segment, 0, len(segments)+1)}
	end := segment{}
	for _, s := range segments {
		g := end
		g.from, g.to, g.length = units(s.From), units(s.To), uint64(s.For)
		p.segments = append(p.segments, g)
		p.peak = max(p.peak, s.From, s.To)
		end.start += g.length
		end.before = end.before.plus(g.area(g.length))
		if g.to > 0 {
			end.from, end.to = g.to, g.to
		} else if g.from > 0 {
			end.from, end.to = g.from, g.from
		}
	}
	p.segments = append(p.segments, end)
	p.duration = time.Duration(end.start)
	p.count = int64(end.before.quotientUp(perEvent))
	return p
}

func units(rate float64) uint64 { return uint64(math.Round(rate * perRate)) }

// Count is how many events the plan has: those that are due before its end.
func (p *Plan) Count() int64 { return p.count }

// Duration is that of all segments together.
func (p *Plan) Duration() time.Duration { return p.duration }

// Peak is the highest rate, in events a second.
func (p *Plan) Peak() float64 { return p.peak }

// At is when event seq (from 0) is due, after the plan's start, to the nanosecond below. It never falls. Events beyond
// Count are due as if the last rate above 0 went on after the plan's end.
func (p *Plan) At(seq int64) time.Duration {
	if seq <= 0 {
		seq = 0
	}
	target := product(uint64(seq), perEvent)
	// The last segment that begins at or before the event: an event at the border of a pause happens after the pause.
	i := sort.Search(len(p.segments), func(i int) bool { return target.less(p.segments[i].before) }) - 1
	g := &p.segments[i]
	return after(g.start, g.reach(target.minus(g.before)))
}

// By is how many events are due by a time after the plan's start: those with At at or before it. Like At it goes on after
// the plan's end; a plan's own events are no more than Count.
func (p *Plan) By(elapsed time.Duration) int64 {
	if elapsed < 0 {
		return 0
	}
	// At rounds down: what is due by a nanosecond is what is due before the next.
	next := uint64(elapsed) + 1
	g := p.segment(next - 1)
	n := g.before.plus(g.area(next - g.start)).quotientUp(perEvent)
	return int64(min(n, math.MaxInt64))
}

// Rate is that at a time after the plan's start, in events a second; where a segment ends, the next one's. After the plan's
// end it is the last one above 0.
func (p *Plan) Rate(elapsed time.Duration) float64 {
	if elapsed < 0 {
		return 0
	}
	g := p.segment(uint64(elapsed))
	from, to := float64(g.from)/perRate, float64(g.to)/perRate
	if g.from == g.to {
		return from
	}
	return from + (to-from)*(float64(uint64(elapsed)-g.start)/float64(g.length))
}

// segment is that in which a nanosecond lies.
func (p *Plan) segment(at uint64) *segment {
	return &p.segments[sort.Search(len(p.segments), func(i int) bool { return p.segments[i].start > at })-1]
}

// after adds, and stays at the end of time where the sum lies beyond it.
func after(start, t uint64) time.Duration {
	if t > math.MaxInt64-start {
		return math.MaxInt64
	}
	return time.Duration(start + t)
}

// area is that of the segment's first t nanoseconds, rounded up where a ramp's is no whole number.
func (g *segment) area(t uint64) wide {
	if g.from == g.to {
		return product(2*g.from, t)
	}
	return g.timesLength(t).dividedUp(g.length)
}

// timesLength is a ramp's area of t nanoseconds, times its length, which is a whole number:
// 2·from·t·length + (to-from)·t².
func (g *segment) timesLength(t uint64) wide {
	level := product(2*g.from, t).times(g.length)
	square := product(t, t)
	if g.to >= g.from {
		return level.plus(square.times(g.to - g.from))
	}
	return level.minus(square.times(g.from - g.to))
}

// reach is the last nanosecond of the segment at which its area is no more than a.
func (g *segment) reach(a wide) uint64 {
	if g.from == g.to {
		return a.quotient(2 * g.from)
	}
	return g.ramped(a, g.guess(a))
}

// guess solves a ramp's quadratic equation in floats, which is right to a few nanoseconds, but near a rate of 0.
func (g *segment) guess(a wide) uint64 {
	half := (float64(g.to) - float64(g.from)) / float64(g.length) // may be below 0
	level := 2 * float64(g.from)
	root := math.Sqrt(max(0, level*level+4*half*a.float()))
	if level+root <= 0 {
		return 0
	}
	return uint64(min(2*a.float()/(level+root), float64(g.length)))
}

// ramped corrects a guess. Its answer does not depend on the guess, only its time does.
func (g *segment) ramped(a wide, guess uint64) uint64 {
	bound := a.times(g.length)
	fits := func(t uint64) bool { return !bound.less(g.timesLength(t)) }
	// Strides double until low fits and high does not.
	low, high := guess, guess
	for stride := uint64(1); low > 0 && !fits(low); stride *= 2 {
		high = low
		low -= min(low, stride)
	}
	if low == high { // the guess fits
		for stride := uint64(1); high < g.length; stride *= 2 {
			high = min(g.length, high+stride)
			if !fits(high) {
				break
			}
			low = high
		}
	}
	if low == g.length {
		return low
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; fits(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}
