package trial

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/machine"
	"crossdock/loadtest/report"
	"crossdock/loadtest/watch"
)

// report says what was seen of the body, and of the attempts before it.
func (t *trial) report(_ context.Context) *report.Report {
	l := t.body()
	sums := l.log.totals()
	total := l.ended.Sub(sums.began)
	r := &report.Report{
		Format: report.Format, Run: t.o.Run, Revision: t.o.Revision, Machine: machine.Here(), Versions: t.version,
		Profile: l.profile.Name, ProfileText: l.part.ProfileText, Entry: t.o.Entry, Seed: l.part.Seed,
		Began: sums.began.UTC(), Ended: l.ended.UTC(), Stopped: l.stopped,
		Sent: l.log.Sent(), Outages: l.outages(), Search: t.attempts, Notes: l.notes,
		Processes: l.watch.Processes(sums.made), Commits: l.watch.Commits(),
	}
	r.Sent.Seconds = sums.ended.Sub(sums.began).Seconds()
	r.Tool.Late, r.Tool.LateMost, r.Tool.Bottleneck = sums.late, sums.lateMost.Microseconds(), l.log.Bottleneck()
	for _, p := range r.Processes {
		if p.Name == watch.Own {
			r.Tool.CPUSeconds = p.CPUSeconds
		}
	}
	if b := t.o.FindMax; b != nil {
		r.SearchHop, r.SearchBound = b.Hop, b.Below.Microseconds()
		if b.Name != "p99" {
			r.Notes = append(r.Notes, fmt.Sprintf("The search held %s of hop %s under %v; the attempts' column tells their p99.", b.Name, b.Hop, b.Below))
		}
	}
	for p, n := range l.byPartition() {
		r.Partitions = append(r.Partitions, report.Partition{Partition: int32(p), Records: n})
	}
	r.Hops, r.Slices = l.hops(), l.slices(l.merged(total), total)
	l.watch.Fill(r.Slices)
	for i := range r.Hops {
		for len(r.Hops[i].Heat) < len(r.Slices) {
			r.Hops[i].Heat = append(r.Hops[i].Heat, make([]int64, len(r.Hops[i].Edges)+1))
		}
	}
	r.Notes = append(r.Notes, skipped(l.observed())...)
	return r
}

// skipped says which hops were not looked at, and why.
func skipped(observed map[string]bool) []string {
	if observed[latency.Row.String()] {
		return nil
	}
	return []string{"Rows in ClickHouse were not looked at: no sink runs, or clickhouse.addresses is not set."}
}

// merged is what all recorders of a load took, in slices that are long enough for a run of this length.
func (l *load) merged(total time.Duration) *latency.Recorder {
	m := latency.New(latency.Options{})
	for _, r := range l.recorders {
		m.Merge(r)
	}
	m.Widen(total)
	return m
}

// hops are those that were looked at, completed by who knows what was awaited.
func (l *load) hops() []report.Hop {
	return l.observers.Complete(l.merged(l.ended.Sub(l.log.totals().began)).Hops())
}

// slices tells the run in stretches.
func (l *load) slices(m *latency.Recorder, total time.Duration) []report.Slice {
	width := m.Slice()
	n := max(m.Slices(), int(math.Ceil(float64(total)/float64(width))))
	sums := l.log.totals()
	sent := sums.ended.Sub(sums.began)
	if l.stopped == "" {
		sent = l.plan.Duration()
	}
	var seen [latency.Hops][]int64
	for _, h := range latency.All() {
		seen[h] = m.Seen(h)
	}
	due := func(at time.Duration) int64 { // before a time
		if at <= 0 {
			return 0
		}
		return min(l.plan.Count(), l.plan.By(min(at, sent)-1))
	}
	all := make([]report.Slice, 0, n)
	for i := range n {
		from, to := time.Duration(i)*width, time.Duration(i+1)*width
		a, b := l.course.at(from), l.course.at(to)
		s := report.Slice{
			At: from.Seconds(), Seconds: width.Seconds(), Due: due(to) - due(from), Made: b.made - a.made, Acknowledged: b.acked - a.acked,
			Seen: map[string]int64{}, Lag: map[string]int64{},
		}
		if i == n-1 && total > from && total < to {
			s.Seconds = (total - from).Seconds()
		}
		for _, h := range latency.All() {
			if i < len(seen[h]) {
				s.Seen[h.String()] = seen[h][i]
			} else if seen[h] != nil {
				s.Seen[h.String()] = 0
			}
		}
		all = append(all, s)
	}
	return all
}

// files are those of the run's folder.
func (t *trial) files(r *report.Report) []File {
	m := &Manifest{
		Format: manifestFormat, Run: t.o.Run, Entry: t.o.Entry, App: t.o.App, Prefix: t.o.Naming.Prefix, Registry: t.o.Registry,
		Ledger: t.o.Ledger, Tables: t.o.Tables != nil, From: t.from,
	}
	var files []File
	for i, l := range t.sent {
		part := l.part
		if i == len(t.sent)-1 {
			part.Log = LogFile
		}
		m.Parts = append(m.Parts, part)
		files = append(files, File{part.Log, func(w io.Writer) error { return l.log.Save(w) }})
	}
	return append(files, File{ManifestFile, asJSON(m)}, File{report.JSONName, r.WriteJSON}, File{report.HTMLName, r.WriteHTML})
}
