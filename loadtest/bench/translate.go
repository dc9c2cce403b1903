package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

const translateWorkload = "warehouse shipping advices (X12 945) of 5 to 15 lines, of the SKUs at 220 sites: a canonical event for each line and one for the shipment, enriched"

// canonicalBytes is how large a canonical event of such a document is.
const canonicalBytes = 420

// translateJob drains documents to the inboxes.
type translateJob struct {
	*drain
	shop *shop
}

func (j *translateJob) fill(ctx context.Context) (backlog, Measure, error) {
	j.shop = newShop(j.options.SKUs)
	if err := j.teach(ctx, j.shop.items, j.shop.sites); err != nil {
		return backlog{}, Measure{}, err
	}
	p, err := j.producer()
	if err != nil {
		return backlog{}, Measure{}, err
	}
	docs := newDocuments(j.options.Seed, j.shop, j.options.Records)
	for topic := j.env.Naming.Raw(DocumentSource); docs.next(); {
		if err := p.put(ctx, rawRecord(topic, docs), docs.doc.events()); err != nil {
			p.abandon()
			return backlog{}, Measure{}, err
		}
	}
	m, err := p.done(ctx)
	return backlog{topics: []string{j.env.Naming.Raw(DocumentSource)}, records: p.records, units: p.units}, m, err
}

// rawRecord is the document in hand as the ingress puts it on its source's topic.
func rawRecord(topic string, d *documents) *kgo.Record {
	now := time.Now()
	return &kgo.Record{
		Topic: topic, Key: append([]byte(nil), d.doc.key...), Value: d.doc.bytes, Timestamp: now,
		Headers: []kgo.RecordHeader{
			{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-01", d.number, d.number)},
			{Key: "correlation-id", Value: fmt.Appendf(nil, "%032x", d.number)},
			{Key: "signature", Value: []byte("none-required")},
			{Key: "source", Value: []byte(DocumentSource)},
			{Key: "content-type", Value: []byte("application/edi-x12")},
			{Key: "doc-type", Value: []byte("X12/945")},
			{Key: "received-time", Value: []byte(now.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))},
		},
	}
}

// limit writes a record for each canonical event. Their bytes are the document's own, of which canonical events of one
// document share most, too.
func (j *translateJob) limit(ctx context.Context) (Measure, error) {
	w12 := []byte("\nW12*")
	return j.copy(ctx, func(r *kgo.Record, put func([]byte)) {
		put(r.Value[:min(len(r.Value), canonicalBytes)])
		for rest := r.Value; ; {
			at := bytes.Index(rest, w12)
			if at < 0 {
				return
			}
			// A window that ends behind the line, so that each is another one.
			end := len(r.Value) - len(rest) + at + len(w12)
			put(r.Value[max(0, end-canonicalBytes):end])
			rest = rest[at+len(w12):]
		}
	})
}

// verify holds that every line of every document is on the inbox, once, with the quantity that it says, and every shipment
// has its milestone.
func (j *translateJob) verify(ctx context.Context) (Outcome, error) {
	catalogue, err := oracle.NewCatalogue(j.shop.items, j.shop.sites)
	if err != nil {
		return Outcome{}, err
	}
	sent := oracle.New(oracle.Options{Catalogue: catalogue})
	var m event.InventoryMovement
	docs := newDocuments(j.options.Seed, j.shop, j.options.Records)
	for docs.next() {
		for i := range docs.doc.lines {
			docs.doc.movement(&m, docs.number, i)
			if _, err := sent.Received(&m); err != nil {
				return Outcome{}, err
			}
		}
	}
	in, err := j.readInbox(ctx)
	if err != nil {
		return Outcome{}, err
	}
	out := in.judge(sent)
	reader := verify.Reader{Kafka: j.options.Kafka, Serde: j.options.Serde}
	milestones, err := reader.Count(ctx, j.env.Naming.Topic(topics.ShipmentsInbox))
	if err != nil {
		return Outcome{}, err
	}
	out.made(topics.ShipmentsInbox.String(), milestones)
	if milestones != docs.number {
		out.wrong("%d milestones, of %d shipments", milestones, docs.number)
	}
	return out, j.expectNone(ctx, &out, topics.ParkingInbox, topics.Exceptions, topics.DeadLetters)
}

func (*translateJob) close(context.Context) error { return nil }
