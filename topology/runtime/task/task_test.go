package task

import (
	"errors"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// scripted is a processor that does what the record's value says.
type scripted struct{ tables int }

func (p *scripted) Process(ctx processors.Context, r *processors.Record) error {
	s := ctx.Store(0)
	switch v := string(r.Value); {
	case v == "boom":
		s.Put(r.Key, []byte("half written"))
		panic("boom")
	case v == "no":
		s.Put(r.Key, []byte("refused"))
		ctx.EmitRaw(topics.Balances, r.Key, []byte("refused"), nil)
		return processors.Rejectf("NO", "say yes", "it says no")
	case v == "fatal":
		return &processors.Fatal{Reason: "the end"}
	case v == "huge":
		s.Put(r.Key, make([]byte, store.MaxValue+1))
	case v == "wide":
		ctx.EmitRaw(topics.Balances, r.Key, make([]byte, 2<<20), nil)
	case v == "decode":
		var m event.InventoryMovement
		return ctx.Decode(&m)
	case v[0] == 0:
		var m event.InventoryMovement
		if err := ctx.Decode(&m); err != nil {
			return err
		}
		ctx.Emit(topics.InventoryInbox, []byte("other"), &m)
	default:
		s.Put(r.Key, append(append([]byte(nil), s.Get(r.Key)...), r.Value...))
		ctx.EmitRaw(topics.Balances, r.Key, r.Value, []processors.Header{{Key: "h", Value: []byte("v")}})
	}
	return nil
}

func (p *scripted) BeforeCommit(ctx processors.Context, key, value []byte) error {
	if string(value) == "unspeakable" {
		return processors.Rejectf("UNSPEAKABLE", "", "it cannot be told")
	}
	ctx.EmitRaw(topics.Ledger, key, value, nil)
	return nil
}

func (p *scripted) TablesChanged(ctx processors.Context, limit int) (bool, error) {
	if ctx.Record() != nil {
		return false, errors.New("a record is in hand")
	}
	p.tables++
	ctx.EmitRaw(topics.Exceptions, []byte("k"), []byte("v"), nil)
	return limit == 1, nil
}

// taken is a Sink that writes down.
type taken struct{ outputs, changelog []string }

func (s *taken) Output(_ *Task, o *Output) {
	v := string(o.Value)
	if o.To == topics.DeadLetters {
		var d event.DeadLetter
		if err := serde.Local().Decode(o.Value, &d); err != nil {
			panic(err)
		}
		v = d.ID + " " + d.Cause + " " + string(d.Value.Value)
	}
	s.outputs = append(s.outputs, o.To.String()+" "+string(o.Key)+"="+v)
}

func (s *taken) Changelog(_ *Task, _ int, key, value []byte, _ uint32) {
	s.changelog = append(s.changelog, string(key)+"="+string(value))
}

func newTask(t *testing.T) (*Task, *taken) {
	t.Helper()
	sink := &taken{}
	task := New(Config{
		Stage: topology.Stage{Name: "scripted", Stores: []topology.Store{{Name: "s"}}, New: func() processors.Processor { return &scripted{} }},
		Serde: serde.Local(), Stores: []*store.Partition{store.New()}, Arena: &Arena{}, Sink: sink,
	})
	task.Begin(1)
	return task, sink
}

func record(offset int64, key, value string) *processors.Record {
	return &processors.Record{Topic: "in", Partition: 3, Offset: offset, Key: []byte(key), Value: []byte(value)}
}

func process(t *testing.T, task *Task, r *processors.Record) {
	t.Helper()
	if err := task.Process(r); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func TestRejectedRecordLeavesItsDeadLetterAndNothingElse(t *testing.T) {
	task, sink := newTask(t)
	process(t, task, record(0, "k", "a"))
	process(t, task, record(1, "k", "no"))
	if why := task.Rejected(); why == nil || why.Cause != "NO" {
		t.Errorf("rejected: %v", why)
	}
	process(t, task, record(2, "k", "b"))
	if err := task.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, "outputs", sink.outputs, "balances k=a", "dead-letters k=in/3/1/0 NO no", "balances k=b", "ledger k=ab")
	expect(t, "changelog", sink.changelog, "k=ab")
}

func TestCommitMergesAndAbortDrops(t *testing.T) {
	task, sink := newTask(t)
	process(t, task, record(0, "k", "a"))
	task.Abort()
	if v := task.Stores()[0].Get([]byte("k")); v != nil {
		t.Errorf("after an abort the store has %q", v)
	}
	process(t, task, record(0, "k", "a"))
	task.Commit()
	process(t, task, record(1, "k", "b"))
	task.Abort()
	if v := task.Stores()[0].Get([]byte("k")); string(v) != "a" {
		t.Errorf("committed a, aborted b, and the store has %q", v)
	}
	sink.changelog = nil
	if err := task.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, "changelog of an empty transaction", sink.changelog)
}

func TestPanicStopsTheTransactionAndIsRejectedNextTime(t *testing.T) {
	task, sink := newTask(t)
	process(t, task, record(0, "k", "a"))
	err := task.Process(record(1, "k", "boom"))
	var p *PanicError
	if !errors.As(err, &p) || p.Tag != 1 || len(p.Stack) == 0 {
		t.Fatalf("got %v", err)
	}
	task.Abort()
	sink.outputs = nil
	process(t, task, record(0, "k", "a"))
	task.Reject(record(1, "k", "boom"), p.Rejection())
	if err := task.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, "outputs", sink.outputs, "balances k=a", "dead-letters k=in/3/1/0 PANIC boom", "ledger k=a")
	expect(t, "changelog", sink.changelog, "k=a")
}

func TestUnknownSchemaIsLearnedBeforeItIsRejected(t *testing.T) {
	task, sink := newTask(t)
	known := false
	task.unlearnable = func(int) bool { return known }
	r := record(0, "k", "\x00\x00\x0f\xff\xffxyz")
	var unknown *UnknownSchemaError
	if err := task.Process(r); !errors.As(err, &unknown) || unknown.ID != 0x0fffff {
		t.Fatalf("got %v", err)
	}
	task.Abort()
	known = true
	process(t, task, r)
	expect(t, "outputs", sink.outputs, "dead-letters k=in/3/0/0 UNKNOWN_SCHEMA "+string(r.Value))
}

func TestBytesThatAreNoAvroAreDeadLetters(t *testing.T) {
	task, sink := newTask(t)
	process(t, task, record(0, "k", "decode"))
	value := serde.Local().Append(nil, &event.InventoryMovement{})
	process(t, task, record(1, "k", string(value[:len(value)-3])))
	process(t, task, record(2, "k", string(serde.Local().Append(nil, &event.InventoryBalance{}))))
	var causes []string
	for _, o := range sink.outputs {
		causes = append(causes, strings.Fields(o)[2])
	}
	expect(t, "causes", causes, "BAD_FRAMING", "BAD_RECORD", "UNEXPECTED_KIND")
}

func TestRecordThatPassesABoundIsRejected(t *testing.T) {
	task, sink := newTask(t)
	for i, v := range []string{"huge", "wide"} {
		process(t, task, record(int64(i), "k", v))
		if why := task.Rejected(); why == nil || why.Cause != processors.TooLarge {
			t.Errorf("%s: %v", v, why)
		}
	}
	if err := task.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, "changelog", sink.changelog)
}

func TestDeadLetterOfTheLargestRecordFits(t *testing.T) {
	task, sink := newTask(t)
	r := record(0, "k", "no")
	r.Value = append([]byte("no"), make([]byte, 20<<20)...)
	task.Reject(r, processors.Rejectf(processors.TooLarge, "", "too large"))
	n := len(sink.outputs[0])
	if limit := topics.DeadLetters.Lookup().MaxMessage; n > limit || n < limit/2 {
		t.Errorf("a dead letter of %d bytes, the topic takes %d", n, limit)
	}
}

func TestStateThatCannotBeToldRejectsItsLastRecord(t *testing.T) {
	task, _ := newTask(t)
	process(t, task, record(0, "k", "a"))
	process(t, task, record(1, "l", "unspeakable"))
	var rejected *RejectedError
	if err := task.Flush(); !errors.As(err, &rejected) || rejected.Tag != 1 || rejected.Rejection.Cause != "UNSPEAKABLE" {
		t.Errorf("got %v", err)
	}
}

func TestFatalIsNoDeadLetter(t *testing.T) {
	task, sink := newTask(t)
	var fatal *processors.Fatal
	if err := task.Process(record(0, "k", "fatal")); !errors.As(err, &fatal) {
		t.Errorf("got %v", err)
	}
	expect(t, "outputs", sink.outputs)
}

func TestTablesChangedHasNoRecord(t *testing.T) {
	task, sink := newTask(t)
	if more, err := task.TablesChanged(1); !more || err != nil {
		t.Errorf("more %v, %v", more, err)
	}
	if more, err := task.TablesChanged(2); more || err != nil {
		t.Errorf("more %v, %v", more, err)
	}
	expect(t, "outputs", sink.outputs, "exceptions k=v", "exceptions k=v")
}

func TestOutputsStayWhereTheyAreUntilTheArenaIsReset(t *testing.T) {
	var a Arena
	var all [][]byte
	for i := range 5000 {
		b := make([]byte, i%3000)
		for j := range b {
			b[j] = byte(i)
		}
		all = append(all, a.copy(b))
		room := a.room(10)
		all = append(all, a.keep(room, append(room, b...)))
	}
	for n, b := range all {
		for _, c := range b {
			if c != byte(n/2) {
				t.Fatalf("value %d was overwritten", n)
			}
		}
	}
	if a.Bytes() == 0 {
		t.Error("nothing counted")
	}
	a.Reset()
	if a.Bytes() != 0 {
		t.Error("not reset")
	}
}

func TestProcessAllocatesNothingOfItsOwn(t *testing.T) {
	task, _ := newTask(t)
	task.sink = discard{}
	task.processor = putter{}
	key, value := []byte("key"), make([]byte, 100)
	r := &processors.Record{Topic: "in", Key: key, Value: value}
	n := testing.AllocsPerRun(50, func() {
		for range 100 {
			if err := task.Process(r); err != nil {
				t.Fatal(err)
			}
		}
		task.Commit()
		task.arena.Reset()
	})
	if n > 3 {
		t.Errorf("%v allocations for 100 records", n)
	}
}

type discard struct{}

func (discard) Output(*Task, *Output)                        {}
func (discard) Changelog(*Task, int, []byte, []byte, uint32) {}

type putter struct{}

func (putter) Process(ctx processors.Context, r *processors.Record) error {
	ctx.Store(0).Put(r.Key, r.Value)
	ctx.EmitRaw(topics.Balances, r.Key, r.Value, nil)
	return nil
}
