// Package scans makes inventory movements as warehouses send them: skewed over items and sites, partly repeated (as they
// were, or in a new envelope), partly late. Every movement is a function of the seed and its place in the run, so that
// whoever knows the seed knows what was sent, and nothing has to be kept.
//
// Two shapes: Enriched, as the inventory stage's inbox carries them, and Scans, as scanners send them to topic
// movements, in the source's own codes and units.
//
// The package may not know where the movements go, nor what becomes of them. Invariants:
//
//   - Equal loads give equal bytes, on every machine.
//   - A movement repeats only a movement that went before, and a repetition in a new envelope differs in what an
//     envelope may change alone: event id, ingest time and control number.
//   - Next allocates nothing once it is warm.
//   - A Scans generator never takes stock that is not there, in the order in which it makes the movements.
package scans

import (
	"errors"
	"fmt"
	"time"
)

// A Load holds every number of a run. DefaultLoad gives those that were measured or published (Walmart, Amazon, WERC,
// and the grocery baskets of FIMI's retail.dat).
type Load struct {
	Seed uint64
	// Start is the event time of the first movement, UTC, and Rate how many follow within a second: movement i happens
	// i/Rate seconds after Start. A paced run starts at its real start, so that intended times and event times agree.
	Start time.Time
	Rate  int // events a second; default 24,000

	SKUs         int     // default 200,000; Enriched alone
	Sites        int     // default 220; Enriched alone
	BusySites    int     // default 20, the distribution centres; Enriched alone
	BusyShare    float64 // of the movements at busy sites together; default 0.7
	ZipfExponent float64 // of the SKUs; default 0.9
	LotShare     float64 // of the movements that name a lot; default 0.3; in Scans the item master decides
	Mix          Mix

	Duplicates    float64 // share of repeated movements; default 0.01
	ReEnveloped   float64 // of those, the share in a new envelope; default 0.5
	DuplicateSpan int     // a repeated one is among the last this many; default 10,000
	// DuplicateDepth bounds how many younger movements of its key a repeated one has before it: what remembers less
	// than that counts it twice. Default 32; Scans alone (Enriched's keys are too many for the span to reach as deep).
	DuplicateDepth int

	OutOfOrder float64       // share of movements that arrive late; default 0.03
	LateMin    time.Duration // default 1 s
	LateMax    time.Duration // default 60 s
}

// A Mix weighs the kinds of movement against each other. The published mix has 12 % milestones and 3 % orders and items
// beside these, which are no movements.
type Mix struct {
	Receive, Putaway, Pick, Pack, Ship, Adjust, Count, Return float64
}

// DefaultStart is the event time of the first movement of a run that is not paced.
func DefaultStart() time.Time { return time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC) }

// DefaultLoad is the load of a large retailer.
func DefaultLoad(seed uint64) Load {
	return Load{
		Seed: seed, Start: DefaultStart(), Rate: 24_000,
		SKUs: 200_000, Sites: 220, BusySites: 20, BusyShare: 0.7, ZipfExponent: 0.9, LotShare: 0.3,
		Mix:        Mix{Receive: 6, Putaway: 6, Pick: 45, Pack: 7.5, Ship: 7.5, Adjust: 4, Count: 4, Return: 5},
		Duplicates: 0.01, ReEnveloped: 0.5, DuplicateSpan: 10_000, DuplicateDepth: 32,
		OutOfOrder: 0.03, LateMin: time.Second, LateMax: time.Minute,
	}
}

// The bounds of a load: what its tables would cost beyond them is no longer small.
const (
	maxSKUs  = 10_000_000
	maxSites = 10_000
	maxSpan  = 1_000_000
)

// Validate names every number that cannot be.
func (l *Load) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(l.Rate > 0, "rate %d: give a number of events a second above 0", l.Rate)
	check(l.SKUs > 0 && l.SKUs <= maxSKUs, "skus %d: give 1 to %d", l.SKUs, maxSKUs)
	check(l.Sites > 0 && l.Sites <= maxSites, "sites %d: give 1 to %d", l.Sites, maxSites)
	check(l.BusySites >= 0 && l.BusySites <= l.Sites, "busy sites %d: give 0 to the number of sites, %d", l.BusySites, l.Sites)
	check(l.ZipfExponent >= 0 && l.ZipfExponent <= 5, "zipf exponent %g: give 0 (all alike) to 5", l.ZipfExponent)
	for _, s := range []struct {
		name  string
		value float64
	}{
		{"busy share", l.BusyShare}, {"lot share", l.LotShare}, {"duplicates", l.Duplicates},
		{"re-enveloped", l.ReEnveloped}, {"out of order", l.OutOfOrder},
	} {
		check(s.value >= 0 && s.value <= 1, "%s %g: give a share from 0 to 1", s.name, s.value)
	}
	check(l.Duplicates < 1, "duplicates %g: something must be sent first, give less than 1", l.Duplicates)
	check(l.DuplicateSpan > 0 && l.DuplicateSpan <= maxSpan, "duplicate span %d: give 1 to %d", l.DuplicateSpan, maxSpan)
	check(l.DuplicateDepth > 0, "duplicate depth %d: give at least 1", l.DuplicateDepth)
	check(l.LateMin >= 0 && l.LateMax >= l.LateMin, "late by %v to %v: give a span that does not end before it starts", l.LateMin, l.LateMax)
	sum := 0.0
	for k, w := range l.Mix.weights() {
		check(w >= 0, "mix: %v %g: give a weight of 0 or more", Kind(k), w)
		sum += w
	}
	check(sum > 0, "mix: every weight is 0: give one above")
	return errors.Join(problems...)
}

func (m Mix) weights() [kinds]float64 {
	return [kinds]float64{
		Receive: m.Receive, Putaway: m.Putaway, Pick: m.Pick, Pack: m.Pack, Ship: m.Ship,
		Adjust: m.Adjust, Count: m.Count, Return: m.Return,
	}
}
