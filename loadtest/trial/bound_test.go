package trial

import (
	"errors"
	"strings"
	"testing"
	"time"

	"crossdock/loadtest/report"
)

func TestABoundIsReadAsPeopleWriteIt(t *testing.T) {
	for text, want := range map[string]Bound{
		"balance:p99<100ms":      {"balance", 0.99, "p99", 100 * time.Millisecond},
		"row : p99.9 < 2s":       {"row", 0.999, "p99.9", 2 * time.Second},
		"enriched:max<=1500us":   {"enriched", 1, "max", 1500 * time.Microsecond},
		"accepted:p50<1m":        {"accepted", 0.5, "p50", time.Minute},
		"translated:p90<250.5ms": {"translated", 0.9, "p90", 250500 * time.Microsecond},
	} {
		got, err := ParseBound(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestABoundThatCannotBeMeantSaysWhatMayStandThere(t *testing.T) {
	for text, says := range map[string]string{
		"":                    "no hop",
		"p99<100ms":           "no hop",
		"balance:p99":         "no bound",
		"balanced:p99<100ms":  `no hop "balanced"; there are accepted, translated, enriched, balance, row`,
		"balance:p98<100ms":   `"p98" is no quantile of a report; there are p50, p90, p99, p99.9, max`,
		"balance:p99<100":     "100 has no unit",
		"balance:p99<soon":    `"soon" is no duration`,
		"balance:p99<0s":      "0s can never be met",
		"balance:p99<-100ms":  "can never be met",
		"balance:p99<100ms!!": "is no duration",
	} {
		if _, err := ParseBound(text); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "balance:p99<100ms") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestABoundPicksItsQuantileOfItsHop(t *testing.T) {
	hops := []report.Hop{
		{Name: "enriched", Measured: 1, Latency: report.Latency{P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}},
		{Name: "balance", Measured: 9, Latency: report.Latency{P50: 10, P90: 20, P99: 30, P999: 40, Max: 50}},
		{Name: "row"},
	}
	for text, want := range map[string]int64{"balance:p50<1s": 10, "balance:p90<1s": 20, "balance:p99<1s": 30, "balance:p99.9<1s": 40, "balance:max<1s": 50, "enriched:max<1s": 5} {
		b, err := ParseBound(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.of(hops); err != nil || got != time.Duration(want)*time.Microsecond {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := (Bound{Hop: "row", Name: "p99"}).of(hops); !errors.Is(err, errNoHop) {
		t.Errorf("a hop without a measurement: %v", err)
	}
}
