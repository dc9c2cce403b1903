package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A Comparison is two runs side by side: B against A.
type Comparison struct {
	Format int  `json:"format"`
	A      Side `json:"a"`
	B      Side `json:"b"`
	// Warnings say why ratios mean little: other machines, other loads, other samples, a run that is not valid itself.
	Warnings []string     `json:"warnings"`
	Setup    []Difference `json:"setup"`   // what differs in how they ran
	Figures  []Figure     `json:"figures"` // by section, in the page's order
	Curves   []Overlay    `json:"curves"`  // latency by hop, where both or either measured it
}

// A Side is one of the two runs in short.
type Side struct {
	Run        string    `json:"run"`
	Profile    string    `json:"profile"`
	Revision   string    `json:"revision"`
	Began      time.Time `json:"began"`
	Headline   string    `json:"headline"`
	Verified   *bool     `json:"verified"` // null: nobody looked
	Verdict    string    `json:"verdict,omitempty"`
	Objectives int       `json:"objectives"`
	Met        int       `json:"met"`
	state      state
}

// A Difference is a value that the two runs do not share. A value that one does not have is empty.
type Difference struct {
	Name string `json:"name"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// A Unit is what a figure counts.
type Unit string

// The units.
const (
	Events        Unit = "events"
	EventsASecond Unit = "events/s"
	Records       Unit = "records"
	Microseconds  Unit = "us"
	CPUSeconds    Unit = "cpu_s"
	Bytes         Unit = "bytes"
	Times         Unit = "times"
)

// A Better says which way a figure should go.
type Better string

// The ways.
const (
	Lower   Better = "lower"
	Higher  Better = "higher"
	Neither Better = ""
)

// A Figure is one measured value of both runs. What was not measured is null. Ratio is B/A, and null where A is nothing.
type Figure struct {
	Section string   `json:"section"`
	Name    string   `json:"name"`
	Unit    Unit     `json:"unit"`
	Better  Better   `json:"better,omitempty"`
	A       *float64 `json:"a"`
	B       *float64 `json:"b"`
	Ratio   *float64 `json:"ratio"`
}

// An Overlay is the latency of one hop in both runs.
type Overlay struct {
	Hop string  `json:"hop"`
	A   []Point `json:"a"`
	B   []Point `json:"b"`
}

// Compare sets b against a.
func Compare(a, b *Report) *Comparison {
	c := &Comparison{Format: Format, A: side(a), B: side(b), Setup: setup(a, b)}
	c.Warnings = warnings(a, b)
	c.Figures = figures(a, b)
	for _, name := range both(a.Hops, b.Hops, func(h Hop) string { return h.Name }) {
		pa, pb := hop(a, name), hop(b, name)
		if len(pa.Quantiles)+len(pb.Quantiles) > 0 {
			c.Curves = append(c.Curves, Overlay{Hop: name, A: pa.Quantiles, B: pb.Quantiles})
		}
	}
	return c
}

func side(r *Report) Side {
	met, _ := r.objectives()
	s := Side{Run: r.Run, Profile: r.Profile, Revision: r.revision(), Began: r.Began, Objectives: len(r.Objectives), Met: met}
	s.Headline, s.state = r.headline()
	if r.Verdict != nil {
		ok := r.Verdict.OK
		s.Verified, s.Verdict = &ok, r.Verdict.Line
	}
	return s
}

// hop finds a hop; the zero Hop where the report has none.
func hop(r *Report, name string) Hop {
	for _, h := range r.Hops {
		if h.Name == name {
			return h
		}
	}
	return Hop{Name: name}
}

// both are the names of two lists, in a's order, then those that only b has.
func both[T any](a, b []T, name func(T) string) []string {
	var all []string
	for _, x := range slices.Concat(a, b) {
		if n := name(x); !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// setup lists what differs in how they ran, profile values by their keys.
func setup(a, b *Report) []Difference {
	var all []Difference
	add := func(name, va, vb string) {
		if va != vb {
			all = append(all, Difference{name, va, vb})
		}
	}
	add("revision", a.revision(), b.revision())
	add("Go", a.Versions.Go, b.Versions.Go)
	add("broker", a.Versions.Broker, b.Versions.Broker)
	add("client", a.Versions.Client, b.Versions.Client)
	add("processor", a.Machine.CPU, b.Machine.CPU)
	add("cores", fmt.Sprint(a.Machine.Cores), fmt.Sprint(b.Machine.Cores))
	add("memory", size(a.Machine.MemoryBytes), size(b.Machine.MemoryBytes))
	add("system", a.Machine.System, b.Machine.System)
	add("entry", string(a.Entry), string(b.Entry))
	add("profile", a.Profile, b.Profile)
	add("seed", fmt.Sprint(a.Seed), fmt.Sprint(b.Seed))
	return append(all, profileDifferences(a.ProfileText, b.ProfileText)...)
}

// warnings say what makes the ratios doubtful.
func warnings(a, b *Report) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if a.Run == b.Run && a.Began.Equal(b.Began) {
		add("Both are run %s: it is compared with itself.", or(a.Run, "without a name"))
	}
	if !sameMachine(a, b) {
		add("The machines differ: times, rates and CPU seconds of one say nothing of the other; only shapes and correctness can be compared.")
	}
	if a.Entry != b.Entry {
		add("The entries differ (%s, %s): events went different ways.", or(string(a.Entry), "none"), or(string(b.Entry), "none"))
	}
	if a.Profile != b.Profile || len(profileDifferences(a.ProfileText, b.ProfileText)) > 0 {
		add("The profiles differ: the loads were not the same, so ratios tell of the load as well as of the pipeline.")
	}
	lengthA, _ := a.lasted()
	lengthB, _ := b.lasted()
	if apart(lengthA, lengthB, 0.1) {
		add("The lengths differ (%s, %s): a longer run meets more pauses, so its high quantiles and its maximum are higher by nature.", seconds(lengthA), seconds(lengthB))
	}
	rateA, _ := a.rates()
	rateB, _ := b.rates()
	if apart(rateA, rateB, 0.05) {
		add("The rates differ (%s, %s): latency, lag and memory depend on it.", rate(rateA), rate(rateB))
	}
	for _, name := range both(a.Hops, b.Hops, func(h Hop) string { return h.Name }) {
		ha, hb := hop(a, name), hop(b, name)
		if ha.Measured > 0 && hb.Measured > 0 && apart(ha.Share, hb.Share, 0.1) {
			add("%s was measured on different shares of the events (%s, %s): high quantiles of the smaller sample are less sure.", hopLabel(name), share(ha.Share, 1), share(hb.Share, 1))
		}
	}
	for _, s := range []struct {
		side string
		r    *Report
	}{{"A", a}, {"B", b}} {
		switch {
		case s.r.Verdict == nil:
			add("Run %s was not verified: fast and wrong looks like fast.", s.side)
		case !s.r.Verdict.OK:
			add("Run %s lost, duplicated or changed events: its speed is worth nothing.", s.side)
		}
		if s.r.Tool.Bottleneck != "" {
			add("In run %s the load test itself set the limit: %s.", s.side, strings.TrimSuffix(s.r.Tool.Bottleneck, "."))
		}
		if s.r.Stopped != "" {
			add("Run %s ended early: %s.", s.side, strings.TrimSuffix(s.r.Stopped, "."))
		}
		if n := len(s.r.Outages); n > 0 {
			add("Run %s had %s: its latency holds the wait.", s.side, plural(int64(n), "outage", "outages"))
		}
	}
	return all
}

// sameMachine passes over what a reboot changes: a few pages of memory.
func sameMachine(a, b *Report) bool {
	ma, mb := a.Machine, b.Machine
	return ma.CPU == mb.CPU && ma.Cores == mb.Cores && !apart(float64(ma.MemoryBytes), float64(mb.MemoryBytes), 0.03)
}

// apart says whether two values differ by more than a share of the larger.
func apart(a, b, by float64) bool { return math.Abs(a-b) > by*math.Max(math.Abs(a), math.Abs(b)) }

// WriteJSON writes the comparison in one piece.
func (c *Comparison) WriteJSON(w io.Writer) error { return writeJSON(w, c) }

// WriteText writes the comparison for a terminal.
func (c *Comparison) WriteText(w io.Writer) error {
	var out strings.Builder
	for _, s := range []struct {
		name string
		side Side
	}{{"A", c.A}, {"B", c.B}} {
		fmt.Fprintf(&out, "%s  %s, profile %s, %s\n   %s.\n", s.name, or(s.side.Run, "without a name"), or(s.side.Profile, absent), moment(s.side.Began), s.side.Headline)
		if s.side.Objectives > 0 {
			fmt.Fprintf(&out, "   %d of %d objectives met\n", s.side.Met, s.side.Objectives)
		}
	}
	for i, warning := range c.Warnings {
		if i == 0 {
			out.WriteString("\nRead the ratios with care:\n")
		}
		fmt.Fprintf(&out, "- %s\n", warning)
	}
	if len(c.Setup) > 0 {
		out.WriteByte('\n')
		rows := [][]string{{"Differs", "A", "B"}}
		for _, d := range c.Setup {
			rows = append(rows, []string{d.Name, or(d.A, absent), or(d.B, absent)})
		}
		columns(&out, rows)
	}
	section := ""
	var rows [][]string
	flush := func() {
		if len(rows) > 0 {
			out.WriteByte('\n')
			columns(&out, rows)
		}
		rows = nil
	}
	for _, f := range c.Figures {
		if f.Section != section {
			flush()
			section = f.Section
			rows = [][]string{{section, "A", "B", "B/A", ""}}
		}
		_, judged := f.change()
		rows = append(rows, []string{f.Name, f.Unit.text(f.A), f.Unit.text(f.B), f.ratio(), judged})
	}
	flush()
	_, err := io.WriteString(w, out.String())
	return err
}
