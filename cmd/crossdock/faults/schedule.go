package faults

import (
	"math/rand/v2"
	"time"
)

// A Schedule says which fault comes next, on whom and for how long. It is a function of its seed and its faults alone.
type Schedule struct {
	rng    *rand.Rand
	faults []Fault
	deck   []int
}

// A Step is one fault of a schedule.
type Step struct {
	Fault Fault
	Draw  Draw
}

// NewSchedule shuffles the faults again and again, so that each comes once before one comes twice.
func NewSchedule(seed uint64, faults []Fault) *Schedule {
	return &Schedule{rng: rand.New(rand.NewPCG(seed, 0x6661756c7473)), faults: faults}
}

// gaps between the end of one fault and the next: some follow on each other's heels.
const maxGap = 1500 * time.Millisecond

// Next is the next step.
func (s *Schedule) Next() Step {
	if len(s.deck) == 0 {
		s.deck = s.rng.Perm(len(s.faults))
	}
	at := s.deck[0]
	s.deck = s.deck[1:]
	d := Draw{Victim: s.rng.IntN(1 << 16), Broker: s.rng.IntN(1 << 16), Share: s.rng.Float64(), Twice: s.rng.IntN(2) == 1}
	d.Gap = time.Duration(s.rng.Float64() * float64(maxGap))
	return Step{Fault: s.faults[at], Draw: d}
}
