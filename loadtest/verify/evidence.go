package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/report"
	"crossdock/loadtest/tables"
	"crossdock/topology/topics"
)

// Evidence is all that a verdict is made of: what was sent, and where the pipeline says what became of it. The pipeline must
// have come to its end (Settled). Of what it says, the balances topic, dead letters, exceptions and parked events are always
// compared; what else is not given is named in the verdict as not compared.
type Evidence struct {
	// Sent are the runs, with different names or seeds. They go into one recount.
	Sent   []Load
	Kafka  []kgo.Opt    // how the brokers are reached
	Serde  *serde.Serde // knows, or can learn, the writers' schemas; its own ids are those that the runs were sent with
	Naming topics.Naming
	// From are offsets of the pipeline's topics, as the brokers name them, before which nothing is of these runs: what was
	// the end when the first began. They save reading what lies before. Optional.
	From   map[string]map[int32]int64
	Ledger bool           // the ledger is written, and compared: the topic, and the rows where there are Tables
	State  *State         // nil: the state is not asked
	Tables *tables.Tables // nil: ClickHouse is not asked
	// GivenUp says that parking has a time limit, and that all that waits in vain has waited longer.
	GivenUp bool
	// MaxKeys bounds the recount's memory; default 16 million pairs of SKU and site.
	MaxKeys int
	// Failing bounds how many failing keys are shown with their events; default 20.
	Failing int
	// Progress, where given, is called now and then, by one goroutine at a time: total is 0 where it is not known.
	Progress func(step string, done, total int64)
}

// The readings' names.
const (
	readBalances = "balances"
	readLedger   = "ledger"
	readState    = "state"
	readRows     = "clickhouse"
	readPostings = "clickhouse ledger"
)

const (
	defaultFailing = 20
	// readingsAtOnce is how many readings go on at one time: each is a stream that waits for others as well as for a processor.
	readingsAtOnce = 2
	// garbagePercent is what the collector leaves lying around while a run is verified, by what is kept: the recount of ten
	// million events is about a gigabyte without pointers, which costs nothing to walk, and Go's default would let as much
	// garbage pile up beside it.
	garbagePercent = 25
)

// Run recounts what was sent, in one pass, and compares every key with everything that is given. An error says that no verdict
// could be reached; a verdict that is not OK is none.
func Run(ctx context.Context, e Evidence) (report.Verdict, error) {
	began := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(garbagePercent))
	v := &verification{Evidence: e, reader: Reader{Kafka: e.Kafka, Serde: e.Serde, From: e.From}}
	if v.Failing <= 0 {
		v.Failing = defaultFailing
	}
	if err := v.recount(ctx); err != nil {
		return report.Verdict{}, err
	}
	findings, err := v.compare(ctx)
	if err != nil {
		return report.Verdict{}, err
	}
	judged := v.oracle.Judge(findings...)
	verdict := v.verdict(&judged)
	if !judged.OK() {
		if verdict.Failing, verdict.FailingMore, err = v.failing(ctx, &judged); err != nil {
			return report.Verdict{}, err
		}
	}
	verdict.Seconds = time.Since(began).Seconds()
	return verdict, nil
}

// A verification is Run's own state.
type verification struct {
	Evidence
	reader Reader
	oracle *oracle.Oracle

	telling sync.Mutex // guards Progress
}

func (v *verification) tell(step string, done, total int64) {
	if v.Progress == nil {
		return
	}
	v.telling.Lock()
	defer v.telling.Unlock()
	v.Progress(step, done, total)
}

// runs are the names of the runs; none where one has no name, so that all keys are meant.
func (v *verification) runs() ([]string, error) {
	var names []string
	unnamed := 0
	for i := range v.Sent {
		name := v.Sent[i].generator().Load().Run
		if name == "" {
			unnamed++
			continue
		}
		names = append(names, name)
	}
	if unnamed > 0 && len(names) > 0 {
		return nil, errors.New("verify: runs with a name and runs without one cannot be told apart on one system: verify them one by one")
	}
	return names, nil
}

// recount tells the oracle of all that was sent.
func (v *verification) recount(ctx context.Context) error {
	runs, err := v.runs()
	if err != nil {
		return err
	}
	v.oracle = oracle.New(oracle.Options{Runs: runs, MaxKeys: v.MaxKeys, GivenUp: v.GivenUp})
	t := teller{oracle: v.oracle, serde: v.Serde}
	var before, total int64
	for i := range v.Sent {
		if err := v.Sent[i].resolve(ctx); err != nil {
			return fmt.Errorf("verify: what was sent: %w", err)
		}
		total += v.Sent[i].acknowledged()
	}
	for i := range v.Sent {
		s := &v.Sent[i]
		if err := t.run(ctx, s, func(done int64) { v.tell("recount", before+done, total) }); err != nil {
			return err
		}
		before += s.acknowledged()
	}
	v.oracle.Use(nil) // of no use any more
	v.tell("recount", total, total)
	return nil
}

// compare reads everything that is given.
func (v *verification) compare(ctx context.Context) ([]oracle.Finding, error) {
	var findings []*oracle.Finding
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readingsAtOnce)
	reading := func(name string, read func(context.Context, *oracle.Finding, func(done int64)) error) {
		f := new(oracle.Finding)
		findings = append(findings, f)
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := read(ctx, f, func(done int64) { v.tell(name, done, 0) }); err != nil {
				return fmt.Errorf("verify: %s: %w", name, err)
			}
			v.tell(name, f.Read, f.Read)
			return nil
		})
	}
	reading(readBalances, v.balances)
	if v.Ledger {
		reading(readLedger, v.ledger)
	}
	if v.State != nil {
		reading(readState, v.state)
	}
	if v.Tables != nil {
		reading(readRows, v.rows)
		if v.Ledger {
			reading(readPostings, v.postings)
		}
	}
	reading(oracle.DeadLetters.String(), v.deadLetters)
	reading(oracle.Exceptions.String(), v.exceptions)
	reading(oracle.Parked.String(), v.parked)
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := make([]oracle.Finding, len(findings))
	for i, f := range findings {
		all[i] = *f
	}
	return all, nil
}

const progressEvery = 100_000

func (v *verification) balances(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Balances(readBalances, 0)
	var b event.InventoryBalance
	err := v.reader.each(ctx, v.Naming.Topic(topics.Balances), &b, progress, func(key []byte) { c.Record(key, &b) })
	*f = c.Finding()
	return err
}

func (v *verification) ledger(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Ledger(readLedger, 0)
	var p event.LedgerPosting
	err := v.reader.each(ctx, v.Naming.Topic(topics.Ledger), &p, progress, func(key []byte) { c.Record(key, &p) })
	*f = c.Finding()
	return err
}

func (v *verification) state(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Balances(readState, 0)
	err := v.State.read(ctx, v.oracle, c, progress)
	*f = c.Finding()
	return err
}

func (v *verification) rows(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Balances(readRows, 0)
	err := c.Rows(counting(v.Tables.Balances(ctx, v.oracle.Runs()...), progress))
	*f = c.Finding()
	return err
}

func (v *verification) postings(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Ledger(readPostings, 0)
	err := c.Rows(counting(v.Tables.Ledger(ctx, v.oracle.Runs()...), progress))
	*f = c.Finding()
	return err
}

func (v *verification) deadLetters(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Elsewhere(oracle.DeadLetters, 0)
	var d event.DeadLetter
	err := v.reader.each(ctx, v.Naming.Topic(topics.DeadLetters), &d, progress, func([]byte) { c.DeadLetter(&d) })
	*f = c.Finding()
	return err
}

func (v *verification) exceptions(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Elsewhere(oracle.Exceptions, 0)
	var x event.LogisticsException
	err := v.reader.each(ctx, v.Naming.Topic(topics.Exceptions), &x, progress, func([]byte) { c.Exception(&x) })
	*f = c.Finding()
	return err
}

func (v *verification) parked(ctx context.Context, f *oracle.Finding, progress func(int64)) error {
	c := v.oracle.Elsewhere(oracle.Parked, 0)
	var p event.ParkedEvent
	err := v.reader.each(ctx, v.Naming.Topic(topics.ParkingInbox), &p, progress, func([]byte) { c.Parked(&p) })
	*f = c.Finding()
	return err
}

// verdict puts a judgement into a report's words.
func (v *verification) verdict(j *oracle.Verdict) report.Verdict {
	r := report.Verdict{
		OK: j.OK(), Line: j.Line(), Events: j.Sent,
		Lost: j.Events(oracle.Lost), Duplicated: j.Events(oracle.Duplicated), Wrong: j.Events(oracle.Wrong),
		Fates: make(map[string]int64),
	}
	for _, fate := range oracle.Fates() {
		if n := j.Fates[fate]; n > 0 {
			r.Fates[fate.String()] = n
		}
	}
	for i := range j.Findings {
		f := &j.Findings[i]
		reading := report.Reading{Source: f.Source, Read: f.Read, Foreign: f.Foreign, Keys: f.Keys, Problems: make(map[string]int64), OK: f.OK()}
		for _, p := range oracle.Problems() {
			if n := f.Events[p]; n > 0 {
				reading.Problems[p.String()] = n
			}
		}
		r.Readings = append(r.Readings, reading)
	}
	not := func(missing bool, name, why string) {
		if missing {
			r.NotCompared = append(r.NotCompared, name+": "+why)
		}
	}
	not(!v.Ledger, readLedger, "it is not written, or was not asked for")
	not(v.State == nil, readState, "no address of a service that answers queries was given")
	not(v.Tables == nil, readRows, "no address of ClickHouse was given")
	not(v.Tables == nil || !v.Ledger, readPostings, "ClickHouse or the ledger was not given")
	return r
}
