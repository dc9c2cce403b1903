package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"crossdock/loadtest/report/chart"
)

type reportPage struct {
	page
	Run        string
	Began      string
	State      state
	WhatRan    string
	Where      string
	Statements []statement
	Tiles      []tile
}

type tile struct{ Label, Value, Note string }

// WriteHTML writes the report as one self-contained page: no other file, no request, and nothing that needs a script.
func (r *Report) WriteHTML(w io.Writer) error {
	line, s := r.headline()
	p := reportPage{page: newPage(line), Run: r.Run, State: s, WhatRan: r.whatRan(), Where: r.where(), Statements: r.statements(), Tiles: r.tiles()}
	if !r.Began.IsZero() {
		p.Began = moment(r.Began)
	}
	for _, part := range []func() (section, bool){
		r.failingSection, r.objectivesSection, r.searchSection, r.throughputSection, r.lagSection, r.latencySection, r.heatSection,
		r.costSection, r.commitsSection, r.skewSection, r.sentSection, r.notesSection, r.setupSection,
	} {
		if s, there := part(); there {
			p.Sections = append(p.Sections, s)
		}
	}
	return render(w, "report", p)
}

// mainHop is the hop that the first screen tells of: the balance, or the last that was measured.
func (r *Report) mainHop() (Hop, bool) {
	var last Hop
	for _, h := range r.Hops {
		if h.Measured > 0 {
			if h.Name == "balance" {
				return h, true
			}
			last = h
		}
	}
	return last, last.Measured > 0
}

// tiles are the few figures that are asked for first.
func (r *Report) tiles() []tile {
	var all []tile
	if r.Sent.Made > 0 {
		mean, peak := r.rates()
		note := "on the mean"
		if peak > 0 {
			note += "; at most " + rate(peak) + " due"
		}
		all = append(all, tile{"Acknowledged", rate(mean), note})
	}
	if h, ok := r.mainHop(); ok {
		all = append(all,
			tile{hopLabel(h.Name) + ", p50", micros(h.Latency.P50), "half of the events are faster"},
			tile{hopLabel(h.Name) + ", p99", micros(h.Latency.P99), "the slowest took " + micros(h.Latency.Max)})
	}
	if groups := groupsOf(r); len(groups) > 0 {
		var end, most int64
		for _, g := range groups {
			m, e, _ := lagOf(r, g)
			end, most = max(end, e), max(most, m)
		}
		all = append(all, tile{"Lag at the end", count(end), "at most " + plural(most, "record", "records") + " in one group"})
	}
	if len(r.Processes) > 0 {
		cpu, memory := 0.0, int64(0)
		for _, p := range r.Processes {
			cpu += p.CPUSecondsPerMillion
			memory += p.PeakBytes
		}
		all = append(all, tile{"CPU per million events", figure(cpu) + " s", "all processes; " + size(memory) + " at their peaks"})
	}
	return all
}

const keysShown = 100

func (r *Report) failingSection() (section, bool) {
	v := r.Verdict
	if v == nil {
		return section{}, false
	}
	s := section{ID: "verdict", Title: "Verification"}
	s.Intro = append(s.Intro, "An oracle that shares no code with the pipeline computed every key again from what was sent, and compared the outcome with these places.")
	if len(v.Readings) > 0 {
		t := table{Head: []string{"Compared", "", "Read", "Keys", "Movements with a problem"}, Wordy: []int{1, 4}}
		for _, reading := range v.Readings {
			state, word := good, "as sent"
			if !reading.OK {
				state, word = bad, "differs"
			}
			problems, foreign, keys := "", "", absent
			if reading.Foreign > 0 {
				foreign = "(" + count(reading.Foreign) + " of other runs)"
			}
			if reading.Keys > 0 {
				keys = count(reading.Keys)
			}
			for _, name := range slices.Sorted(maps.Keys(reading.Problems)) {
				if n := reading.Problems[name]; n != 0 {
					if problems != "" {
						problems += ", "
					}
					problems += count(n) + " " + name
				}
			}
			t.Rows = append(t.Rows, row{Cells: []cell{{Text: readingLabel(reading.Source)}, {Text: word, State: state}, {Text: count(reading.Read), Of: foreign}, {Text: keys}, {Text: or(problems, "none")}}})
		}
		s.Tables = append(s.Tables, t)
	}
	for i, k := range v.Failing[:min(keysShown, len(v.Failing))] {
		view := keyView{Key: k.Key, What: k.What, Events: k.Events, Open: i < 3}
		if k.Omitted > 0 {
			view.Omitted = plural(k.Omitted, "more event is", "more events are")
		}
		s.Keys = append(s.Keys, view)
	}
	if len(v.Failing) > 0 {
		s.Title, s.Short = "Verification: what is wrong", "Verification"
		s.Intro = append(s.Intro, "The keys below are not as they were sent; each with what differs, and with the events that should have made it.")
	}
	if more := len(v.Failing) - keysShown; more > 0 {
		s.List = append(s.List, plural(int64(more), "more failing key stands", "more failing keys stand")+" in "+JSONName+".")
	}
	return s, true
}

func (r *Report) objectivesSection() (section, bool) {
	if len(r.Objectives) == 0 {
		return section{}, false
	}
	met, missed := r.objectives()
	s := section{ID: "objectives", Short: "Objectives", Title: "All objectives were met"}
	if len(missed) > 0 {
		s.Title = fmt.Sprintf("%d of %d objectives were met", met, len(r.Objectives))
	}
	t := table{Head: []string{"Objective", "", "Wanted", "Got"}, Wordy: []int{1, 2, 3}}
	for _, o := range r.Objectives {
		state, word := good, "met"
		if !o.Met {
			state, word = bad, "missed"
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Text: o.Name}, {Text: word, State: state}, {Text: or(o.Wanted, absent)}, {Text: or(o.Got, "not measured")}}})
	}
	s.Tables = []table{t}
	return s, true
}

func (r *Report) searchSection() (section, bool) {
	if len(r.Search) == 0 {
		return section{}, false
	}
	held := best(r.Search)
	s := section{ID: "search", Title: "Search for the highest rate"}
	title := "No rate that was tried held"
	if held > 0 {
		title = "The highest rate that held was " + rate(held)
	}
	question := "Each point is a run at a steady rate; a ring held, a cross did not. Numbers give the order tried."
	if r.SearchBound > 0 {
		question = fmt.Sprintf("Asked: the highest rate at which p99 of %s stays within %s. %s", or(hopLabel(r.SearchHop), "the hop"), micros(r.SearchBound), question)
	}
	c := chart.Points{Title: title, Desc: question}
	t := table{Head: []string{"Try", "", "Rate", "p99", "Lag at the end", "Why"}, Wordy: []int{1, 5}}
	low, high, most := int64(0), int64(0), 0.0
	widen := func(us int64) {
		if us > 0 {
			high = max(high, us)
			if low == 0 || us < low {
				low = us
			}
		}
	}
	widen(r.SearchBound)
	for i, a := range r.Search {
		widen(a.P99)
		most = max(most, a.Rate)
		state, word, p99 := bad, "failed", absent
		if a.Holds {
			state, word = good, "held"
		}
		if a.P99 > 0 {
			p99 = micros(a.P99)
			c.Points = append(c.Points, chart.Point{X: a.Rate, Y: float64(a.P99), Good: a.Holds, Text: strconv.Itoa(i + 1)})
		}
		lag := absent
		if a.LagEnd >= 0 {
			lag = count(a.LagEnd)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{{Text: strconv.Itoa(i + 1)}, {Text: word, State: state}, {Text: rate(a.Rate)}, {Text: p99}, {Text: lag}, {Text: a.Why}}})
	}
	s.Tables = []table{t}
	if len(c.Points) > 0 {
		c.Across = chart.Amount("rate, events per second", most, short)
		c.Up = chart.Magnitude("p99 latency, logarithmic", float64(low), float64(high), microsShort)
		if r.SearchBound > 0 {
			c.Bounds = []chart.Bound{{At: float64(r.SearchBound), Text: "bound " + micros(r.SearchBound)}}
		}
		f := figureView{ID: "search-chart", Title: title, Note: question}
		f.draw(c, 300, 260)
		s.Figures = []figureView{f}
	} else {
		s.Intro = []string{title + ".", question}
	}
	return s, true
}

// parts is a table of counts by name, the most first.
func parts(caption string, counts map[string]int64) (table, bool) {
	t := table{Caption: caption, Head: []string{"", "Events", "Share"}}
	var all int64
	for _, n := range counts {
		all += n
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		t.Rows = append(t.Rows, cells(name, count(counts[name]), share(float64(counts[name]), float64(all))))
	}
	return t, len(t.Rows) > 0
}

func (r *Report) sentSection() (section, bool) {
	sent := r.Sent
	if sent.Made == 0 {
		return section{}, false
	}
	s := section{ID: "sent", Title: "What was sent"}
	t := table{Caption: "In all", Rows: []row{
		cells("events made", count(sent.Made), ""),
		cells("acknowledged", count(sent.Acknowledged), share(float64(sent.Acknowledged), float64(sent.Made))),
	}}
	add := func(name string, n int64) {
		if n > 0 {
			t.Rows = append(t.Rows, cells(name, count(n), share(float64(n), float64(sent.Made))))
		}
	}
	add("fate unknown", sent.Unknown)
	add("from offline devices", sent.Offline)
	add("out of order", sent.Late)
	if sent.Documents > 0 {
		t.Rows = append(t.Rows, cells("documents", count(sent.Documents), ""))
	}
	if sent.Keys > 0 {
		t.Rows = append(t.Rows, cells("keys (SKU and site)", count(sent.Keys), ""))
	}
	if sent.Bytes > 0 {
		t.Rows = append(t.Rows, cells("before compression", size(sent.Bytes), ""))
	}
	s.Side = append(s.Side, t)
	for _, p := range []struct {
		caption string
		counts  map[string]int64
	}{{"Kinds", sent.Kinds}, {"Originals and copies", sent.Copies}, {"Poison, by what is wrong", sent.Poison}} {
		if t, ok := parts(p.caption, p.counts); ok {
			s.Side = append(s.Side, t)
		}
	}
	return s, true
}

func (r *Report) notesSection() (section, bool) {
	return section{ID: "notes", Title: "Notes", List: r.Notes}, len(r.Notes) > 0
}

func (r *Report) setupSection() (section, bool) {
	s := section{ID: "setup", Title: "How it ran"}
	t := table{Wordy: []int{1}}
	add := func(name, value string) {
		if value != "" {
			t.Rows = append(t.Rows, cells(name, value))
		}
	}
	add("Run", r.Run)
	add("Began", moment(r.Began))
	add("Ended", moment(r.Ended))
	add("Profile", r.Profile)
	add("Entry", string(r.Entry))
	add("Seed", strconv.FormatUint(r.Seed, 10))
	add("Revision", r.revision())
	add("Go", r.Versions.Go)
	add("Broker", r.Versions.Broker)
	add("Client", r.Versions.Client)
	add("Processor", r.Machine.CPU)
	if r.Machine.Cores > 0 {
		add("Cores", strconv.Itoa(r.Machine.Cores))
	}
	if r.Machine.MemoryBytes > 0 {
		add("Memory", size(r.Machine.MemoryBytes))
	}
	add("System", r.Machine.System)
	s.Tables = []table{t}
	if r.ProfileText != "" {
		s.Folded = []folded{{"The profile as it ran, all values", r.ProfileText}}
	}
	return s, true
}
