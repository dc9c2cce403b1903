package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"crossdock/loadtest/report/chart"
)

func (r *Report) latencySection() (section, bool) {
	if len(r.Hops) == 0 {
		return section{}, false
	}
	s := section{ID: "latency", Title: "Latency", Intro: []string{"From the time at which an event was due by the plan to the time at which it was seen at a hop. What waited to be sent counts, so a pause of the pipeline is not hidden by a load test that pauses with it."}}
	t := table{Head: []string{"Hop", "p50", "p90", "p99", "p99.9", "max", "mean", "Events", "Never seen"}}
	meaning := table{Caption: "What the hops mean", Wordy: []int{1}}
	for _, h := range r.Hops {
		l := h.Latency
		row := cells(hopLabel(h.Name), micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max), micros(l.Mean), count(h.Measured), count(h.Missing))
		if h.Measured == 0 {
			row = cells(hopLabel(h.Name), absent, absent, absent, absent, absent, absent, "not measured", count(h.Missing))
		} else if h.Share > 0 && h.Share < 1 {
			row.Cells[7].Of = "(" + share(h.Share, 1) + ")"
		}
		if h.Missing > 0 {
			row.Cells[8].State = warning
		}
		t.Rows = append(t.Rows, row)
		if h.Doc != "" {
			meaning.Rows = append(meaning.Rows, cells(hopLabel(h.Name), h.Doc))
		}
	}
	s.Tables = []table{t}
	if len(meaning.Rows) > 0 {
		s.Tables = append(s.Tables, meaning)
	}
	curves := make([]curve, 0, len(r.Hops))
	for i, h := range r.Hops {
		if h.Measured > 0 {
			curves = append(curves, curve{hopLabel(h.Name), i, h.Quantiles, h.Measured})
		}
	}
	title := "Latency by share of events"
	if h, ok := r.mainHop(); ok {
		title = fmt.Sprintf("%s: 99 %% of events within %s, the slowest after %s", hopLabel(h.Name), micros(h.Latency.P99), micros(h.Latency.Max))
	}
	if f, ok := quantileFigure("latency-curve", title, curves); ok {
		s.Figures = []figureView{f}
	}
	return s, true
}

// A curve is a distribution.
type curve struct {
	name     string
	colour   int
	points   []Point
	measured int64 // 0: not known
}

// ninesMost is the rarest share that is drawn: one in ten million.
const ninesMost = 7.0

// nines places a quantile so that each ten times rarer share is one step to the right: 0.9 is 1, 0.99 is 2.
func nines(q float64) float64 {
	if math.IsNaN(q) || q <= 0 {
		return 0
	}
	if q >= 1 {
		return ninesMost
	}
	return min(ninesMost, -math.Log10(1-q))
}

// quantileFigure draws latency over the share of events, both logarithmic. ok is false where there is nothing to draw.
func quantileFigure(id, title string, curves []curve) (figureView, bool) {
	l := chart.Lines{}
	low, high, end := math.Inf(1), 0.0, 0.0
	for _, c := range curves {
		line := chart.Series{Name: c.name, Colour: c.colour}
		last := ninesMost
		if c.measured > 1 {
			last = min(last, math.Log10(float64(c.measured))) // beyond it there is only the slowest event
		}
		for _, p := range c.points {
			if math.IsNaN(p.Quantile) || p.US < 0 {
				continue
			}
			x, y := min(last, nines(p.Quantile)), max(1, float64(p.US))
			if n := len(line.X); n > 0 && x <= line.X[n-1] {
				line.Y[n-1] = max(line.Y[n-1], y) // the axis ends here, or the document repeats itself
				continue
			}
			line.X, line.Y = append(line.X, x), append(line.Y, y)
			low, high, end = min(low, y), max(high, y), max(end, x)
		}
		if n := len(line.Y); n > 0 {
			high = max(high, line.Y[n-1])
			l.Series = append(l.Series, line)
		}
	}
	if len(l.Series) == 0 {
		return figureView{}, false
	}
	end = max(1, end)
	l.Across = chart.Axis{Label: "share of events at least this fast", Scale: chart.Linear(0, end), Format: ninesText, Ticks: func(most int) []chart.Tick {
		all := []chart.Tick{{At: 0, Text: "0 %"}, {At: nines(0.5), Text: "50 %"}, {At: 1, Text: "90 %"}, {At: 2, Text: "99 %"}, {At: 3, Text: "99.9 %"}, {At: 4, Text: "99.99 %"}, {At: 5, Text: "99.999 %"}, {At: 6, Text: "99.9999 %"}}
		if float64(most) < end*1.6 {
			all = append(all[:1], all[2:]...) // 50 % is the closest to its neighbour
		}
		if float64(most) < end {
			all = []chart.Tick{all[0], all[2], all[4], all[6]}
		}
		for len(all) > 0 && all[len(all)-1].At > end+0.01 {
			all = all[:len(all)-1]
		}
		return all
	}}
	l.Up = chart.Magnitude("latency, logarithmic", low, high, microsShort)
	l.Up.Format = func(us float64) string { return micros(int64(us)) }
	note := "Read from the left: at 99 % the line tells how long the fastest 99 of 100 events took at most. Each step to the right is ten times rarer. A step up at the right is a pause that few events met."
	return lines(id, title, note, l, 330, quantileTable(curves)), true
}

// ninesText is a place on the axis in words.
func ninesText(x float64) string {
	q := 1 - math.Pow(10, -x)
	decimals := max(0, int(math.Ceil(x-1.3)))
	return fmt.Sprintf("fastest %.*f %%", min(decimals, 5), q*100)
}

func quantileTable(curves []curve) *table {
	t := &table{Caption: "by quantile", Head: []string{"Share"}}
	for _, c := range curves {
		t.Head = append(t.Head, c.name)
	}
	for _, q := range []struct {
		q    float64
		text string
	}{{0.25, "25 %"}, {0.5, "50 %"}, {0.75, "75 %"}, {0.9, "90 %"}, {0.95, "95 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}, {0.99999, "99.999 %"}, {1, "all"}} {
		row := cells(q.text)
		for _, c := range curves {
			row.Cells = append(row.Cells, cell{Text: quantileAt(c.points, q.q)})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// quantileAt is the first point that is not below q.
func quantileAt(points []Point, q float64) string {
	for _, p := range points {
		if p.Quantile >= q-1e-9 {
			return micros(p.US)
		}
	}
	return absent
}

// heatColumns is how many columns a heat map has at most: a column is some pixels wide.
const heatColumns = 240

// heatOf is a hop's counts by column and row; nil where it has none.
func heatOf(h Hop, all []column) [][]int64 {
	rows := len(h.Edges) + 1
	var counts [][]int64
	filled := false
	for _, c := range all {
		sum := make([]int64, rows)
		for i := c.firstSlice; i < min(c.endSlice, len(h.Heat)); i++ {
			for row, n := range h.Heat[i][:min(rows, len(h.Heat[i]))] {
				sum[row] += n
				filled = filled || n > 0
			}
		}
		counts = append(counts, sum)
	}
	if !filled {
		return nil
	}
	return counts
}

func (r *Report) heatSection() (section, bool) {
	all := r.over(heatColumns)
	s := section{ID: "heat", Title: "Latency over time"}
	type panel struct {
		hop    Hop
		counts [][]int64
	}
	var panels []panel
	var most int64
	// All panels share rows and shades, so that they compare.
	low, high := math.MaxInt, -1
	for _, h := range r.Hops {
		counts := heatOf(h, all)
		if counts == nil {
			continue
		}
		panels = append(panels, panel{h, counts})
		for _, column := range counts {
			for row, n := range column {
				if n > 0 {
					most, low, high = max(most, n), min(low, row), max(high, row)
				}
			}
		}
	}
	if len(panels) == 0 {
		return section{}, false
	}
	thresholds := chart.Thresholds(most)
	s.Intro = []string{fmt.Sprintf("Each column is %s of the run, each row a range of latency, and the shade how many events of that time took that long. The line is p99: 99 of 100 events lie below it. Events count at the time at which they were due.", seconds(all[0].To-all[0].From))}
	for _, p := range panels {
		s.Figures = append(s.Figures, r.heatFigure(p.hop, p.counts, all, thresholds, low, high))
	}
	for _, swatch := range chart.Legend(thresholds, count) {
		s.Figures[0].Legend = append(s.Figures[0].Legend, legendEntry{chart.Key(swatch.Class), swatch.Text})
	}
	if len(panels) > 1 {
		s.Intro = append(s.Intro, "Rows and shades are the same in all of these charts; the legend above the first counts events in a cell.")
	}
	return s, true
}

func (r *Report) heatFigure(h Hop, counts [][]int64, all []column, thresholds []int64, low, high int) figureView {
	c := chart.Heat{Across: timeAxis(all), Edges: edges(all), Thresholds: thresholds, UpLabel: "latency, logarithmic", MarkName: "p99", Bands: r.bands()}
	c.Rows, c.Marks = high-low+1, rowMarks(h, low, high)
	worst, worstAt := -1, 0.0
	var worsts []int
	hover := &chart.Hover{Names: []string{"events", "p50 at most", "p99 at most", "slowest at most"}}
	t := &table{Caption: "by part of the run, to the upper edge of a row", Head: []string{"From", "Events", "p50 at most", "p99 at most", "Slowest at most"}}
	across := c.Across.Scale
	for i, column := range counts {
		cut := make([]int64, 0, high-low+1)
		if low < len(column) {
			cut = append(cut, column[low:min(high+1, len(column))]...)
		}
		c.Counts = append(c.Counts, cut)
		row := rowOf(column, 0.99)
		if row < 0 {
			c.Mark = append(c.Mark, math.NaN())
		} else {
			c.Mark = append(c.Mark, float64(row-low+1))
			worsts = append(worsts, row)
			if row > worst {
				worst, worstAt = row, all[i].From
			}
		}
		hover.At = append(hover.At, math.Round(across.Place((all[i].From+all[i].To)/2)*1e4)/1e4)
		hover.Heads = append(hover.Heads, clock(all[i].From)+" to "+clock(all[i].To))
		hover.Values = append(hover.Values, heatFacts(h, column))
	}
	by := (len(counts) + tableRows - 1) / tableRows
	for i := 0; i < len(counts); i += by {
		sum := make([]int64, len(h.Edges)+1)
		for _, column := range counts[i:min(i+by, len(counts))] {
			for row, n := range column {
				sum[row] += n
			}
		}
		t.Rows = append(t.Rows, cells(append([]string{clock(all[i].From)}, heatFacts(h, sum)...)...))
	}
	title := heatTitle(h, worsts, worst, worstAt)
	c.Title = title
	c.Desc = "A heat map: time from left to right, latency upwards, darker where more events are. The table beneath holds its numbers."
	f := figureView{ID: "heat-" + safeID(h.Name), Title: title, Ramp: true, Hover: hover, Table: t}
	height := 68 + max(100, min(240, float64(c.Rows)*14))
	f.draw(c, height, height)
	return f
}

// heatTitle says what p99 was as a rule, and at its worst.
func heatTitle(h Hop, rows []int, worst int, at float64) string {
	if worst < 0 {
		return hopLabel(h.Name) + ": nothing was measured"
	}
	sorted := slices.Sorted(slices.Values(rows))
	typical := sorted[len(sorted)/2]
	if typical == worst {
		return fmt.Sprintf("%s: p99 was at most %s at all times", hopLabel(h.Name), edgeText(h, worst))
	}
	return fmt.Sprintf("%s: p99 was at most %s for half of the time, and reached %s at %s", hopLabel(h.Name), edgeText(h, typical), edgeText(h, worst), clock(at))
}

// rowMarks names round latencies, at their heights over the lowest row that is drawn.
func rowMarks(h Hop, low, high int) []chart.RowMark {
	if len(h.Edges) == 0 || low > len(h.Edges) {
		return nil
	}
	var all []chart.RowMark
	for power := 1.0; power <= 1e12; power *= 10 {
		for fine, digit := range []float64{1, 2, 5} {
			if at := heightOf(h.Edges, digit*power) - float64(low); at >= 0 && at <= float64(high-low+1) {
				all = append(all, chart.RowMark{At: at, Text: microsShort(digit * power), Fine: min(1, fine)})
			}
		}
	}
	return all
}

// heightOf is where a latency lies among rows: on a border, or between two in proportion to its logarithm; -1 where it lies
// in one of the outer rows, which have but one edge.
func heightOf(edges []int64, us float64) float64 {
	for i, edge := range edges {
		switch upper := float64(edge); {
		case us == upper:
			return float64(i + 1)
		case us < upper && i == 0:
			return -1
		case us < upper:
			lower := float64(edges[i-1])
			if lower <= 0 {
				return -1
			}
			return float64(i) + math.Log(us/lower)/math.Log(upper/lower)
		}
	}
	return -1
}

// heatFacts are a column's events, and the upper edges of the rows of its p50, p99 and slowest.
func heatFacts(h Hop, counts []int64) []string {
	var all int64
	for _, n := range counts {
		all += n
	}
	if all == 0 {
		return []string{"0", absent, absent, absent}
	}
	return []string{count(all), edgeText(h, rowOf(counts, 0.5)), edgeText(h, rowOf(counts, 0.99)), edgeText(h, rowOf(counts, 1))}
}

// rowOf is the row of a quantile; -1 where nothing was counted.
func rowOf(counts []int64, q float64) int {
	var all, below int64
	for _, n := range counts {
		all += max(0, n)
	}
	if all == 0 {
		return -1
	}
	for row, n := range counts {
		below += max(0, n)
		if float64(below) >= q*float64(all) {
			return row
		}
	}
	return len(counts) - 1
}

// edgeText is the upper edge of a row; the last is open.
func edgeText(h Hop, row int) string {
	switch {
	case row < 0:
		return absent
	case row < len(h.Edges):
		return microsShort(float64(h.Edges[row]))
	case len(h.Edges) > 0:
		return "more than " + microsShort(float64(h.Edges[len(h.Edges)-1]))
	}
	return absent
}

// safeID makes a name fit for an anchor.
func safeID(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return '-'
	}, name)
}
