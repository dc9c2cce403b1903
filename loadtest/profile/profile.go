// Package profile holds what a load test runs: the shape of its pace, the numbers of its load and what it asks of the
// system. A profile is a YAML file, read strictly: an unknown key is an error with its line and the nearest known key, and
// all problems are reported at once. Some are shipped with the program.
//
// Every number has one place: the table of keys in keys.go, which reading, overriding, checking and printing use.
package profile

import (
	"time"

	"crossdock/loadtest/latency"
)

// A Profile is one load. Shares are from 0 to 1. Load, Default and Clone make one; it is checked by Validate, Plan and Load.
type Profile struct {
	Name, Doc string

	Pace       Pace
	Retail     Retail
	Scanners   Scanners
	Mix        Mix
	Duplicates Duplicates
	Disorder   Disorder
	Offline    Offline
	Snapshots  Snapshots
	Poison     Poison
	Objectives Objectives

	origins map[string]origin // where a key was last set
}

// Pace is the shape of the load over time.
type Pace struct {
	Rate   float64       // events a second; 0: what the scanners of the distribution centres make
	For    time.Duration // the whole run
	Ramp   time.Duration // every change of rate takes this long: the start from 0, and from step to step
	Steps  []Step        // none: one step at the rate
	Spikes Spikes
}

// A Step is one stretch of the run.
type Step struct {
	Rate float64 // of Pace.Rate; may be above 1
	For  float64 // of Pace.For; those of all steps add up to 1
}

// Spikes come on top of the steps.
type Spikes struct {
	Every  time.Duration // 0: none. Each is the last For of every Every
	For    time.Duration
	Factor float64
}

// Retail is the size and the skew of the retailer.
type Retail struct {
	SKUs, Sites int
	DCs         int     // of the sites
	DCShare     float64 // of the movements, at distribution centres
	Zipf        float64 // exponent of the SKUs' popularity
	HotShare    float64 // of the movements, about the first SKU, whatever Zipf says
	Lots        float64 // of the SKUs, tracked by lot
}

// Scanners are the people who scan in each distribution centre, and how fast they are.
type Scanners struct {
	Pickers      int // a distribution centre, each with a device
	LinesPerHour float64
	ScansPerLine float64
}

// Mix weighs the kinds of event against each other.
type Mix struct {
	Pick, Pack, Ship, Receive, Putaway, Adjust, Count, Return, Milestone, Order, Item float64
}

// Duplicates are movements that are sent again.
type Duplicates struct {
	Share       float64 // of the movements
	ReEnveloped float64 // of those: a new envelope around the same happening; the others are the same bytes
	Span        int     // a repeated one is among the last so many
	Depth       int     // and has at most so many younger ones of its key
	Late        Late
}

// Late repetitions are those of the hottest key, long after.
type Late struct {
	Share float64       // of the movements
	Age   time.Duration // of the repeated one, at least
}

// Disorder are movements that arrive after younger ones.
type Disorder struct {
	Share    float64
	Min, Max time.Duration // by how much
}

// Offline are scanners without a network, which send what they kept once they have one again.
type Offline struct {
	Share              float64       // of the movements, which such scanners bring
	Min, Max           time.Duration // how long
	FlushMin, FlushMax int           // events a second of one device that is back
}

// Snapshots are sites' reports of their whole stock.
type Snapshots struct {
	Every     time.Duration // a site; 0: none
	Rows      int           // of one report
	Differing float64       // of the rows: what they say differs from what the movements made
}

// Poison are movements that cannot be applied: their bytes are spoiled, or nobody knows what they name.
type Poison struct {
	Share float64
}

// Objectives are what a run must reach to be called good.
type Objectives struct {
	Hops [latency.Hops]Bounds // by latency.Hop
	// MaxLagEnd is how many records the stages together, the sink apart, may be behind when the last event has been sent; 0: any
	// number.
	MaxLagEnd int64
	// Exact: nothing lost, nothing counted twice, every balance right.
	Exact bool
	// KeptPace: the load test itself sent every event when it was due, so that the figures are the system's.
	KeptPace bool
}

// Bounds of a latency, from an event's intended time; 0: none asked.
type Bounds struct {
	P50, P99, P999, Max time.Duration
}

// Default is the profile that a file begins with: the numbers of a large retailer, as published or measured.
func Default() *Profile {
	p := &Profile{
		Name: "base",
		Pace: Pace{Rate: 6000, For: 10 * time.Minute, Ramp: 10 * time.Second, Spikes: Spikes{For: time.Minute, Factor: 1.3}},
		Retail: Retail{
			SKUs: 200_000, Sites: 220, DCs: 20, DCShare: 0.7, Zipf: 0.9, Lots: 0.3,
		},
		Scanners: Scanners{Pickers: 1000, LinesPerHour: 80, ScansPerLine: 4},
		Mix: Mix{
			Pick: 45, Pack: 7.5, Ship: 7.5, Receive: 6, Putaway: 6, Adjust: 4, Count: 4, Return: 5, Milestone: 12, Order: 2.5, Item: 0.5,
		},
		Duplicates: Duplicates{Share: 0.01, ReEnveloped: 0.5, Span: 10_000, Depth: 32, Late: Late{Age: 2 * time.Hour}},
		Disorder:   Disorder{Share: 0.03, Min: time.Second, Max: time.Minute},
		Offline:    Offline{Share: 0.005, Min: 5 * time.Minute, Max: 4 * time.Hour, FlushMin: 50, FlushMax: 200},
		Snapshots:  Snapshots{Every: 15 * time.Minute, Rows: 200, Differing: 0.05},
		Poison:     Poison{Share: 0.0005},
		Objectives: Objectives{MaxLagEnd: 6000, Exact: true, KeptPace: true},
		origins:    map[string]origin{},
	}
	p.Objectives.Hops[latency.Accepted] = Bounds{P99: 50 * time.Millisecond}
	p.Objectives.Hops[latency.Translated] = Bounds{P99: 100 * time.Millisecond}
	p.Objectives.Hops[latency.Enriched] = Bounds{P99: 75 * time.Millisecond}
	p.Objectives.Hops[latency.Balance] = Bounds{P50: 50 * time.Millisecond, P99: 100 * time.Millisecond, P999: 500 * time.Millisecond}
	p.Objectives.Hops[latency.Row] = Bounds{P50: 2 * time.Second, P99: 5 * time.Second}
	return p
}

// Clone is a copy that can be changed by itself.
func (p *Profile) Clone() *Profile {
	c := *p
	c.Pace.Steps = append([]Step(nil), p.Pace.Steps...)
	c.origins = make(map[string]origin, len(p.origins))
	for k, o := range p.origins {
		c.origins[k] = o
	}
	return &c
}
