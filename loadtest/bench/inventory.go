package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// balanceBytes is how large a balance is.
const balanceBytes = 150

// inventoryJob drains canonical movements to balances.
type inventoryJob struct {
	*drain
	log *send.Log
}

func (j *inventoryJob) fill(ctx context.Context) (backlog, Measure, error) {
	g, err := scans.NewEnriched(j.load())
	if err != nil {
		return backlog{}, Measure{}, err
	}
	var b backlog
	var m Measure
	j.log, b, m, err = j.send(ctx, g)
	b.topics = []string{j.env.Naming.Topic(topics.InventoryInbox)}
	return b, m, err
}

// load is that of a large retailer, as far as it moves stock, without a fault.
func (d *drain) load() scans.Load {
	l := scans.DefaultLoad(d.options.Seed)
	l.SKUs = d.options.SKUs
	l.Mix.Milestone, l.Mix.Order, l.Mix.Item = 0, 0, 0
	l.Offline, l.Hottest, l.Snapshots, l.Poison = scans.Offline{}, scans.Hottest{}, scans.Snapshots{}, 0
	return l
}

// send puts the movements of a generator on their topic.
func (d *drain) send(ctx context.Context, g *scans.Generator) (*send.Log, backlog, Measure, error) {
	began, w := time.Now(), d.watchOwn()
	log, err := send.Run(ctx, g, send.Options{
		Kafka: d.options.Kafka, Serde: d.options.Serde, Naming: d.env.Naming, Count: d.options.Records,
		Progress: func(p send.Progress) { d.progress(Fill, p.Acknowledged, began) },
	})
	if err != nil {
		return nil, backlog{}, Measure{}, err
	}
	m := w.measure(log.Made)
	m.BytesPerRecord = float64(log.Bytes) / float64(log.Made)
	return log, backlog{records: log.Made, units: log.Made, partitions: log.Partitions()}, m, nil
}

func (j *inventoryJob) limit(ctx context.Context) (Measure, error) {
	return j.copy(ctx, func(r *kgo.Record, put func([]byte)) { put(r.Value[:min(len(r.Value), balanceBytes)]) })
}

// verify recounts every balance.
func (j *inventoryJob) verify(ctx context.Context) (Outcome, error) {
	o := oracle.New(oracle.Options{})
	if err := verify.Sent(ctx, o, j.log, false); err != nil {
		return Outcome{}, err
	}
	reader := verify.Reader{Kafka: j.options.Kafka, Serde: j.options.Serde}
	balances := o.Balances("balances", 0)
	if err := reader.Balances(ctx, j.env.Naming.Topic(topics.Balances), balances); err != nil {
		return Outcome{}, err
	}
	findings := []oracle.Finding{balances.Finding()}
	if j.options.Ledger {
		ledger := o.Ledger("ledger", 0)
		if err := reader.Ledger(ctx, j.env.Naming.Topic(topics.Ledger), ledger); err != nil {
			return Outcome{}, err
		}
		findings = append(findings, ledger.Finding())
	}
	out := outcomeOf(o, findings...)
	for i := range findings {
		out.made(findings[i].Source, findings[i].Read)
	}
	return out, j.expectNone(ctx, &out, topics.DeadLetters)
}

func (*inventoryJob) close(context.Context) error { return nil }

// outcomeOf is what the findings of an oracle come to.
func outcomeOf(o *oracle.Oracle, findings ...oracle.Finding) Outcome {
	v := o.Judge(findings...)
	return Outcome{Keys: o.Keys(), Duplicates: o.Fates(oracle.Repeated), Verified: v.OK(), Verdict: v.String(), Outputs: make(map[string]int64)}
}

// made tells how much of an output there is.
func (o *Outcome) made(output string, records int64) { o.Outputs[output] = records }

// wrong adds a problem to the verdict.
func (o *Outcome) wrong(format string, args ...any) {
	if o.Verified {
		o.Verified, o.Verdict = false, "verified: FAILED: "+o.Verdict
	}
	o.Verdict += "\n  " + fmt.Sprintf(format, args...)
}

// expectNone counts topics that must be empty, since the backlog has no fault.
func (d *drain) expectNone(ctx context.Context, out *Outcome, ids ...topics.ID) error {
	reader := verify.Reader{Kafka: d.options.Kafka, Serde: d.options.Serde}
	for _, id := range ids {
		n, err := reader.Count(ctx, d.env.Naming.Topic(id))
		if err != nil {
			return err
		}
		out.made(id.String(), n)
		if n > 0 {
			out.wrong("%d records on %s, of a backlog without a fault", n, id)
		}
	}
	return nil
}
