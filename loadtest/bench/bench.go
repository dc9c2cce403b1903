// Package bench measures a stage as an operator would: its own process, real services, a backlog to drain. What a stage did
// is believed only after it was recounted. Beside each run stands the limit: what no stage can leave out, and nothing else,
// on the same services in the same run.
//
// A run has four phases: the backlog is filled in, the limit is measured, the stage drains, the outcome is verified. A job
// holds what they are for one kind of stage; all else is the same for all. Where it is asked for, the stage is killed half-way
// through its drain and started again, or started once more after it, without its state.
//
// Ratios within one run count; absolute times belong to their machine. So a result carries the machine, the versions, the
// load average before, and what the whole machine spent meanwhile.
package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/machine"
	"crossdock/topology/topics"
)

// ErrNotVerified says that what the stage made is not what was sent: its speed says nothing then.
var ErrNotVerified = errors.New("the outcome is not what was sent")

// A Phase of a run.
type Phase string

// The phases, in their order.
const (
	Fill      Phase = "fill"
	Limit     Phase = "limit"
	Drain     Phase = "drain"
	Restoring Phase = "restore" // where it is asked for
	Verify    Phase = "verify"
)

// Env is what one run gives the stage.
type Env struct {
	Naming   topics.Naming // of its topics
	App      string        // its application
	Group    string        // its consumer group: the application and the stage
	Run      int           // from 1
	Admin    string        // host:port at which it must serve /metrics and /debug/pprof
	Database string        // ClickHouse's, for the sink; made and dropped by the benchmark
}

// Run drains a backlog of a kind, o.Runs times. A run that is not verified ends the benchmark with an error that wraps
// ErrNotVerified; the result then holds the runs so far, that one included.
func Run(ctx context.Context, k Kind, o Options) (Result, error) {
	if err := o.validate(k); err != nil {
		return Result{}, err
	}
	result := newResult(k, &o)
	client, err := kgo.NewClient(o.Kafka...)
	if err != nil {
		return result, fmt.Errorf("bench: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if result.Versions.Broker, err = brokerVersion(ctx, admin); err != nil {
		return result, err
	}
	for number := 1; number <= o.Runs; number++ {
		d := newDrain(k, &o, admin, number)
		ended, err := d.run(ctx)
		if ended {
			result.add(d)
		}
		if err == nil && !d.result.Verified {
			err = fmt.Errorf("%w:\n%s", ErrNotVerified, d.result.Verdict)
		}
		if err != nil {
			return result, fmt.Errorf("bench: run %d: %w", number, err)
		}
	}
	return result, nil
}

// A drain is one run.
type drain struct {
	options *Options
	plan    plan
	admin   *kadm.Client
	env     Env
	job     job
	backlog backlog
	result  Measured
}

// A backlog is what stands on the topics that a stage is to drain.
type backlog struct {
	topics     []string // without commit markers: their offsets count records
	records    int64    // on them
	units      int64    // what figures are of: records, or the events in them
	partitions []int64  // records by partition, where a generator tells
}

// unitsOf is how many units so many records are.
func (b *backlog) unitsOf(records int64) int64 {
	if records >= b.records {
		return b.units
	}
	return records * b.units / b.records
}

func newDrain(k Kind, o *Options, admin *kadm.Client, number int) *drain {
	prefix := fmt.Sprintf("%s%d-", o.Prefix, number)
	d := &drain{options: o, plan: planOf(k), admin: admin, result: Measured{Number: number}}
	d.env = Env{
		Naming: topics.Naming{Prefix: prefix}, App: strings.TrimSuffix(prefix, "-"), Group: prefix + d.plan.stage, Run: number,
		Database: strings.Map(identifier, prefix+"bench"),
	}
	d.job = d.plan.new(d)
	return d
}

// identifier keeps what a database may be called without quotes.
func identifier(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// run is the phases. ended says that all have ended, whatever the verdict.
func (d *drain) run(ctx context.Context) (ended bool, err error) {
	r := &d.result
	r.LoadAverageBefore, r.Killed = machine.LoadAverage(), d.options.Kill
	if d.env.Admin, err = freePort(ctx); err != nil {
		return false, err
	}
	names, err := d.createTopics(ctx)
	// A run that fails leaves nothing behind either; it may have been ended by ctx.
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, d.job.close(clean), d.deleteTopics(clean, names))
		if d.options.Wipe != nil {
			err = errors.Join(err, d.options.Wipe(d.env))
		}
	}()
	if err != nil {
		return false, err
	}
	for _, step := range []struct {
		phase Phase
		do    func(context.Context) error
	}{
		{Fill, func(ctx context.Context) (err error) { d.backlog, r.Fill, err = d.job.fill(ctx); return err }},
		{Limit, func(ctx context.Context) (err error) { r.Limit, err = d.job.limit(ctx); return err }},
		{Drain, func(ctx context.Context) (err error) { r.Stage, err = d.drain(ctx); return err }},
		{Restoring, d.restore},
		{Verify, d.verify},
	} {
		if err := d.step(ctx, step.phase, step.do); err != nil {
			return false, err
		}
	}
	r.Partitions = d.backlog.partitions
	return true, nil
}

// step runs one phase under its timeout.
func (d *drain) step(ctx context.Context, phase Phase, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.options.Timeout, fmt.Errorf("not done within %v", d.options.Timeout))
	defer cancel()
	if err := f(ctx); err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	return nil
}

func (d *drain) verify(ctx context.Context) (err error) {
	began := time.Now()
	d.progress(Verify, 0, began)
	if d.result.Outcome, err = d.job.verify(ctx); err != nil {
		return err
	}
	d.result.VerifySeconds = time.Since(began).Seconds()
	d.progress(Verify, d.backlog.units, began)
	return nil
}

// progress tells how many units a phase has done. While the backlog is filled in, it is as large as was asked for.
func (d *drain) progress(phase Phase, done int64, began time.Time) {
	total := d.backlog.units
	if total == 0 {
		total = d.options.Records
	}
	d.options.Progress(Progress{
		Kind: d.plan.kind, Run: d.env.Run, Runs: d.options.Runs, Phase: phase, Done: done, Total: total, Elapsed: time.Since(began),
	})
}
