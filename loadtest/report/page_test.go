package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
)

// checkPage renders a page and holds it to what every page must be: well-formed, self-contained, with text beside each drawing,
// and without a coordinate that is no number. It returns the page.
func checkPage(t *testing.T, name string, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	page := b.String()
	// Scripts may hold what is no markup.
	d := xml.NewDecoder(strings.NewReader(regexp.MustCompile(`(?s)(<script[^>]*>).*?</script>`).ReplaceAllString(page, "$1</script>")))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	ids := map[string]bool{}
	var open []string
	drawn := map[string]int{}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%s is no well-formed page: %v", name, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			if n := len(open); n > 1 && open[n-2] == "svg" {
				drawn[token.Name.Local]++
			}
			if token.Name.Local == "svg" && attribute(token, "role") == "img" {
				drawn["svg"]++
			}
			if id := attribute(token, "id"); id != "" {
				if ids[id] {
					t.Errorf("%s: id %q stands twice", name, id)
				}
				ids[id] = true
			}
			for _, a := range token.Attr {
				switch a.Name.Local {
				case "src", "action", "srcset", "poster", "onload", "onclick", "onerror":
					t.Errorf("%s: <%s> has %s", name, token.Name.Local, a.Name.Local)
				case "href":
					if !strings.HasPrefix(a.Value, "#") && a.Value != "data:," {
						t.Errorf("%s: <%s> leads to %q", name, token.Name.Local, a.Value)
					}
				case "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "viewBox", "data-left", "data-width":
					if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") || strings.Contains(a.Value, "e+") {
						t.Errorf("%s: <%s %s=%q>", name, token.Name.Local, a.Name.Local, a.Value)
					}
				}
			}
		case xml.EndElement:
			open = open[:max(0, len(open)-1)]
		}
	}
	if drawn["svg"] != drawn["title"] || drawn["svg"] != drawn["desc"] {
		t.Errorf("%s: %d drawings, with %d titles and %d descriptions", name, drawn["svg"], drawn["title"], drawn["desc"])
	}
	if found := regexp.MustCompile(`(?i)@import|url\(|<link[^>]+stylesheet|<iframe|<script[^>]+src`).FindString(page); found != "" {
		t.Errorf("%s is not self-contained: %s", name, found)
	}
	return page
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func TestEveryPageIsWellFormedSelfContainedAndDescribed(t *testing.T) {
	for name, r := range samples() {
		page := checkPage(t, name, r.WriteHTML)
		for _, want := range []string{"Content-Security-Policy", "prefers-color-scheme: dark", "@media print", "How it ran"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		if size := len(page); size > 3<<20 {
			t.Errorf("%s is %d bytes long", name, size)
		}
	}
}

func TestTheFirstScreenTellsTheRunInWords(t *testing.T) {
	all := samples()
	for _, c := range []struct {
		name string
		want []string
	}{
		{"ten-minutes", []string{"verified: 15,348,000 events, 0 lost, 0 duplicated", "all 5 objectives were met", "Profile peak-day sent events for 10 min", "straight onto their topics", "2 cores of AMD EPYC 7B13", "Kafka 4.4.0", "The plan ran to its end", "latency counts from when an event was due"}},
		{"documents", []string{"native documents through the HTTP ingress", "Translated"}},
		{"broken", []string{"The outputs are wrong: 3 lost, 1 duplicated, 2 wrong", "1 outage, 5.4 s in all; at 5:00", "balance p99 was 4.31 s (wanted: at most 100 ms)", "28 more events are not shown"}},
		{"interrupted", []string{"The run ended early, and its outputs were not verified", "Stopped early: interrupted (Ctrl-C), after 489,000 of 2,934,000 planned events", "row p99 was not measured", "Not kept, so the figures say little of the pipeline"}},
		{"search", []string{"The highest rate that held was 31,500/s", "bound 100 ms"}},
		{"nothing", []string{"Nothing was sent", "Not verified"}},
	} {
		page := checkPage(t, c.name, all[c.name].WriteHTML)
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", c.name, want)
			}
		}
	}
}

// Keys, notes, names and errors come from outside the load test, and must never become part of the page.
func TestNothingFromOutsideBecomesMarkup(t *testing.T) {
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)></title></style>`
	r := sampleBroken()
	r.Run, r.Profile, r.ProfileText, r.Notes, r.Stopped = evil, evil, evil, []string{evil}, evil
	r.Machine.CPU, r.Versions.Broker, r.Entry = evil, evil, evil
	r.Tool.Bottleneck, r.Outages[0].What, r.Verdict.Line = evil, evil, evil
	r.Objectives[0] = Objective{evil, evil, evil, false}
	r.Processes[0].Name, r.Commits.Stages[0].Stage, r.Hops[0].Name, r.Hops[0].Doc = evil, evil, evil, evil
	r.Sent.Kinds[evil] = 3
	r.Slices[0].Lag[evil], r.Slices[0].Seen[evil] = 1<<40, 7
	r.Verdict.Failing[0] = FailingKey{Key: evil, What: []string{evil}, Events: []string{evil}}
	r.Verdict.Readings[0].Source = evil
	r.Search = []Attempt{{Rate: 1, Why: evil, P99: 1}}
	r.SearchHop, r.SearchBound = evil, 5
	for name, write := range map[string]func(io.Writer) error{"report": r.WriteHTML, "comparison": Compare(r, sampleReport(5, 100, Movements)).WriteHTML} {
		page := checkPage(t, name, write)
		for _, bad := range []string{"<script>alert", "<img", "onerror=alert(2)>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %s", name, bad)
			}
		}
		if !strings.Contains(page, "&lt;script&gt;alert(1)") {
			t.Errorf("%s does not show what came from outside", name)
		}
	}
}

// Figures at their limits, and figures that were never taken, leave gaps and dashes.
func TestExtremesDrawNoCoordinateThatIsNoNumber(t *testing.T) {
	one := sampleReport(1, 1, Movements)
	zeros := sampleReport(5, 100, Movements)
	for i := range zeros.Slices {
		zeros.Slices[i] = Slice{At: float64(i), Seconds: 1, Seen: map[string]int64{"balance": 0}, Lag: map[string]int64{"g": 0}}
	}
	for i := range zeros.Hops {
		zeros.Hops[i].Heat, zeros.Hops[i].Quantiles, zeros.Hops[i].Measured = nil, nil, 0
	}
	for i := range zeros.Processes {
		zeros.Processes[i].Samples, zeros.Processes[i].CPUSecondsPerMillion, zeros.Processes[i].PeakBytes = nil, 0, 0
	}
	zeros.Partitions = []Partition{{0, 0}}
	zeros.Commits = &Commits{Stages: []StageCommits{{Stage: "none"}}}
	huge := sampleReport(5, 100, Movements)
	for i := range huge.Slices {
		huge.Slices[i].Due, huge.Slices[i].Acknowledged = math.MaxInt64, math.MinInt64
		huge.Slices[i].Lag["g"] = math.MaxInt64
		huge.Slices[i].Seen["balance"] = math.MaxInt64
	}
	huge.Hops[0].Heat[0][0], huge.Hops[1].Quantiles[0].US = math.MaxInt64, math.MaxInt64
	huge.Partitions[0].Records, huge.Processes[0].PeakBytes = math.MaxInt64, math.MaxInt64
	notNumbers := sampleReport(5, 100, Movements)
	notNumbers.Slices[1].At, notNumbers.Slices[2].Seconds = math.NaN(), math.Inf(1)
	notNumbers.Processes[0].Samples[1].At, notNumbers.Processes[0].CPUSeconds = math.NaN(), math.Inf(-1)
	notNumbers.Hops[0].Quantiles[3].Quantile, notNumbers.Hops[0].Share = math.NaN(), math.NaN()
	notNumbers.Outages = []Outage{{math.NaN(), math.Inf(1), ""}}
	notNumbers.Commits.Edges[0], notNumbers.Commits.Stages[0].Records = math.NaN(), math.NaN()
	notNumbers.Search = []Attempt{{Rate: math.NaN(), P99: 5}}
	many := sampleReport(2500, 100, Movements)
	still := sampleReport(5, 100, Movements)
	for i := range still.Slices {
		still.Slices[i].Seconds = 0
	}
	for name, r := range map[string]*Report{"one event": one, "zeros": zeros, "huge": huge, "no numbers": notNumbers, "many slices": many, "no length": still} {
		checkPage(t, name, r.WriteHTML)
		checkPage(t, name+", compared", Compare(r, one).WriteHTML)
		if err := r.WriteText(io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheTerminalIsToldTheSame(t *testing.T) {
	var b strings.Builder
	if err := sampleBroken().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"The outputs are wrong: 3 lost, 1 duplicated, 2 wrong.\n", "Balance visible", "p99.9", "and 2 more keys; the report has them", "Outages"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, b.String())
		}
	}
}
