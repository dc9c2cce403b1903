package trial

import (
	"fmt"
	"strings"
	"time"

	"crossdock/loadtest/report"
)

// An outcome is what is known of one load for which a rate may hold or not.
type outcome struct {
	rate       float64
	hops       []report.Hop // of what was seen after the warm-up: what it left on the way counts
	lag        []point      // of the slowest stage, over the time of sending
	lagKnown   bool
	from, to   time.Duration // what counts: from the end of the warm-up to the last event
	unsent     int64         // events that were due by then and had not been made
	bottleneck string        // why the load test itself was late; empty: it was not
	missing    int64         // expected at the bound's hop, and never seen
	outage     bool          // brokers were away meanwhile
}

// A point is the lag at one moment of a load.
type point struct {
	at  time.Duration
	lag int64
}

// tolerated is how much of a second's events the lag may have grown by in the time that counts, and how much the load test may
// be behind at its end: batches, and other work of the machine, make both go up and down by less.
const tolerated = 0.5

// judgeAttempt says whether a rate holds, and why not.
func judgeAttempt(b Bound, o *outcome) report.Attempt {
	a := report.Attempt{Rate: o.rate, LagEnd: -1}
	var against []string
	no := func(format string, args ...any) { against = append(against, fmt.Sprintf(format, args...)) }
	got, err := b.of(o.hops)
	switch {
	case err != nil:
		no("%v", err)
	case got >= b.Below:
		no("%s of %s is %s, not under %s", b.Name, b.Hop, Told(got), Told(b.Below))
	}
	a.P99 = p99(b.Hop, o.hops)
	if o.missing > 0 {
		no("%d of the events awaited at %s did not come in time", o.missing, b.Hop)
	}
	if o.lagKnown {
		before, after := o.growth()
		if grown := after - before; grown > tolerated*o.rate {
			no("lag grew from %.0f to %.0f records", before, after)
		}
		if n := len(o.lag); n > 0 {
			a.LagEnd = o.lag[n-1].lag
		}
	}
	// An event that left late and came in time for the bound has come in time: latency counts from when it was due. So the
	// load test sets the limit where it falls behind, or where what it was late by may be what broke the bound.
	if float64(o.unsent) > tolerated*o.rate {
		no("the load test did not keep its own pace: %d events were due and not made at the end", o.unsent)
	}
	if len(against) > 0 && o.bottleneck != "" {
		no("%s", o.bottleneck)
	}
	if o.outage {
		no("brokers were away meanwhile")
	}
	a.Holds = len(against) == 0
	a.Why = strings.Join(against, "; ")
	if a.Holds {
		a.Why = fmt.Sprintf("%s of %s is %s, lag does not grow", b.Name, b.Hop, Told(got))
	}
	return a
}

// growth is the mean lag of the first and of the last third of what counts.
func (o *outcome) growth() (before, after float64) {
	third := (o.to - o.from) / 3
	mean := func(from, to time.Duration) float64 {
		var sum, n float64
		for _, p := range o.lag {
			if p.at >= from && p.at <= to {
				sum += float64(p.lag)
				n++
			}
		}
		if n == 0 {
			return 0
		}
		return sum / n
	}
	return mean(o.from, o.from+third), mean(o.to-third, o.to)
}

func p99(hop string, hops []report.Hop) int64 {
	for i := range hops {
		if hops[i].Name == hop {
			return hops[i].Latency.P99
		}
	}
	return 0
}
