// Package scans makes inventory movements as warehouses send them: skewed over items and sites, partly repeated (as they
// were, or in a new envelope), partly late. Every movement is a function of the seed and its place in the run, so that
// whoever knows the seed knows what was sent, and nothing has to be kept.
//
// Three shapes: Enriched, as the inventory stage's inbox carries them; Scans, as scanners send them to topic movements, in
// the source's own codes and units; and Retailer, the load test's own: scans at any number of items and sites, with the
// master data that they mean, and beside them all else that a retailer's systems tell (milestones, orders, items, stock
// reports), devices that were offline, repetitions hours later, and events that must not be applied.
//
// The package may not know where the movements go, nor what becomes of them. Invariants:
//
//   - Equal loads give equal bytes, on every machine.
//   - A movement repeats only a movement that went before, and a repetition in a new envelope differs in what an
//     envelope may change alone: event id, ingest time and control number.
//   - Next allocates nothing once it is warm.
//   - A Scans generator never takes stock that is not there, in the order in which it makes the movements. A Retailer
//     keeps no stock, so that its memory does not grow with the run: buckets may go below zero.
//   - Two Retailers with different Run have no key, document, device or event id in common, nor a code that one's
//     master data and the other's would both answer to.
package scans

import (
	"errors"
	"fmt"
	"time"

	"crossdock/loadtest/pace"
)

// A Load holds every number of a run. DefaultLoad gives those that were measured or published (Walmart, Amazon, WERC,
// and the grocery baskets of FIMI's retail.dat).
type Load struct {
	Seed uint64
	// Start is the event time of the first movement, UTC, and Rate how many follow within a second: movement i happens
	// i/Rate seconds after Start. A paced run starts at its real start, so that intended times and event times agree.
	Start time.Time
	Rate  int // events a second; default 24,000; where there is a Pace it does not count
	// Pace, where given, says instead when each event is due after Start.
	Pace *pace.Plan
	// Run names the run, 1 to 16 of A-Z, a-z, 0-9 and "-": SKUs, documents, devices and event ids carry it. Default "":
	// the names of all runs are the same. Not in Scans, whose names are the catalogue's. It changes names alone: equal
	// seeds make the same movements.
	Run string

	SKUs         int     // default 200,000; not in Scans
	Sites        int     // default 220; not in Scans
	BusySites    int     // default 20, the distribution centres; not in Scans
	BusyShare    float64 // of the movements at busy sites together; default 0.7
	ZipfExponent float64 // of the SKUs; default 0.9
	// HotShare is the share of the movements that concern the first SKU, whatever Zipf's law gives it: a flash sale has
	// 0.3. Default 0: Zipf's law alone.
	HotShare float64
	LotShare float64 // of the movements that name a lot, Retailer: of the items that are kept by lot; default 0.3; in Scans the item master decides
	Mix      Mix

	Duplicates    float64 // share of repeated movements; default 0.01
	ReEnveloped   float64 // of those, the share in a new envelope; default 0.5
	DuplicateSpan int     // a repeated one is among the last this many; default 10,000
	// DuplicateDepth bounds how many younger movements of its key a repeated one has before it: what remembers less
	// than that counts it twice. Default 32; not in Enriched (its keys are too many for the span to reach as deep).
	DuplicateDepth int
	Hottest        Hottest // Retailer alone, as all that follows but OutOfOrder
	Devices        int     // scanners in all, shared out as the traffic is; default 20 sites with 1,000 each; 0: none is named
	Offline        Offline
	Snapshots      Snapshots
	// Poison is the share of the movements that the pipeline must not apply; default 0.0005. See type Poison.
	Poison float64

	OutOfOrder float64       // share of movements that arrive late; default 0.03
	LateMin    time.Duration // default 1 s
	LateMax    time.Duration // default 60 s
}

// A Mix weighs the kinds of event against each other. The last three are no movements: Retailer alone makes them.
type Mix struct {
	Receive, Putaway, Pick, Pack, Ship, Adjust, Count, Return float64
	Milestone, Order, Item                                    float64
}

// Hottest adds repetitions of the busiest SKU's movements at the first site, as they come from a system that is
// restarted or a queue that was forgotten: long after the original. Default none: what remembers only the latest of a
// key counts them twice.
type Hottest struct {
	Share float64       // of the movements
	Age   time.Duration // at least this long after the original
}

// Offline says how many scans come from devices that had no network, and what those do when they have it again: they
// send what they kept, as fast as they can, among the other traffic. A picker scans 80 lines an hour with 4 scans each (WERC),
// so a device that was away for an hour brings 320. No flush is under way when a run begins: the share is reached once the
// first ones have ended, after some ten seconds.
type Offline struct {
	Share    float64       // of all movements; default 0.005, at most 0.5
	Min, Max time.Duration // how long a device is away; default 5 min to 4 h
	// FlushMin and FlushMax bound how many a second one device sends; default 50 to 200. Where the load has fewer events
	// than that, a flush takes longer.
	FlushMin, FlushMax int
}

// Snapshots are the stock reports of the sites: one row for each of the Rows most popular items that has moved at the
// site in this run, as the site's own system counts it. That count is exact for what the generator has made before the
// report's cut-off (SeqCutoff; poison and repetitions left out), from 0 at the run's start: it may be below zero, as the
// stock is. At most one event in four is a row; reports that find no room wait, and are left out when a whole round waits.
type Snapshots struct {
	Every     time.Duration // of each site, spread evenly; default 15 min; 0: none
	Rows      int           // at most, in one report; default 200
	Differing float64       // share of rows that differ from what was counted, by 1 to 3; default 0.05
}

// DefaultStart is the event time of the first movement of a run that is not paced.
func DefaultStart() time.Time { return time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC) }

// DefaultLoad is the load of a large retailer. The older shapes ignore what is Retailer's alone.
func DefaultLoad(seed uint64) Load {
	return Load{
		Seed: seed, Start: DefaultStart(), Rate: 24_000,
		SKUs: 200_000, Sites: 220, BusySites: 20, BusyShare: 0.7, ZipfExponent: 0.9, LotShare: 0.3,
		Mix: Mix{
			Receive: 6, Putaway: 6, Pick: 45, Pack: 7.5, Ship: 7.5, Adjust: 4, Count: 4, Return: 5,
			Milestone: 12, Order: 2.5, Item: 0.5,
		},
		Duplicates: 0.01, ReEnveloped: 0.5, DuplicateSpan: 10_000, DuplicateDepth: 32,
		OutOfOrder: 0.03, LateMin: time.Second, LateMax: time.Minute,
		Devices:   20_000,
		Offline:   Offline{Share: 0.005, Min: 5 * time.Minute, Max: 4 * time.Hour, FlushMin: 50, FlushMax: 200},
		Snapshots: Snapshots{Every: 15 * time.Minute, Rows: 200, Differing: 0.05},
		Poison:    0.0005,
	}
}

// The bounds of a load: what its tables would cost beyond them is no longer small.
const (
	maxSKUs  = 10_000_000
	maxSites = 10_000
	maxSpan  = 1_000_000
	// maxDevices keeps their numbers within 32 bits by far.
	maxDevices = 10_000_000
	// maxCounted bounds the pairs of item and site whose stock is counted for snapshots, at 28 bytes each.
	maxCounted = 20_000_000
	// maxAway bounds an offline device's absence.
	maxAway = 7 * 24 * time.Hour
	maxRun  = 16
)

// Validate names every number that cannot be.
func (l *Load) Validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(l.Rate > 0 || l.Pace != nil, "rate %d: give a number of events a second above 0", l.Rate)
	check(runName(l.Run), "run %q: give up to %d of A-Z, a-z, 0-9 and -", l.Run, maxRun)
	check(l.SKUs > 0 && l.SKUs <= maxSKUs, "skus %d: give 1 to %d", l.SKUs, maxSKUs)
	check(l.Sites > 0 && l.Sites <= maxSites, "sites %d: give 1 to %d", l.Sites, maxSites)
	check(l.BusySites >= 0 && l.BusySites <= l.Sites, "busy sites %d: give 0 to the number of sites, %d", l.BusySites, l.Sites)
	check(l.ZipfExponent >= 0 && l.ZipfExponent <= 5, "zipf exponent %g: give 0 (all alike) to 5", l.ZipfExponent)
	for _, s := range []struct {
		name  string
		value float64
	}{
		{"busy share", l.BusyShare}, {"lot share", l.LotShare}, {"duplicates", l.Duplicates},
		{"re-enveloped", l.ReEnveloped}, {"out of order", l.OutOfOrder}, {"hot share", l.HotShare},
		{"hottest share", l.Hottest.Share}, {"snapshots differing", l.Snapshots.Differing}, {"poison", l.Poison},
	} {
		check(s.value >= 0 && s.value <= 1, "%s %g: give a share from 0 to 1", s.name, s.value)
	}
	check(l.Duplicates < 1, "duplicates %g: something must be sent first, give less than 1", l.Duplicates)
	check(l.DuplicateSpan > 0 && l.DuplicateSpan <= maxSpan, "duplicate span %d: give 1 to %d", l.DuplicateSpan, maxSpan)
	check(l.DuplicateDepth > 0, "duplicate depth %d: give at least 1", l.DuplicateDepth)
	check(l.LateMin >= 0 && l.LateMax >= l.LateMin, "late by %v to %v: give a span that does not end before it starts", l.LateMin, l.LateMax)
	check(l.Duplicates+l.Hottest.Share+l.Poison < 1, "duplicates %g, hottest share %g and poison %g: leave room for movements, their sum must be below 1", l.Duplicates, l.Hottest.Share, l.Poison)
	check(l.Hottest.Age >= 0, "hottest age %v: give 0 or more", l.Hottest.Age)
	check(l.Devices >= 0 && l.Devices <= maxDevices, "devices %d: give 0 to %d", l.Devices, maxDevices)
	l.validateOffline(check)
	l.validateSnapshots(check)
	sum := 0.0
	for k, w := range l.Mix.all() {
		check(w >= 0, "mix: %v %g: give a weight of 0 or more", Kind(k), w)
		if Kind(k) < kinds {
			sum += w
		}
	}
	check(sum > 0, "mix: every weight of a movement is 0: give one above")
	return errors.Join(problems...)
}

func (l *Load) validateOffline(check func(bool, string, ...any)) {
	o := &l.Offline
	check(o.Share >= 0 && o.Share <= 0.5, "offline share %g: give 0 to 0.5, the others are online", o.Share)
	if o.Share == 0 {
		return
	}
	check(l.Devices > 0, "offline share %g of no devices: give devices, or offline share 0", o.Share)
	check(o.Min > 0 && o.Max >= o.Min && o.Max <= maxAway, "offline for %v to %v: give a span above 0, up to %v, that does not end before it starts", o.Min, o.Max, maxAway)
	check(o.FlushMin > 0 && o.FlushMax >= o.FlushMin && o.FlushMax <= 1_000_000, "offline devices flush %d to %d a second: give a span from 1 to 1,000,000 that does not end before it starts", o.FlushMin, o.FlushMax)
}

func (l *Load) validateSnapshots(check func(bool, string, ...any)) {
	s := &l.Snapshots
	check(s.Every == 0 || s.Every >= time.Millisecond, "snapshots every %v: give 0, for none, or at least 1ms", s.Every)
	if s.Every <= 0 {
		return
	}
	check(s.Rows > 0, "snapshot rows %d: give 1 or more, or snapshots every 0 for none", s.Rows)
	rows := min(s.Rows, max(l.SKUs, 0))
	check(rows <= maxCounted/max(1, l.Sites), "snapshot rows %d at %d sites: their stock is counted, give at most %d rows at all sites together", s.Rows, l.Sites, maxCounted)
}

func runName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return len(s) <= maxRun
}

func (m Mix) all() [allKinds - 1]float64 {
	var w [allKinds - 1]float64
	for k, x := range m.weights() {
		w[k] = x
	}
	w[Milestone], w[Order], w[Item] = m.Milestone, m.Order, m.Item
	return w
}

func (m Mix) weights() [kinds]float64 {
	return [kinds]float64{
		Receive: m.Receive, Putaway: m.Putaway, Pick: m.Pick, Pack: m.Pack, Ship: m.Ship,
		Adjust: m.Adjust, Count: m.Count, Return: m.Return,
	}
}
