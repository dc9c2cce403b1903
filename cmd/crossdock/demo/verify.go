package demo

import (
	"context"
	"fmt"

	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/verify"
)

// A Sent is all that the demo sent, as the recount takes it: neither from what came out nor with the code that made it.
type Sent struct {
	Documents []*event.InventoryMovement            // what the documents say, written down by hand
	Scans     func(func(m *scans.Scan) error) error // every scan that the broker has acknowledged
	Items     []event.ItemMaster                    // what the scans' codes and units mean
	Sites     []event.SiteMaster                    //
}

func sentDocuments() ([]*event.InventoryMovement, error) {
	var all []*event.InventoryMovement
	for i, p := range append(receipts(), movements()...) {
		m, err := p.movement(fmt.Sprintf("document line %d", i+1))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	again := *all[0] // the last line of receipts.jsonl
	return append(all, &again), nil
}

func sent(log *send.Log, items []event.ItemMaster, sites []event.SiteMaster) (Sent, error) {
	docs, err := sentDocuments()
	return Sent{Documents: docs, Scans: log.Replay, Items: items, Sites: sites}, err
}

// recount tells an oracle of all that was sent.
func recount(s Sent) (*oracle.Oracle, error) {
	catalogue, err := oracle.NewCatalogue(s.Items, s.Sites)
	if err != nil {
		return nil, err
	}
	o := oracle.New(oracle.Options{Catalogue: catalogue})
	for _, m := range s.Documents {
		if _, err := o.Expect(m); err != nil {
			return nil, err
		}
	}
	return o, s.Scans(func(m *scans.Scan) error {
		_, err := o.Received(&m.Movement)
		return err
	})
}

// verify compares what Kafka and ClickHouse hold with what was sent.
func (e *evidence) verify(ctx context.Context) (oracle.Verdict, error) {
	o, err := recount(e.sent)
	if err != nil {
		return oracle.Verdict{}, err
	}
	kafkaCheck := o.Balances("balances", 0)
	reader := &verify.Reader{Kafka: e.kafka, Serde: e.serde}
	if err := reader.Balances(ctx, e.balances, kafkaCheck); err != nil {
		return oracle.Verdict{}, err
	}
	tableCheck := o.Balances("clickhouse", 0)
	if err := tableCheck.Rows(e.tables.Balances(ctx)); err != nil {
		return oracle.Verdict{}, err
	}
	return o.Judge(kafkaCheck.Finding(), tableCheck.Finding()), nil
}
