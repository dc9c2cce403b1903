package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"crossdock/loadtest/durable"
	"crossdock/loadtest/machine"
)

// A Result is what a benchmark measured, as it is written to bench/results. All kinds have this shape.
type Result struct {
	Benchmark Kind              `json:"benchmark"`
	Time      time.Time         `json:"time"`
	Machine   machine.Machine   `json:"machine"`
	Versions  machine.Versions  `json:"versions"`
	Workload  Workload          `json:"workload"`
	Figures   map[string]Spread `json:"figures"` // over the runs; "stage.records_per_second"; what the system does not tell is missing
	Runs      []Measured        `json:"runs"`
}

// Workload is what was sent.
type Workload struct {
	Unit         string `json:"unit"`          // what "record" means in every figure
	Records      int64  `json:"records"`       // of that unit
	InputRecords int64  `json:"input_records"` // on the topics that the stage drains
	Seed         uint64 `json:"seed"`
	SKUs         int    `json:"skus"` // that the records are spread over, and of the item master
	Partitions   int32  `json:"partitions"`
	Ledger       bool   `json:"ledger,omitempty"` // written by the inventory stage
	Of           string `json:"of"`
	Limit        string `json:"limit"` // what stands beside the stage
}

// Measured is one run: a drain of the backlog, and its limit.
type Measured struct {
	Number            int     `json:"number"`
	LoadAverageBefore float64 `json:"load_average_before"`
	Fill              Measure `json:"fill"`
	Limit             Measure `json:"limit"`
	Stage             Measure `json:"stage"`
	Profiled          bool    `json:"profiled,omitempty"` // which costs the stage a few hundredths
	Killed            bool    `json:"killed,omitempty"`   // half-way: the stage's figures are of the process after that
	Partitions        []int64 `json:"partition_records,omitempty"`
	Outcome
	VerifySeconds float64  `json:"verify_seconds"`
	Restore       *Restore `json:"restore,omitempty"` // after the drain
}

// An Outcome is what was recounted of a run.
type Outcome struct {
	Keys       int              `json:"keys"`       // pairs of SKU and site
	Duplicates int64            `json:"duplicates"` // in the backlog
	Outputs    map[string]int64 `json:"outputs"`    // records or rows by topic or table
	Verified   bool             `json:"verified"`
	Verdict    string           `json:"verdict"`
}

// A Measure is what one phase cost. What the system does not tell is 0 and left out.
type Measure struct {
	Records                     int64   `json:"records"`            // of the workload's unit
	RecordsPerSecond            float64 `json:"records_per_second"` // from the first commit seen to the last; of the whole where half were done by the first
	WallSeconds                 float64 `json:"wall_seconds"`       // its start included
	FirstCommitSeconds          float64 `json:"first_commit_seconds,omitempty"`
	CPUSecondsPerMillion        float64 `json:"cpu_seconds_per_million,omitempty"`        // of the whole process, its start included
	SteadyCPUSecondsPerMillion  float64 `json:"steady_cpu_seconds_per_million,omitempty"` // from the first commit seen to the last; none where half were done by the first
	BrokerCPUSecondsPerMillion  float64 `json:"broker_cpu_seconds_per_million,omitempty"`
	EngineCPUSecondsPerMillion  float64 `json:"engine_cpu_seconds_per_million,omitempty"`  // ClickHouse's
	MachineCPUSecondsPerMillion float64 `json:"machine_cpu_seconds_per_million,omitempty"` // of all processes together
	AllocatedBytesPerRecord     float64 `json:"allocated_bytes_per_record,omitempty"`      // by the whole process, its start included
	AllocationsPerRecord        float64 `json:"allocations_per_record,omitempty"`
	PeakBytes                   int64   `json:"peak_bytes,omitempty"`       // resident
	BytesPerRecord              float64 `json:"bytes_per_record,omitempty"` // of key and value of the backlog, uncompressed
	Commits                     int64   `json:"commits,omitempty"`
}

func newResult(k Kind, o *Options) Result {
	p := planOf(k)
	return Result{
		Benchmark: k, Time: time.Now().UTC().Truncate(time.Second),
		Machine: machine.Here(), Versions: machine.VersionsOf(o.Revision),
		Workload: Workload{
			Unit: p.unit, Records: o.Records, InputRecords: o.Records, Seed: o.Seed, SKUs: o.SKUs, Partitions: o.Partitions,
			Ledger: o.Ledger, Of: p.workload, Limit: p.limit,
		},
		Figures: make(map[string]Spread),
	}
}

// add takes a run that has ended.
func (r *Result) add(d *drain) {
	r.Workload.Records, r.Workload.InputRecords = d.backlog.units, d.backlog.records
	r.Runs = append(r.Runs, d.result)
	for _, f := range figures() {
		if s := r.Spread(f.of); s != (Spread{}) {
			r.Figures[f.key] = s
		}
	}
}

// Write writes the result as JSON to a file of its own in dir, which is created where it is missing: BENCHMARK-TIME.json.
// A file is there whole or not at all.
func (r *Result) Write(dir string) (path string, err error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%s-%s.json", r.Benchmark, r.Time.Format("20060102T150405Z")))
	return path, writeWhole(path, append(text, '\n'))
}

// writeWhole writes a file whole or not at all. Its folder is created where it is missing.
func writeWhole(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: make the folder for %s: %w", path, err)
	}
	err := durable.Write(path, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}, durable.New)
	if err != nil {
		return fmt.Errorf("bench: write %s: %w", path, err)
	}
	return nil
}

// A Spread sums up one figure of several runs.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"least"`
	Max    float64 `json:"most"`
}

// Spread is that of a figure over the runs.
func (r *Result) Spread(figure func(*Measured) float64) Spread {
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
