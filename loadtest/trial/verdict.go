package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/tables"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// verify recounts all that was sent, and puts the verdict into the report.
func (t *trial) verify(ctx context.Context, r *report.Report) error {
	e := verify.Evidence{
		Kafka: t.o.Kafka, Serde: t.o.Serde, Naming: t.o.Naming, From: t.from, Ledger: t.o.Ledger, Tables: t.o.Tables,
		Progress: t.verifying,
	}
	if t.o.State != "" {
		e.State = &verify.State{URL: t.o.State}
	}
	for _, l := range t.sent {
		e.Sent = append(e.Sent, l.log.evidence())
	}
	t.tell(Progress{Phase: Verifying, Part: "run"})
	v, err := run(ctx, e)
	if err != nil {
		return err
	}
	r.Verdict = v
	return nil
}

// patience is how long a verification may read nothing: a transaction that nobody ends holds read-committed readers up, and
// Kafka itself ends one that is left behind within its timeout and a sweep, together under half a minute here.
const patience = 90 * time.Second

// run reaches a verdict, or gives up where nothing moves.
func run(ctx context.Context, e verify.Evidence) (*report.Verdict, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(patience, func() {
		cancel(fmt.Errorf("nothing could be read for %v: a transaction may have been left open (kafka-transactions.sh --list tells)", patience))
	})
	defer watchdog.Stop()
	told := e.Progress
	e.Progress = func(step string, done, total int64) {
		watchdog.Reset(patience)
		if told != nil {
			told(step, done, total)
		}
	}
	v, err := verify.Run(ctx, e)
	if err != nil {
		return nil, err
	}
	return &v, nil
}

func (t *trial) verifying(step string, done, total int64) {
	t.tell(Progress{Phase: Verifying, Part: "run", Made: done, Planned: total, Waiting: step})
}

// read are the topics that a verdict reads.
func read() []topics.ID {
	return []topics.ID{topics.Balances, topics.Ledger, topics.DeadLetters, topics.Exceptions, topics.ParkingInbox}
}

// Evidence says how a finished run is verified again.
type Evidence struct {
	Kafka    []kgo.Opt
	Serde    *serde.Serde
	Tables   *tables.Tables // nil: ClickHouse is not asked
	State    string         // URL; empty: not asked
	Progress func(step string, done, total int64)
}

// Verify verifies a finished run from its folder alone: the loads are made again, and compared with what the pipeline says
// now. A folder that is none, or is damaged, is an *UnfitError.
func Verify(ctx context.Context, folder string, o Evidence) (*report.Verdict, error) {
	m, err := ReadManifest(folder)
	if err != nil {
		return nil, &UnfitError{err}
	}
	e := verify.Evidence{
		Kafka: o.Kafka, Serde: o.Serde, Naming: topics.Naming{Prefix: m.Prefix}, From: m.From, Ledger: m.Ledger, Tables: o.Tables, Progress: o.Progress,
	}
	if o.State != "" {
		e.State = &verify.State{URL: o.State}
	}
	for i := range m.Parts {
		log, err := readLog(folder, m.Entry, &m.Parts[i], o.Kafka)
		if err != nil {
			return nil, &UnfitError{fmt.Errorf("%s: %s: %w", folder, m.Parts[i].Name, err)}
		}
		e.Sent = append(e.Sent, log.evidence())
	}
	return run(ctx, e)
}

// Generator makes the events of a part again.
func (p *Part) Generator() (*scans.Generator, error) {
	shape, err := profile.Parse(ManifestFile, p.ProfileText)
	if err != nil {
		return nil, err
	}
	plan, err := shape.Plan()
	if err != nil {
		return nil, err
	}
	load, err := shape.Load(p.Seed, p.Space)
	if err != nil {
		return nil, err
	}
	load.Start, load.Pace = p.Began, plan
	return scans.NewRetailer(load)
}

func readLog(folder string, entry report.Entry, p *Part, kafka []kgo.Opt) (_ sentLog, err error) {
	g, err := p.Generator()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(folder, p.Log))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if entry == report.Documents {
		log, err := documents.ReadLog(f, g, kafka)
		return documentsLog{log}, err
	}
	log, err := send.ReadLog(f, g, kafka)
	return movementsLog{log}, err
}
