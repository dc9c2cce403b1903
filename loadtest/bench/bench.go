// Package bench measures a stage as an operator would: its own process, a real broker, a backlog to drain. What a stage did
// is believed only after the oracle has recounted every balance. Beside each run stands the limit: a loop that copies the
// same bytes in transactions on the same broker and does nothing else.
//
// Ratios within one run count; absolute times belong to their machine. So a result carries the machine, the versions, the
// load average before, and what the whole machine spent meanwhile.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/machine"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// Options of a benchmark. Kafka, Serde, Prefix and Command are required.
type Options struct {
	Kafka     []kgo.Opt    // how the brokers are reached
	Serde     *serde.Serde // whose schema ids the stage's process knows
	BrokerPID int          // the broker's process on this machine; 0: its CPU is not told
	// Prefix starts the names of all topics and groups of the benchmark: each run has its own, and deletes its topics at
	// its end.
	Prefix     string
	Records    int64  // default 2,000,000
	Seed       uint64 // default 1
	Partitions int32  // default 8
	Runs       int    // default 3
	// Command makes the stage's process of one run: it must process what stands on Env.Naming's topics as the consumer
	// group Env.App, from the start, until it gets SIGTERM. The benchmark starts it; its output is kept for errors.
	Command func(Env) (*exec.Cmd, error)
	// Stores are the names of the stage's stores: each has a changelog topic, which the benchmark creates.
	Stores []string
	// Ledger says that the stage writes the ledger: it is verified too.
	Ledger bool
	// Revision of the source, for the result, where the build does not carry it (go build -buildvcs=false).
	Revision string
	// Timeout bounds each step of a run; default 5 min.
	Timeout time.Duration
	// Progress, where given, is told how it goes, from one goroutine.
	Progress func(Progress)
}

// Env is what one run gives the stage.
type Env struct {
	Naming topics.Naming // of its topics
	App    string        // its application id and consumer group
	Run    int           // from 1
}

// A Phase of a run.
type Phase string

// The phases, in their order.
const (
	Fill   Phase = "fill"
	Limit  Phase = "limit"
	Drain  Phase = "drain"
	Verify Phase = "verify"
)

// Progress is how far a benchmark is.
type Progress struct {
	Run, Runs   int
	Phase       Phase
	Done, Total int64 // records; Verify tells its start and end alone
	Elapsed     time.Duration
}

func (o *Options) validate() error {
	if o.Records == 0 {
		o.Records = 2_000_000
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Partitions == 0 {
		o.Partitions = 8
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New("bench: "+problem))
		}
	}
	check(len(o.Kafka) > 0, "no Kafka options: say how the brokers are reached")
	check(o.Serde != nil, "no Serde: its schema ids must be those that the stage knows")
	check(o.Prefix != "", "no Prefix: the topics are deleted afterwards, so they must be the benchmark's own")
	check(o.Command != nil, "no Command: say how the stage is started")
	check(o.Records > 0, fmt.Sprintf("%d records: give a number above 0", o.Records))
	check(o.Partitions > 0, fmt.Sprintf("%d partitions: give a number above 0", o.Partitions))
	check(o.Runs > 0, fmt.Sprintf("%d runs: give a number above 0", o.Runs))
	check(o.Timeout > 0, fmt.Sprintf("a timeout of %v: give a time above 0", o.Timeout))
	return errors.Join(problems...)
}

// Inventory drains a backlog of movements through the inventory stage, o.Runs times. A run that is not verified ends the
// benchmark with an error that wraps ErrNotVerified; the result then holds the runs so far, that one included.
func Inventory(ctx context.Context, o Options) (Result, error) {
	if err := o.validate(); err != nil {
		return Result{}, err
	}
	load := scans.DefaultLoad(o.Seed)
	result := newResult("inventory", o)
	client, err := kgo.NewClient(o.Kafka...)
	if err != nil {
		return result, fmt.Errorf("bench: %w", err)
	}
	defer client.Close()
	b := &benchmark{options: o, admin: kadm.NewClient(client), load: load, result: &result}
	if result.Versions.Broker, err = b.brokerVersion(ctx); err != nil {
		return result, err
	}
	for run := range o.Runs {
		if err := b.run(ctx, run+1); err != nil {
			return result, fmt.Errorf("bench: run %d: %w", run+1, err)
		}
	}
	return result, nil
}

// ErrNotVerified says that the stage's balances are not what was sent: its speed says nothing then.
var ErrNotVerified = errors.New("the balances are not what was sent")

type benchmark struct {
	options Options
	admin   *kadm.Client
	load    scans.Load
	result  *Result
	number  int
	env     Env
	log     *send.Log
}

// step runs one phase under its timeout.
func (b *benchmark) step(ctx context.Context, phase Phase, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.Timeout, fmt.Errorf("not done within %v", b.options.Timeout))
	defer cancel()
	if err := f(ctx); err != nil {
		return fmt.Errorf("%s: %w", phase, err)
	}
	return nil
}

func (b *benchmark) run(ctx context.Context, number int) (err error) {
	b.number = number
	prefix := fmt.Sprintf("%s%d-", b.options.Prefix, number)
	b.env = Env{Naming: topics.Naming{Prefix: prefix}, App: prefix + "inventory", Run: number}
	r := Run{Number: number, LoadAverageBefore: machine.LoadAverage()}
	names, err := b.createTopics(ctx)
	// A run that fails leaves nothing behind either; it may have been ended by ctx.
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		err = errors.Join(err, b.deleteTopics(clean, names))
	}()
	if err != nil {
		return err
	}
	if err := b.step(ctx, Fill, func(ctx context.Context) error { return b.fill(ctx, &r) }); err != nil {
		return err
	}
	if err := b.step(ctx, Limit, func(ctx context.Context) (err error) { r.Limit, err = b.limit(ctx); return err }); err != nil {
		return err
	}
	if err := b.step(ctx, Drain, func(ctx context.Context) (err error) { r.Stage, err = b.drain(ctx); return err }); err != nil {
		return err
	}
	if err := b.step(ctx, Verify, func(ctx context.Context) error { return b.verify(ctx, &r) }); err != nil {
		return err
	}
	b.result.Runs = append(b.result.Runs, r)
	if !r.Verified {
		return fmt.Errorf("%w:\n%s", ErrNotVerified, r.Verdict)
	}
	return nil
}

func (b *benchmark) progress(phase Phase, done, total int64, began time.Time) {
	b.options.Progress(Progress{
		Run: b.number, Runs: b.options.Runs, Phase: phase, Done: done, Total: total, Elapsed: time.Since(began),
	})
}

// fill puts the backlog on the inbox.
func (b *benchmark) fill(ctx context.Context, r *Run) error {
	g, err := scans.NewEnriched(b.load)
	if err != nil {
		return err
	}
	began, w := time.Now(), b.watch(map[string]int{own: selfPID()})
	b.log, err = send.Run(ctx, g, send.Options{
		Kafka: b.options.Kafka, Serde: b.options.Serde, Topic: b.env.Naming.Topic(topics.InventoryInbox), Count: b.options.Records,
		Progress: func(p send.Progress) { b.progress(Fill, p.Acknowledged, p.Count, began) },
	})
	if err != nil {
		return err
	}
	r.Fill = w.measure(b.log.Made, b.log.Ended.Sub(b.log.Began))
	r.Fill.BytesPerRecord = float64(b.log.Bytes) / float64(b.log.Made)
	r.Partitions = b.log.Partitions()
	return nil
}

// verify recounts every balance.
func (b *benchmark) verify(ctx context.Context, r *Run) error {
	began := time.Now()
	b.progress(Verify, 0, b.options.Records, began)
	o := oracle.New(oracle.Options{})
	if err := verify.Sent(ctx, o, b.log, false); err != nil {
		return err
	}
	reader := verify.Reader{Kafka: b.options.Kafka, Serde: b.options.Serde}
	balances := o.Balances("balances", 0)
	if err := reader.Balances(ctx, b.env.Naming.Topic(topics.Balances), balances); err != nil {
		return err
	}
	findings := []oracle.Finding{balances.Finding()}
	if b.options.Ledger {
		ledger := o.Ledger("ledger", 0)
		if err := reader.Ledger(ctx, b.env.Naming.Topic(topics.Ledger), ledger); err != nil {
			return err
		}
		findings = append(findings, ledger.Finding())
	}
	dead, err := reader.Count(ctx, b.env.Naming.Topic(topics.DeadLetters))
	if err != nil {
		return err
	}
	v := o.Judge(findings...)
	r.Keys, r.Duplicates, r.Balances, r.DeadLetters = o.Keys(), o.Fates(oracle.Repeated), findings[0].Read, dead
	r.Verified, r.Verdict = v.OK() && dead == 0, v.String()
	if dead > 0 {
		r.Verdict += fmt.Sprintf("\n  %d dead letters, of a backlog without a fault", dead)
	}
	r.VerifySeconds = time.Since(began).Seconds()
	b.progress(Verify, b.options.Records, b.options.Records, began)
	return nil
}
