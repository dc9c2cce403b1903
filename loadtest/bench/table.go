package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A figure is one number of a run.
type figure struct {
	key    string // in the result's JSON
	name   string // in the table
	format func(float64) string
	of     func(*Measured) float64
}

// figures are those that are told, in the table's order.
func figures() []figure {
	var all []figure
	for _, part := range []struct {
		name    string
		measure func(*Measured) *Measure
	}{
		{"stage", func(r *Measured) *Measure { return &r.Stage }},
		{"limit", func(r *Measured) *Measure { return &r.Limit }},
		{"fill", func(r *Measured) *Measure { return &r.Fill }},
	} {
		for _, m := range []struct {
			key, name string
			format    func(float64) string
			of        func(*Measure) float64
		}{
			{"records_per_second", "records/s", whole, func(m *Measure) float64 { return m.RecordsPerSecond }},
			{"cpu_seconds_per_million", "CPU s per million", hundredths, func(m *Measure) float64 { return m.CPUSecondsPerMillion }},
			{"steady_cpu_seconds_per_million", "the same from the first commit on", hundredths, func(m *Measure) float64 { return m.SteadyCPUSecondsPerMillion }},
			{"broker_cpu_seconds_per_million", "broker CPU s per million", hundredths, func(m *Measure) float64 { return m.BrokerCPUSecondsPerMillion }},
			{"engine_cpu_seconds_per_million", "engine CPU s per million", hundredths, func(m *Measure) float64 { return m.EngineCPUSecondsPerMillion }},
			{"machine_cpu_seconds_per_million", "machine CPU s per million", hundredths, func(m *Measure) float64 { return m.MachineCPUSecondsPerMillion }},
			{"allocated_bytes_per_record", "bytes allocated per record", whole, func(m *Measure) float64 { return m.AllocatedBytesPerRecord }},
			{"allocations_per_record", "allocations per record", hundredths, func(m *Measure) float64 { return m.AllocationsPerRecord }},
		} {
			all = append(all, figure{
				part.name + "." + m.key, part.name + ": " + m.name, m.format,
				func(r *Measured) float64 { return m.of(part.measure(r)) },
			})
		}
	}
	restored := func(of func(*Restore) float64) func(*Measured) float64 {
		return func(r *Measured) float64 {
			if r.Restore == nil {
				return 0
			}
			return of(r.Restore)
		}
	}
	return append(all,
		figure{"restore.records_per_second", "restore: changelog records/s, start included", whole, restored(func(r *Restore) float64 { return r.RecordsPerSecond })},
		figure{"restore.ready_seconds", "restore: start to ready, s", hundredths, restored(func(r *Restore) float64 { return r.ReadySeconds })},
		figure{"restore.cpu_seconds", "restore: CPU s until ready", hundredths, restored(func(r *Restore) float64 { return r.CPUSeconds })},
		figure{"stage.first_commit_seconds", "stage: start to first commit, s", hundredths, func(r *Measured) float64 { return r.Stage.FirstCommitSeconds }},
		figure{"stage.peak_mib", "stage: peak memory, MiB", whole, func(r *Measured) float64 { return float64(r.Stage.PeakBytes) / (1 << 20) }},
		figure{"stage_to_limit.records_per_second", "stage/limit: records/s", hundredths, func(r *Measured) float64 {
			return ratio(r.Stage.RecordsPerSecond, r.Limit.RecordsPerSecond)
		}},
		figure{"stage_to_limit.cpu", "stage/limit: CPU", hundredths, func(r *Measured) float64 {
			return ratio(r.Stage.CPUSecondsPerMillion, r.Limit.CPUSecondsPerMillion)
		}},
	)
}

func whole(v float64) string      { return grouped(int64(v + 0.5)) }
func hundredths(v float64) string { return fmt.Sprintf("%.2f", v) }

// Table writes the result for a person: each figure's median, least and most. What the system does not tell has no line.
func (r *Result) Table(w io.Writer) error {
	if len(r.Runs) == 0 {
		_, err := fmt.Fprintf(w, "%s: no run ended\n", r.Benchmark)
		return err
	}
	first := &r.Runs[0]
	var head, body, foot strings.Builder
	fmt.Fprintf(&head, "%s: %s %s", r.Benchmark, grouped(r.Workload.Records), r.Workload.Unit)
	if r.Workload.InputRecords != r.Workload.Records {
		fmt.Fprintf(&head, " in %s documents", grouped(r.Workload.InputRecords))
	}
	fmt.Fprintf(&head, " of %.0f bytes with their record keys, %s pairs of SKU and site, %d partitions, seed %d, %d runs\n",
		first.Fill.BytesPerRecord, grouped(int64(first.Keys)), r.Workload.Partitions, r.Workload.Seed, len(r.Runs))
	fmt.Fprintf(&head, "%d cores of %s, %s; broker %s, %s, %s\n", r.Machine.Cores, r.Machine.CPU, r.Machine.System, r.Versions.Broker, r.Versions.Client, r.Versions.Go)
	fmt.Fprintf(&head, "limit: %s\n\n", r.Workload.Limit)
	body.WriteString("\tmedian\tleast\tmost\t\n")
	for _, f := range figures() {
		if s := r.Spread(f.of); s != (Spread{}) {
			fmt.Fprintf(&body, "%s\t%s\t%s\t%s\t\n", f.name, f.format(s.Median), f.format(s.Min), f.format(s.Max))
		}
	}
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
