// Package trial runs one load test from its first check to its folder of results: it publishes the load's master data, sends
// the load open loop, watches it come out, waits until nothing is left on the way, has everything recounted, and writes
// down what was seen. It knits the packages beside it and measures nothing itself.
//
// Invariants:
//
//   - Nothing is sent before everything that can be checked is checked: the plan, the tool's own speed, the folder, the
//     stages that the load goes through.
//   - What was sent is verified and reported however the run ended: a person who interrupts it, a stage that dies and a
//     broker that goes away cost what was not sent, never the truth about what was.
//   - A run's folder is there whole or not at all.
//   - Each load has names of its own (scans.Load.Run): no run and no attempt shares a key with another.
package trial

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/machine"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/tables"
	"crossdock/loadtest/watch"
	"crossdock/topology/topics"
)

// Options of a trial.
type Options struct {
	Kafka    []kgo.Opt    // how the brokers are reached
	Serde    *serde.Serde // whose schema ids are written
	Naming   topics.Naming
	Groups   []Group // of the pipeline, in the order of the way
	App      string  // for run.json
	Registry string  // where the schemas' ids came from; "memory": from a registry that ends with the run
	Ledger   bool    // the ledger topic is written
	Revision string  // of the source

	Profile *profile.Profile // at its rate and length
	Seed    uint64
	Run     string // its name, that of its folder
	Out     string // where folders of runs are
	Entry   report.Entry
	FindMax *Bound // nil: one run as the profile says
	// Documents says how documents are sent, where Entry is report.Documents. Its Count, Paced and callbacks do not count; where
	// URL is empty it is that of Started.
	Documents *documents.Options

	Tables *tables.Tables // ClickHouse; nil: not looked at
	State  string         // URL that answers POST /v1/inventory/query; empty: not asked
	Verify bool
	Drain  time.Duration // how long what was sent may take to come out; default 2 min

	Watch []watch.Target // processes whose CPU and memory are told
	// Start, where given, starts the stages that the load goes through, once all else is checked. Whoever gives it ends
	// them.
	Start func(context.Context) (Started, error)
	// Instance is the name, within the application, of what Start starts. Where a load test was killed, its stages are
	// still members of their groups until their sessions end: they do not count as running.
	Instance string

	Step     func(string)   // told of what happens, in words; may be nil
	Progress func(Progress) // told four times a second; may be nil. Neither is called by two goroutines at once
}

// Started are stages that run for a trial.
type Started struct {
	Watch []watch.Target
	State string       // URL of the inventory stage's queries; empty: none
	URL   string       // of the ingress; empty: none was started
	Alive func() error // says which of them has ended by itself; nil: all run
}

// An UnfitError is a run that cannot be meant: its rate, its name or its folder. Nothing was sent.
type UnfitError struct{ Err error }

func (e *UnfitError) Error() string { return e.Err.Error() }
func (e *UnfitError) Unwrap() error { return e.Err }

// A NotReadyError is a pipeline that the load could not go through as it is. Nothing was sent.
type NotReadyError struct{ Err error }

func (e *NotReadyError) Error() string { return e.Err.Error() }
func (e *NotReadyError) Unwrap() error { return e.Err }

// A Result is what a trial leaves.
type Result struct {
	Report *report.Report
	Path   string // of the run's folder; empty where it could not be written
}

// Run runs a trial. ctx stops it: what is in flight is then waited for, and what was sent is verified and reported.
//
// Where nothing was sent there is no Result, and the error says why. Otherwise there is one, and an error says what of it
// could not be done: the folder that was not written (its report is in the Result), or evidence that could not be read.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Drain <= 0 {
		o.Drain = 2 * time.Minute
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	t := &trial{o: o, began: time.Now(), master: master{kafka: o.Kafka, serde: o.Serde, naming: o.Naming}}
	if err := t.check(ctx); err != nil {
		if ctx.Err() != nil {
			err = errInterrupted // whatever it was that noticed
		}
		return nil, err
	}
	defer t.groups.close()
	var failed error
	if o.FindMax != nil {
		failed = t.search(ctx)
	} else {
		failed = t.one(ctx, "run", LogFile, o.Profile, nil)
	}
	if len(t.sent) == 0 {
		return nil, failed
	}
	// From here on the truth about what was sent counts, whoever has had enough of the run.
	ctx = context.WithoutCancel(ctx)
	r := t.report(ctx)
	if o.Verify {
		if err := t.verify(ctx, r); err != nil {
			failed = errors.Join(failed, err)
			r.Notes = append(r.Notes, fmt.Sprintf("Not verified: %v", err))
		}
	} else {
		r.Notes = append(r.Notes, "Not verified: nobody asked for it (--no-verify).")
	}
	body := t.body()
	r.Objectives = judge(&o.Profile.Objectives, r, body.observed(), body.lagEnd)
	if failed != nil && r.Stopped == "" {
		r.Notes = append(r.Notes, fmt.Sprintf("What was asked for could not be done in full: %v.", failed))
	}
	path, err := WriteFolder(o.Out, o.Run, t.files(r))
	return &Result{Report: r, Path: path}, errors.Join(failed, err)
}

// A trial is Run's own state. One goroutine uses it.
type trial struct {
	o        Options
	began    time.Time
	master   master
	groups   *groups
	from     map[string]map[int32]int64 // where the topics that a verdict reads ended before the run
	version  machine.Versions
	alive    func() error     // says which of the started stages has ended; nil: none was started
	most     float64          // events a second that this machine can make
	sent     []*load          // in the order sent; the last is the report's body
	attempts []report.Attempt // of a search
}

// body is the load that the report is about.
func (t *trial) body() *load { return t.sent[len(t.sent)-1] }

// space names the keys of a load. Those of one trial are equally long, so that none begins with another.
func (t *trial) space(n int) string {
	return strings.ToUpper(strconv.FormatInt(t.began.UnixMilli(), 36)) + fmt.Sprintf("-%02d", n)
}
