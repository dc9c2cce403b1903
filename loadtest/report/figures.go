package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// noticeable is the least change that a comparison calls better or worse: of one run each, less may be chance.
const noticeable = 0.05

// text is a value in its unit.
func (u Unit) text(v *float64) string {
	if v == nil {
		return absent
	}
	switch u {
	case EventsASecond:
		return rate(*v)
	case Microseconds:
		return micros(int64(*v))
	case Bytes:
		return size(int64(*v))
	case Times:
		return times(*v)
	case CPUSeconds:
		return figure(*v) + " s"
	case Events, Records:
		return short(*v)
	}
	return short(*v)
}

func (f Figure) ratio() string {
	if f.Ratio == nil {
		return absent
	}
	return times(*f.Ratio)
}

// change says in a word whether B is better; the state is for its colour.
func (f Figure) change() (state, string) {
	if f.A == nil || f.B == nil || f.Better == Neither || !apart(*f.A, *f.B, noticeable) {
		return neutral, ""
	}
	if (*f.B < *f.A) == (f.Better == Lower) {
		return good, "better"
	}
	return bad, "worse"
}

// A ledger of figures, in their order.
type figureList struct {
	section string
	all     []Figure
}

// add takes a figure that either run has.
func (l *figureList) add(name string, unit Unit, better Better, a, b *float64) {
	if a == nil && b == nil {
		return
	}
	f := Figure{Section: l.section, Name: name, Unit: unit, Better: better, A: a, B: b}
	if a != nil && b != nil && *a != 0 {
		ratio := *b / *a
		f.Ratio = &ratio
	}
	l.all = append(l.all, f)
}

// measured is a value where it was measured.
func measured[T int64 | float64](v T, ok bool) *float64 {
	if !ok {
		return nil
	}
	f := float64(v)
	return &f
}

// figures lists what both runs measured, in the page's order.
func figures(a, b *Report) []Figure {
	l := &figureList{section: "Correctness"}
	of := func(pick func(*Verdict) int64) (va, vb *float64) {
		if a.Verdict != nil {
			va = measured(pick(a.Verdict), true)
		}
		if b.Verdict != nil {
			vb = measured(pick(b.Verdict), true)
		}
		return va, vb
	}
	for _, f := range []struct {
		name string
		pick func(*Verdict) int64
	}{
		{"lost", func(v *Verdict) int64 { return v.Lost }},
		{"duplicated", func(v *Verdict) int64 { return v.Duplicated }},
		{"wrong", func(v *Verdict) int64 { return v.Wrong }},
	} {
		va, vb := of(f.pick)
		l.add(f.name, Events, Lower, va, vb)
	}
	l.throughput(a, b)
	l.latency(a, b)
	l.lag(a, b)
	l.cost(a, b)
	l.commits(a, b)
	l.section = "Skew"
	skewA, okA := skew(a.Partitions)
	skewB, okB := skew(b.Partitions)
	l.add("fullest partition over the mean", Times, Lower, measured(skewA, okA), measured(skewB, okB))
	return l.all
}

func (l *figureList) throughput(a, b *Report) {
	l.section = "Throughput"
	l.add("acknowledged", Events, Neither, measured(a.Sent.Acknowledged, a.Sent.Made > 0), measured(b.Sent.Acknowledged, b.Sent.Made > 0))
	meanA, peakA := a.rates()
	meanB, peakB := b.rates()
	l.add("mean rate", EventsASecond, Neither, measured(meanA, meanA > 0), measured(meanB, meanB > 0))
	l.add("peak rate due", EventsASecond, Neither, measured(peakA, peakA > 0), measured(peakB, peakB > 0))
	l.add("held up over 10 ms by the load test", Events, Lower, measured(a.Tool.Late, a.Sent.Made > 0), measured(b.Tool.Late, b.Sent.Made > 0))
	if bestA, bestB := best(a.Search), best(b.Search); bestA+bestB > 0 {
		l.add("highest rate that held", EventsASecond, Higher, measured(bestA, bestA > 0), measured(bestB, bestB > 0))
	}
}

// best is the highest rate that held; 0 where none did. A rate that held once, and later did not hold at itself or below,
// was luck: the search runs what it found once more for that.
func best(attempts []Attempt) (rate float64) {
	fails := math.Inf(1) // the lowest rate that failed after the attempt in hand
	for _, a := range slices.Backward(attempts) {
		if !a.Holds {
			fails = min(fails, a.Rate)
		} else if a.Rate < fails {
			rate = max(rate, a.Rate)
		}
	}
	return rate
}

func (l *figureList) latency(a, b *Report) {
	for _, name := range both(a.Hops, b.Hops, func(h Hop) string { return h.Name }) {
		l.section = "Latency: " + hopLabel(name)
		ha, hb := hop(a, name), hop(b, name)
		for _, q := range []struct {
			name string
			pick func(Latency) int64
		}{
			{"p50", func(l Latency) int64 { return l.P50 }},
			{"p90", func(l Latency) int64 { return l.P90 }},
			{"p99", func(l Latency) int64 { return l.P99 }},
			{"p99.9", func(l Latency) int64 { return l.P999 }},
			{"max", func(l Latency) int64 { return l.Max }},
		} {
			l.add(q.name, Microseconds, Lower, measured(q.pick(ha.Latency), ha.Measured > 0), measured(q.pick(hb.Latency), hb.Measured > 0))
		}
		if ha.Missing+hb.Missing > 0 {
			l.add("never seen", Events, Lower, measured(ha.Missing, true), measured(hb.Missing, true))
		}
	}
}

func (l *figureList) lag(a, b *Report) {
	l.section = "Lag"
	groups := groupsOf(a)
	for _, g := range groupsOf(b) {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		mostA, _, okA := lagOf(a, g)
		mostB, _, okB := lagOf(b, g)
		l.add(g+", most", Records, Lower, measured(mostA, okA), measured(mostB, okB))
	}
}

func (l *figureList) cost(a, b *Report) {
	l.section = "Cost"
	process := func(r *Report, name string) (Process, bool) {
		for _, p := range r.Processes {
			if p.Name == name {
				return p, true
			}
		}
		return Process{}, false
	}
	for _, name := range both(a.Processes, b.Processes, func(p Process) string { return p.Name }) {
		pa, okA := process(a, name)
		pb, okB := process(b, name)
		l.add(name+", CPU per million events", CPUSeconds, Lower, measured(pa.CPUSecondsPerMillion, okA), measured(pb.CPUSecondsPerMillion, okB))
		l.add(name+", peak memory", Bytes, Lower, measured(pa.PeakBytes, okA && pa.PeakBytes > 0), measured(pb.PeakBytes, okB && pb.PeakBytes > 0))
	}
}

func (l *figureList) commits(a, b *Report) {
	l.section = "Commits"
	stages := func(r *Report) []StageCommits {
		if r.Commits == nil {
			return nil
		}
		return r.Commits.Stages
	}
	find := func(r *Report, name string) (StageCommits, bool) {
		for _, s := range stages(r) {
			if s.Stage == name {
				return s, true
			}
		}
		return StageCommits{}, false
	}
	for _, name := range both(stages(a), stages(b), func(s StageCommits) string { return s.Stage }) {
		sa, okA := find(a, name)
		sb, okB := find(b, name)
		l.add(name+", commits", Records, Neither, measured(sa.Count, okA), measured(sb.Count, okB))
		l.add(name+", records a commit", Records, Neither, measured(sa.Records, okA), measured(sb.Records, okB))
		l.add(name+", aborted", Records, Lower, measured(sa.Aborted, okA), measured(sb.Aborted, okB))
	}
}

// groupsOf are the consumer groups whose lag was looked at, sorted.
func groupsOf(r *Report) []string {
	seen := map[string]bool{}
	var all []string
	for _, s := range r.Slices {
		for g := range s.Lag {
			if !seen[g] {
				seen[g] = true
				all = append(all, g)
			}
		}
	}
	slices.Sort(all)
	return all
}

// lagOf is the most that a group was behind, and how much at the last look.
func lagOf(r *Report, group string) (most, end int64, ok bool) {
	for _, s := range r.Slices {
		if n, looked := s.Lag[group]; looked {
			most, end, ok = max(most, n), n, true
		}
	}
	return most, end, ok
}

// skew is how many times the mean the fullest partition holds.
func skew(partitions []Partition) (float64, bool) {
	var all, most int64
	for _, p := range partitions {
		all += p.Records
		most = max(most, p.Records)
	}
	if all <= 0 {
		return 0, false
	}
	return float64(most) * float64(len(partitions)) / float64(all), true
}

// profileDifferences are the values of two YAML texts that differ, by dotted keys. Of texts that are no YAML only whether they
// differ is said.
func profileDifferences(a, b string) []Difference {
	if a == b {
		return nil
	}
	keysA, valuesA, errA := flatten(a)
	keysB, valuesB, errB := flatten(b)
	if errA != nil || errB != nil {
		return []Difference{{"profile's text", fmt.Sprintf("%d lines", strings.Count(a, "\n")), fmt.Sprintf("%d lines, others", strings.Count(b, "\n"))}}
	}
	var all []Difference
	for _, key := range both(keysA, keysB, func(s string) string { return s }) {
		if key != "name" && key != "doc" && valuesA[key] != valuesB[key] {
			all = append(all, Difference{"profile: " + key, valuesA[key], valuesB[key]})
		}
	}
	return all
}

// flatten gives a YAML text's scalars by dotted keys, in their order.
func flatten(text string) (keys []string, values map[string]string, err error) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return nil, nil, err
	}
	values = map[string]string{}
	var walk func(prefix string, n *yaml.Node, depth int)
	walk = func(prefix string, n *yaml.Node, depth int) {
		if depth > 32 {
			return
		}
		switch n.Kind {
		case yaml.DocumentNode:
			for _, child := range n.Content {
				walk(prefix, child, depth+1)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(strings.TrimPrefix(prefix+"."+n.Content[i].Value, "."), n.Content[i+1], depth+1)
			}
		case yaml.SequenceNode:
			for i, child := range n.Content {
				walk(fmt.Sprintf("%s[%d]", prefix, i), child, depth+1)
			}
		case yaml.ScalarNode:
			if _, twice := values[prefix]; !twice {
				keys = append(keys, prefix)
			}
			values[prefix] = n.Value
		}
	}
	walk("", &root, 0)
	return keys, values, nil
}
