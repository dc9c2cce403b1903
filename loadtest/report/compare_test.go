package report

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestAComparisonWarnsWhereRatiosMeanLittle(t *testing.T) {
	same := func(*Report) {}
	for _, c := range []struct {
		name   string
		change func(b *Report)
		want   string // "" : none
	}{
		{"nothing changed but the run", same, ""},
		{"other revision and broker", func(b *Report) { b.Revision, b.Versions.Broker = "ffff", "Kafka 5" }, ""},
		{"other processor", func(b *Report) { b.Machine.CPU = "another" }, "machines differ"},
		{"other cores", func(b *Report) { b.Machine.Cores = 16 }, "machines differ"},
		{"a page of memory less", func(b *Report) { b.Machine.MemoryBytes -= 4096 }, ""},
		{"other profile", func(b *Report) { b.Profile = "flash-sale" }, "profiles differ"},
		{"other value", func(b *Report) { b.ProfileText = strings.Replace(b.ProfileText, "zipf: 0.9", "zipf: 1.2", 1) }, "profiles differ"},
		{"other entry", func(b *Report) { b.Entry = Documents }, "entries differ"},
		{"other share", func(b *Report) { b.Hops[2].Share = 1 }, "different shares"},
		{"slower", func(b *Report) { b.Sent.Acknowledged /= 2 }, "rates differ"},
		{"shorter", func(b *Report) { b.Slices = b.Slices[:10] }, "lengths differ"},
		{"not verified", func(b *Report) { b.Verdict = nil }, "B was not verified"},
		{"wrong", func(b *Report) { b.Verdict.OK = false }, "worth nothing"},
		{"tool too slow", func(b *Report) { b.Tool.Bottleneck = "one core was not enough" }, "set the limit: one core was not enough"},
		{"stopped", func(b *Report) { b.Stopped = "Ctrl-C" }, "ended early"},
		{"outage", func(b *Report) { b.Outages = []Outage{{1, 2, "gone"}} }, "1 outage"},
		{"itself", func(b *Report) { b.Run = "peak-day-20261120-093000" }, "compared with itself"},
	} {
		a, b := sampleReport(20, 100, Movements), sampleReport(20, 100, Movements)
		b.Run = "another"
		c.change(b)
		warnings := strings.Join(Compare(a, b).Warnings, "\n")
		if c.want == "" && warnings != "" || !strings.Contains(warnings, c.want) {
			t.Errorf("%s: %q", c.name, warnings)
		}
	}
}

func TestAComparisonListsWhatDiffersInTheSetup(t *testing.T) {
	a, b := sampleReport(5, 100, Movements), sampleReport(5, 100, Movements)
	b.Versions.Broker, b.Seed = "Kafka 5", 43
	b.ProfileText = "name: other\nskus: 200000\nzipf: 0.9\nsites: 10\npace:\n  rate: 24k\n  for: 10m\n  ramp: 30s\n  spikes: {every: 3m, for: 60s, factor: 1.3}\nsnapshots: {every: 15m}\n"
	want := []Difference{{"broker", "Kafka 4.4.0", "Kafka 5"}, {"seed", "42", "43"}, {"profile: sites", "220", "10"}, {"profile: duplicates.share", "0.01", ""}, {"profile: snapshots.every", "", "15m"}}
	if got := Compare(a, b).Setup; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	b.ProfileText = ":\n\t- no yaml"
	if got := Compare(a, b).Setup; got[len(got)-1].Name != "profile's text" {
		t.Errorf("%v", got)
	}
}

func find(t *testing.T, c *Comparison, section, name string) Figure {
	t.Helper()
	for _, f := range c.Figures {
		if f.Section == section && f.Name == name {
			return f
		}
	}
	t.Fatalf("no figure %s, %s", section, name)
	return Figure{}
}

// What one run did not measure is null: never zero, and never a ratio.
func TestAFigureThatOneRunLacksHasNoRatio(t *testing.T) {
	a, b := sampleReport(5, 100, Movements), sampleReport(5, 100, Movements)
	b.Hops[2].Measured, b.Verdict, b.Processes = 0, nil, nil
	a.Verdict.Lost = 0
	c := Compare(a, b)
	for _, f := range []Figure{find(t, c, "Latency: Balance visible", "p99"), find(t, c, "Correctness", "lost"), find(t, c, "Cost", "kafka, peak memory")} {
		if f.A == nil || f.B != nil || f.Ratio != nil || f.ratio() != absent {
			t.Errorf("%+v", f)
		}
	}
	// Nothing lost against three lost is no ratio either, but it is worse.
	b.Verdict = &Verdict{Lost: 3}
	f := find(t, Compare(a, b), "Correctness", "lost")
	if _, word := f.change(); f.Ratio != nil || word != "worse" {
		t.Errorf("%+v", f)
	}
}

func TestAChangeIsJudgedByItsDirectionAndSize(t *testing.T) {
	v := func(f float64) *float64 { return &f }
	for _, c := range []struct {
		better Better
		a, b   float64
		want   string
	}{
		{Lower, 100, 90, "better"}, {Lower, 100, 120, "worse"}, {Higher, 100, 120, "better"}, {Higher, 100, 80, "worse"},
		{Lower, 100, 97, ""}, {Neither, 100, 900, ""}, {Lower, 0, 0, ""},
	} {
		f := Figure{Better: c.better, A: v(c.a), B: v(c.b)}
		if _, word := f.change(); word != c.want {
			t.Errorf("%+v: %q", c, word)
		}
	}
}

func TestAComparisonIsWrittenInThreeForms(t *testing.T) {
	a, b := sampleReport(60, 1000, Movements), sampleBroken()
	c := Compare(a, b)
	page := checkPage(t, "comparison", c.WriteHTML)
	var text, document bytes.Buffer
	if err := c.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteJSON(&document); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Read the ratios with care", "Run B had 1 outage", "flash-sale-20261120-101500", "The outputs are wrong: 3 lost"} {
		if !strings.Contains(page, want) || !strings.Contains(text.String(), want) {
			t.Errorf("page or text lacks %q", want)
		}
	}
	var read Comparison
	if err := json.Unmarshal(document.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Format != Format || len(read.Figures) != len(c.Figures) || len(read.Curves) != len(a.Hops) || read.B.Verified == nil || *read.B.Verified {
		t.Errorf("%+v", read.B)
	}
}
