package trial

import (
	"strings"
	"testing"
	"time"

	"crossdock/loadtest/report"
)

// steady is an attempt at 1,000 a second in which all is well.
func steady() *outcome {
	o := &outcome{rate: 1000, lagKnown: true, from: 5 * time.Second, to: 35 * time.Second,
		hops: []report.Hop{{Name: "balance", Measured: 30_000, Latency: report.Latency{P99: 40_000, P999: 90_000}}}}
	for i := range 36 {
		o.lag = append(o.lag, point{time.Duration(i) * time.Second, int64(50 + 30*(i%3))})
	}
	return o
}

func TestARateHoldsOrSaysWhyNot(t *testing.T) {
	bound, err := ParseBound("balance:p99<100ms")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*outcome)
		why    string // empty: it holds
	}{
		{"as it was", func(*outcome) {}, ""},
		{"the quantile is at the bound", func(o *outcome) { o.hops[0].Latency.P99 = 100_000 }, "p99 of balance is 100 ms, not under 100 ms"},
		{"nothing was seen there", func(o *outcome) { o.hops = nil }, "nothing was measured there"},
		{"lag grows all the time", func(o *outcome) {
			for i := range o.lag {
				o.lag[i].lag += int64(30 * i)
			}
		}, "lag grew from"},
		{"lag grows in the warm-up alone", func(o *outcome) {
			for i := range o.lag {
				o.lag[i].lag += int64(1000 * min(i, 5))
			}
		}, ""},
		{"the tool falls behind", func(o *outcome) { o.unsent = 501 }, "the load test did not keep its own pace: 501 events"},
		{"the tool is late now and then, and all come in time", func(o *outcome) { o.bottleneck = "it was late" }, ""},
		{"the tool is late, and some do not come in time", func(o *outcome) { o.bottleneck, o.missing = "it was late", 1 }, "it was late"},
		{"some never come", func(o *outcome) { o.missing = 3 }, "3 of the events awaited at balance"},
		{"the broker goes away", func(o *outcome) { o.outage = true }, "brokers were away"},
		{"nobody tells the lag", func(o *outcome) { o.lag, o.lagKnown = nil, false }, ""},
	} {
		o := steady()
		c.change(o)
		a := judgeAttempt(bound, o)
		if a.Holds != (c.why == "") || !strings.Contains(a.Why, c.why) || a.Rate != 1000 {
			t.Errorf("%s: %+v, want %q", c.name, a, c.why)
		}
	}
}

func TestEveryReasonAgainstARateIsNamed(t *testing.T) {
	o := steady()
	o.hops[0].Latency.P999, o.missing, o.outage = 3_000_000, 1, true
	a := judgeAttempt(Bound{Hop: "balance", Quantile: 0.999, Name: "p99.9", Below: time.Second}, o)
	if strings.Count(a.Why, "; ") != 2 || a.P99 != 40_000 || a.LagEnd != 110 {
		t.Errorf("%+v", a)
	}
}
