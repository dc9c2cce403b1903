package trial

import (
	"sync"
	"time"

	"crossdock/loadtest/send"
)

// A Phase is what a trial is doing.
type Phase string

// The phases of each load, in their order.
const (
	Preparing Phase = "preparing" // master data is on its way to the stages
	Sending   Phase = "sending"
	Draining  Phase = "draining" // all is sent, and not all has come out yet
	Verifying Phase = "verifying"
)

// Progress is how far a trial is. Figures that are not known are zero, but Lag, which is then below it.
type Progress struct {
	Phase Phase
	Part  string // which load: "run", "attempt 3, 12,000/s"

	Elapsed, Of time.Duration // of the plan
	Rate        float64       // due a second by the plan, now
	Made        int64
	Planned     int64         // events of the whole plan
	MadeRate    float64       // a second, over the last seconds
	Behind      time.Duration // how late the event made last was
	Lag         int64         // records that the stages together are behind
	P99         time.Duration // of Hop, over the last seconds
	Hop         string
	Away        string // why no broker takes anything; empty: they do
	Waiting     string // while draining: what for
}

// A pulse is one look at how the sending goes.
type pulse struct {
	at          time.Duration
	made, acked int64
}

// A course keeps the looks at how the sending went, from which its slices are told.
type course struct {
	mu     sync.Mutex // guards all below
	pulses []pulse    // the first is 0 at 0
	last   send.Progress
}

func (c *course) note(p send.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = p
	if len(c.pulses) == 0 {
		c.pulses = append(c.pulses, pulse{})
	}
	if last := c.pulses[len(c.pulses)-1]; p.Elapsed > last.at {
		c.pulses = append(c.pulses, pulse{p.Elapsed, p.Made, p.Acknowledged})
	}
}

// latest is the last look.
func (c *course) latest() send.Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// recently is how many events were made a second over the last while.
func (c *course) recently(over time.Duration) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pulses) < 2 {
		return 0
	}
	last := c.pulses[len(c.pulses)-1]
	first := c.between(last.at - over)
	if last.at <= first.at {
		return 0
	}
	return float64(last.made-first.made) / (last.at - first.at).Seconds()
}

// at is how far the sending was at a time, between two looks as if it had gone on evenly.
func (c *course) at(t time.Duration) pulse {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.between(t)
}

// between wants mu held.
func (c *course) between(t time.Duration) pulse {
	if t <= 0 || len(c.pulses) == 0 {
		return pulse{}
	}
	lo, hi := 0, len(c.pulses)-1
	if t >= c.pulses[hi].at {
		p := c.pulses[hi]
		p.at = t
		return p
	}
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; c.pulses[mid].at <= t {
			lo = mid
		} else {
			hi = mid
		}
	}
	a, b := c.pulses[lo], c.pulses[hi]
	part := float64(t-a.at) / float64(b.at-a.at)
	between := func(x, y int64) int64 { return x + int64(part*float64(y-x)) }
	return pulse{t, between(a.made, b.made), between(a.acked, b.acked)}
}
