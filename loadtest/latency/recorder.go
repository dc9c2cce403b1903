package latency

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"crossdock/loadtest/report"
)

// MaxSlices is the most slices that a run has: when it grows beyond, two neighbours become one.
const MaxSlices = 600

// Options of a Recorder. Recorders that are merged, or looked at together, have the same.
type Options struct {
	// Slice is how long a slice is at first; default 1 s. It doubles when a run has more than MaxSlices.
	Slice time.Duration
	// Highest is the longest latency that is told apart; default 1 h. A longer one counts as this long.
	Highest time.Duration
}

func (o *Options) ensureDefaults() {
	if o.Slice <= 0 {
		o.Slice = time.Second
	}
	if o.Highest < time.Millisecond {
		o.Highest = time.Hour
	}
}

// digits are the significant digits of the run's histograms.
const digits = 3

// edges are the upper edges of the heat map's rows but the last, in microseconds: 1, 2, 5 from a millisecond to a minute.
var edges = [...]int64{
	1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
	1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 60_000_000,
}

const rows = len(edges) + 1

// A Recorder takes latencies. One goroutine adds to it; others may look at it meanwhile.
type Recorder struct {
	options Options

	mu    sync.Mutex // guards all below
	slice time.Duration
	hops  [Hops]*hop // nil: nothing was seen there
}

// hop is what is known of one hop.
type hop struct {
	histogram *hdrhistogram.Histogram // microseconds, weighted
	measured  int64
	most      int64         // microseconds, exact
	beyond    int64         // of measured
	heat      [][rows]int64 // by slice of the intended time, weighted
	seen      []int64       // by slice of the time seen, weighted
}

// New makes a Recorder. It holds 200 KiB for each hop that is seen, and 150 bytes for each of its slices.
func New(o Options) *Recorder {
	o.ensureDefaults()
	return &Recorder{options: o, slice: o.Slice}
}

// Add takes an event that was seen at a hop. Both times count from the start of the run. A time seen that lies before
// the intended one, as clocks that differ make it, counts as no latency at all.
func (r *Recorder) Add(h Hop, intended, seen time.Duration) { r.AddFor(h, intended, seen, 1) }

// AddFor takes an event of a sample that stands for n events. It is one measured event, and counts as n in everything else.
func (r *Recorder) AddFor(h Hop, intended, seen time.Duration, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(h, intended, seen, n)
}

func (r *Recorder) add(h Hop, intended, seen time.Duration, n int64) {
	intended, seen = max(0, intended), max(0, seen)
	us := max(0, (seen - intended).Microseconds())
	x := r.open(h)
	x.measured++
	x.most = max(x.most, us)
	if highest := r.options.Highest.Microseconds(); us > highest {
		x.beyond++
		us = highest
	}
	// It cannot fail: the histogram reaches as far as Highest.
	_ = x.histogram.RecordValues(us, n)
	at, then := r.place(intended), r.place(seen)
	for at >= MaxSlices || then >= MaxSlices {
		r.coarsen()
		at, then = r.place(intended), r.place(seen)
	}
	x.heat = reach(x.heat, at)
	x.heat[at][row(us)] += n
	x.seen = reach(x.seen, then)
	x.seen[then] += n
}

func (r *Recorder) open(h Hop) *hop {
	if r.hops[h] == nil {
		r.hops[h] = &hop{histogram: hdrhistogram.New(1, r.options.Highest.Microseconds(), digits)}
	}
	return r.hops[h]
}

func (r *Recorder) place(at time.Duration) int { return int(at / r.slice) }

// coarsen makes one slice of two.
func (r *Recorder) coarsen() {
	r.slice *= 2
	for _, x := range r.hops {
		if x == nil {
			continue
		}
		x.heat = fold(x.heat, func(a, b *[rows]int64) {
			for i := range a {
				a[i] += b[i]
			}
		})
		x.seen = fold(x.seen, func(a, b *int64) { *a += *b })
	}
}

func fold[T any](s []T, add func(a, b *T)) []T {
	for i := range s {
		if i%2 == 0 {
			s[i/2] = s[i]
		} else {
			add(&s[i/2], &s[i])
		}
	}
	half := (len(s) + 1) / 2
	clear(s[half:])
	return s[:half]
}

// reach makes s long enough for an index.
func reach[T any](s []T, at int) []T {
	for len(s) <= at {
		var zero T
		s = append(s, zero)
	}
	return s
}

// row is where a latency stands in the heat map: an edge belongs to the row below it.
func row(us int64) int {
	for i, edge := range edges {
		if us <= edge {
			return i
		}
	}
	return len(edges)
}

// Merge adds what another Recorder of the same Options has taken. The other stays as it is.
func (r *Recorder) Merge(o *Recorder) {
	other := o.copied()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.slice < other.slice {
		r.coarsen()
	}
	for other.slice < r.slice {
		other.coarsen()
	}
	for h, from := range other.hops {
		if from == nil {
			continue
		}
		to := r.open(Hop(h))
		to.measured += from.measured
		to.most = max(to.most, from.most)
		to.beyond += from.beyond
		to.histogram.Merge(from.histogram)
		to.heat = reach(to.heat, len(from.heat)-1)
		for i := range from.heat {
			for j, n := range from.heat[i] {
				to.heat[i][j] += n
			}
		}
		to.seen = reach(to.seen, len(from.seen)-1)
		for i, n := range from.seen {
			to.seen[i] += n
		}
	}
}

// copied is the same, apart, so that no two locks are ever held at once.
func (r *Recorder) copied() *Recorder {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &Recorder{options: r.options, slice: r.slice}
	for h, x := range r.hops {
		if x != nil {
			c.hops[h] = &hop{
				histogram: x.histogram.Clone(), measured: x.measured, most: x.most, beyond: x.beyond,
				heat: append([][rows]int64(nil), x.heat...), seen: append([]int64(nil), x.seen...),
			}
		}
	}
	return c
}

// Slice is how long a slice is by now.
func (r *Recorder) Slice() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slice
}

// Widen makes slices at least as long as a run of this length needs them, so that all that is told by slice agrees on
// their length before it is told.
func (r *Recorder) Widen(run time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for run > MaxSlices*r.slice {
		r.coarsen()
	}
}

// Seen counts, by slice of the time at which they were seen, the events that came to a hop. A sampled event counts for
// those that it stands for. It has Slices entries, or none where nothing was seen at the hop.
func (r *Recorder) Seen(h Hop) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hops[h] == nil {
		return nil
	}
	seen := make([]int64, r.slices())
	copy(seen, r.hops[h].seen)
	return seen
}

// Slices is how many slices there are by now: the last has something that was due or seen in it.
func (r *Recorder) Slices() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slices()
}

func (r *Recorder) slices() int {
	n := 0
	for _, x := range r.hops {
		if x != nil {
			n = max(n, len(x.heat), len(x.seen))
		}
	}
	return n
}

// Hops are the hops at which something was seen, for a report. Heat has Slices columns, by the intended time: a column is
// what somebody met whose event was due then. An event of a sample counts for those that it stands for, but in Measured.
// Share and Missing are for the one who knows what was awaited.
func (r *Recorder) Hops() []report.Hop {
	r.mu.Lock()
	defer r.mu.Unlock()
	var hops []report.Hop
	for _, h := range All() {
		x := r.hops[h]
		if x == nil {
			continue
		}
		out := report.Hop{
			Name: h.String(), Doc: h.Doc(), Measured: x.measured, Share: 1, Beyond: x.beyond,
			Latency: inShort(x.histogram, x.most), Edges: append([]int64(nil), edges[:]...),
			Heat: make([][]int64, r.slices()), Quantiles: curve(x.histogram, x.most),
		}
		for i := range out.Heat {
			out.Heat[i] = make([]int64, rows)
			if i < len(x.heat) {
				copy(out.Heat[i], x.heat[i][:])
			}
		}
		hops = append(hops, out)
	}
	return hops
}

// Unseen is a hop at which nothing was seen, in a run of so many slices.
func Unseen(h Hop, slices int) report.Hop {
	x := report.Hop{Name: h.String(), Doc: h.Doc(), Share: 1, Edges: append([]int64(nil), edges[:]...), Heat: make([][]int64, slices)}
	for i := range x.Heat {
		x.Heat[i] = make([]int64, rows)
	}
	return x
}

// InOrder sorts hops by their order on the way.
func InOrder(hops []report.Hop) []report.Hop {
	var sorted []report.Hop
	for _, h := range All() {
		for _, x := range hops {
			if x.Name == h.String() {
				sorted = append(sorted, x)
			}
		}
	}
	return sorted
}

func inShort(h *hdrhistogram.Histogram, most int64) report.Latency {
	q := func(p float64) int64 { return min(most, h.ValueAtPercentile(p)) }
	return report.Latency{Mean: int64(h.Mean() + 0.5), P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: most}
}

// ticksPerHalf is how many points the curve has for each halving of what lies beyond: some 100 in all.
const ticksPerHalf = 5

func curve(h *hdrhistogram.Histogram, most int64) []report.Point {
	var points []report.Point
	for _, b := range h.CumulativeDistributionWithTicks(ticksPerHalf) {
		points = append(points, report.Point{Quantile: b.Quantile / 100, US: min(most, b.ValueAt)})
	}
	return points
}
