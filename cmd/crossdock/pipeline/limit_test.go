package pipeline

import (
	"fmt"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/config"
	"crossdock/processors/masterdata"
	"crossdock/processors/parking"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

// The stages as they are configured, without a broker, through aborts and a restart: what comes of a movement of an unknown item
// when its master data comes in time, when it comes late and the dead letter is replayed, and when many wait for one reference.
func TestN5MovementsWaitForTheConfiguredTimeThroughAllStages(t *testing.T) {
	c := config.Default()
	c.Parking.Limit = time.Hour
	var tables masterdata.Tables
	stages, err := Stages(Parts{Config: c, Serde: serde.Local(), Tables: &tables})
	if err != nil {
		t.Fatal(err)
	}
	d, err := testdriver.New(testdriver.Options{Stages: stages, Tables: masterdata.NewFeed(&tables, serde.Local().Decode), Naming: Naming(&c), Partitions: 3, Aborts: 1})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scan := func(id, sku string) {
		t.Helper()
		must(d.Input(topics.Movements).Pipe(topics.Key(nil, "wms", "DC1", sku), &event.InventoryMovement{
			Header: event.EventHeader{EventID: id, DedupeKey: id, SourceSystem: "wms", Site: "DC1", EventTime: event.MicrosOf(d.Now())},
			SKU:    sku, Type: event.MovementTypeReceipt, QtySrc: event.QuantityScale, UOMSrc: "EA",
		}))
	}
	item := func(sku string) {
		t.Helper()
		must(d.Input(topics.Items).Pipe([]byte(sku), &event.ItemMaster{SKU: sku, Version: 1, BaseUOM: "EA", Integral: true}))
	}
	onHand := func(sku string, want int64) {
		t.Helper()
		all, err := testdriver.ReadAll[event.InventoryBalance](d.Output(topics.Balances))
		must(err)
		var got event.Quantity
		for i := range all {
			if all[i].SKU == sku {
				got = all[i].OnHand
			}
		}
		if got != event.Quantity(want)*event.QuantityScale {
			t.Errorf("%s of %s are on hand, not %d", got, sku, want)
		}
	}
	must(d.Input(topics.Sites).Pipe([]byte("DC1"), &event.SiteMaster{Site: "DC1", Version: 1}))
	const crowd = 2500 // more than two transactions let go
	must(d.Together(func() error {
		for i := range crowd {
			scan(fmt.Sprint("tea", i), "TEA")
		}
		return nil
	}))
	scan("cup", "CUP")
	must(d.Advance(59 * time.Minute))
	must(d.Restart())
	item("TEA")
	onHand("TEA", crowd)
	must(d.Advance(time.Minute))
	letters, err := d.DeadLetters()
	must(err)
	troubles, err := testdriver.ReadAll[event.LogisticsException](d.Output(topics.Exceptions))
	must(err)
	if len(letters) != 1 || letters[0].Cause != string(parking.MasterDataMissing) || letters[0].Stage != parking.Stage ||
		len(troubles) != 1 || troubles[0].Class != string(parking.MasterDataMissing) || troubles[0].Header.EventID != "MASTER_DATA_MISSING/cup" {
		t.Fatalf("dead letters %+v, exceptions %+v", letters, troubles)
	}
	item("CUP")
	onHand("CUP", 0)
	must(d.Input(topics.ParkingInbox).PipeBytes(letters[0].Key.Value, letters[0].Value.Value))
	onHand("CUP", 1)
	must(d.Advance(48 * time.Hour))
	if n, err := d.DeadLetters(); err != nil || len(n) != 1 {
		t.Errorf("%d dead letters in the end, %v", len(n), err)
	}
}
