package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"crossdock/loadtest/report/chart"
)

// columnsMost is how many columns a chart over time has: as many as slices, unless there are more than can be told apart.
const columnsMost = 600

// A column is one or several slices.
type column struct {
	From, To             float64
	Due, Made            int64
	Acknowledged         int64
	Commits              int64
	Seen                 map[string]int64
	Lag                  map[string]int64 // the most
	firstSlice, endSlice int
}

// over merges slices into at most so many columns.
func (r *Report) over(most int) []column {
	by := max(1, (len(r.Slices)+most-1)/most)
	var all []column
	for i := 0; i < len(r.Slices); i += by {
		end := min(i+by, len(r.Slices))
		c := column{From: r.Slices[i].At, Seen: map[string]int64{}, Lag: map[string]int64{}, firstSlice: i, endSlice: end}
		for _, s := range r.Slices[i:end] {
			c.To = s.At + s.Seconds
			c.Due += s.Due
			c.Made += s.Made
			c.Acknowledged += s.Acknowledged
			c.Commits += s.Commits
			for hop, n := range s.Seen {
				c.Seen[hop] += n
			}
			for group, n := range s.Lag {
				c.Lag[group] = max(c.Lag[group], n)
			}
		}
		if c.To > c.From && !math.IsInf(c.To, 0) {
			all = append(all, c)
		}
	}
	return all
}

// edges are the columns' borders, one more than there are.
func edges(all []column) []float64 {
	at := make([]float64, 0, len(all)+1)
	for _, c := range all {
		at = append(at, c.From)
	}
	if len(all) > 0 {
		at = append(at, all[len(all)-1].To)
	}
	return at
}

// rateOf is a series of a count of each column, as a rate.
func rateOf(name string, colour int, all []column, pick func(column) float64) chart.Series {
	s := chart.Series{Name: name, Colour: colour, X: edges(all), Step: true}
	for _, c := range all {
		s.Y = append(s.Y, pick(c)/(c.To-c.From))
	}
	return s
}

// highest is the largest value of all series, 0 where none is.
func highest(all ...chart.Series) (high float64) {
	for _, s := range all {
		for _, v := range s.Y {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				high = max(high, v)
			}
		}
	}
	return high
}

func (r *Report) bands() []chart.Band {
	var all []chart.Band
	for _, o := range r.Outages {
		all = append(all, chart.Band{From: o.At, To: o.At + o.Seconds})
	}
	return all
}

// timeAxis spans the slices.
func timeAxis(all []column) chart.Axis {
	end := 0.0
	if len(all) > 0 {
		end = all[len(all)-1].To
	}
	return chart.Time(end, clock)
}

// behind is the most events that were due and not acknowledged at one time, and when.
func behind(all []column) (events int64, at float64) {
	var open int64
	for _, c := range all {
		open += c.Due - c.Acknowledged
		if open > events {
			events, at = open, c.To
		}
	}
	return events, at
}

const outageNote = " Shaded: an outage."

func (r *Report) throughputSection() (section, bool) {
	all := r.over(columnsMost)
	if len(all) == 0 {
		return section{}, false
	}
	s := section{ID: "throughput", Title: "Throughput"}
	due := rateOf("due by the plan", 0, all, func(c column) float64 { return float64(c.Due) })
	due.Behind = true
	made := rateOf("made", 1, all, func(c column) float64 { return float64(c.Made) })
	made.Wide = true // the other mostly lies upon it
	acknowledged := rateOf("acknowledged", 0, all, func(c column) float64 { return float64(c.Acknowledged) })
	series := []chart.Series{due, made, acknowledged}
	_, peak := r.rates()
	open, at := behind(all)
	title := "Acknowledgements followed what was due"
	if peak > 0 && float64(open) > 2*peak*max(1, all[0].To-all[0].From) {
		title = fmt.Sprintf("Acknowledgements fell behind what was due: by %s at %s", plural(open, "event", "events"), clock(at))
	}
	if peak > 0 {
		title += fmt.Sprintf(", up to %s", rate(peak))
	}
	note := "The plan fixes in advance when each event is due (grey). The load test makes it, and the entry acknowledges it."
	if len(r.Outages) > 0 {
		note += outageNote
	}
	l := chart.Lines{Across: timeAxis(all), Up: chart.Amount("events per second", highest(series...), short), Series: series, Bands: r.bands()}
	l.Up.Format = rate
	s.Figures = append(s.Figures, lines("throughput-entry", title, note, l, 280, r.rateTable(due, made, acknowledged)))

	var seen []chart.Series
	due.Name = "due, all events"
	sampled := false
	for i, h := range r.Hops {
		looked := slices.ContainsFunc(all, func(c column) bool { _, ok := c.Seen[h.Name]; return ok })
		if !looked {
			continue
		}
		sampled = sampled || h.Share > 0 && h.Share < 1
		seen = append(seen, rateOf(hopLabel(h.Name), i, all, func(c column) float64 { return float64(c.Seen[h.Name]) }))
	}
	if len(seen) > 0 {
		last := seen[len(seen)-1]
		title := fmt.Sprintf("Events came out at up to %s (%s)", rate(highest(last)), strings.ToLower(last.Name[:1])+last.Name[1:])
		note := "How many events were first seen at each hop. A hop counts the events that must come there and none twice: without copies and poison, and movements alone where it is about stock, so its line may lie below what was due."
		if sampled {
			note += " Where a hop was measured on a sample, its count is an estimate."
		}
		drawn := append([]chart.Series{due}, seen...)
		l := chart.Lines{Across: timeAxis(all), Up: chart.Amount("events per second", highest(drawn...), short), Series: drawn, Bands: r.bands()}
		l.Up.Format = rate
		s.Figures = append(s.Figures, lines("throughput-seen", title, note, l, 280, r.rateTable(drawn...)))
	}
	return s, true
}

// tableRows is how many rows a folded table has: the run in so many equal parts.
const tableRows = 24

// rateTable gives series' means over parts of the run.
func (r *Report) rateTable(all ...chart.Series) *table {
	t := &table{Caption: "means over parts of the run", Head: []string{"From"}}
	for _, s := range all {
		t.Head = append(t.Head, s.Name)
	}
	if len(all) == 0 || len(all[0].Y) == 0 {
		return t
	}
	n := len(all[0].Y)
	by := (n + tableRows - 1) / tableRows
	if by == 1 {
		t.Caption = "by slice of the run"
	}
	for i := 0; i < n; i += by {
		row := cells(clock(all[0].X[i]))
		for _, s := range all {
			events, length := 0.0, 0.0
			for j := i; j < min(i+by, n); j++ {
				events += s.Y[j] * (s.X[j+1] - s.X[j])
				length += s.X[j+1] - s.X[j]
			}
			row.Cells = append(row.Cells, cell{Text: rate(events / length)})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Report) lagSection() (section, bool) {
	groups := groupsOf(r)
	all := r.over(columnsMost)
	if len(groups) == 0 || len(all) == 0 {
		return section{}, false
	}
	s := section{ID: "lag", Title: "Lag"}
	// The groups that were behind most are drawn; all stand in the table.
	t := table{Head: []string{"Group", "Most", "at", "At the end"}}
	type group struct {
		name      string
		most, end int64
		at        float64
	}
	ranked := make([]group, 0, len(groups))
	for _, name := range groups {
		g := group{name: name}
		g.most, g.end, _ = lagOf(r, name)
		for _, slice := range r.Slices {
			if n, ok := slice.Lag[name]; ok && n == g.most {
				g.at = slice.At + slice.Seconds
				break
			}
		}
		ranked = append(ranked, g)
		t.Rows = append(t.Rows, cells(name, count(g.most), clock(g.at), count(g.end)))
	}
	slices.SortStableFunc(ranked, func(a, b group) int { return cmp.Compare(b.most, a.most) })
	worst := ranked[0]
	drawn := ranked[:min(chart.Colours, len(ranked))]
	slices.SortFunc(drawn, func(a, b group) int { return cmp.Compare(a.name, b.name) })
	var series []chart.Series
	for i, g := range drawn {
		line := chart.Series{Name: g.name, Colour: i}
		for _, c := range all {
			v := math.NaN()
			if n, ok := c.Lag[g.name]; ok {
				v = float64(n)
			}
			line.X, line.Y = append(line.X, c.To), append(line.Y, v)
		}
		series = append(series, line)
	}
	title := "No group was ever behind"
	if worst.most > 0 {
		title = fmt.Sprintf("%s was behind most: %s at %s, and %s at the end", worst.name, plural(worst.most, "record", "records"), clock(worst.at), count(worst.end))
	}
	note := "Records on its topics that a consumer group had not yet committed. A line that grows without end means that a stage is too slow."
	if len(drawn) < len(ranked) {
		note += fmt.Sprintf(" Of %d groups the %d that were behind most are drawn.", len(ranked), len(drawn))
	}
	if len(r.Outages) > 0 {
		note += outageNote
	}
	l := chart.Lines{Across: timeAxis(all), Up: chart.Amount("records", highest(series...), short), Series: series, Bands: r.bands()}
	s.Figures = []figureView{lines("lag-chart", title, note, l, 260, nil)}
	s.Tables = []table{t}
	return s, true
}

func (r *Report) skewSection() (section, bool) {
	times1, ok := skew(r.Partitions)
	if !ok {
		return section{}, false
	}
	s := section{ID: "skew", Title: "Skew"}
	var all int64
	fullest := r.Partitions[0]
	b := chart.Bars{AcrossLabel: "partition", Colour: 0}
	t := table{Head: []string{"Partition", "Records", "Share", "Over the mean"}}
	for _, p := range r.Partitions {
		all += p.Records
		if p.Records > fullest.Records {
			fullest = p
		}
	}
	mean := float64(all) / float64(len(r.Partitions))
	for _, p := range r.Partitions {
		b.Names = append(b.Names, strconv.Itoa(int(p.Partition)))
		b.Values = append(b.Values, float64(p.Records))
		t.Rows = append(t.Rows, cells(strconv.Itoa(int(p.Partition)), count(p.Records), share(float64(p.Records), float64(all)), times(float64(p.Records)/mean)))
	}
	title := fmt.Sprintf("Partition %d was the fullest: %s the mean", fullest.Partition, times(times1))
	note := "One partition is one task, so the fullest sets how fast a stage can be."
	b.Title, b.Desc = title, note
	b.Up = chart.Amount("records", float64(fullest.Records), short)
	b.Bounds = []chart.Bound{{At: mean, Text: "mean " + count(int64(math.Round(mean)))}}
	f := figureView{ID: "skew-chart", Title: title, Note: note, Table: &t}
	f.draw(b, 230, 220)
	s.Figures = []figureView{f}
	return s, true
}
