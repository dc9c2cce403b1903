package report

import (
	"strings"
	"testing"
)

// Slices are whole seconds. A run of two seconds whose last events leave a moment late has a third slice, and did not send
// for three seconds.
func TestTheMeanRateIsThatOfTheTimeInWhichWasSent(t *testing.T) {
	r := &Report{
		Profile: "base", Entry: Movements, Sent: Sent{Planned: 2000, Made: 2000, Acknowledged: 2000, Seconds: 2.01},
		Slices: []Slice{{Seconds: 1, Due: 1000, Made: 998}, {At: 1, Seconds: 1, Due: 1000, Made: 998}, {At: 2, Seconds: 1, Made: 4}},
	}
	if text := r.whatRan(); !strings.Contains(text, "sent events for 2 s at 995/s on the mean") {
		t.Error(text)
	}
	r.Sent.Seconds = 0 // a report that does not tell it
	if text := r.whatRan(); !strings.Contains(text, "sent events for 3 s at 667/s") {
		t.Error(text)
	}
}

func TestTheHighestRateIsOneThatHeldToTheEnd(t *testing.T) {
	held := func(rate float64) Attempt { return Attempt{Rate: rate, Holds: true} }
	failed := func(rate float64) Attempt { return Attempt{Rate: rate} }
	for name, c := range map[string]struct {
		attempts []Attempt
		want     float64
	}{
		"none was tried":            {nil, 0},
		"none held":                 {[]Attempt{failed(8), failed(4)}, 0},
		"bisection":                 {[]Attempt{held(4), failed(8), held(6), failed(7), held(6)}, 6},
		"it did not hold once more": {[]Attempt{held(4), failed(8), held(6), failed(6), held(5)}, 5},
		"nor did less":              {[]Attempt{held(4), failed(8), held(6), failed(6), failed(5)}, 4},
		"nothing held to the end":   {[]Attempt{held(6), failed(6), failed(5)}, 0},
	} {
		if got := best(c.attempts); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
