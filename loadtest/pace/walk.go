package pace

import (
	"math"
	"time"
)

// A Walk gives the times of a plan's events one after the other, as At does, for less: no search, and in a steady stretch
// no division. One goroutine uses it; a copy goes on by itself.
type Walk struct {
	plan  *Plan
	seq   int64
	index int    // of the segment that the next event lies in
	until int64  // the first event that lies beyond it
	at    uint64 // steady: the next event's time within the segment, and what remained of the division
	rest  uint64
}

// Walk stands before the plan's first event.
func (p *Plan) Walk() Walk {
	w := Walk{plan: p, index: -1}
	w.enter()
	return w
}

// Next is when the next event is due. It goes on after the plan's end, like At.
func (w *Walk) Next() time.Duration {
	for w.seq >= w.until {
		w.enter()
	}
	g := &w.plan.segments[w.index]
	w.seq++
	if g.from != g.to {
		return after(g.start, g.reach(product(uint64(w.seq-1), perEvent).minus(g.before)))
	}
	at := w.at
	w.at += perEvent / (2 * g.from)
	if w.rest += perEvent % (2 * g.from); w.rest >= 2*g.from {
		w.at, w.rest = w.at+1, w.rest-2*g.from
	}
	return after(g.start, at)
}

// enter goes to the next segment.
func (w *Walk) enter() {
	w.index++
	g := &w.plan.segments[w.index]
	w.until = math.MaxInt64
	if w.index+1 < len(w.plan.segments) {
		// An event on the border belongs to the segment that it begins.
		w.until = int64(w.plan.segments[w.index+1].before.quotientUp(perEvent))
	}
	if w.seq < w.until && g.from == g.to {
		a := product(uint64(w.seq), perEvent).minus(g.before)
		w.at = a.quotient(2 * g.from)
		w.rest = a.minus(product(w.at, 2*g.from)).low
	}
}
