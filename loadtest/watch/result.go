package watch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"crossdock/loadtest/report"
)

// Lag is how many records each group was behind at the last look, and how old that look is. A group that does not exist
// yet, or could not be seen, is missing.
func (w *Watch) Lag() (behind map[string]int64, age time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.last.lag), time.Since(w.last.at)
}

// Processes are those that were seen, in the order of the targets, the own one first. events is how many went through the
// pipeline, for the CPU seconds per million.
func (w *Watch) Processes(events int64) []report.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var processes []report.Process
	for i, t := range w.targets {
		p := report.Process{Name: t.Name, From: "metrics", PeakBytes: w.peaks[i]}
		if t.PID > 0 {
			p.From = "process table"
		}
		base := w.base.targets[i].cpu // 0 where it was not there yet
		for n := range w.looks.Len() {
			l := w.looks.At(n)
			if s := l.targets[i]; s.ok {
				p.CPUSeconds = s.cpu - base
				p.Samples = append(p.Samples, report.Sample{At: max(0, l.at.Sub(w.began).Seconds()), CPUSeconds: p.CPUSeconds, Bytes: s.bytes})
			}
		}
		if len(p.Samples) == 0 {
			continue
		}
		if events > 0 {
			p.CPUSecondsPerMillion = p.CPUSeconds / float64(events) * 1e6
		}
		processes = append(processes, p)
	}
	return processes
}

// Commits are the transactions of the stages between the run's begin and the last look; nil where no metrics told of any.
func (w *Watch) Commits() *report.Commits {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.last.stages) == 0 {
		return nil
	}
	c := &report.Commits{}
	for _, s := range w.last.stages {
		for edge := range s.buckets {
			if !math.IsInf(edge, 1) && !slices.Contains(c.Edges, edge) {
				c.Edges = append(c.Edges, edge)
			}
		}
	}
	sort.Float64s(c.Edges)
	for _, app := range slices.Sorted(maps.Keys(w.last.stages)) {
		now, then := w.last.stages[app], w.base.stages[app]
		s := report.StageCommits{Stage: app, Count: int64(now.commits - then.commits), Aborted: int64(now.aborted - then.aborted)}
		if s.Count > 0 {
			s.Records = (now.records - then.records) / float64(s.Count)
		}
		below := 0.0
		for _, edge := range c.Edges {
			upTo := below
			if n, ok := now.buckets[edge]; ok { // an edge that this stage does not have adds nothing
				upTo = n - then.buckets[edge]
			}
			s.Duration = append(s.Duration, int64(upTo-below))
			below = upTo
		}
		s.Duration = append(s.Duration, s.Count-int64(below))
		c.Count, c.Aborted, c.Stages = c.Count+s.Count, c.Aborted+s.Aborted, append(c.Stages, s)
	}
	return c
}

// Fill sets Lag and Commits of slices, by their At and Seconds. A slice in which nothing was seen of a group has no lag of
// it; commits between two looks are spread evenly.
func (w *Watch) Fill(slices []report.Slice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range slices {
		s := &slices[i]
		start := w.began.Add(seconds(s.At))
		end := start.Add(seconds(s.Seconds))
		s.Commits = int64(math.Round(w.commitsBy(end))) - int64(math.Round(w.commitsBy(start)))
		s.Lag = make(map[string]int64)
		// Looks come once a second or more seldom, and not on the second.
		n := sort.Search(w.looks.Len(), func(n int) bool { return w.looks.At(n).at.After(end) })
		within := max(seconds(s.Seconds), 2*time.Duration(w.looks.Each())*w.options.Every)
		if n > 0 && end.Sub(w.looks.At(n-1).at) < within {
			maps.Copy(s.Lag, w.looks.At(n-1).lag)
		}
	}
}

// commitsBy is how many transactions were committed since the run began, between two looks by a straight line.
func (w *Watch) commitsBy(at time.Time) float64 {
	n := sort.Search(w.looks.Len(), func(n int) bool { return w.looks.At(n).at.After(at) })
	before := w.base
	if n > 0 {
		before = w.looks.At(n - 1)
	}
	if n == w.looks.Len() || !at.After(before.at) {
		return before.commits - w.base.commits
	}
	after := w.looks.At(n)
	part := float64(at.Sub(before.at)) / float64(after.at.Sub(before.at))
	return before.commits + part*(after.commits-before.commits) - w.base.commits
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Notes says in words what could not be seen, for the report.
func (w *Watch) Notes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var notes []string
	for _, what := range slices.Sorted(maps.Keys(w.fault)) {
		f := w.fault[what]
		notes = append(notes, fmt.Sprintf("%s could not be looked at %d times of %d; the last time: %v", what, f.times, w.total, f.last))
	}
	return notes
}
