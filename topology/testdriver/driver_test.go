package testdriver_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

// A script is a processor made of functions.
type script struct {
	process func(processors.Context, *processors.Record) error
	changed func(processors.Context, int) (bool, error)
}

func (s *script) Process(ctx processors.Context, r *processors.Record) error {
	return s.process(ctx, r)
}

// A watcher is a script that looks again when the tables change.
type watcher struct{ script }

func (w *watcher) TablesChanged(ctx processors.Context, limit int) (bool, error) {
	return w.changed(ctx, limit)
}

func stage(name string, in topics.ID, process func(processors.Context, *processors.Record) error, out ...topics.ID) topology.Stage {
	return topology.Stage{Name: name, Inputs: []topics.ID{in}, Outputs: out,
		New: func() processors.Processor { return &script{process: process} }}
}

func forward(to topics.ID) func(processors.Context, *processors.Record) error {
	return func(ctx processors.Context, r *processors.Record) error {
		ctx.EmitRaw(to, r.Key, r.Value, r.Headers)
		return nil
	}
}

func newDriver(t *testing.T, o testdriver.Options) *testdriver.Driver {
	t.Helper()
	d, err := testdriver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func pipe(t *testing.T, in *testdriver.Input, key, value string) {
	t.Helper()
	if err := in.PipeBytes([]byte(key), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func values(o *testdriver.Output) string {
	var s []string
	for _, r := range o.Rest() {
		s = append(s, string(r.Key)+"="+string(r.Value))
	}
	return strings.Join(s, " ")
}

func TestRecordFlowsThroughAllStagesBeforePipeReturns(t *testing.T) {
	d := newDriver(t, testdriver.Options{Naming: topics.Naming{Prefix: "p."}, Partitions: 3, Stages: []topology.Stage{
		stage("last", topics.InventoryInbox, forward(topics.Ledger), topics.Ledger),
		stage("first", topics.Movements, forward(topics.InventoryInbox), topics.InventoryInbox),
	}})
	if err := d.Advance(time.Hour); err != nil {
		t.Fatal(err)
	}
	in := d.Input(topics.Movements)
	if err := in.PipeBytes([]byte("k"), []byte("v"), processors.Header{Key: "source", Value: []byte("acme")}); err != nil {
		t.Fatal(err)
	}
	r, ok := d.Output(topics.Ledger).Next()
	if !ok || r.Topic != "p.ledger" || string(r.Value) != "v" || len(r.Headers) != 1 || string(r.Headers[0].Value) != "acme" {
		t.Fatalf("%+v", r)
	}
	if want := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC).UnixMicro(); r.Time != want {
		t.Errorf("the time is %d, want %d", r.Time, want)
	}
}

// Java's default partitioner gives these (Kafka's UtilsTest: murmur2 of "21" is -973932308, of "foobar" -790332482).
func TestKeysArePartitionedAsJavaDoes(t *testing.T) {
	d := newDriver(t, testdriver.Options{Partitions: 12})
	for key, hash := range map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536} {
		pipe(t, d.Input(topics.Movements), key, "v")
		rest := d.Output(topics.Movements).Rest()
		if got, want := rest[len(rest)-1].Partition, hash&0x7fffffff%12; got != want {
			t.Errorf("%s is on partition %d, want %d", key, got, want)
		}
	}
}

// counter counts the records of a key in its store, and tells the count at each commit.
type counter struct{}

func (counter) Process(ctx processors.Context, r *processors.Record) error {
	ctx.Store(0).Put(r.Key, append(bytes.Clone(ctx.Store(0).Get(r.Key)), '|'))
	switch string(r.Value) {
	case "panic":
		panic("it is written")
	case "reject":
		return processors.Rejectf("NO", "", "no")
	case "fatal":
		return &processors.Fatal{Reason: "the end"}
	case "delete":
		ctx.Store(0).Delete(r.Key)
	}
	return nil
}

func (counter) BeforeCommit(ctx processors.Context, key, value []byte) error {
	if len(value) > 9 {
		return processors.Rejectf("TOO_MANY", "", "cannot be told")
	}
	ctx.EmitRaw(topics.Balances, key, value, nil)
	return nil
}

func counting() topology.Stage {
	return topology.Stage{Name: "count", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances},
		Stores: []topology.Store{{Name: "counts"}}, New: func() processors.Processor { return counter{} }}
}

func pipeAll(t *testing.T, d *testdriver.Driver, values ...string) {
	t.Helper()
	err := d.Together(func() error {
		for _, v := range values {
			if err := d.Input(topics.InventoryInbox).PipeBytes([]byte("k"), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBatchIsOneTransactionUnlessBounded(t *testing.T) {
	for batch, want := range map[int]string{0: "k=|||||", 2: "k=|| k=|||| k=|||||", 1: "k=| k=|| k=||| k=|||| k=|||||"} {
		d := newDriver(t, testdriver.Options{Stages: []topology.Stage{counting()}, BatchRecords: batch})
		pipeAll(t, d, "", "", "", "", "")
		if got := values(d.Output(topics.Balances)); got != want {
			t.Errorf("batches of %d: %s, want %s", batch, got, want)
		}
	}
}

func causes(t *testing.T, d *testdriver.Driver) string {
	t.Helper()
	letters, err := d.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, l := range letters {
		s = append(s, fmt.Sprintf("%s@%d", l.Cause, l.Offset))
	}
	return strings.Join(s, " ")
}

// A record that panics, one that is rejected, and one whose state cannot be told leave nothing but a dead letter, and the
// records beside them are processed, however often the transaction is aborted.
func TestBadRecordsAreIsolated(t *testing.T) {
	for aborts := range 3 {
		d := newDriver(t, testdriver.Options{Stages: []topology.Stage{counting()}, Aborts: aborts})
		pipeAll(t, d, "", "panic", "", "reject", "", "panic")
		if got := values(d.Output(topics.Balances)); got != "k=|||" {
			t.Errorf("balances are %s", got)
		}
		if got := causes(t, d); got != "PANIC@1 NO@3 PANIC@5" {
			t.Errorf("dead letters are %s", got)
		}
		pipeAll(t, d, "", "", "", "", "", "", "")
		if got := causes(t, d); got != "PANIC@1 NO@3 PANIC@5 TOO_MANY@12" {
			t.Errorf("dead letters are %s", got)
		}
		if got := string(d.Output(topics.Balances).Latest()[0].Value); got != "|||||||||" {
			t.Errorf("the balance is %s", got)
		}
	}
}

func TestFatalErrorComesBackFromPipe(t *testing.T) {
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{counting()}})
	err := d.Input(topics.InventoryInbox).PipeBytes([]byte("k"), []byte("fatal"))
	var fatal *processors.Fatal
	if !errors.As(err, &fatal) || !strings.Contains(err.Error(), "stage count, inventory-inbox/0: the end") {
		t.Errorf("the error is %v", err)
	}
}

func TestRestartRestoresStoresFromTheChangelog(t *testing.T) {
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{counting()}, Partitions: 4})
	in := d.Input(topics.InventoryInbox)
	for i := range 20 {
		pipe(t, in, fmt.Sprint(i%10), "")
	}
	pipe(t, in, "3", "delete")
	counts, err := d.Store("count", "counts")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	counts.Each(func(_, value []byte) bool { seen += len(value); return true })
	if counts.Len() != 9 || seen != 18 || string(counts.Get([]byte("4"))) != "||" || counts.Get([]byte("3")) != nil {
		t.Errorf("%d keys, %d in all", counts.Len(), seen)
	}
	if _, err := d.Topic("count-counts-changelog"); err != nil {
		t.Error(err)
	}
	if _, err := d.Store("count", "none"); err == nil {
		t.Error("a store that is not there")
	}
}

// A processor that counts in a field is right as long as nothing goes wrong: Aborts and Restart show that it is not.
func TestStateOutsideTheStoresIsFoundOut(t *testing.T) {
	hidden := topology.Stage{Name: "hidden", Inputs: []topics.ID{topics.Movements}, Outputs: []topics.ID{topics.Ledger},
		New: func() processors.Processor {
			n := 0
			return &script{process: func(ctx processors.Context, r *processors.Record) error {
				n++
				ctx.EmitRaw(topics.Ledger, r.Key, fmt.Append(nil, n), nil)
				return nil
			}}
		}}
	run := func(aborts int, restart bool) string {
		d := newDriver(t, testdriver.Options{Stages: []topology.Stage{hidden}, Aborts: aborts})
		pipe(t, d.Input(topics.Movements), "k", "")
		if restart {
			if err := d.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		pipe(t, d.Input(topics.Movements), "k", "")
		return values(d.Output(topics.Ledger))
	}
	if a, b, c := run(0, false), run(1, false), run(0, true); a == b || a == c {
		t.Errorf("plain %s, with aborts %s, with a restart %s", a, b, c)
	}
}

// A processor that keeps a record's bytes beyond its transaction reads rubbish.
func TestRecordsBytesAreSpoiledAfterTheTransaction(t *testing.T) {
	var kept []byte
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{stage("keep", topics.Movements,
		func(_ processors.Context, r *processors.Record) error { kept = r.Value; return nil })}})
	pipe(t, d.Input(topics.Movements), "k", "value")
	if string(kept) == "value" {
		t.Error("the bytes are as they were")
	}
	if got := values(d.Output(topics.Movements)); got != "k=value" {
		t.Errorf("the topic has %s", got)
	}
}

// tables knows the keys of items that were piped.
type tables map[string]bool

func (ts tables) ApplyTable(_ topics.ID, key, value []byte) error {
	if string(value) == "bad" {
		return errors.New("bad item")
	}
	ts[string(key)] = value != nil
	return nil
}

// What waits for an item is looked at when the item comes, and after a restart.
func TestStagesLookAgainWhenTheTablesChange(t *testing.T) {
	items := tables{}
	waiting := topology.Stage{Name: "wait", Inputs: []topics.ID{topics.ParkingInbox}, Outputs: []topics.ID{topics.InventoryInbox}, Tables: true,
		Stores: []topology.Store{{Name: "waiting"}},
		New: func() processors.Processor {
			w := &watcher{}
			w.process = func(ctx processors.Context, r *processors.Record) error {
				ctx.Store(0).Put(r.Key, r.Value)
				return nil
			}
			w.changed = func(ctx processors.Context, _ int) (more bool, err error) {
				var found [][]byte
				ctx.Store(0).Each(func(key, value []byte) bool {
					if items[string(key)] {
						found = append(found, bytes.Clone(key), bytes.Clone(value))
					}
					return true
				})
				for i := 0; i < min(2, len(found)); i += 2 { // one at a time
					ctx.EmitRaw(topics.InventoryInbox, found[i], found[i+1], nil)
					ctx.Store(0).Delete(found[i])
				}
				return len(found) > 2, nil
			}
			return w
		}}
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{waiting}, Tables: items, Aborts: 1})
	for _, sku := range []string{"a", "b", "c"} {
		pipe(t, d.Input(topics.ParkingInbox), sku, "v"+sku)
	}
	out := d.Output(topics.InventoryInbox)
	if out.Len() != 0 {
		t.Fatal(values(out))
	}
	pipe(t, d.Input(topics.Items), "b", "item")
	if got := values(out); got != "b=vb" {
		t.Errorf("after item b: %s", got)
	}
	err := d.Together(func() error {
		pipe(t, d.Input(topics.Items), "a", "item")
		pipe(t, d.Input(topics.Items), "c", "item")
		return nil
	})
	if got := values(out); err != nil || len(got) != len("a=va c=vc") {
		t.Errorf("after items a and c: %s, %v", got, err)
	}
	if err := d.Input(topics.Items).PipeBytes([]byte("x"), []byte("bad")); err == nil {
		t.Error("a record that the tables refuse passes")
	}
	d = newDriver(t, testdriver.Options{Stages: []topology.Stage{waiting}})
	if err := d.Input(topics.Items).PipeBytes([]byte("a"), nil); err == nil || !strings.Contains(err.Error(), "Options.Tables") {
		t.Errorf("without tables: %v", err)
	}
}

// Master data that a stage has translated reaches the tables like any other.
func TestStagesFeedTheTables(t *testing.T) {
	items := tables{}
	d := newDriver(t, testdriver.Options{Tables: items, Stages: []topology.Stage{
		stage("translate", topics.Movements, forward(topics.Items), topics.Items)}})
	pipe(t, d.Input(topics.Movements), "a", "item")
	pipe(t, d.Input(topics.Movements), "b", "bad")
	if !items["a"] || len(items) != 1 || len(d.TableErrors()) != 1 {
		t.Errorf("items are %v, errors %v", items, d.TableErrors())
	}
}

func TestRawTopicIsMadeByItsFirstUse(t *testing.T) {
	s := stage("translate", topics.Movements, forward(topics.InventoryInbox), topics.InventoryInbox)
	s.Raw = true
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{s}, Partitions: 2})
	for range 2 {
		in, err := d.Raw("acme")
		if err != nil {
			t.Fatal(err)
		}
		pipe(t, in, "k", "document")
	}
	if got := values(d.Output(topics.InventoryInbox)); got != "k=document k=document" {
		t.Error(got)
	}
	if o, err := d.Topic("raw.acme"); err != nil || o.Len() != 2 {
		t.Error(err)
	}
}

func TestStagesThatFeedEachOtherWithoutEndAreReported(t *testing.T) {
	d := newDriver(t, testdriver.Options{Stages: []topology.Stage{
		stage("there", topics.Movements, forward(topics.InventoryInbox)),
		stage("back", topics.InventoryInbox, forward(topics.Movements)),
	}})
	if testing.Short() {
		t.Skip("processes a million records")
	}
	if err := d.Input(topics.Movements).PipeBytes([]byte("k"), nil); err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("the error is %v", err)
	}
}

func TestReadingWrongKindsAndBeyondTheEndIsAnError(t *testing.T) {
	d := newDriver(t, testdriver.Options{})
	o := d.Output(topics.Movements)
	if _, _, err := testdriver.Read[event.InventoryMovement](o); err == nil {
		t.Error("there is nothing to read")
	}
	if err := d.Input(topics.Movements).Pipe([]byte("k"), &event.InventoryBalance{SKU: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := testdriver.Read[event.InventoryMovement](o); err == nil || !strings.Contains(err.Error(), "movements, partition 0, offset 0") {
		t.Errorf("the error is %v", err)
	}
	if _, err := testdriver.New(testdriver.Options{Stages: []topology.Stage{{}}}); err == nil {
		t.Error("a stage without anything passes")
	}
	if _, err := d.Topic("none"); err == nil {
		t.Error("a topic that is not there")
	}
}
