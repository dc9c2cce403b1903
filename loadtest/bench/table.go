package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes the result for a person: each figure's median, least and most.
func (r *Result) Table(w io.Writer) error {
	if len(r.Runs) == 0 {
		_, err := fmt.Fprintf(w, "%s: no run ended\n", r.Benchmark)
		return err
	}
	first := &r.Runs[0]
	var head, body, foot strings.Builder
	fmt.Fprintf(&head, "%s: %s movements of %.0f bytes with their record keys, %s SKUs at sites, %d partitions, seed %d, %d runs\n",
		r.Benchmark, grouped(r.Workload.Records), first.Fill.BytesPerRecord, grouped(int64(first.Keys)), r.Workload.Partitions, r.Workload.Seed, len(r.Runs))
	fmt.Fprintf(&head, "%d cores of %s, %s; broker %s, %s, %s\n\n",
		r.Machine.Cores, r.Machine.CPU, r.Machine.System, r.Versions.Broker, r.Versions.Client, r.Versions.Go)
	r.rows(&body)
	for i := range r.Runs {
		fmt.Fprintf(&foot, "\nrun %d: %s", r.Runs[i].Number, r.Runs[i].Verdict)
	}
	foot.WriteString("\n")
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, err := io.WriteString(w, head.String())
	if err == nil {
		_, err = io.WriteString(columns, body.String())
	}
	if err == nil {
		err = columns.Flush()
	}
	if err == nil {
		_, err = io.WriteString(w, foot.String())
	}
	return err
}

// rows writes one line a figure, with tabs between its cells. What the system does not tell has none.
func (r *Result) rows(b *strings.Builder) {
	b.WriteString("\tmedian\tleast\tmost\t\n")
	whole := func(v float64) string { return grouped(int64(v + 0.5)) }
	hundredths := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	row := func(name string, format func(float64) string, figure func(*Run) float64) {
		if s := r.Spread(figure); s != (Spread{}) {
			fmt.Fprintf(b, "%s\t%s\t%s\t%s\t\n", name, format(s.Median), format(s.Min), format(s.Max))
		}
	}
	for _, part := range []struct {
		name    string
		measure func(*Run) *Measure
	}{
		{"stage", func(r *Run) *Measure { return &r.Stage }},
		{"limit", func(r *Run) *Measure { return &r.Limit }},
		{"fill", func(r *Run) *Measure { return &r.Fill }},
	} {
		of := func(figure func(*Measure) float64) func(*Run) float64 {
			return func(r *Run) float64 { return figure(part.measure(r)) }
		}
		row(part.name+": records/s", whole, of(func(m *Measure) float64 { return m.RecordsPerSecond }))
		row(part.name+": CPU s per million", hundredths, of(func(m *Measure) float64 { return m.CPUSecondsPerMillion }))
		row(part.name+": broker CPU s per million", hundredths, of(func(m *Measure) float64 { return m.BrokerCPUSecondsPerMillion }))
		row(part.name+": machine CPU s per million", hundredths, of(func(m *Measure) float64 { return m.MachineCPUSecondsPerMillion }))
	}
	row("stage: start to first commit, s", hundredths, func(r *Run) float64 { return r.Stage.FirstCommitSeconds })
	row("stage: peak memory, MiB", whole, func(r *Run) float64 { return float64(r.Stage.PeakBytes) / (1 << 20) })
	row("stage/limit: records/s", hundredths, func(r *Run) float64 { return ratio(r.Stage.RecordsPerSecond, r.Limit.RecordsPerSecond) })
	row("stage/limit: CPU", hundredths, func(r *Run) float64 {
		return ratio(r.Stage.CPUSecondsPerMillion, r.Limit.CPUSecondsPerMillion)
	})
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
