package trial

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"crossdock/avro/event"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/latency"
	"crossdock/loadtest/observe"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

// A view is what takes note of a load while it is sent.
type view struct {
	load     *load
	accepted *latency.Recorder
	tracker  *observe.Tracker
	began    *atomic.Int64 // nanoseconds of Unix time, when the load's time begins; 0: not yet
}

// at is a time since the load began, which it did at a time where this is the first that is asked for.
func (v *view) at(t time.Time, first func() time.Time) time.Duration {
	origin := v.began.Load()
	if origin == 0 {
		begin := first()
		origin = begin.UnixNano()
		v.began.Store(origin)
		v.load.observers.Begin(begin)
		v.load.watch.Begin(begin)
	}
	return time.Duration(t.UnixNano() - origin)
}

func (v *view) taken(events int, intended, at time.Time) {
	origin := v.began.Load()
	v.accepted.AddFor(latency.Accepted, time.Duration(intended.UnixNano()-origin), time.Duration(at.UnixNano()-origin), int64(events))
}

// sendMovements sends a load onto its topics. An error comes with a log where something was sent.
func (t *trial) sendMovements(ctx context.Context, g *scans.Generator, v *view) (sentLog, error) {
	plan := v.load.plan
	log, err := send.Run(ctx, g, send.Options{
		Kafka: t.o.Kafka, Serde: t.o.Serde, Naming: t.o.Naming, Count: plan.Count(), Paced: true,
		Made: func(s *scans.Scan, intended time.Time) {
			v.tracker.Made(g, s, v.at(intended, func() time.Time { return intended.Add(-plan.At(0)) }))
		},
		Settled: func(_ int64, intended, at time.Time, err error) {
			if err == nil {
				v.taken(1, intended, at)
			}
		},
		Progress: v.load.course.note,
	})
	if log == nil {
		return nil, err
	}
	return movementsLog{log}, err
}

// sendDocuments sends a load through the ingress.
func (t *trial) sendDocuments(ctx context.Context, g *scans.Generator, v *view) (sentLog, error) {
	o := *t.o.Documents
	ends, err := t.groups.ends(ctx, topics.InventoryInbox)
	if err != nil {
		return nil, err
	}
	v.load.inbox = ends[t.o.Naming.Topic(topics.InventoryInbox)]
	o.Kafka, o.Naming, o.Count, o.Paced = t.o.Kafka, t.o.Naming, v.load.plan.Count(), true
	o.Made = func(d *documents.Document, intended time.Time) {
		at := v.at(intended, func() time.Time { return intended.Add(-d.Due) })
		v.tracker.Document(d.ID, d.Movements, at)
		d.Originals(func(sku, site string) { v.tracker.Await(sku, site, at) })
	}
	o.Settled, o.Progress = v.taken, v.load.course.note
	log, err := documents.Run(ctx, g, o)
	if log == nil {
		return nil, err
	}
	return documentsLog{log}, err
}

// sites are those of a load, as they must be known for its entry.
func (t *trial) sites(g *scans.Generator) iter.Seq[*event.SiteMaster] {
	if t.o.Entry == report.Documents {
		return documents.Sites(g, t.o.Documents.Shape)
	}
	return g.Sites()
}

// countInbox takes note of what came to the inbox by partition, once the load has come out.
func (t *trial) countInbox(ctx context.Context, l *load) error {
	if l.inbox == nil {
		return nil
	}
	ends, err := t.groups.ends(ctx, topics.InventoryInbox)
	if err != nil {
		return err
	}
	now := ends[t.o.Naming.Topic(topics.InventoryInbox)]
	l.skew = make([]int64, len(now))
	for p, end := range now {
		if int(p) < len(l.skew) {
			l.skew[p] = end - l.inbox[p]
		}
	}
	return nil
}

// byPartition is how the load spread over the partitions of the topic that most of it came to.
func (l *load) byPartition() []int64 {
	if l.inbox != nil {
		return l.skew
	}
	return l.log.partitions()
}
