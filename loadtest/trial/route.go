package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/report"
	"crossdock/topology/topics"
)

// A route is how canaries come to the tasks that resolve a load's events.
type route interface {
	stage() string // that they go through
	// tasks is how many ways there are.
	tasks(ctx context.Context, m *master) (int32, error)
	// open makes ready to send; close ends it.
	open(m *master) (send func(context.Context, []canaryOf) error, end func(), err error)
}

// A canaryOf is a canary for a task.
type canaryOf struct {
	task     int32
	movement *event.InventoryMovement
}

func (t *trial) canaryRoute() route {
	if t.o.Entry == report.Documents {
		return byIngress{t.o.Documents}
	}
	return byTopic{}
}

// byTopic puts canaries onto every partition of topic movements, and so before every task of enrich.
type byTopic struct{}

func (byTopic) stage() string { return "enrich" }

func (byTopic) tasks(ctx context.Context, m *master) (int32, error) {
	counts, err := m.partitions(ctx, topics.Movements)
	return counts[topics.Movements], err
}

func (byTopic) open(m *master) (func(context.Context, []canaryOf) error, func(), error) {
	producer, err := m.producer(kgo.ManualPartitioner())
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, all []canaryOf) error {
		records := make([]*kgo.Record, 0, len(all))
		for _, c := range all {
			records = append(records, &kgo.Record{
				Topic: m.naming.Topic(topics.Movements), Partition: c.task,
				Key: topics.Key(nil, source, c.movement.Header.Site, c.movement.SKU), Value: m.serde.Append(nil, c.movement),
			})
		}
		return producer.ProduceSync(ctx, records...).FirstErr()
	}, producer.Close, nil
}

// byIngress posts canaries to every source, a document each. It finds out as well whether the ingress takes what the sources send.
type byIngress struct{ options *documents.Options }

func (byIngress) stage() string { return "translate" }

func (r byIngress) tasks(context.Context, *master) (int32, error) {
	return int32(len(r.options.Shape.Sources())), nil
}

func (r byIngress) open(*master) (func(context.Context, []canaryOf) error, func(), error) {
	return func(ctx context.Context, all []canaryOf) error {
		bodies, keys := map[int32][]byte{}, map[int32]string{}
		for _, c := range all {
			bodies[c.task] = documents.AppendMovement(bodies[c.task], c.movement)
			keys[c.task] = c.movement.Header.EventID
		}
		for i, t := range r.options.Shape.Sources() {
			body := bodies[int32(i)]
			if len(body) == 0 {
				continue
			}
			if err := r.post(ctx, t, keys[int32(i)], body); err != nil {
				return err
			}
		}
		return nil
	}, func() {}, nil
}

// ingressWithin bounds how long an ingress may be away before a load begins.
const ingressWithin = 10 * time.Second

func (r byIngress) post(ctx context.Context, t documents.Target, key string, body []byte) error {
	posting, cancel := context.WithTimeoutCause(ctx, ingressWithin, fmt.Errorf("not within %v", ingressWithin))
	defer cancel()
	err := documents.Post(posting, r.options, t, key, body)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &NotReadyError{fmt.Errorf("the ingress does not take documents: %w; is it running there (crossdock run ingress translate parking inventory), with this source and its credentials?", err)}
}
