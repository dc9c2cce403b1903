package runtime

import (
	"testing"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/topics"
)

func TestABatchIsAsLargeAsWhatItsRecordsMakeLetsExpect(t *testing.T) {
	b := newBound(20_000, 24<<20)
	for range 10 { // scans: some hundred bytes each
		b.held(b.records, b.records*700)
	}
	if b.records != 20_000 {
		t.Errorf("light records: batches of %d, not of the limit", b.records)
	}
	b.held(400, 400*60_000) // documents
	if want := (24 << 20) / 60_000; b.records != want {
		t.Errorf("heavy records: batches of %d, %d fit", b.records, want)
	}
	for range 100 {
		b.held(b.records, b.records*700)
	}
	if b.records != 20_000 {
		t.Errorf("light records again: batches of %d, not of the limit", b.records)
	}
	b.held(1, 100<<20)
	if b.records != 1 {
		t.Errorf("a record that is too heavy alone leaves batches of %d", b.records)
	}
}

// Work that is aborted for its size is done twice: a backlog of documents must not be met with batches made for scans.
func TestHeavyRecordsAreNotProcessedTwice(t *testing.T) {
	c := fake(t)
	output := noise(2000)
	stage := countingStage(func(ctx processors.Context, _ *event.InventoryMovement) error {
		for range 20 {
			ctx.EmitRaw(topics.Exceptions, []byte("k"), output, nil)
		}
		return nil
	})
	stage.Outputs = append(stage.Outputs, topics.Exceptions)
	r := newRig(t, c.ListenAddrs(), stage, 1)
	r.send(4000, 20)
	cfg := r.config("a")
	cfg.Commit.MaxBytes = 48 << 20 // 1,200 records
	p := r.start(cfg)
	r.drained()
	if n := p.metric("crossdock_transaction_aborts_total", "why=too_much"); n != 0 {
		t.Errorf("%v batches were aborted for their size", n)
	}
	p.close(t)
	r.verify()
}
