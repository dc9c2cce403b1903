// Package processors is the contract between business logic and what runs it, in Kafka Streams' words: a Processor
// handles one Record of one task at a time, keeps state in a Store, and forwards events to topics through its Context.
//
// The package and the stages below it know the canonical events and the names of topics. They know no broker, no clock,
// no network and no goroutine: all of that comes through Context, so that a stage runs unchanged under the runtime, in
// the test driver and in a golden file. Stages never import each other.
//
// Invariants that a runner keeps for a processor:
//
//   - One goroutine calls a processor, and one task (stage, partition) owns it.
//   - What Process did for a record (Emit, Store.Put, SetTimer) stands only if it returned nil and the transaction
//     committed; an error drops all of it, and nothing else.
//   - Records of one key arrive in the order of the topic.
//   - A timer is state: it is set, and it is gone, with the transaction that did it. Those that are due are called the
//     longest due first.
package processors

import (
	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A Header is one header of a Kafka record.
type Header struct {
	Key   string
	Value []byte
}

// A Record is one input. Its bytes are the runner's: they may be kept until the transaction ends, never longer, and are
// never changed.
type Record struct {
	Topic     string // as the broker names it, prefix included
	Partition int32
	Offset    int64
	Time      int64 // microseconds since the epoch, UTC
	Key       []byte
	Value     []byte // Confluent framing where the topic carries Avro
	Headers   []Header
}

// A Processor handles the records of one task. What it returns tells the runner what to do next: nil goes on, a
// *Rejection dead-letters the record, a *Fatal stops the worker by name. Any other error is treated as a Rejection with
// the cause Unclassified. A panic is a bug: the runner isolates the record and rejects it with the stack.
type Processor interface {
	Process(ctx Context, r *Record) error
}

// A CommitHook is a Processor that emits once per changed key and transaction, not once per record (a balance is worth
// telling once per commit, however many scans moved it).
type CommitHook interface {
	// BeforeCommit is called for each key of the stage's first store that was put in this transaction. The context's
	// current record is the last one that put the key, nil where a timer or TablesChanged did; value is valid during the call.
	BeforeCommit(ctx Context, key, value []byte) error
}

// A TableWatcher is a Processor that looks again at what waits in its stores when the master data tables have changed.
type TableWatcher interface {
	// TablesChanged does a bounded part of the work, at most limit emitted events, and says whether more is left. Each
	// call is a transaction of its own; the record of the context is nil.
	TablesChanged(ctx Context, limit int) (more bool, err error)
}

// A TimerHandler is a Processor that asks for timers. Its stage declares the store that holds them (topology.Store.Timers).
//
// Work that is larger than a transaction is done in continuations: a call emits at most limit records, puts where it stands
// into a store, and sets a timer that is due now. The records of all tasks, and timers that were due before, come in between.
type TimerHandler interface {
	// OnTimer is called once a timer is due, and the timer is gone then: it comes again only if it is set again. It emits at
	// most limit records, limit being at least 1; one step of the work may pass it. The record of the context is nil. No
	// record can be rejected for an error, so whatever error it is stops the stage by name.
	OnTimer(ctx Context, t Timer, limit int) error
}

// A Timer is a call that a processor has asked for. Flink's timers are of this kind; Kafka Streams' punctuations are not, since
// they belong to a processor, not to a key, and do not outlive it.
type Timer struct {
	Name string // what it is for: one of the few that a stage has
	Key  []byte // of what; valid during the call
	At   int64  // when it was asked for, in microseconds since the epoch, UTC
}

// A Context is what a processor may ask of its runner. It is valid during the call it was given to.
type Context interface {
	// Now is the runner's clock in microseconds since the epoch, UTC, read once per transaction.
	Now() int64
	// Record is the record in hand, nil in TablesChanged and OnTimer.
	Record() *Record
	// Decode reads a framed value of the current record into e, strings left in place: e is valid as long as the record
	// is. A value of an older writer's schema is resolved. An error is a *Rejection.
	Decode(e event.Record) error
	// Kind tells which event the framed value of the current record holds. An error is a *Rejection.
	Kind() (event.Kind, error)
	// Encode appends e with its framing to b, for what a store keeps of an event.
	Encode(b []byte, e event.Record) []byte
	// Store is the stage's i-th store, in the order in which its topology entry declares them.
	Store(i int) Store
	// SetTimer asks for a call of OnTimer at a time, in microseconds since the epoch, UTC, or as soon after it as can be, in a
	// transaction of its own: now, or a time that is over, is as soon as this transaction has committed. A key has one timer of
	// a name, so that setting it again moves it. The key is copied.
	SetTimer(name string, key []byte, at int64)
	// CancelTimer forgets a timer, if there is one.
	CancelTimer(name string, key []byte)
	// TimerAt tells when a timer is due; ok is false where there is none.
	TimerAt(name string, key []byte) (at int64, ok bool)
	// Emit forwards e, framed, under a key to a topic within the transaction, with the headers and the time of the
	// current record. e and key are copied or encoded before it returns.
	Emit(to topics.ID, key []byte, e event.Record)
	// EmitRaw is Emit for a value that is framed already (an event that was parked), with headers of its own.
	EmitRaw(to topics.ID, key, value []byte, headers []Header)
}

// A Store is one partition of a keyed state store, seen through the running transaction: it shows what the transaction
// has put, and the committed state beneath.
type Store interface {
	// Get returns the value of a key, nil where there is none. It is valid until the key is put or the transaction
	// ends, and must not be changed.
	Get(key []byte) []byte
	// Put sets the value of a key; both are copied. Put after Get of the same key costs no second look-up.
	Put(key, value []byte)
	// Delete removes a key. The changelog gets a tombstone.
	Delete(key []byte)
	// Each calls f for every key, in no order, until f returns false. f must not change the store.
	Each(f func(key, value []byte) bool)
	// Len counts the keys.
	Len() int
}
