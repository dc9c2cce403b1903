package trial

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"crossdock/loadtest/report"
	"crossdock/loadtest/tables"
)

// threshold is a pipeline that holds up to a rate.
func threshold(most float64, tried *[]float64) func(context.Context, float64) (report.Attempt, error) {
	return func(_ context.Context, rate float64) (report.Attempt, error) {
		*tried = append(*tried, rate)
		return report.Attempt{Holds: rate <= most}, nil
	}
}

func TestASearchDoublesThenHalvesTheGap(t *testing.T) {
	var tried []float64
	best, attempts, err := Search{From: 1000}.Highest(t.Context(), threshold(5200, &tried))
	if err != nil {
		t.Fatal(err)
	}
	want := []float64{1000, 2000, 4000, 8000, 6000, 5000, 5500, 5250}
	if len(tried) != len(want) {
		t.Fatalf("tried %v, want %v", tried, want)
	}
	for i := range want {
		if tried[i] != want[i] || attempts[i].Rate != want[i] {
			t.Fatalf("tried %v, want %v", tried, want)
		}
	}
	if best != 5000 {
		t.Fatalf("found %v", best)
	}
}

func TestASearchGoesDownWhereTheFirstRateIsTooMuch(t *testing.T) {
	var tried []float64
	best, _, err := Search{From: 8000}.Highest(t.Context(), threshold(900, &tried))
	if err != nil || best > 900 || best < 900*0.94 {
		t.Fatalf("found %v after %v: %v", best, tried, err)
	}
}

func TestASearchNeverPassesWhatTheToolCanMake(t *testing.T) {
	var tried []float64
	best, _, err := Search{From: 1000, Most: 3000}.Highest(t.Context(), threshold(1e9, &tried))
	if err != nil || best != 3000 {
		t.Fatalf("found %v after %v: %v", best, tried, err)
	}
}

func TestASearchThatFindsNothingSaysSo(t *testing.T) {
	var tried []float64
	_, attempts, err := Search{From: 1000, Least: 100}.Highest(t.Context(), threshold(0, &tried))
	if !errors.Is(err, ErrNothingHolds) || len(attempts) == 0 {
		t.Fatalf("%v after %v", err, tried)
	}
}

func TestASearchEndsWithItsAttemptsWhereOneFails(t *testing.T) {
	n := 0
	best, attempts, err := Search{From: 1000}.Highest(t.Context(), func(context.Context, float64) (report.Attempt, error) {
		if n++; n == 3 {
			return report.Attempt{}, errors.New("the broker has gone")
		}
		return report.Attempt{Holds: true}, nil
	})
	if err == nil || len(attempts) != 2 || best != 2000 {
		t.Fatalf("%v, %d attempts, best %v", err, len(attempts), best)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if _, attempts, err = (Search{From: 1}).Highest(ctx, threshold(1, &[]float64{})); err == nil || err.Error() != "interrupted" || attempts != nil {
		t.Fatalf("%v, %d attempts", err, len(attempts))
	}
}

// Whatever the pipeline's limit and the first rate, what is found holds, and 5 % more does not (three digits are kept).
func TestASearchComesWithinFivePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Float64Range(50, 2e6).Draw(t, "limit")
		from := rapid.Float64Range(1, 1e6).Draw(t, "from")
		var tried []float64
		best, _, err := Search{From: from, Tries: 60}.Highest(context.Background(), threshold(limit, &tried))
		if err != nil {
			t.Fatalf("%v after %v", err, tried)
		}
		lowestFail := math.Inf(1)
		for _, rate := range tried {
			if rate > limit {
				lowestFail = min(lowestFail, rate)
			}
		}
		if best > limit || lowestFail-best > 0.05*lowestFail+1 {
			t.Fatalf("found %v, the limit is %v; tried %v", best, limit, tried)
		}
	})
}

// A search by a hop that nothing comes to would send attempt after attempt, and end with no rate that holds.
func TestASearchByAHopThatIsNotOfTheRunIsRefused(t *testing.T) {
	for _, c := range []struct {
		entry  report.Entry
		hop    string
		tables bool
		says   string // empty: it is of the run
	}{
		{report.Movements, "balance", false, ""},
		{report.Movements, "enriched", false, ""},
		{report.Movements, "translated", true, "give enriched"},
		{report.Movements, "row", true, ""},
		{report.Movements, "row", false, "clickhouse.addresses"},
		{report.Documents, "translated", false, ""},
		{report.Documents, "enriched", true, "give translated"},
	} {
		o := Options{Entry: c.entry, FindMax: &Bound{Hop: c.hop, Name: "p99", Below: time.Second}}
		if c.tables {
			o.Tables = &tables.Tables{}
		}
		err := o.boundIsSeen()
		var unfit *UnfitError
		if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &unfit) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s by %s, tables %t: %v", c.entry, c.hop, c.tables, err)
		}
	}
}
