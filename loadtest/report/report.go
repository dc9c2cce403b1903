// Package report tells what a load test did and what came of it: one JSON document, the same as a self-contained HTML page,
// and the comparison of two. It computes nothing that was measured: whoever ran the test hands it figures.
package report

import (
	"time"

	"crossdock/loadtest/machine"
)

// Format is the version of the document; a reader refuses a higher one.
const Format = 1

// A Report is all that is known of one run. Times are UTC; durations and latencies are in microseconds unless their name
// says otherwise. What was not measured is null or missing, never zero.
type Report struct {
	Format   int              `json:"format"`
	Run      string           `json:"run"` // name of the run, unique among runs on one system
	Revision string           `json:"revision"`
	Machine  machine.Machine  `json:"machine"`
	Versions machine.Versions `json:"versions"`

	Profile     string `json:"profile"`      // its name
	ProfileText string `json:"profile_text"` // as it ran, all values, YAML
	Entry       Entry  `json:"entry"`
	Seed        uint64 `json:"seed"`

	Began time.Time `json:"began"` // the first event's intended time
	Ended time.Time `json:"ended"` // when the last output was seen, or the run was given up
	// Stopped says why the run ended before its plan did (Ctrl-C, an error); empty: it did not.
	Stopped string `json:"stopped,omitempty"`

	Sent       Sent        `json:"sent"`
	Tool       Tool        `json:"tool"`
	Slices     []Slice     `json:"slices"` // in order of time, without gaps
	Hops       []Hop       `json:"hops"`   // in the order of the way
	Processes  []Process   `json:"processes"`
	Commits    *Commits    `json:"commits,omitempty"`
	Partitions []Partition `json:"partitions"` // of the topic that the events enter by, or of the inbox for documents
	Outages    []Outage    `json:"outages"`
	Verdict    *Verdict    `json:"verdict,omitempty"` // nil: not verified
	Objectives []Objective `json:"objectives"`
	Search     []Attempt   `json:"search,omitempty"` // of --find-max, in the order tried
	// SearchHop and SearchBound are what the search asked: at which rate does this hop's p99 stay within the bound?
	SearchHop   string `json:"search_hop,omitempty"`
	SearchBound int64  `json:"search_bound_us,omitempty"`

	Notes []string `json:"notes,omitempty"` // what a reader must know beside the figures
}

// An Entry is where events enter the pipeline.
type Entry string

// The entries.
const (
	Movements Entry = "movements" // canonical events onto their topics
	Documents Entry = "documents" // native documents through the HTTP ingress
)

// Sent counts events.
type Sent struct {
	Planned      int64            `json:"planned"` // in the whole plan
	Made         int64            `json:"made"`    // handed to the client
	Acknowledged int64            `json:"acknowledged"`
	Unknown      int64            `json:"unknown"` // made, and not known to have arrived
	Documents    int64            `json:"documents,omitempty"`
	Seconds      float64          `json:"seconds,omitempty"` // from Began to the last acknowledgement; 0 where not told
	Bytes        int64            `json:"bytes"`             // keys and values, or bodies, before compression
	Kinds        map[string]int64 `json:"kinds"`             // pick, milestone, order, ...
	Copies       map[string]int64 `json:"copies"`            // original, exact duplicate, ...
	Poison       map[string]int64 `json:"poison"`            // by what is wrong with it
	Offline      int64            `json:"offline"`           // sent by devices that were offline when they happened
	Late         int64            `json:"late"`              // whose event time lies before its neighbours'
	Keys         int64            `json:"keys"`              // pairs of SKU and site that moved; 0 where not counted
}

// Tool says whether the load test itself kept its pace.
type Tool struct {
	Late       int64   `json:"late"`         // events that left more than 10 ms after they were due, not because brokers held them up
	LateMost   int64   `json:"late_most_us"` // of those
	CPUSeconds float64 `json:"cpu_seconds"`
	// Bottleneck says in words that the tool, and not the pipeline, set the limit; empty: it did not.
	Bottleneck string `json:"bottleneck,omitempty"`
}

// A Slice is one stretch of the run, Seconds long but for the last.
type Slice struct {
	At           float64 `json:"at_s"` // its start, seconds after Began
	Seconds      float64 `json:"seconds"`
	Due          int64   `json:"due"` // by the plan
	Made         int64   `json:"made"`
	Acknowledged int64   `json:"acknowledged"`
	// Seen is, by hop, how many events were first seen there; an event of a sample (Hop.Share below 1) counts for those that
	// it stands for. A hop that is missing from it was not looked at.
	Seen map[string]int64 `json:"seen"`
	// Lag is, by consumer group, how many records it is behind at the slice's end. A group that is missing was not asked.
	Lag     map[string]int64 `json:"lag"`
	Commits int64            `json:"commits"` // transactions committed by the pipeline
}

// A Hop is a point of the way, and how long after its intended time an event came there: pace is open loop, so what
// waited to be sent counts (no coordinated omission).
type Hop struct {
	Name string `json:"name"` // "accepted", "enriched", "translated", "balance", "row"
	Doc  string `json:"doc"`  // what it means that an event is there
	// Measured are the events whose latency was taken; Share, of those that could be, where it is a sample.
	Measured  int64     `json:"measured"`
	Share     float64   `json:"share"`
	Latency   Latency   `json:"latency"`
	Edges     []int64   `json:"edges_us"`  // upper edges of the heat map's rows but the last, which is open
	Heat      [][]int64 `json:"heat"`      // by slice of the intended time (as many as Report.Slices), by row (one more than Edges)
	Quantiles []Point   `json:"quantiles"` // for the curve: from 0 to 1, growing
	Missing   int64     `json:"missing"`   // expected, and never seen
	// Beyond are those of Measured that took longer than is told apart (an hour); they count as that long but for Max.
	Beyond int64 `json:"beyond,omitempty"`
}

// Latency is a distribution in short, in microseconds.
type Latency struct {
	Mean int64 `json:"mean_us"`
	P50  int64 `json:"p50_us"`
	P90  int64 `json:"p90_us"`
	P99  int64 `json:"p99_us"`
	P999 int64 `json:"p999_us"`
	Max  int64 `json:"max_us"`
}

// A Point is one quantile.
type Point struct {
	Quantile float64 `json:"q"`
	US       int64   `json:"us"`
}

// A Process is what one process of the pipeline, the broker, the engine or the tool itself spent.
type Process struct {
	Name                 string   `json:"name"`
	From                 string   `json:"from"` // "metrics" or "process table": how it was seen
	CPUSeconds           float64  `json:"cpu_seconds"`
	CPUSecondsPerMillion float64  `json:"cpu_seconds_per_million"`
	PeakBytes            int64    `json:"peak_bytes"`
	Samples              []Sample `json:"samples"`
}

// A Sample is one look at a process.
type Sample struct {
	At         float64 `json:"at_s"`
	CPUSeconds float64 `json:"cpu_seconds"` // since the run began
	Bytes      int64   `json:"bytes"`       // resident
}

// Commits sums up the transactions of the pipeline's stages.
type Commits struct {
	Count   int64          `json:"count"`
	Aborted int64          `json:"aborted"`
	Stages  []StageCommits `json:"stages"`
	Edges   []float64      `json:"duration_edges_s"`
}

// StageCommits are those of one stage.
type StageCommits struct {
	Stage    string  `json:"stage"`
	Count    int64   `json:"count"`
	Aborted  int64   `json:"aborted"`
	Records  float64 `json:"records_per_commit"` // mean
	Duration []int64 `json:"duration_counts"`    // by Commits.Edges, and one more beyond
}

// A Partition is its share of the load.
type Partition struct {
	Partition int32 `json:"partition"`
	Records   int64 `json:"records"`
}

// An Outage is a time in which no broker, or no ingress, took anything.
type Outage struct {
	At      float64 `json:"at_s"`
	Seconds float64 `json:"seconds"`
	What    string  `json:"what"` // in words, with the last error where there was one
}

// A Verdict is the oracle's.
type Verdict struct {
	OK         bool   `json:"ok"`
	Line       string `json:"line"` // verified: 120000 events, 0 lost, 0 duplicated
	Events     int64  `json:"events"`
	Lost       int64  `json:"lost"`
	Duplicated int64  `json:"duplicated"`
	Wrong      int64  `json:"wrong"`
	// Fates counts the events by what they must have done: counted, repeated, idle, refused, aside, unreadable.
	Fates    map[string]int64 `json:"fates,omitempty"`
	Readings []Reading        `json:"readings"`
	// NotCompared are readings that there were none of, with the reason: "ledger: it is not written".
	NotCompared []string     `json:"not_compared,omitempty"`
	Failing     []FailingKey `json:"failing"`
	FailingMore int64        `json:"failing_more,omitempty"` // failing keys beyond those
	Seconds     float64      `json:"seconds"`
}

// A Reading is one place that was compared with what was sent.
type Reading struct {
	Source   string           `json:"source"` // "balances", "ledger", "state", "clickhouse", "clickhouse ledger", "dead letters", "exceptions", "parked"
	Read     int64            `json:"read"`
	Foreign  int64            `json:"foreign,omitempty"` // of those, what is not of this run: other stock on the same system
	Keys     int64            `json:"keys"`
	Problems map[string]int64 `json:"problems"` // movements concerned, by problem
	OK       bool             `json:"ok"`
}

// A FailingKey is a key that is not as it was sent, with its events.
type FailingKey struct {
	Key     string   `json:"key"`
	What    []string `json:"what"`   // one line a difference
	Events  []string `json:"events"` // one line an event, in the order sent
	Omitted int64    `json:"omitted"`
}

// An Objective is what a profile asks for, and what came.
type Objective struct {
	Name   string `json:"name"`   // "balance p99"
	Wanted string `json:"wanted"` // "at most 100 ms"
	Got    string `json:"got"`
	Met    bool   `json:"met"`
}

// An Attempt is one rate that --find-max tried.
type Attempt struct {
	Rate   float64 `json:"rate"`
	Holds  bool    `json:"holds"`
	Why    string  `json:"why"`
	P99    int64   `json:"p99_us"`  // of the hop that the bound is for
	LagEnd int64   `json:"lag_end"` // below 0 where not known
}
