package inventory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/internal/fake"
	"crossdock/processors/inventory"
	"crossdock/topology/topics"
)

const now = 1_764_000_000_000_000

// movement is an enriched movement of whole units.
func movement(id string, t event.MovementType, qty int64, from, to event.Bucket) *event.InventoryMovement {
	q := event.Quantity(qty) * event.QuantityScale
	m := &event.InventoryMovement{
		Header:   event.EventHeader{EventID: "e-" + id, DedupeKey: id, SourceSystem: "wms", Site: "DC1", EventTime: now},
		SKU:      "TEA",
		Type:     t,
		QtyDelta: q, QtySrc: q,
	}
	if from != event.BucketExternal {
		m.From = event.Some(event.Place{Bucket: from})
	}
	if to != event.BucketExternal {
		m.To = event.Some(event.Place{Bucket: to})
	}
	return m
}

func record(t *fake.Task, e event.Record) processors.Record {
	var sku, site string
	switch e := e.(type) {
	case *event.InventoryMovement:
		sku, site = e.SKU, e.Header.Site
	case *event.InventoryPolicy:
		sku, site = e.SKU, e.Header.Site
	case *event.InventorySnapshot:
		sku, site = e.SKU, e.Header.Site
	}
	return processors.Record{Topic: "inventory-inbox", Key: topics.Key(nil, sku, site), Value: t.Serde.Append(nil, e)}
}

// balances are the last balance of each key among outputs, by key; postings are the ledger's.
func balances(t *testing.T, task *fake.Task, out []fake.Output) map[string]event.InventoryBalance {
	t.Helper()
	m := map[string]event.InventoryBalance{}
	for _, o := range out {
		if o.To != topics.Balances {
			continue
		}
		var b event.InventoryBalance
		if err := task.Serde.Decode(o.Value, &b); err != nil {
			t.Fatal(err)
		}
		if _, twice := m[string(o.Key)]; twice {
			t.Errorf("two balances of %s in one commit", o.Key)
		}
		m[string(o.Key)] = b
	}
	return m
}

func newTask(c *inventory.Counters) *fake.Task {
	task := fake.NewTask(inventory.New(inventory.Options{Counters: c}), 1)
	task.Clock = now
	return task
}

func TestN2DuplicateTouchesNothing(t *testing.T) {
	var c inventory.Counters
	task := newTask(&c)
	first := record(task, movement("r1", event.MovementTypeReceipt, 5, event.BucketExternal, event.BucketAvailable))
	if err := task.Process(first); err != nil {
		t.Fatal(err)
	}
	task.Commit()
	again := movement("r1", event.MovementTypeReceipt, 5, event.BucketExternal, event.BucketAvailable)
	again.Header.EventID = "another envelope"
	for _, r := range []processors.Record{first, record(task, again)} {
		if err := task.Process(r); err != nil {
			t.Fatal(err)
		}
	}
	if out := task.Commit(); len(out) != 0 {
		t.Errorf("a duplicate emitted %d records", len(out))
	}
	if n := c.Duplicates.Load(); n != 2 {
		t.Errorf("%d duplicates counted, want 2", n)
	}
}

func TestN2MemoryIsTheLast64OfAKey(t *testing.T) {
	var c inventory.Counters
	task := newTask(&c)
	scan := func(i int) {
		if err := task.Process(record(task, movement(fmt.Sprint("r", i), event.MovementTypeReceipt, 1, event.BucketExternal, event.BucketAvailable))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		scan(i)
	}
	for i := 136; i < 200; i++ {
		scan(i)
	}
	if n := c.Duplicates.Load(); n != 64 {
		t.Errorf("%d of the last 64 were recognised", n)
	}
	scan(135) // the 65th from the end is forgotten, as the package says
	if b := balances(t, task, task.Commit())["TEA|DC1"]; b.Version != 201 || b.Available != 201*event.QuantityScale {
		t.Errorf("version %d, available %s, want 201 of each", b.Version, b.Available)
	}
}

func TestN2SurvivesRestart(t *testing.T) {
	var c inventory.Counters
	task := newTask(&c)
	r := record(task, movement("r1", event.MovementTypeReceipt, 5, event.BucketExternal, event.BucketAvailable))
	if err := task.Process(r); err != nil {
		t.Fatal(err)
	}
	task.Abort()
	if err := task.Process(r); err != nil {
		t.Fatal(err)
	}
	if c.Duplicates.Load() != 0 {
		t.Error("an aborted posting was remembered")
	}
	task.Commit()
	task = task.Restarted(inventory.New(inventory.Options{Counters: &c}))
	if err := task.Process(r); err != nil {
		t.Fatal(err)
	}
	if len(task.Commit()) != 0 || c.Duplicates.Load() != 1 {
		t.Error("a committed posting was forgotten by a restart")
	}
}

func TestRejections(t *testing.T) {
	const outside, available = event.BucketExternal, event.BucketAvailable
	tests := map[string]struct {
		cause processors.Cause
		make  func() *event.InventoryMovement
	}{
		"outside to outside": {inventory.BadMovement, func() *event.InventoryMovement {
			return movement("x", event.MovementTypeOther, 1, outside, outside)
		}},
		"no dedupe key": {inventory.NoIdentity, func() *event.InventoryMovement {
			return movement("", event.MovementTypeReceipt, 1, outside, available)
		}},
		"never enriched": {inventory.NotEnriched, func() *event.InventoryMovement {
			m := movement("x", event.MovementTypeReceipt, 1, outside, available)
			m.QtyDelta = 0
			return m
		}},
		"more than 18 digits": {inventory.QtyOverflow, func() *event.InventoryMovement {
			m := movement("x", event.MovementTypeReceipt, 1, outside, available)
			m.QtyDelta = event.MaxQuantity + 1
			return m
		}},
		"lowest 64-bit number": {inventory.QtyOverflow, func() *event.InventoryMovement {
			m := movement("x", event.MovementTypeReceipt, 1, outside, available)
			m.QtyDelta = -1 << 63
			return m
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			task := newTask(nil)
			err := task.Process(record(task, tt.make()))
			var rejection *processors.Rejection
			if !errors.As(err, &rejection) || rejection.Cause != tt.cause || rejection.Remedy == "" {
				t.Errorf("got %v, want %s with a remedy", err, tt.cause)
			}
			if out := task.Commit(); len(out) != 0 {
				t.Errorf("a rejected movement emitted %d records", len(out))
			}
		})
	}
}

func TestOverflowOfStockIsRejectedAndTheRestGoesOn(t *testing.T) {
	task := newTask(nil)
	full := movement("a", event.MovementTypeReceipt, 1, event.BucketExternal, event.BucketAvailable)
	full.QtyDelta = event.MaxQuantity
	if err := task.Process(record(task, full)); err != nil {
		t.Fatal(err)
	}
	var rejection *processors.Rejection
	for _, to := range []event.Bucket{event.BucketAvailable, event.BucketDamaged} { // the bucket, and the sum on site
		err := task.Process(record(task, movement("b", event.MovementTypeReceipt, 1, event.BucketExternal, to)))
		if !errors.As(err, &rejection) || rejection.Cause != inventory.QtyOverflow {
			t.Errorf("one more into %s: got %v, want %s", to, err, inventory.QtyOverflow)
		}
	}
	if err := task.Process(record(task, movement("c", event.MovementTypeShip, 1, event.BucketAvailable, event.BucketExternal))); err != nil {
		t.Fatal(err)
	}
	if b := balances(t, task, task.Commit())["TEA|DC1"]; b.Version != 2 || b.Available != event.MaxQuantity-event.QuantityScale {
		t.Errorf("version %d, available %s after a rejected movement", b.Version, b.Available)
	}
}

func TestKeyMustBeTheEventsSKUAndSite(t *testing.T) {
	tests := []struct {
		sku, site, key string
		ok             bool
	}{
		{"TEA", "DC1", "TEA|DC1", true},
		{"TEA", "DC1", "TEA|DC2", false},
		{"TEA", "DC1", "TEADC1", false},
		{"TE|A", "DC1", `TE\|A|DC1`, true},
		{"TE|A", "DC1", `TE|A|DC1`, false}, // another key: of (TE, A|DC1) or of nothing
		{"TEA", "D|C", `TEA|D|C`, false},
		{`T\A`, "DC1", `T\\A|DC1`, true},
		{`T\A`, "DC1", `T\A|DC1`, false},
		{"", "DC1", "|DC1", false},
		{"TEA", "", "TEA|", false},
	}
	for _, tt := range tests {
		task := newTask(nil)
		m := movement("x", event.MovementTypeReceipt, 1, event.BucketExternal, event.BucketAvailable)
		m.SKU, m.Header.Site = tt.sku, tt.site
		r := record(task, m)
		r.Key = []byte(tt.key)
		err := task.Process(r)
		var rejection *processors.Rejection
		if tt.ok && err != nil || !tt.ok && (!errors.As(err, &rejection) || rejection.Cause != processors.BadKey) {
			t.Errorf("%q, %q under %q: got %v, want ok=%t", tt.sku, tt.site, tt.key, err, tt.ok)
		}
		if !tt.ok {
			continue
		}
		for key, b := range balances(t, task, task.Commit()) {
			if key != tt.key || b.SKU != tt.sku || b.Site != tt.site {
				t.Errorf("balance of %q, %q under %q, want %q, %q", b.SKU, b.Site, key, tt.sku, tt.site)
			}
		}
	}
}

func TestOldPolicyIsIgnoredAndPolicyPostsNothing(t *testing.T) {
	var c inventory.Counters
	task := newTask(&c)
	policy := func(version, safety int64) {
		p := &event.InventoryPolicy{Header: event.EventHeader{EventID: fmt.Sprint("p", version), Site: "DC1"}, SKU: "TEA", Version: version, SafetyStock: event.Quantity(safety) * event.QuantityScale}
		if err := task.Process(record(task, p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := task.Process(record(task, movement("r", event.MovementTypeReceipt, 10, event.BucketExternal, event.BucketAvailable))); err != nil {
		t.Fatal(err)
	}
	policy(2, 3)
	policy(1, 9)
	policy(2, 9)
	b := balances(t, task, task.Commit())["TEA|DC1"]
	if b.Version != 1 || b.ATS != 7*event.QuantityScale || b.SafetyStock != 3*event.QuantityScale || b.CauseEventID != "p2" || c.OldPolicies.Load() != 2 {
		t.Errorf("version %d, ATS %s, safety stock %s, cause %s, %d old policies", b.Version, b.ATS, b.SafetyStock, b.CauseEventID, c.OldPolicies.Load())
	}
}

func TestKindsOfLaterStagesPassAndOthersAreRejected(t *testing.T) {
	var c inventory.Counters
	task := newTask(&c)
	if err := task.Process(record(task, &event.InventorySnapshot{Header: event.EventHeader{EventID: "s", Site: "DC1"}, SKU: "TEA"})); err != nil {
		t.Fatal(err)
	}
	if out := task.Commit(); len(out) != 0 || c.PassedOver.Load() != 1 {
		t.Errorf("a snapshot emitted %d records, %d passed over", len(out), c.PassedOver.Load())
	}
	var rejection *processors.Rejection
	if err := task.Process(record(task, &event.OrderRelease{})); !errors.As(err, &rejection) || rejection.Cause != processors.UnexpectedKind {
		t.Errorf("an order: got %v", err)
	}
}

func TestDamagedStateStopsByName(t *testing.T) {
	task := newTask(nil)
	task.Store(0).Put([]byte("TEA|DC1"), []byte{9, 9, 9})
	err := task.Process(record(task, movement("r", event.MovementTypeReceipt, 10, event.BucketExternal, event.BucketAvailable)))
	var fatal *processors.Fatal
	if !errors.As(err, &fatal) || !strings.Contains(err.Error(), "changelog") {
		t.Errorf("got %v, want a Fatal that names the remedy", err)
	}
}
