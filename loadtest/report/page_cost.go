package report

import (
	"fmt"
	"html/template"
	"math"
	"slices"

	"crossdock/loadtest/report/chart"
)

// busy is how many cores a process used between its samples, and when (in the middle of each).
func busy(p Process) (at, cores []float64) {
	for i := 1; i < len(p.Samples); i++ {
		a, b := p.Samples[i-1], p.Samples[i]
		if b.At > a.At {
			at = append(at, (a.At+b.At)/2)
			cores = append(cores, max(0, (b.CPUSeconds-a.CPUSeconds)/(b.At-a.At)))
		}
	}
	return at, cores
}

func (r *Report) costSection() (section, bool) {
	if len(r.Processes) == 0 {
		return section{}, false
	}
	s := section{ID: "cost", Title: "CPU and memory"}
	last, mostCores, mostBytes, mostCPU := 0.0, 0.0, 0.0, 0.0
	dearest := r.Processes[0]
	for _, p := range r.Processes {
		_, cores := busy(p)
		for _, v := range cores {
			mostCores = max(mostCores, v)
		}
		for _, sample := range p.Samples {
			last, mostBytes = max(last, sample.At), max(mostBytes, float64(sample.Bytes))
		}
		mostCPU = max(mostCPU, p.CPUSecondsPerMillion)
		if p.CPUSecondsPerMillion > dearest.CPUSecondsPerMillion {
			dearest = p
		}
	}
	s.Intro = []string{
		fmt.Sprintf("%s cost the most: %s CPU seconds per million events.", dearest.Name, figure(dearest.CPUSecondsPerMillion)),
		fmt.Sprintf("Small lines run over the run's time from zero; they share their height among processes, which is %s cores and %s.", figure(mostCores), size(int64(mostBytes))),
	}
	t := table{Head: []string{"Process", "CPU s per million events", "CPU seconds", "Most cores used", "Cores over time", "Peak memory", "Memory over time"}, Full: true}
	for i, p := range r.Processes {
		at, cores := busy(p)
		top := absent
		if len(cores) > 0 {
			top = figure(slices.Max(cores))
		}
		var memoryAt, memory []float64
		for _, sample := range p.Samples {
			memoryAt, memory = append(memoryAt, sample.At), append(memory, float64(sample.Bytes))
		}
		peak := absent
		if p.PeakBytes > 0 {
			peak = size(p.PeakBytes)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{
			{Text: p.Name, Of: seenBy(p)}, {Text: figure(p.CPUSecondsPerMillion)}, {Text: figure(p.CPUSeconds)},
			{Text: top}, {Drawing: spark(fmt.Sprintf("cost-cpu-%d", i), p.Name+": cores used over time", at, cores, last, mostCores, 0), Class: "fig"},
			{Text: peak}, {Drawing: spark(fmt.Sprintf("cost-memory-%d", i), p.Name+": memory over time", memoryAt, memory, last, mostBytes, 1), Class: "fig"},
		}})
	}
	s.Tables = []table{t}
	return s, true
}

func seenBy(p Process) string {
	if p.From == "" {
		return ""
	}
	return "by " + p.From
}

// spark is a small line; nothing where there is nothing to draw.
func spark(id, title string, x, y []float64, last, high float64, colour int) template.HTML {
	if len(x) == 0 {
		return ""
	}
	return chart.Spark{Title: title, X: x, Y: y, Last: last, High: max(high, 1e-9), Colour: colour}.Draw(chart.Frame{Width: 150, Height: 34, ID: id}).SVG
}

// commitColumns is how many columns the commits over time have at most: they are few in a second, so means of several seconds
// tell more.
const commitColumns = 120

func (r *Report) commitsSection() (section, bool) {
	c := r.Commits
	if c == nil || c.Count+c.Aborted == 0 && len(c.Stages) == 0 {
		return section{}, false
	}
	s := section{ID: "commits", Title: "Commits"}
	s.Intro = []string{fmt.Sprintf("%s committed, %s aborted. Each makes a stage's outputs visible and its inputs done at once; larger ones cost less, and let a record wait longer.", plural(c.Count, "transaction was", "transactions were"), count(c.Aborted))}
	t := table{Head: []string{"Stage", "Commits", "Aborted", "Records a commit", "Half took up to", "99 % took up to"}}
	low, high := math.MaxInt, -1
	for _, stage := range c.Stages {
		t.Rows = append(t.Rows, cells(stage.Stage, count(stage.Count), count(stage.Aborted), figure(stage.Records), durationEdge(c.Edges, stage.Duration, 0.5), durationEdge(c.Edges, stage.Duration, 0.99)))
		for i, n := range stage.Duration {
			if n > 0 {
				low, high = min(low, i), max(high, i)
			}
		}
	}
	if len(t.Rows) > 0 {
		s.Tables = []table{t}
	}
	if columns := r.over(commitColumns); slices.ContainsFunc(columns, func(c column) bool { return c.Commits > 0 }) {
		line := rateOf("commits", 0, columns, func(c column) float64 { return float64(c.Commits) })
		title := fmt.Sprintf("Up to %s commits a second, all stages together", short(highest(line)))
		l := chart.Lines{Across: timeAxis(columns), Up: chart.Amount("commits per second", highest(line), short), Series: []chart.Series{line}, Bands: r.bands()}
		l.Up.Format = rate
		s.Figures = []figureView{lines("commits-rate", title, "", l, 200, r.rateTable(line))}
	}
	for i, stage := range c.Stages {
		if f, ok := durationFigure(fmt.Sprintf("commits-%d", i), stage, c.Edges, low, high); ok {
			s.Small = append(s.Small, f)
		}
	}
	return s, true
}

// durationFigure is a stage's histogram, over the buckets that any stage used.
func durationFigure(id string, stage StageCommits, edges []float64, low, high int) (figureView, bool) {
	var all, most int64
	for _, n := range stage.Duration {
		all += max(0, n)
	}
	if all == 0 {
		return figureView{}, false
	}
	b := chart.Bars{AcrossLabel: "duration, up to", Between: true, Colour: 0}
	t := &table{Head: []string{"Up to", "Commits"}}
	for i := low; i <= high && i < len(stage.Duration); i++ {
		name := "more"
		if i < len(edges) {
			name = seconds(edges[i])
		}
		b.Names = append(b.Names, name)
		b.Values = append(b.Values, float64(stage.Duration[i])/float64(all)*100)
		most = max(most, stage.Duration[i])
		t.Rows = append(t.Rows, cells(name, count(stage.Duration[i])))
	}
	b.Title = fmt.Sprintf("%s: half of the commits took up to %s", stage.Stage, durationEdge(edges, stage.Duration, 0.5))
	b.Desc = "A histogram of how long commits took."
	b.Up = chart.Amount("share of commits", float64(most)/float64(all)*100, func(v float64) string { return short(v) + " %" })
	f := figureView{ID: id, Title: b.Title, Table: t}
	f.Wide = b.Draw(chart.Frame{Width: smallWidth, Height: 190, ID: id + "-w"})
	return f, true
}

// durationEdge is the upper edge of the bucket of a quantile.
func durationEdge(edges []float64, counts []int64, q float64) string {
	switch row := rowOf(counts, q); {
	case row < 0:
		return absent
	case row < len(edges):
		return seconds(edges[row])
	case len(edges) > 0:
		return "more than " + seconds(edges[len(edges)-1])
	}
	return absent
}
