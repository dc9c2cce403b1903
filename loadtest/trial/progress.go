package trial

import (
	"sort"
	"sync"
	"time"

	"crossdock/loadtest/send"
	"crossdock/loadtest/series"
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

// maxPulses is how many looks a course keeps, and maxPoints how many lags a load does: a report has 600 slices at most.
const (
	maxPulses = 4096
	maxPoints = 4096
)

// A course keeps looks at how the sending went, from which its slices are told.
type course struct {
	mu     sync.Mutex // guards all below
	pulses series.Series[pulse]
	lately []pulse // those of the last while, and the one before
	last   send.Progress
}

func newCourse() *course { return &course{pulses: series.New[pulse](maxPulses)} }

func (c *course) note(p send.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = p
	if p.Elapsed <= c.pulses.Last().at {
		return
	}
	now := pulse{p.Elapsed, p.Made, p.Acknowledged}
	c.pulses.Add(now)
	c.lately = append(c.lately, now)
	old := 0
	for old+1 < len(c.lately) && c.lately[old+1].at <= now.at-recent {
		old++
	}
	c.lately = append(c.lately[:0], c.lately[old:]...)
}

// latest is the last look.
func (c *course) latest() send.Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// recently is how many events were made a second over the last while.
func (c *course) recently() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.pulses.Last()
	from := max(0, last.at-recent)
	if last.at <= from {
		return 0
	}
	first := between(len(c.lately), func(i int) pulse { return c.lately[i] }, from)
	return float64(last.made-first.made) / (last.at - from).Seconds()
}

// at is how far the sending was at a time, between two looks as if it had gone on evenly.
func (c *course) at(t time.Duration) pulse {
	c.mu.Lock()
	defer c.mu.Unlock()
	return between(c.pulses.Len(), c.pulses.At, t)
}

// between tells a time from n looks in their order. Before the first one stands 0 at 0.
func between(n int, look func(int) pulse, t time.Duration) pulse {
	i := sort.Search(n, func(i int) bool { return look(i).at > t })
	if t <= 0 || n == 0 {
		return pulse{}
	}
	var a pulse
	if i > 0 {
		a = look(i - 1)
	}
	if i == n {
		a.at = t
		return a
	}
	b := look(i)
	part := float64(t-a.at) / float64(b.at-a.at)
	even := func(x, y int64) int64 { return x + int64(part*float64(y-x)) }
	return pulse{t, even(a.made, b.made), even(a.acked, b.acked)}
}
