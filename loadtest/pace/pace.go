// Package pace says when each event of a run is due. The plan is fixed before the run begins, so that a pipeline that is
// slow makes events late and never the load smaller (an open loop: no coordinated omission).
//
// It is arithmetic alone and knows no clock. Equal plans give equal times on every machine.
package pace

import "time"

// A Segment is a stretch of a plan in which the rate goes evenly from one value to another.
type Segment struct {
	For      time.Duration // above 0
	From, To float64       // events a second, 0 or more; equal: steady
}

// A Plan is a sequence of segments. It is made by New and never changes.
type Plan struct {
	segments []segment
}

// segment is a Segment with what went before it.
type segment struct {
	Segment
	start time.Duration
	count int64
}
