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
//   - There is no time limit: what never comes is waited for, counted and listed.
package parking

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

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

// A Finisher goes on with an event that waited: e is the event within p. It emits what becomes of it. An error is a
// *processors.Rejection, and nothing has been emitted.
type Finisher interface {
	Resume(ctx processors.Context, p *event.ParkedEvent, e event.Record) error
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
}

// Options of the stage.
type Options struct {
	Tables   *masterdata.Tables // what is looked at again when it changes
	Finisher Finisher           // the function that parked the events
	Codec    Codec              //
	Naming   topics.Naming      // for the id of a dead letter
	// Counters, where given, counts.
	Counters *Counters
}

// Stage is this stage's name, as dead letters tell it.
const Stage = "parking"

// New makes the processor of one task, with the stores References and Events.
func New(o Options) processors.Processor {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	return &processor{options: o}
}

// maxReady bounds the references that one look at the stores collects.
const maxReady = 65_536

type processor struct {
	options Options
	parked  event.ParkedEvent
	queue   queue
	key     []byte
	packed  []byte

	// ready are references whose events can go on, found by looking through the store when the tables had a generation. It
	// only saves looking again: an entry is dropped when the store, as committed, has nothing more for it, or when its
	// reference was withdrawn, which is another generation.
	ready      []ready
	looked     bool
	generation uint64
	more       bool // the last look ended at maxReady
}

type ready struct {
	key   []byte
	ref   masterdata.Reference
	since event.Micros
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
		*q = queue{ref: ref, since: p.parked.ParkedAt}
	} else if err := q.open(waiting); err != nil {
		return corrupt(r.Key, err)
	}
	p.key = appendEventKey(p.key[:0], r.Key, q.tail)
	p.packed = appendEvent(p.packed[:0], r.Partition, r.Offset, r.Value)
	ctx.Store(Events).Put(p.key, p.packed)
	q.tail++
	p.packed = q.appendTo(p.packed[:0])
	ctx.Store(References).Put(r.Key, p.packed)
	p.options.Counters.Parked.Add(1)
	return nil
}

// resume hands the event within p.parked back.
func (p *processor) resume(ctx processors.Context) error {
	kind, err := p.options.Codec.Kind(p.parked.Event)
	if err != nil {
		return unreadable(p.parked.EventID, err)
	}
	e := event.New(kind)
	if err := p.options.Codec.Decode(p.parked.Event, e); err != nil {
		return unreadable(p.parked.EventID, err)
	}
	return p.options.Finisher.Resume(ctx, &p.parked, e)
}

// TablesChanged lets events go on whose references are known by now, the longest waiting reference first.
func (p *processor) TablesChanged(ctx processors.Context, limit int) (more bool, err error) {
	counted := &counter{Context: ctx}
	refs := ctx.Store(References)
	// What changes from here on is told by another call.
	now := p.options.Tables.Generation()
	gone := 0
	for gone < len(p.ready) && (refs.Get(p.ready[gone].key) == nil || !p.options.Tables.Known(p.ready[gone].ref)) {
		gone++
	}
	p.ready = p.ready[gone:]
	if len(p.ready) == 0 {
		if p.looked && !p.more && p.generation == now {
			return false, nil
		}
		p.generation, p.looked = now, true
		if err := p.look(refs); err != nil {
			return false, err
		}
	}
	for _, ref := range p.ready {
		left, err := p.release(counted, ref.key, limit)
		if err != nil {
			return false, err
		}
		if left {
			return true, nil
		}
	}
	return p.more || p.generation != now, nil
}

// look collects the references that can go on.
func (p *processor) look(refs processors.Store) (err error) {
	p.ready, p.more = nil, false
	var q queue
	refs.Each(func(key, value []byte) bool {
		if err = q.open(value); err != nil {
			err = corrupt(key, err)
			return false
		}
		if !p.options.Tables.Known(q.ref) {
			return true
		}
		if len(p.ready) == maxReady {
			p.more = true
			return false
		}
		p.ready = append(p.ready, ready{bytes.Clone(key), q.ref, q.since})
		return true
	})
	slices.SortFunc(p.ready, func(a, b ready) int {
		return cmp.Or(cmp.Compare(a.since, b.since), bytes.Compare(a.key, b.key))
	})
	return err
}

// release lets events of one reference go on, until they or the limit are used up.
func (p *processor) release(ctx *counter, ref []byte, limit int) (left bool, err error) {
	refs, events := ctx.Store(References), ctx.Store(Events)
	value := refs.Get(ref)
	if value == nil {
		return false, nil
	}
	q := &p.queue
	if err := q.open(value); err != nil {
		return false, corrupt(ref, err)
	}
	if !p.options.Tables.Known(q.ref) {
		return false, nil // withdrawn again
	}
	before := q.head
	// An event makes at most two records: what it becomes, and a warning beside it.
	for q.head < q.tail && (ctx.emitted == 0 || ctx.emitted+2 <= limit) {
		p.key = appendEventKey(p.key[:0], ref, q.head)
		if err := p.letGo(ctx, ref, events.Get(p.key)); err != nil {
			return false, err
		}
		events.Delete(p.key)
		q.head++
		p.options.Counters.Released.Add(1)
	}
	switch q.head {
	case q.tail:
		refs.Delete(ref)
		return false, nil
	case before:
		return true, nil
	}
	p.key = appendEventKey(p.key[:0], ref, q.head)
	if _, _, value, err := openEvent(events.Get(p.key)); err == nil && p.options.Codec.Decode(value, &p.parked) == nil {
		q.since = p.parked.ParkedAt
	}
	p.packed = q.appendTo(p.packed[:0])
	refs.Put(ref, p.packed)
	return true, nil
}

// letGo lets one event go on; one that cannot becomes a dead letter, and the others follow.
func (p *processor) letGo(ctx *counter, ref, packed []byte) error {
	partition, offset, value, err := openEvent(packed)
	if err != nil {
		return corrupt(ref, err)
	}
	p.parked.Reset()
	if err = p.options.Codec.Decode(value, &p.parked); err != nil {
		err = unreadable(string(ref), err)
	} else {
		err = p.resume(ctx)
	}
	var rejection *processors.Rejection
	if err == nil || !errors.As(err, &rejection) {
		return err
	}
	topic := p.options.Naming.Topic(topics.ParkingInbox)
	d := &event.DeadLetter{
		ID:     topic + "/" + strconv.Itoa(int(partition)) + "/" + strconv.FormatInt(offset, 10) + "/0",
		Stage:  Stage,
		Cause:  string(rejection.Cause),
		Detail: rejection.Detail, Remedy: rejection.Remedy,
		Position: event.Optional[string]{Value: rejection.Position, Valid: rejection.Position != ""},
		Topic:    topic, Partition: partition, Offset: offset,
		Key: event.Some(ref), Value: event.Some(value),
		Headers: p.parked.Headers,
		Source:  event.Optional[string]{Value: p.parked.System, Valid: p.parked.System != ""},
		Attempt: 1, FailedAt: event.Micros(ctx.Now()),
	}
	headers := make([]processors.Header, len(p.parked.Headers))
	for i := range p.parked.Headers {
		headers[i] = processors.Header{Key: strings.Clone(p.parked.Headers[i].Name), Value: bytes.Clone(p.parked.Headers[i].Value)}
	}
	ctx.EmitRaw(topics.DeadLetters, ref, ctx.Encode(nil, d), headers)
	return nil
}

// A counter is a Context that counts what is emitted.
type counter struct {
	processors.Context
	emitted int
}

// Emit counts one.
func (c *counter) Emit(to topics.ID, key []byte, e event.Record) {
	c.emitted++
	c.Context.Emit(to, key, e)
}

// EmitRaw counts one.
func (c *counter) EmitRaw(to topics.ID, key, value []byte, headers []processors.Header) {
	c.emitted++
	c.Context.EmitRaw(to, key, value, headers)
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
