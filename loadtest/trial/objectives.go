package trial

import (
	"fmt"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
)

// judge holds a report to the objectives of its profile. A hop that was not looked at (observed says which were) is left
// out: nobody can say whether its objective is met, and the report's notes say so.
func judge(o *profile.Objectives, r *report.Report, observed map[string]bool, lagEnd int64) []report.Objective {
	var all []report.Objective
	add := func(name, wanted, got string, met bool) {
		all = append(all, report.Objective{Name: name, Wanted: wanted, Got: got, Met: met})
	}
	hops := map[string]*report.Hop{}
	for i := range r.Hops {
		hops[r.Hops[i].Name] = &r.Hops[i]
	}
	for _, h := range latency.All() {
		name, b := h.String(), o.Hops[h]
		if !observed[name] {
			continue
		}
		for _, q := range []struct {
			name string
			want time.Duration
			got  func(*report.Latency) int64
		}{
			{"p50", b.P50, func(l *report.Latency) int64 { return l.P50 }},
			{"p99", b.P99, func(l *report.Latency) int64 { return l.P99 }},
			{"p99.9", b.P999, func(l *report.Latency) int64 { return l.P999 }},
			{"max", b.Max, func(l *report.Latency) int64 { return l.Max }},
		} {
			if q.want <= 0 {
				continue
			}
			wanted := fmt.Sprintf("at most %s", Told(q.want))
			seen := hops[name]
			if seen == nil || seen.Measured == 0 {
				add(name+" "+q.name, wanted, "nothing came there", false)
				continue
			}
			got := time.Duration(q.got(&seen.Latency)) * time.Microsecond
			add(name+" "+q.name, wanted, Told(got), got <= q.want)
		}
	}
	if o.MaxLagEnd > 0 && lagEnd >= 0 {
		add("lag at the end of sending", fmt.Sprintf("at most %d records", o.MaxLagEnd), fmt.Sprintf("%d records", lagEnd), lagEnd <= o.MaxLagEnd)
	}
	if o.Exact && r.Verdict != nil {
		got := r.Verdict.Line
		add("exact", "0 lost, 0 duplicated, 0 wrong", got, r.Verdict.OK)
	}
	if o.KeptPace {
		got := "all but a few in time"
		if r.Tool.Bottleneck != "" {
			got = fmt.Sprintf("%d of %d late", r.Tool.Late, r.Sent.Made)
		}
		add("the load test's own pace", "events that leave when they are due", got, r.Tool.Bottleneck == "")
	}
	return all
}

// Told is a duration in three digits: 12.3 ms, 1.25 s.
func Told(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	case d < 2*time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
