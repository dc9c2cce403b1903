package trial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
)

const (
	// warmUp is how long an attempt runs up to its rate before it counts, at most: caches fill, groups settle.
	warmUp = 5 * time.Second
	// finals is how often the search's result is run: a rate that held once and does not hold again is lowered.
	finals = 3
)

// search looks for the highest rate that the bound holds at, and runs that rate once more as the body of the report.
func (t *trial) search(ctx context.Context) error {
	b := *t.o.FindMax
	s := Search{From: t.o.Profile.MeanRate(), Most: t.most}
	best, attempts, err := s.Highest(ctx, func(ctx context.Context, rate float64) (report.Attempt, error) {
		n := len(t.sent) + 1
		return t.attempt(ctx, fmt.Sprintf("attempt %d, %s/s", n, thousands(rate)), fmt.Sprintf("sent-%d.log", n), rate, b)
	})
	t.attempts = attempts
	if err != nil {
		return err
	}
	t.o.Step(fmt.Sprintf("%v holds up to %s events a second; running that once more, for the report", b, thousands(best)))
	for n := range finals {
		a, err := t.attempt(ctx, "run at "+thousands(best)+"/s", fmt.Sprintf("sent-%d.log", len(t.sent)+1), best, b)
		if err != nil {
			return err
		}
		a.Why = "final run: " + a.Why
		t.attempts = append(t.attempts, a)
		if a.Holds {
			return nil
		}
		lower := round(0.95 * best)
		if n == finals-1 || lower < 1 {
			break
		}
		t.o.Step(fmt.Sprintf("%s did not hold again (%s); running %s", thousands(best), a.Why, thousands(lower)))
		best = lower
	}
	return nil
}

// attempt sends at one rate, after a warm-up, and says whether it holds.
func (t *trial) attempt(ctx context.Context, name, file string, rate float64, b Bound) (report.Attempt, error) {
	p := t.o.Profile.Clone()
	warm := min(warmUp, p.Pace.For/2)
	if err := level(p, rate, p.Pace.For+warm, warm); err != nil {
		return report.Attempt{}, &UnfitError{err}
	}
	err := t.one(ctx, name, file, p, &warm)
	if err != nil {
		return report.Attempt{}, err
	}
	l := t.body()
	o := &outcome{
		rate: rate, lag: l.lags.All(), lagKnown: l.lagEnd >= 0, from: warm, to: l.plan.Duration(),
		unsent: l.plan.Count() - l.course.at(l.plan.Duration()).made, bottleneck: l.log.Bottleneck(), outage: len(l.log.Outages()) > 0,
	}
	seen := latency.Look(l.recorders...).Since(l.afterWarm)
	for _, h := range latency.All() {
		if lat, n := seen.Latency(h); n > 0 {
			o.hops = append(o.hops, report.Hop{Name: h.String(), Measured: n, Latency: lat})
		}
	}
	for _, h := range l.hops() {
		if h.Name == b.Hop {
			o.missing = h.Missing
		}
	}
	a := judgeAttempt(b, o)
	verdict := "holds"
	if !a.Holds {
		verdict = "does not hold"
	}
	t.o.Step(fmt.Sprintf("%s: %s (%s)", name, verdict, a.Why))
	return a, nil
}

// level makes a profile run at one rate, after a ramp.
func level(p *profile.Profile, rate float64, d, ramp time.Duration) error {
	p.Pace.Steps, p.Pace.Spikes.Every, p.Pace.Ramp = nil, 0, ramp
	return errors.Join(p.At(rate, d))
}
