package chart

import "math"

// A Scale maps values to shares of an axis, 0 to 1. The zero Scale maps all to 0.
type Scale struct {
	low, high float64 // after log, for a logarithmic one
	log       bool
}

// Linear is a scale from low to high.
func Linear(low, high float64) Scale {
	if !finite(low) || !finite(high) || high <= low {
		if !finite(low) {
			low = 0
		}
		high = low + 1
	}
	return Scale{low: low, high: high}
}

// Log is a logarithmic scale. What is not above 0 lies at its lower end.
func Log(low, high float64) Scale {
	if !finite(low) || low <= 0 {
		low = 1
	}
	if !finite(high) || high <= low {
		high = low * 10
	}
	return Scale{low: math.Log10(low), high: math.Log10(high), log: true}
}

// Place is where a value lies, kept within the axis.
func (s Scale) Place(v float64) float64 {
	if s.log {
		if v <= 0 {
			return 0
		}
		v = math.Log10(v)
	}
	if s.high <= s.low || math.IsNaN(v) {
		return 0
	}
	return max(0, min(1, (v-s.low)/(s.high-s.low)))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// A Tick is a mark of an axis.
type Tick struct {
	At   float64
	Text string
}

// An Axis is a scale with its name, which holds its unit, and its marks.
type Axis struct {
	Label string
	Scale Scale
	// Ticks gives about most marks, never many more.
	Ticks func(most int) []Tick
	// Format is a value in words, for what follows the pointer.
	Format func(float64) string
}

func (a Axis) ticks(most int) []Tick {
	if a.Ticks == nil {
		return nil
	}
	return a.Ticks(most)
}

func (a Axis) format(v float64) string {
	if a.Format == nil {
		return ""
	}
	return a.Format(v)
}

// An axis reaches from least to most of these: beyond, floating point runs out of the digits and powers that marks need.
const (
	leastAmount = 1e-9
	mostAmount  = 1e18
)

// within keeps the end of an axis drawable; what is no number is one.
func within(v float64) float64 {
	if math.IsNaN(v) || v <= 0 {
		return 1
	}
	return max(leastAmount, min(mostAmount, v))
}

// Amount is an axis from 0 to a round number that is not below high.
func Amount(label string, high float64, format func(float64) string) Axis {
	high = within(high)
	high = roundUp(high, step(high, 4))
	return Axis{Label: label, Scale: Linear(0, high), Format: format, Ticks: func(most int) []Tick {
		var all []Tick
		by := step(high, most)
		for i := 0; i <= most+2 && float64(i)*by <= high*1.0001; i++ {
			all = append(all, Tick{float64(i) * by, format(float64(i) * by)})
		}
		return all
	}}
}

// roundUp is the next multiple.
func roundUp(v, by float64) float64 { return math.Ceil(v/by-1e-9) * by }

// step is a round distance that cuts high into about most pieces: 1, 2 or 5 times a power of ten.
func step(high float64, most int) float64 {
	raw := high / float64(max(1, most))
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*power >= raw*0.999 {
			return m * power
		}
	}
	return 10 * power
}

// Magnitude is a logarithmic axis over positive values, widened to round numbers.
func Magnitude(label string, low, high float64, format func(float64) string) Axis {
	low, high = within(low), within(high)
	high = max(low, high)
	low, high = roundLog(low, false), roundLog(high, true)
	if high <= low {
		high = low * 10
	}
	return Axis{Label: label, Scale: Log(low, high), Format: format, Ticks: func(most int) []Tick {
		// All of 1, 2, 5 where there is room; else 1 and, failing that, every other power.
		for _, digits := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			if all := logTicks(low, high, digits, 1, format); len(all) <= most {
				return all
			}
		}
		powers := int(math.Ceil(math.Log10(high/low)/float64(max(1, most)))) + 1
		return logTicks(low, high, []float64{1}, powers, format)
	}}
}

func logTicks(low, high float64, digits []float64, every int, format func(float64) string) []Tick {
	var all []Tick
	first := int(math.Floor(math.Log10(low)))
	for p := first; p <= first+40; p += max(1, every) {
		for _, d := range digits {
			v := d * math.Pow(10, float64(p))
			if v >= low*0.999 && v <= high*1.001 {
				all = append(all, Tick{v, format(v)})
			}
		}
	}
	return all
}

// roundLog is the next 1, 2 or 5 times a power of ten, up or down.
func roundLog(v float64, up bool) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	best := power
	for _, m := range []float64{1, 2, 5, 10} {
		switch {
		case up && m*power >= v*0.9999:
			return m * power
		case !up && m*power <= v*1.0001:
			best = m * power
		}
	}
	return best
}

// Time is an axis of seconds from 0. format gets a moment.
func Time(high float64, format func(float64) string) Axis {
	high = within(high)
	unit, label := 1.0, "seconds since the first event was due"
	switch {
	case high > 3*3600:
		unit, label = 3600, "hours since the first event was due"
	case high > 120:
		unit, label = 60, "minutes since the first event was due"
	}
	return Axis{Label: label, Scale: Linear(0, high), Format: format, Ticks: func(most int) []Tick {
		by := step(high/unit, most)
		if unit > 1 { // minutes and hours are cut into halves and quarters, not tenths
			for _, nice := range []float64{0.25, 0.5, 1, 2, 5, 10, 15, 30, 60} {
				if high/unit/nice <= float64(most) {
					by = nice
					break
				}
			}
		}
		var all []Tick
		for i := 0; i <= most+2 && float64(i)*by*unit <= high*1.0001; i++ {
			all = append(all, Tick{float64(i) * by * unit, short(float64(i) * by)})
		}
		return all
	}}
}
