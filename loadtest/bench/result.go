package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"crossdock/loadtest/machine"
)

// A Result is what a benchmark measured, as it is written to bench/results.
type Result struct {
	Benchmark string           `json:"benchmark"`
	Time      time.Time        `json:"time"`
	Machine   machine.Machine  `json:"machine"`
	Versions  machine.Versions `json:"versions"`
	Workload  Workload         `json:"workload"`
	Runs      []Run            `json:"runs"`
}

// Workload is what was sent.
type Workload struct {
	Records    int64  `json:"records"`
	Seed       uint64 `json:"seed"`
	Partitions int32  `json:"partitions"`
	Ledger     bool   `json:"ledger"`
}

// A Run is one drain of the backlog, and its limit.
type Run struct {
	Number            int     `json:"number"`
	LoadAverageBefore float64 `json:"load_average_before"`
	Fill              Measure `json:"fill"`
	Limit             Measure `json:"limit"`
	Stage             Measure `json:"stage"`
	Keys              int     `json:"keys"`
	Duplicates        int64   `json:"duplicates"`
	Balances          int64   `json:"balances"` // records on the balances topic
	DeadLetters       int64   `json:"dead_letters"`
	Partitions        []int64 `json:"partition_records"`
	Verified          bool    `json:"verified"`
	Verdict           string  `json:"verdict"`
	VerifySeconds     float64 `json:"verify_seconds"`
}

// A Measure is what one phase cost. What the system does not tell is 0 and left out.
type Measure struct {
	Records                     int64   `json:"records"`
	RecordsPerSecond            float64 `json:"records_per_second"` // from the first commit seen to the last
	WallSeconds                 float64 `json:"wall_seconds"`       // its start included
	FirstCommitSeconds          float64 `json:"first_commit_seconds,omitempty"`
	CPUSecondsPerMillion        float64 `json:"cpu_seconds_per_million,omitempty"` // of the whole process, its start included
	BrokerCPUSecondsPerMillion  float64 `json:"broker_cpu_seconds_per_million,omitempty"`
	MachineCPUSecondsPerMillion float64 `json:"machine_cpu_seconds_per_million,omitempty"` // of all processes together
	PeakBytes                   int64   `json:"peak_bytes,omitempty"`                      // resident
	BytesPerRecord              float64 `json:"bytes_per_record,omitempty"`                // of key and value, uncompressed
	Commits                     int64   `json:"commits,omitempty"`
}

func newResult(name string, o Options) Result {
	return Result{
		Benchmark: name, Time: time.Now().UTC().Truncate(time.Second),
		Machine: machine.Here(), Versions: machine.VersionsOf(o.Revision),
		Workload: Workload{o.Records, o.Seed, o.Partitions, o.Ledger},
	}
}

// Write writes the result as JSON to a file of its own in dir, which is created where it is missing: BENCHMARK-TIME.json.
// A file is there whole or not at all.
func (r *Result) Write(dir string) (path string, err error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("bench: make the folder for results: %w", err)
	}
	path = filepath.Join(dir, fmt.Sprintf("%s-%s.json", r.Benchmark, r.Time.Format("20060102T150405Z")))
	f, err := os.CreateTemp(dir, ".result-*")
	if err != nil {
		return "", fmt.Errorf("bench: write the result: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("bench: write the result %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return path, nil
}

// A Spread sums up one figure of several runs.
type Spread struct{ Median, Min, Max float64 }

// Spread is that of a figure over the runs.
func (r *Result) Spread(figure func(*Run) float64) Spread {
	if len(r.Runs) == 0 {
		return Spread{}
	}
	values := make([]float64, len(r.Runs))
	for i := range r.Runs {
		values[i] = figure(&r.Runs[i])
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Median: (values[(n-1)/2] + values[n/2]) / 2, Min: values[0], Max: values[n-1]}
}

// OK says whether there was a run and every run was verified.
func (r *Result) OK() bool {
	for i := range r.Runs {
		if !r.Runs[i].Verified {
			return false
		}
	}
	return len(r.Runs) > 0
}
