// Package task runs the records of one input partition through a processor: the part of the runtime that knows no
// Kafka, no network, no goroutine and no clock. The runtime drives it between a broker's polls and commits, the test
// driver between a test's lines.
//
// A transaction is Begin, then Process for every record, or TablesChanged, or FireTimers; Flush; and Commit or Abort. Within it:
//
//   - What a record did stands as a whole or not at all: a rejected record leaves its dead letter and nothing else.
//   - Outputs leave, by Sink, only when their record has succeeded.
//   - Stores show what the transaction has put; only Commit merges it (I1).
//   - Each key that was put goes to the changelog once, when the transaction is flushed.
//
// Everything that is handed out lives in the Arena, or in the input's own bytes, until the transaction ends.
package task

import (
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// NoRecord is the tag of what no input record caused: the outputs of TablesChanged and OnTimer.
const NoRecord = math.MaxUint32

// An Output is a record to produce.
type Output struct {
	To topics.ID
	// Tag is the input record that caused it, NoRecord for none: see Task.Input. An output of an input has its time.
	Tag uint32
	// SameKey says that the key is the input's: an output topic with as many partitions as the input's gets it in the
	// input's partition.
	SameKey bool
	// Inherit says that it carries the input's headers; Headers is nil then.
	Inherit bool
	Key     []byte
	Value   []byte // nil: a tombstone
	Headers []processors.Header
	Cause   processors.Cause // of a dead letter, whether the runner made it or the processor did for a part
}

// A Sink takes what a transaction produces, in order. The bytes are valid, and unchanged, until the transaction ends.
type Sink interface {
	// Output takes an output of a record that has succeeded.
	Output(t *Task, o *Output)
	// Changelog takes the state of a key of the stage's i-th store; a nil value is a tombstone. Tag is the last input
	// that put it.
	Changelog(t *Task, i int, key, value []byte, tag uint32)
}

// Limits are the bounds of what one record may do. A record that passes one is rejected as processors.TooLarge.
type Limits struct {
	// RecordBytes bounds what one record may put and emit together. Default 32 MiB.
	RecordBytes int
	// MessageBytes bounds key, value and headers of an output to a topic; nil: MaxMessageBytes.
	MessageBytes func(topics.ID) int
}

// Defaults of Limits.
const (
	DefaultRecordBytes = 32 << 20
	// messageOverhead is what Kafka's record batch and record headers need beside a record's own bytes, generously.
	messageOverhead = 256
)

// MaxMessageBytes is the topic table's bound of a message (max.message.bytes), Kafka's default of 1 MiB where it has none.
func MaxMessageBytes(id topics.ID) int {
	if n := id.Lookup().MaxMessage; n > 0 {
		return n
	}
	return 1 << 20
}

// A Config says what a task is made of.
type Config struct {
	Stage  topology.Stage
	Serde  *serde.Serde
	Stores []*store.Partition // as Stage.Stores; owned by the task from New on
	Arena  *Arena             // shared by the tasks of one worker
	Sink   Sink
	Limits Limits
	// Unlearnable says that the registry does not know a schema id either. Until it does, a record with an unknown id
	// is not rejected: Process returns *UnknownSchemaError. Nil: every unknown id is.
	Unlearnable func(id int) bool
}

// A Task is one partition of a stage's input. It is used by one goroutine at a time.
type Task struct {
	stage       *topology.Stage
	serde       *serde.Serde
	stores      []*store.Partition
	arena       *Arena
	sink        Sink
	limits      Limits
	unlearnable func(id int) bool

	processor processors.Processor
	hook      processors.CommitHook   // nil: it has none
	watcher   processors.TableWatcher // nil: it has none
	handler   processors.TimerHandler // nil: it has none
	timers    timers

	now      int64
	records  []processors.Record // the inputs of the transaction, by tag
	out      []Output            // of the record in hand
	tag      uint32              // of the record in hand
	record   *processors.Record  // nil in TablesChanged and OnTimer
	unknown  *serde.UnknownSchemaError
	rejected *processors.Rejection
	letters  letters
}

// New makes a task and its processor.
func New(c Config) *Task {
	if c.Limits.RecordBytes == 0 {
		c.Limits.RecordBytes = DefaultRecordBytes
	}
	if c.Limits.MessageBytes == nil {
		c.Limits.MessageBytes = MaxMessageBytes
	}
	t := &Task{
		stage: &c.Stage, serde: c.Serde, stores: c.Stores, arena: c.Arena, sink: c.Sink, limits: c.Limits,
		unlearnable: c.Unlearnable, processor: c.Stage.New(), tag: NoRecord,
	}
	t.hook, _ = t.processor.(processors.CommitHook)
	t.watcher, _ = t.processor.(processors.TableWatcher)
	t.handler, _ = t.processor.(processors.TimerHandler)
	if i := c.Stage.TimerStore(); i >= 0 {
		t.timers = newTimers(c.Stores[i])
	}
	return t
}

// Stores are the task's stores.
func (t *Task) Stores() []*store.Partition { return t.stores }

// Watches says whether the processor wants to be told of changes of the tables.
func (t *Task) Watches() bool { return t.watcher != nil }

// Begin starts a transaction at a time in microseconds since the epoch, UTC.
func (t *Task) Begin(now int64) { t.now = now }

// Input is the record with a tag of this transaction.
func (t *Task) Input(tag uint32) *processors.Record { return &t.records[tag] }

// Inputs counts the records of this transaction.
func (t *Task) Inputs() int { return len(t.records) }

// OverlayBytes is what the transaction has put into the stores so far.
func (t *Task) OverlayBytes() int {
	n := 0
	for _, s := range t.stores {
		n += s.Pending()
	}
	return n
}

// LoadedBytes is what the transaction has read from the disk of the stores.
func (t *Task) LoadedBytes() int {
	n := 0
	for _, s := range t.stores {
		n += s.Loaded()
	}
	return n
}

// An UnknownSchemaError stops a transaction: the record in hand has a schema id that is not known yet. Learn it off the
// processing path, abort, and process again.
type UnknownSchemaError struct{ ID int }

func (e *UnknownSchemaError) Error() string {
	return fmt.Sprintf("schema id %d is not known yet: ask the registry for it and process again", e.ID)
}

// A PanicError stops a transaction: the processor panicked and its stores may be half written. Abort, and Reject the
// record when it comes again.
type PanicError struct {
	Tag   uint32 // of the record in hand; NoRecord in TablesChanged and OnTimer
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the processor panicked: %v", e.Value) }

// Rejection is what to reject the record with.
func (e *PanicError) Rejection() *processors.Rejection {
	return processors.Rejectf(processors.Panicked, "Report the stack to the stage's owner; replay the record when it is fixed.",
		"%v\n%s", e.Value, e.Stack)
}

// A RejectedError stops a transaction that is being flushed: what the record with the tag put cannot be told. Abort, and
// Reject the record when it comes again.
type RejectedError struct {
	Tag       uint32
	Rejection *processors.Rejection
}

func (e *RejectedError) Error() string { return e.Rejection.Error() }

// A StoreError stops a transaction: a store cannot be relied on, so what the processor made of it may be wrong. Abort, and open
// the task anew.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return e.Err.Error() }

func (e *StoreError) Unwrap() error { return e.Err }

// fault says whether a store has failed, whatever the processor made of that.
func (t *Task) fault() error {
	for _, s := range t.stores {
		if err := s.Fault(); err != nil {
			return &StoreError{Err: err}
		}
	}
	return nil
}

// Process runs one record. Nil means that it is done with, as a dead letter if Rejected says so. Other results leave the
// transaction to be aborted: *UnknownSchemaError, *PanicError, *StoreError, *processors.Fatal.
func (t *Task) Process(r *processors.Record) error {
	t.take(r)
	before := t.bytes()
	err := t.call(func() error { return t.processor.Process((*taskContext)(t), t.record) })
	if fault := t.fault(); fault != nil {
		return fault
	}
	if err == nil && t.unknown == nil {
		err = t.check(before)
	}
	if err == nil && t.unknown == nil {
		t.release()
		return nil
	}
	return t.refuse(err)
}

// Reject makes a record a dead letter without processing it.
func (t *Task) Reject(r *processors.Record, why *processors.Rejection) {
	t.take(r)
	t.reject(why)
	t.release()
}

// Rejected is why the last record given to Process or Reject was rejected, nil if it was not.
func (t *Task) Rejected() *processors.Rejection { return t.rejected }

// take makes r the record in hand.
func (t *Task) take(r *processors.Record) {
	t.tag = uint32(len(t.records))
	t.records = append(t.records, *r)
	t.record = &t.records[t.tag]
	t.out = t.out[:0]
	t.unknown, t.rejected = nil, nil
	t.savepoint(t.tag)
}

// savepoint is what refuse comes back to.
func (t *Task) savepoint(tag uint32) {
	for _, s := range t.stores {
		s.Savepoint(tag)
	}
	t.timers.savepoint()
}

// release hands over what the record in hand emitted.
func (t *Task) release() {
	for i := range t.out {
		t.sink.Output(t, &t.out[i])
	}
	t.out = t.out[:0]
}

// refuse drops what the record in hand did and decides what becomes of it.
func (t *Task) refuse(err error) error {
	for _, s := range t.stores {
		s.Rollback()
	}
	t.timers.rollback()
	t.out = t.out[:0]
	if u := t.unknown; u != nil {
		if t.unlearnable != nil && !t.unlearnable(u.ID) {
			return &UnknownSchemaError{u.ID}
		}
		err = unknownSchema(u)
	}
	var fatal *processors.Fatal
	var panicked *PanicError
	if errors.As(err, &fatal) || errors.As(err, &panicked) {
		return err
	}
	t.reject(asRejection(err))
	t.release()
	return nil
}

func asRejection(err error) *processors.Rejection {
	var r *processors.Rejection
	if errors.As(err, &r) {
		return r
	}
	return processors.Rejectf(processors.Unclassified, "Report it to the stage's owner: every rejection should have a cause.", "%v", err)
}

// call runs f, a call of the processor, and makes a panic an error.
func (t *Task) call(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Tag: t.tag, Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

func (t *Task) bytes() int { return t.arena.Bytes() + t.OverlayBytes() }

// check holds the bounds of one record.
func (t *Task) check(before int) error {
	if n := t.bytes() - before; n > t.limits.RecordBytes {
		return processors.Rejectf(processors.TooLarge, "Split the record, or raise commit.max_bytes.",
			"the record puts and emits %d bytes, more than the %d of a transaction", n, t.limits.RecordBytes)
	}
	for i := range t.out {
		o := &t.out[i]
		n := t.size(o)
		if limit := t.limits.MessageBytes(o.To); n > limit {
			return processors.Rejectf(processors.TooLarge, "Split the record: a topic's messages are bounded (max.message.bytes).",
				"an event of %d bytes for topic %s, which takes %d", n, o.To, limit)
		}
	}
	for _, s := range t.stores {
		if err := s.Err(); err != nil {
			return err
		}
	}
	return nil
}

// size is what an output weighs as a message.
func (t *Task) size(o *Output) int {
	n := len(o.Key) + len(o.Value) + messageOverhead
	headers := o.Headers
	if o.Inherit && o.Tag != NoRecord {
		headers = t.records[o.Tag].Headers
	}
	for i := range headers {
		n += len(headers[i].Key) + len(headers[i].Value) + 10
	}
	return n
}

// Flush ends the processing of a transaction: the processor's CommitHook is called for every key put, then the changelog
// is told of every key. A result other than nil leaves the transaction to be aborted: *RejectedError, *PanicError,
// *StoreError, *processors.Fatal.
func (t *Task) Flush() error {
	if t.hook != nil && len(t.stores) > 0 {
		for c := range t.stores[0].Changes() {
			if c.Value == nil {
				continue
			}
			if err := t.beforeCommit(c.Key, c.Value, c.Tag); err != nil {
				return err
			}
		}
	}
	for i, s := range t.stores {
		for c := range s.Changes() {
			t.sink.Changelog(t, i, c.Key, c.Value, c.Tag)
		}
	}
	return nil
}

func (t *Task) beforeCommit(key, value []byte, tag uint32) error {
	t.hold(tag)
	err := t.call(func() error { return t.hook.BeforeCommit((*taskContext)(t), key, value) })
	if fault := t.fault(); fault != nil {
		return fault
	}
	if err == nil {
		err = t.check(t.bytes())
	}
	if err == nil {
		t.release()
		return nil
	}
	var fatal *processors.Fatal
	var panicked *PanicError
	if errors.As(err, &fatal) || errors.As(err, &panicked) {
		return err
	}
	return &RejectedError{Tag: tag, Rejection: asRejection(err)}
}

// hold makes the input with a tag the record in hand again.
func (t *Task) hold(tag uint32) {
	t.tag, t.record, t.out, t.unknown = tag, nil, t.out[:0], nil
	if tag != NoRecord {
		t.record = &t.records[tag]
	}
}

// TablesChanged lets the processor look again at what waits in its stores, at most limit events, in a transaction of its
// own. An error leaves the transaction to be aborted and is a *processors.Fatal, a *PanicError or a *StoreError: no record
// can be rejected for it.
func (t *Task) TablesChanged(limit int) (more bool, err error) {
	if t.watcher == nil {
		return false, nil
	}
	t.hold(NoRecord)
	t.savepoint(NoRecord)
	err = t.call(func() (err error) {
		more, err = t.watcher.TablesChanged((*taskContext)(t), limit)
		return err
	})
	if fault := t.fault(); fault != nil {
		return false, fault
	}
	if err == nil {
		err = t.check(t.bytes())
	}
	if err == nil {
		t.release()
		return more, nil
	}
	var fatal *processors.Fatal
	var panicked *PanicError
	if errors.As(err, &fatal) || errors.As(err, &panicked) {
		return false, err
	}
	return false, &processors.Fatal{Reason: "stage " + t.stage.Name + " failed on what waits in its stores", Err: err}
}

// Commit merges what the transaction put into the stores. at says, by store, where each stands with it; nothing for stores
// in memory. The caller resets the Arena.
func (t *Task) Commit(at ...store.Position) {
	for i, s := range t.stores {
		var p store.Position
		if i < len(at) {
			p = at[i]
		}
		s.Commit(p)
	}
	t.timers.commit()
	t.end()
}

// Abort drops what the transaction put into the stores. The caller resets the Arena.
func (t *Task) Abort() {
	for _, s := range t.stores {
		s.Abort()
	}
	t.timers.abort()
	t.end()
}

func (t *Task) end() {
	clear(t.records)
	t.records = t.records[:0]
	clear(t.out[:cap(t.out)])
	t.out = t.out[:0]
	t.record, t.tag = nil, NoRecord
	t.unknown, t.rejected = nil, nil
}
