package profile

import (
	"fmt"
	"math"
	"time"

	"crossdock/loadtest/pace"
)

// rate is that of the run in events a second.
func (p *Profile) rate() float64 {
	if p.Pace.Rate != 0 {
		return p.Pace.Rate
	}
	s := &p.Scanners
	return float64(p.Retail.DCs) * float64(s.Pickers) * s.LinesPerHour * s.ScansPerLine / 3600 / p.Retail.DCShare
}

// At gives the profile another rate (events a second) and another length, and keeps its shape: steps are shares of both, and
// the lag that is allowed at the end remains the same time. Ramps and spikes stay as long as they are, but in a shorter run
// they shrink with it. The error says what to give instead; the profile is then as before.
func (p *Profile) At(rate float64, d time.Duration) error {
	if err := checkRate(rate); err != nil {
		return fmt.Errorf("rate: %w", err)
	}
	if d <= 0 || d > pace.MaxDuration {
		return fmt.Errorf("length %s: give more than 0s, at most %s, like 10m", short(d), short(pace.MaxDuration))
	}
	c := p.Clone()
	if shrink := float64(d) / float64(p.Pace.For); shrink < 1 {
		for _, t := range []*time.Duration{&c.Pace.Ramp, &c.Pace.Spikes.Every, &c.Pace.Spikes.For} {
			*t = shrunk(*t, shrink)
		}
	}
	if old := p.rate(); old > 0 && c.Objectives.MaxLagEnd > 0 {
		c.Objectives.MaxLagEnd = int64(math.Ceil(min(float64(c.Objectives.MaxLagEnd)*(rate/old), 1<<53)))
	}
	c.Pace.Rate, c.Pace.For = rate, d
	for key, value := range map[string]string{"pace.rate": plain(rate), "pace.for": short(d)} {
		c.origins[key] = origin{set: key + "=" + value}
	}
	if err := c.Validate(); err != nil {
		return err
	}
	*p = *c
	return nil
}

// shrunk is rounded down to what reads well, where that changes little.
func shrunk(d time.Duration, by float64) time.Duration {
	s := time.Duration(float64(d) * by)
	if s >= time.Second {
		return s.Truncate(10 * time.Millisecond)
	}
	return max(s.Truncate(time.Microsecond), min(s, time.Microsecond))
}

// Plan says when each event is due. It is that of a profile that is valid, and an error otherwise.
func (p *Profile) Plan() (*pace.Plan, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	segments := p.spiked(p.stepped())
	for i := range segments {
		segments[i].From, segments[i].To = held(segments[i].From), held(segments[i].To)
	}
	plan, err := pace.New(segments...)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", p.Name, err)
	}
	return plan, nil
}

// stepped are the segments without spikes.
func (p *Profile) stepped() []pace.Segment {
	c := &p.Pace
	parts := c.Steps
	if len(parts) == 0 {
		parts = []Step{{Rate: 1, For: 1}}
	}
	var all []pace.Segment
	add := func(d time.Duration, from, to float64) {
		if d > 0 {
			all = append(all, pace.Segment{For: d, From: from, To: to})
		}
	}
	was, begun, share := 0.0, time.Duration(0), 0.0
	for i, step := range parts {
		share += step.For
		end := time.Duration(math.Round(float64(c.For) * min(share, 1)))
		if i == len(parts)-1 {
			end = c.For
		}
		level := p.rate() * step.Rate
		ramp := time.Duration(0)
		if level != was {
			ramp = min(c.Ramp, end-begun)
			add(ramp, was, level)
		}
		add(end-begun-ramp, level, level)
		was, begun = level, end
	}
	return all
}

// spiked cuts the segments where spikes begin and end, and raises what lies within.
func (p *Profile) spiked(segments []pace.Segment) []pace.Segment {
	s := &p.Pace.Spikes
	if s.Every == 0 {
		return segments
	}
	var all []pace.Segment
	at := time.Duration(0) // of the run
	for _, g := range segments {
		for done := time.Duration(0); done < g.For; {
			into := at % s.Every
			factor, left := 1.0, s.Every-s.For-into
			if left <= 0 {
				factor, left = s.Factor, s.Every-into
			}
			left = min(left, g.For-done)
			all = append(all, pace.Segment{For: left, From: within(&g, done) * factor, To: within(&g, done+left) * factor})
			done += left
			at += left
		}
	}
	return all
}

// within is a segment's rate at a time after its start. The conversion keeps the product from being fused with the sum, so
// that it is the same on every machine.
func within(g *pace.Segment, at time.Duration) float64 {
	switch {
	case g.From == g.To || at == 0:
		return g.From
	case at == g.For:
		return g.To
	}
	return g.From + float64((g.To-g.From)*(float64(at)/float64(g.For)))
}

// held brings a product of good rates and factors to what a plan can hold: less than the least rate is none, and what
// passes the highest is the rounding of one that does not.
func held(rate float64) float64 {
	if rate < pace.MinRate {
		return 0
	}
	return min(rate, pace.MaxRate)
}
