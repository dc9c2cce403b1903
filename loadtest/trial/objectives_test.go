package trial

import (
	"testing"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
)

func TestEveryObjectiveIsMetOrSaysWhatCame(t *testing.T) {
	var o profile.Objectives
	o.Hops[latency.Balance] = profile.Bounds{P50: 20 * time.Millisecond, P99: 100 * time.Millisecond, P999: time.Second, Max: time.Minute}
	o.Hops[latency.Row] = profile.Bounds{P99: time.Second}
	o.Hops[latency.Translated] = profile.Bounds{P99: time.Second}
	o.MaxLagEnd, o.Exact, o.KeptPace = 100, true, true
	r := &report.Report{
		Hops:    []report.Hop{{Name: "balance", Measured: 10, Latency: report.Latency{P50: 20_000, P99: 100_001, P999: 900_000, Max: 950_000}}},
		Verdict: &report.Verdict{OK: false, Line: "verified: FAILED"},
		Tool:    report.Tool{Late: 7, Bottleneck: "it was late"},
		Sent:    report.Sent{Made: 10},
	}
	// Rows were looked at and none came; translated documents there were none of, so nobody can say.
	got := judge(&o, r, map[string]bool{"balance": true, "row": true}, 101)
	want := []report.Objective{
		{Name: "balance p50", Wanted: "at most 20 ms", Got: "20 ms", Met: true},
		{Name: "balance p99", Wanted: "at most 100 ms", Got: "100 ms", Met: false},
		{Name: "balance p99.9", Wanted: "at most 1 s", Got: "900 ms", Met: true},
		{Name: "balance max", Wanted: "at most 60 s", Got: "950 ms", Met: true},
		{Name: "row p99", Wanted: "at most 1 s", Got: "nothing came there", Met: false},
		{Name: "lag at the end of sending", Wanted: "at most 100 records", Got: "101 records", Met: false},
		{Name: "exact", Wanted: "0 lost, 0 duplicated, 0 wrong", Got: "verified: FAILED", Met: false},
		{Name: "the load test's own pace", Wanted: "events that leave when they are due", Got: "7 of 10 late", Met: false},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	r.Verdict = nil // not verified
	for _, one := range judge(&o, r, nil, -1) {
		if one.Name != "the load test's own pace" {
			t.Errorf("%+v, though nobody looked", one)
		}
	}
}
