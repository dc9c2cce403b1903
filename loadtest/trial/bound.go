package trial

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/report"
)

// A Bound is what --find-max holds a rate to: "balance:p99<100ms".
type Bound struct {
	Hop      string        // as latency names it
	Quantile float64       // 0.99
	Name     string        // p99
	Below    time.Duration // the quantile must stay under it
}

// quantiles are those that a report has, by the name that people write.
var quantiles = []struct {
	name string
	of   float64
	pick func(*report.Latency) int64
}{
	{"p50", 0.5, func(l *report.Latency) int64 { return l.P50 }},
	{"p90", 0.9, func(l *report.Latency) int64 { return l.P90 }},
	{"p99", 0.99, func(l *report.Latency) int64 { return l.P99 }},
	{"p99.9", 0.999, func(l *report.Latency) int64 { return l.P999 }},
	{"max", 1, func(l *report.Latency) int64 { return l.Max }},
}

// hopNames are the hops in the order of the way.
func hopNames() []string {
	names := make([]string, latency.Hops)
	for h := range names {
		names[h] = latency.Hop(h).String()
	}
	return names
}

// ParseBound reads HOP:QUANTILE<DURATION. The error says what may stand there.
func ParseBound(s string) (Bound, error) {
	usage := func(format string, args ...any) (Bound, error) {
		return Bound{}, fmt.Errorf("%q: %s; write HOP:QUANTILE<DURATION, such as balance:p99<100ms", s, fmt.Sprintf(format, args...))
	}
	hop, rest, ok := strings.Cut(strings.ReplaceAll(s, " ", ""), ":")
	if !ok {
		return usage("no hop")
	}
	quantile, below, ok := strings.Cut(rest, "<")
	if !ok {
		return usage("no bound")
	}
	b := Bound{Hop: hop, Name: quantile}
	known := false
	for _, name := range hopNames() {
		known = known || name == hop
	}
	if !known {
		return usage("there is no hop %q; there are %s", hop, strings.Join(hopNames(), ", "))
	}
	var names []string
	for _, q := range quantiles {
		names = append(names, q.name)
		if q.name == quantile {
			b.Quantile = q.of
		}
	}
	if b.Quantile == 0 {
		return usage("%q is no quantile of a report; there are %s", quantile, strings.Join(names, ", "))
	}
	var err error
	if b.Below, err = time.ParseDuration(strings.TrimPrefix(below, "=")); err != nil {
		if _, number := strconv.ParseFloat(below, 64); number == nil {
			return usage("%s has no unit", below)
		}
		return usage("%q is no duration", below)
	}
	if b.Below <= 0 {
		return usage("%v can never be met", b.Below)
	}
	return b, nil
}

// String is the bound as people write it.
func (b Bound) String() string { return fmt.Sprintf("%s:%s<%v", b.Hop, b.Name, b.Below) }

// errNoHop says that nothing was measured at the hop of a bound.
var errNoHop = errors.New("nothing was measured there")

// of picks the bound's quantile from the hops of a run.
func (b Bound) of(hops []report.Hop) (time.Duration, error) {
	for i := range hops {
		if hops[i].Name != b.Hop || hops[i].Measured == 0 {
			continue
		}
		for _, q := range quantiles {
			if q.name == b.Name {
				return time.Duration(q.pick(&hops[i].Latency)) * time.Microsecond, nil
			}
		}
	}
	return 0, fmt.Errorf("hop %s: %w", b.Hop, errNoHop)
}
