package latency

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"crossdock/loadtest/report"
)

// A Snapshot is what Recorders had seen at one moment. Two of them tell what was seen between: the last seconds for a
// line of progress, or all since a rate was changed. It never changes, and costs 200 KiB for each hop.
type Snapshot struct {
	hops [Hops]*hdrhistogram.Snapshot // nil: nothing was seen there
}

// Look takes what recorders of the same Options have seen together, without stopping those who add to them.
func Look(recorders ...*Recorder) *Snapshot {
	s := &Snapshot{}
	for _, r := range recorders {
		r.mu.Lock()
		for h, x := range r.hops {
			if x == nil {
				continue
			}
			counts := x.histogram.Export()
			if s.hops[h] == nil {
				s.hops[h] = counts
				continue
			}
			for i, n := range counts.Counts {
				s.hops[h].Counts[i] += n
			}
		}
		r.mu.Unlock()
	}
	return s
}

// Since is what came after an earlier Snapshot of the same recorders; all there is where earlier is nil.
func (s *Snapshot) Since(earlier *Snapshot) *Snapshot {
	if earlier == nil {
		return s
	}
	d := &Snapshot{}
	for h, now := range s.hops {
		if now == nil {
			continue
		}
		then := earlier.hops[h]
		if then == nil {
			d.hops[h] = now
			continue
		}
		left := *now
		left.Counts = append([]int64(nil), now.Counts...)
		for i, n := range then.Counts {
			left.Counts[i] -= n
		}
		d.hops[h] = &left
	}
	return d
}

// Latency is that of a hop, and how many events it is of: 0 where nothing was seen. Max is exact to three digits only.
func (s *Snapshot) Latency(h Hop) (report.Latency, int64) {
	if s.hops[h] == nil {
		return report.Latency{}, 0
	}
	x := hdrhistogram.Import(s.hops[h])
	if x.TotalCount() == 0 {
		return report.Latency{}, 0
	}
	return inShort(x, x.Max()), x.TotalCount()
}
