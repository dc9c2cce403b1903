package faults

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// publish writes the load's items and sites. Processes that start afterwards read them before anything else.
func (f *Field) publish(ctx context.Context, g *scans.Generator) error {
	client, err := kgo.NewClient(append(f.kafka[:len(f.kafka):len(f.kafka)], kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	if err != nil {
		return err
	}
	defer client.Close()
	naming := pipeline.Naming(&f.config)
	var records []*kgo.Record
	for item := range g.Items() {
		records = append(records, &kgo.Record{Topic: naming.Topic(topics.Items), Key: topics.Key(nil, item.SKU), Value: f.serde.Append(nil, item)})
	}
	for site := range g.Sites() {
		records = append(records, &kgo.Record{Topic: naming.Topic(topics.Sites), Key: topics.Key(nil, site.Site), Value: f.serde.Append(nil, site)})
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("master data: %w", err)
	}
	return nil
}
