package trial

import (
	"context"
	"errors"
	"fmt"
	"math"

	"crossdock/loadtest/report"
)

// A Search is how the highest rate that holds is looked for: doubling from a first one, or halving where that is too much
// already, then bisection.
type Search struct {
	From   float64 // events a second, above 0
	Most   float64 // no rate above it is tried: what the tool itself can make; 0: no limit
	Least  float64 // nor one below it; default 1
	Within float64 // the result is this close, as a share, to a rate that does not hold; default 0.05
	Tries  int     // attempts in all at most; default 20
}

// ErrNothingHolds says that even the lowest rate that was tried did not hold.
var ErrNothingHolds = errors.New("no rate that was tried holds")

// Highest looks for the highest rate at which try says that it holds. It returns that rate and all attempts in their order;
// they are returned with an error as well. A rate that holds is taken to mean that lower ones do.
func (s Search) Highest(ctx context.Context, try func(ctx context.Context, rate float64) (report.Attempt, error)) (float64, []report.Attempt, error) {
	if s.From <= 0 || math.IsInf(s.From, 0) || math.IsNaN(s.From) {
		return 0, nil, fmt.Errorf("a search from %g events a second: give a number above 0", s.From)
	}
	if s.Least <= 0 {
		s.Least = 1
	}
	if s.Within <= 0 {
		s.Within = 0.05
	}
	if s.Tries <= 0 {
		s.Tries = 20
	}
	if s.Most <= 0 {
		s.Most = math.Inf(1)
	}
	holds, fails := 0.0, math.Inf(1)
	rate := min(s.From, s.Most)
	var attempts []report.Attempt
	for len(attempts) < s.Tries {
		if ctx.Err() != nil {
			return holds, attempts, context.Cause(ctx)
		}
		a, err := try(ctx, rate)
		if err != nil {
			return holds, attempts, err
		}
		a.Rate = rate
		attempts = append(attempts, a)
		if a.Holds {
			holds = rate
		} else {
			fails = rate
		}
		next := s.next(holds, fails)
		if next == 0 {
			break
		}
		rate = next
	}
	if holds == 0 {
		return 0, attempts, ErrNothingHolds
	}
	return holds, attempts, nil
}

// next is the rate to try after holds held and fails did not; 0: the search is over.
func (s Search) next(holds, fails float64) float64 {
	switch {
	case math.IsInf(fails, 1): // nothing has failed yet
		if holds >= s.Most {
			return 0
		}
		return round(min(2*holds, s.Most))
	case holds == 0: // nothing has held yet
		if fails/2 < s.Least {
			return 0
		}
		return round(fails / 2)
	case fails-holds <= s.Within*fails:
		return 0
	}
	middle := round((holds + fails) / 2)
	if middle <= holds || middle >= fails {
		return 0
	}
	return middle
}

// round leaves a rate three significant digits: nobody means more.
func round(rate float64) float64 {
	if rate < 1000 {
		return math.Round(rate)
	}
	unit := math.Pow(10, math.Floor(math.Log10(rate))-2)
	return math.Round(rate/unit) * unit
}
