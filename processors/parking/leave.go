package parking

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// TablesChanged finds the references that are known by now, and sets the timers that let their events go on: at most limit
// timers in a call, those of the longest waiting first. It emits nothing.
func (p *processor) TablesChanged(ctx processors.Context, limit int) (more bool, err error) {
	refs := ctx.Store(References)
	// What changes from here on is told by another call.
	now := p.options.Tables.Generation()
	settled := 0
	for settled < len(p.ready) && p.settled(ctx, refs, &p.ready[settled]) {
		settled++
	}
	p.ready = p.ready[settled:]
	if len(p.ready) == 0 {
		if p.looked && !p.more && p.generation == now {
			return false, nil
		}
		p.generation, p.looked = now, true
		if err := p.look(ctx, refs); err != nil {
			return false, err
		}
	}
	n := min(limit, len(p.ready))
	for _, r := range p.ready[:n] {
		if r.adopt {
			ctx.SetTimer(overdue, r.key, ctx.Now()) // which finds out when it is due
		} else {
			ctx.SetTimer(release, r.key, ctx.Now())
		}
	}
	return n < len(p.ready) || p.more || p.generation != now, nil
}

// settled says whether a reference that was found needs nothing more.
func (p *processor) settled(ctx processors.Context, refs processors.Store, r *ready) bool {
	if refs.Get(r.key) == nil {
		return true
	}
	if r.adopt {
		var q queue
		if q.open(refs.Get(r.key)) == nil && q.limit == p.limit() {
			return true
		}
		at, set := ctx.TimerAt(overdue, r.key)
		return set && at <= ctx.Now()
	}
	_, set := ctx.TimerAt(release, r.key)
	return set || !p.options.Tables.Known(r.ref)
}

// limit is the time limit in microseconds.
func (p *processor) limit() uint64 { return uint64(p.options.Limit.Microseconds()) }

// look collects the references that can go on, and when the task is new, those that have no timer of this time limit.
func (p *processor) look(ctx processors.Context, refs processors.Store) (err error) {
	p.ready, p.more = nil, false
	var q queue
	refs.Each(func(key, value []byte) bool {
		if err = q.open(value); err != nil {
			err = corrupt(key, err)
			return false
		}
		known := p.options.Tables.Known(q.ref)
		if known {
			if _, set := ctx.TimerAt(release, key); set {
				return true
			}
		} else if p.adopted || q.limit == p.limit() {
			return true
		}
		if len(p.ready) == maxReady {
			p.more = true
			return false
		}
		p.ready = append(p.ready, ready{bytes.Clone(key), q.ref, q.since, !known})
		return true
	})
	p.adopted = p.adopted || !p.more
	slices.SortFunc(p.ready, func(a, b ready) int {
		return cmp.Or(cmp.Compare(a.since, b.since), bytes.Compare(a.key, b.key))
	})
	return err
}

// OnTimer lets events of one reference leave: to where they belong, or as dead letters.
func (p *processor) OnTimer(ctx processors.Context, t processors.Timer, limit int) error {
	value := ctx.Store(References).Get(t.Key)
	if value == nil {
		return nil
	}
	q := &p.queue
	if err := q.open(value); err != nil {
		return corrupt(t.Key, err)
	}
	known := p.options.Tables.Known(q.ref)
	counted := &counter{Context: ctx, limit: limit}
	switch {
	case t.Name == release && known:
		return p.releaseSome(counted, t.Key)
	case t.Name == release: // withdrawn again
		return p.waitOn(ctx, t.Key)
	case known:
		ctx.SetTimer(release, t.Key, ctx.Now())
		return nil
	}
	return p.giveUpSome(counted, t.Key)
}

// setOverdue sets the timer of the time limit for an event that arrived at a time.
func (p *processor) setOverdue(ctx processors.Context, ref []byte, arrived int64) {
	if p.options.Limit > 0 {
		ctx.SetTimer(overdue, ref, arrived+p.options.Limit.Microseconds())
	}
}

// waitOn lets what is left of a queue wait until the event at its head is overdue.
func (p *processor) waitOn(ctx processors.Context, ref []byte) error {
	e, err := p.head(ctx, ref)
	if err != nil {
		return err
	}
	p.setOverdue(ctx, ref, p.arrived(e))
	p.queue.limit = p.limit()
	p.put(ctx, ref, e)
	return nil
}

// put writes what is left of a queue, with e at its head.
func (p *processor) put(ctx processors.Context, ref []byte, e entry) {
	if p.options.Codec.Decode(e.value, &p.parked) == nil {
		p.queue.since = p.parked.ParkedAt
	}
	p.packed = p.queue.appendTo(p.packed[:0])
	ctx.Store(References).Put(ref, p.packed)
}

// drop forgets a reference for which nothing waits any more.
func (p *processor) drop(ctx processors.Context, ref []byte) {
	ctx.Store(References).Delete(ref)
	ctx.CancelTimer(overdue, ref)
}

// head is the event at the head of a queue, valid until it is deleted.
func (p *processor) head(ctx processors.Context, ref []byte) (entry, error) {
	p.key = appendEventKey(p.key[:0], ref, p.queue.head)
	e, err := openEvent(ctx.Store(Events).Get(p.key))
	if err != nil {
		err = corrupt(ref, err)
	}
	return e, err
}

// arrived is when an event came to the stage; where it is not known, when it was first parked.
func (p *processor) arrived(e entry) int64 {
	if e.arrived != unknownArrival {
		return e.arrived
	}
	if p.options.Codec.Decode(e.value, &p.parked) != nil {
		return 0 // it will be a dead letter in any case
	}
	return int64(p.parked.ParkedAt)
}

// releaseSome lets events go on, and asks for the next call if there are more.
func (p *processor) releaseSome(ctx *counter, ref []byte) error {
	for p.queue.head < p.queue.tail {
		e, err := p.head(ctx, ref)
		if err != nil {
			return err
		}
		if !ctx.room() {
			ctx.SetTimer(release, ref, ctx.Now())
			p.put(ctx, ref, e)
			return nil
		}
		if err := p.letGo(ctx, ref, e); err != nil {
			return err
		}
		p.pop(ctx)
		p.options.Counters.Released.Add(1)
	}
	p.drop(ctx, ref)
	return nil
}

// giveUpSome gives events up that have waited too long, and asks for the next call.
func (p *processor) giveUpSome(ctx *counter, ref []byte) error {
	for p.queue.head < p.queue.tail {
		e, err := p.head(ctx, ref)
		if err != nil {
			return err
		}
		// Without a limit there was one when the timer was set.
		if p.options.Limit == 0 || p.arrived(e)+p.options.Limit.Microseconds() > ctx.Now() || !ctx.room() {
			return p.waitOn(ctx, ref)
		}
		if err := p.giveUp(ctx, ref, e); err != nil {
			return err
		}
		p.pop(ctx)
		p.options.Counters.Overdue.Add(1)
	}
	p.drop(ctx, ref)
	return nil
}

// pop takes the event that head has just returned out of the queue.
func (p *processor) pop(ctx processors.Context) {
	ctx.Store(Events).Delete(p.key)
	p.queue.head++
}

// letGo lets one event go on; one that cannot becomes a dead letter, and the others follow.
func (p *processor) letGo(ctx *counter, ref []byte, e entry) error {
	p.parked.Reset()
	err := p.options.Codec.Decode(e.value, &p.parked)
	if err != nil {
		err = unreadable(string(ref), err)
	} else {
		err = p.resume(ctx)
	}
	var rejection *processors.Rejection
	if err == nil || !errors.As(err, &rejection) {
		return err
	}
	p.deadLetter(ctx, ref, e, rejection)
	return nil
}

// giveUp makes a dead letter and an exception of an event that has waited too long: the one has its bytes, for a replay, and the
// other is what a person sees.
func (p *processor) giveUp(ctx *counter, ref []byte, e entry) error {
	p.parked.Reset()
	inner, err := p.open(e.value)
	if err != nil {
		var rejection *processors.Rejection
		if !errors.As(err, &rejection) {
			return err
		}
		p.deadLetter(ctx, ref, e, rejection)
		return nil
	}
	p.options.Finisher.GiveUp(ctx, &p.parked, inner, Stage, p.options.Limit)
	p.deadLetter(ctx, ref, e, processors.Rejectf(MasterDataMissing, "send the master data, then replay the event",
		"event %s has waited for %s since %s, longer than %s", p.parked.EventID, strconv.Quote(string(ref)),
		time.UnixMicro(p.arrived(e)).UTC().Format(time.RFC3339), p.options.Limit))
	return nil
}

// open reads a parked event into p.parked, and the event within it.
func (p *processor) open(value []byte) (event.Record, error) {
	if err := p.options.Codec.Decode(value, &p.parked); err != nil {
		return nil, unreadable("", err)
	}
	return p.inner()
}

func (p *processor) deadLetter(ctx *counter, ref []byte, e entry, why *processors.Rejection) {
	topic := p.options.Naming.Topic(topics.ParkingInbox)
	d := &event.DeadLetter{
		ID:     topic + "/" + strconv.Itoa(int(e.partition)) + "/" + strconv.FormatInt(e.offset, 10) + "/0",
		Stage:  Stage,
		Cause:  string(why.Cause),
		Detail: why.Detail, Remedy: why.Remedy,
		Position: event.Optional[string]{Value: why.Position, Valid: why.Position != ""},
		Topic:    topic, Partition: e.partition, Offset: e.offset,
		Key: event.Some(ref), Value: event.Some(e.value),
		Headers: p.parked.Headers,
		Source:  event.Optional[string]{Value: p.parked.System, Valid: p.parked.System != ""},
		Attempt: 1, FailedAt: event.Micros(ctx.Now()),
	}
	headers := make([]processors.Header, len(p.parked.Headers))
	for i := range p.parked.Headers {
		headers[i] = processors.Header{Key: strings.Clone(p.parked.Headers[i].Name), Value: bytes.Clone(p.parked.Headers[i].Value)}
	}
	ctx.EmitRaw(topics.DeadLetters, ref, ctx.Encode(nil, d), headers)
}

// A counter is a Context that counts what is emitted.
type counter struct {
	processors.Context
	limit   int // records
	emitted int
	bytes   int
}

// maxBytes bounds what one call emits: an event may be as large as a message.
const maxBytes = 4 << 20

// room says whether one more event may leave. It makes at most two records: what it becomes, and a warning beside it, or an
// exception and a dead letter.
func (c *counter) room() bool {
	return c.emitted == 0 || c.emitted+2 <= c.limit && c.bytes < maxBytes
}

// Emit counts one.
func (c *counter) Emit(to topics.ID, key []byte, e event.Record) {
	c.emitted++
	c.Context.Emit(to, key, e)
}

// EmitRaw counts one.
func (c *counter) EmitRaw(to topics.ID, key, value []byte, headers []processors.Header) {
	c.emitted++
	c.bytes += len(value)
	c.Context.EmitRaw(to, key, value, headers)
}
