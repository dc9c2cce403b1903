package testdriver_test

import (
	"encoding/binary"
	"fmt"
	"log"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

// onHand is a small stateful stage: it sums the movements of a SKU at a site, and tells the sum once per commit.
type onHand struct {
	movement event.InventoryMovement
	balance  event.InventoryBalance
}

func (p *onHand) Process(ctx processors.Context, r *processors.Record) error {
	if err := ctx.Decode(&p.movement); err != nil {
		return err
	}
	if p.movement.SKU == "" {
		return processors.Rejectf("NO_SKU", "Name the item.", "movement %s has no SKU", p.movement.Header.EventID)
	}
	var sum int64
	if v := ctx.Store(0).Get(r.Key); v != nil {
		sum = int64(binary.LittleEndian.Uint64(v))
	}
	ctx.Store(0).Put(r.Key, binary.LittleEndian.AppendUint64(nil, uint64(sum+int64(p.movement.QtyDelta))))
	return nil
}

func (p *onHand) BeforeCommit(ctx processors.Context, key, value []byte) error {
	parts := topics.SplitKey(key)
	p.balance = event.InventoryBalance{SKU: parts[0], Site: parts[1], OnHand: event.Quantity(binary.LittleEndian.Uint64(value))}
	ctx.Emit(topics.Balances, key, &p.balance)
	return nil
}

var onHandStage = topology.Stage{
	Name: "on-hand", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances},
	Stores: []topology.Store{{Name: "sums"}},
	New:    func() processors.Processor { return new(onHand) },
}

// A test pipes events in, and reads what the stages made of them.
func Example() {
	driver, err := testdriver.New(testdriver.Options{Stages: []topology.Stage{onHandStage}})
	if err != nil {
		log.Fatal(err)
	}
	inbox, balances := driver.Input(topics.InventoryInbox), driver.Output(topics.Balances)
	receipt := func(qty event.Quantity) error {
		return inbox.Pipe(topics.Key(nil, "SHOE-42", "LYON"), &event.InventoryMovement{SKU: "SHOE-42", QtyDelta: qty})
	}

	// Each Pipe is a transaction of its own.
	if err := receipt(5_000_000); err != nil { // millionths
		log.Fatal(err)
	}
	_, balance, err := testdriver.Read[event.InventoryBalance](balances)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after the first receipt:", balance.OnHand)

	// Two records in one transaction make one balance.
	err = driver.Together(func() error {
		if err := receipt(1_000_000); err != nil {
			return err
		}
		return receipt(2_000_000)
	})
	if err != nil {
		log.Fatal(err)
	}
	all, err := testdriver.ReadAll[event.InventoryBalance](balances)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after two more:", len(all), "balance of", all[0].OnHand)

	// What a stage rejects is a dead letter; what is in its store survives a crash.
	if err := inbox.Pipe([]byte("|LYON"), &event.InventoryMovement{Header: event.EventHeader{EventID: "e-4"}}); err != nil {
		log.Fatal(err)
	}
	letters, err := driver.DeadLetters()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("dead letter:", letters[0].Cause, "-", letters[0].Detail)
	if err := driver.Restart(); err != nil {
		log.Fatal(err)
	}
	sums, err := driver.Store("on-hand", "sums")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in the store:", event.Quantity(binary.LittleEndian.Uint64(sums.Get([]byte("SHOE-42|LYON")))))

	// Output:
	// after the first receipt: 5
	// after two more: 1 balance of 8
	// dead letter: NO_SKU - movement e-4 has no SKU
	// in the store: 8
}
