// Package parking is the stage where events wait for master data that is missing (N5). It is keyed by the missing
// reference; what waits is in its stores, so that a restart forgets nothing. It knows no rule of enriching: it hands an
// event back to the function that parked it, once the tables know the reference.
//
// Invariants:
//
//   - Events that wait for one reference leave in the order in which they arrived, and what arrives while others wait
//     queues behind them. Where nothing waits and the reference is known by now, an event passes at once.
//   - An event leaves in the same transaction in which it is taken out of the stores: never twice, never lost.
//   - What an event becomes goes straight to the inbox of its stage, or on to the next reference, never back to enrich.
//   - A reference for which events wait has a timer: that of the time limit, or one that lets them go on. Each call lets a bounded
//     number of events leave and asks for the next, so that a million of them hold up nobody who waits for something else.
//   - What has waited for a reference for longer than the time limit becomes a dead letter with its bytes, and an exception
//     that a person sees. The limit begins anew with each reference, and when a dead letter is replayed.
package parking

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

// The stores, in the order in which the stage declares them.
const (
	References = iota // by the reference's key: what waits, in numbers
	Events            // by the reference's key and a sequence number: the waiting events
)

// A Finisher goes on with an event that waited: e is the event within p. Resume emits what becomes of it; an error is a
// *processors.Rejection, and nothing has been emitted.
type Finisher interface {
	Resume(ctx processors.Context, p *event.ParkedEvent, e event.Record) error
	// GiveUp emits the exception of an event whose reference did not come. The stage and the time that it waited are told in it.
	GiveUp(ctx processors.Context, p *event.ParkedEvent, e event.Record, stage string, waited time.Duration)
}

// A Codec reads the framed event within a parked one.
type Codec interface {
	Kind(value []byte) (event.Kind, error)
	Decode(value []byte, e event.Record) error
}

// Counters counts what the stage does. One Counters may serve all tasks of a process; records that an aborted transaction
// processes again are counted again. How much waits now is the length of the two stores.
type Counters struct {
	Parked   atomic.Uint64 // events that began to wait
	Passed   atomic.Uint64 // events whose reference was known by the time they arrived
	Released atomic.Uint64 // events that went on after waiting
	Overdue  atomic.Uint64 // events that were given up after the time limit
}

// Options of the stage.
type Options struct {
	Tables   *masterdata.Tables // what is looked at again when it changes
	Finisher Finisher           // the function that parked the events
	Codec    Codec              //
	Naming   topics.Naming      // for the id of a dead letter
	// Limit is how long an event waits for one reference, from when it came to the stage. 0: without end.
	Limit time.Duration
	// Counters, where given, counts.
	Counters *Counters
}

// Stage is this stage's name, as dead letters tell it.
const Stage = "parking"

// MasterDataMissing is the cause of a dead letter of an event whose reference did not come within the time limit.
const MasterDataMissing processors.Cause = "MASTER_DATA_MISSING"

// New makes the processor of one task, with the stores References and Events, and one for timers behind them.
func New(o Options) processors.Processor {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	return &processor{options: o}
}

// The stage's timers; the key is the reference's.
const (
	// release lets events go on whose reference is known. It is due at once, and set again as long as there are more.
	release = "release"
	// overdue gives up what has waited for longer than the limit. It is due when the event at the head will have.
	overdue = "overdue"
)

// maxReady bounds the references that one look at the store collects.
const maxReady = 65_536

type processor struct {
	options Options
	parked  event.ParkedEvent
	queue   queue
	key     []byte
	packed  []byte

	// ready are references that need a timer, found by looking through the store when the tables had a generation. It only
	// saves looking again: an entry is dropped when the store, as committed, has its timer or nothing that waits, or when its
	// reference was withdrawn, which is another generation.
	ready      []ready
	looked     bool
	adopted    bool // a look has been through all references, and found which of them lack a timer
	generation uint64
	more       bool // the last look ended at maxReady
}

// A ready reference is known by now, or, if adopt says so, its timer is one of another time limit, or there is none, since it
// was parked by a version before timers.
type ready struct {
	key   []byte
	ref   masterdata.Reference
	since event.Micros
	adopt bool
}

// Process parks one event, or lets it pass.
func (p *processor) Process(ctx processors.Context, r *processors.Record) error {
	kind, err := ctx.Kind()
	if err != nil {
		return err
	}
	if kind != event.KindParkedEvent {
		return processors.Rejectf(processors.UnexpectedKind, "send it to the topic of its kind", "%s does not belong on %s", kind, topics.ParkingInbox)
	}
	if err := ctx.Decode(&p.parked); err != nil {
		return err
	}
	ref := masterdata.ReferenceOf(&p.parked)
	if p.key = ref.AppendKey(p.key[:0]); !bytes.Equal(p.key, r.Key) {
		return processors.Rejectf(processors.BadKey, "key the record by "+topics.ParkingInbox.Lookup().Key,
			"the key is %s, the event waits for %s", strconv.Quote(string(r.Key)), strconv.Quote(string(p.key)))
	}
	waiting := ctx.Store(References).Get(r.Key)
	if waiting == nil && p.options.Tables.Known(ref) {
		p.options.Counters.Passed.Add(1)
		return p.resume(ctx)
	}
	q := &p.queue
	if waiting == nil {
		*q = queue{ref: ref, since: p.parked.ParkedAt, limit: p.limit()}
		p.setOverdue(ctx, r.Key, ctx.Now())
	} else if err := q.open(waiting); err != nil {
		return corrupt(r.Key, err)
	}
	p.key = appendEventKey(p.key[:0], r.Key, q.tail)
	p.packed = appendEvent(p.packed[:0], r.Partition, r.Offset, ctx.Now(), r.Value)
	ctx.Store(Events).Put(p.key, p.packed)
	q.tail++
	p.packed = q.appendTo(p.packed[:0])
	ctx.Store(References).Put(r.Key, p.packed)
	p.options.Counters.Parked.Add(1)
	return nil
}

// resume hands the event within p.parked back.
func (p *processor) resume(ctx processors.Context) error {
	e, err := p.inner()
	if err != nil {
		return err
	}
	return p.options.Finisher.Resume(ctx, &p.parked, e)
}

// inner is the event within p.parked.
func (p *processor) inner() (event.Record, error) {
	kind, err := p.options.Codec.Kind(p.parked.Event)
	if err != nil {
		return nil, unreadable(p.parked.EventID, err)
	}
	e := event.New(kind)
	if err := p.options.Codec.Decode(p.parked.Event, e); err != nil {
		return nil, unreadable(p.parked.EventID, err)
	}
	return e, nil
}

// A Waiting tells what waits for one reference.
type Waiting struct {
	Reference masterdata.Reference
	Events    uint64
	Since     event.Micros // when the oldest of them was first parked
}

// List tells everything that waits in a task's first store, in no order, until f returns false. An error is a
// *processors.Fatal.
func List(references processors.Store, f func(Waiting) bool) (err error) {
	var q queue
	references.Each(func(key, value []byte) bool {
		if err = q.open(value); err != nil {
			err = corrupt(key, err)
			return false
		}
		return f(Waiting{q.ref, q.tail - q.head, q.since})
	})
	return err
}

func unreadable(id string, err error) error {
	return processors.Rejectf(processors.BadRecord, "replay the document that it came from", "the event %s within a parked one does not decode: %v", id, err)
}

func corrupt(key []byte, err error) error {
	return &processors.Fatal{Reason: "what waits for " + strconv.Quote(string(key)) + " does not read; restore the store from its changelog", Err: err}
}
