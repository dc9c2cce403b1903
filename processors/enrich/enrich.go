package enrich

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/masterdata"
	"crossdock/topology/topics"
)

// New makes the processor of one task: it reads canonical movements and sends them on to inventory-inbox, parking-inbox or
// exceptions. It keeps no state.
func New(tables *masterdata.Tables) processors.Processor {
	return &processor{resolver: NewResolver(tables)}
}

type processor struct {
	resolver *Resolver
	movement event.InventoryMovement
}

// Process resolves one movement.
func (p *processor) Process(ctx processors.Context, _ *processors.Record) error {
	kind, err := ctx.Kind()
	if err != nil {
		return err
	}
	if kind != event.KindInventoryMovement {
		return processors.Rejectf(processors.UnexpectedKind, "send documents through their connector, and events of other kinds to the topic of their kind",
			"%s does not belong on %s", kind, topics.Movements)
	}
	if err := ctx.Decode(&p.movement); err != nil {
		return err
	}
	return p.resolver.Forward(ctx, &p.movement)
}

// Forward resolves an event that is new and emits what becomes of it: to its inbox, to those that wait, or as an
// exception. A *processors.Rejection comes back, and nothing has been emitted. e is changed.
func (r *Resolver) Forward(ctx processors.Context, e event.Record) error {
	out := r.Resolve(e, Nothing)
	switch out.Verdict {
	case Resolved:
		ctx.Emit(out.To, out.Key, e)
		if out.Exception != nil {
			r.tell(ctx, out.Exception)
		}
	case Missing:
		p := &r.parked
		p.Reset()
		p.Hops = 0
		p.ParkedAt = event.Micros(ctx.Now())
		for _, h := range ctx.Record().Headers {
			p.Headers = append(p.Headers, event.TextPair{Name: h.Key, Value: h.Value})
		}
		r.wait(ctx, p, e, out.Missing)
		r.key = out.Missing.AppendKey(r.key[:0])
		ctx.Emit(topics.ParkingInbox, r.key, p)
	case Held:
		r.tell(ctx, out.Exception)
	case Rejected:
		return out.Rejection
	}
	return nil
}

// Resume goes on with an event that waited, once what it waited for is known. e is the event within p, which says how far
// it had come. What it makes carries the event's own headers. A second missing reference sends it on with what is
// resolved by now; one that has waited for more references than it has is an exception, so that tables that come and go
// cannot keep it going round.
func (r *Resolver) Resume(ctx processors.Context, p *event.ParkedEvent, e event.Record) error {
	out := r.Resolve(e, ProgressOf(p.Missing))
	headers := headersOf(p)
	switch out.Verdict {
	case Resolved:
		r.framed = ctx.Encode(r.framed[:0], e)
		ctx.EmitRaw(out.To, out.Key, r.framed, headers)
		if out.Exception != nil {
			r.tellWith(ctx, out.Exception, headers)
		}
	case Missing:
		if limit := references(e); int(p.Hops)+1 > limit {
			r.tooMany(e, p, limit)
			r.tellWith(ctx, r.out.Exception, headers)
			return nil
		}
		p.Hops++
		r.wait(ctx, p, e, out.Missing)
		r.key = out.Missing.AppendKey(r.key[:0])
		ctx.EmitRaw(topics.ParkingInbox, r.key, ctx.Encode(nil, p), headers)
	case Held:
		r.tellWith(ctx, out.Exception, headers)
	case Rejected:
		return out.Rejection
	}
	return nil
}

// headersOf are the headers of an event that waited. It lies in a store whose memory ends with its key, and headers outlive it.
func headersOf(p *event.ParkedEvent) []processors.Header {
	headers := make([]processors.Header, len(p.Headers))
	for i := range p.Headers {
		headers[i] = processors.Header{Key: strings.Clone(p.Headers[i].Name), Value: bytes.Clone(p.Headers[i].Value)}
	}
	return headers
}

// wait fills a parked event with what it waits for and the event as it is by now.
func (r *Resolver) wait(ctx processors.Context, p *event.ParkedEvent, e event.Record, ref masterdata.Reference) {
	if h := headerOf(e); h != nil {
		p.EventID = h.EventID
		if rec := ctx.Record(); !h.RawRef.Valid && p.Hops == 0 && rec != nil {
			h.RawRef = event.Some(position(rec))
		}
	}
	p.Missing, p.System, p.Code = ref.Kind, ref.System, ref.Code
	p.SKU = event.Optional[string]{Value: ref.SKU, Valid: ref.Kind == event.MissingKindUnit}
	r.framed = ctx.Encode(r.framed[:0], e)
	p.Event = r.framed
}

func (r *Resolver) tell(ctx processors.Context, x *event.LogisticsException) {
	x.OpenedAt = event.Micros(ctx.Now())
	if rec := ctx.Record(); !x.Header.RawRef.Valid && rec != nil {
		x.Header.RawRef = event.Some(position(rec))
	}
	r.key = append(r.key[:0], x.Reference...)
	ctx.Emit(topics.Exceptions, r.key, x)
}

func (r *Resolver) tellWith(ctx processors.Context, x *event.LogisticsException, headers []processors.Header) {
	x.OpenedAt = event.Micros(ctx.Now())
	r.key = append(r.key[:0], x.Reference...)
	r.framed = ctx.Encode(r.framed[:0], x)
	ctx.EmitRaw(topics.Exceptions, r.key, r.framed, headers)
}

func (r *Resolver) tooMany(e event.Record, p *event.ParkedEvent, limit int) {
	h := headerOf(e)
	if h == nil {
		h = &event.EventHeader{EventID: p.EventID, DedupeKey: p.EventID}
	}
	r.hold(h, ClassParkedTooLong, event.SeverityError, p.Code, p.SKU.Value)
	x := r.out.Exception
	x.Detail = "event " + p.EventID + " has waited for " + strconv.Itoa(int(p.Hops)+1) + " references and has " + strconv.Itoa(limit) + ": master data it needs was withdrawn while it waited"
	x.Remedy = "complete the item, its units and the site, then replay the document"
}

// GiveUp emits the exception of an event that waited for a reference in vain, with the event's own headers. e is the event
// within p. Its bytes become a dead letter where it waited.
func (r *Resolver) GiveUp(ctx processors.Context, p *event.ParkedEvent, e event.Record, stage string, waited time.Duration) {
	h := headerOf(e)
	if h == nil {
		h = &event.EventHeader{EventID: p.EventID, DedupeKey: p.EventID}
	}
	r.hold(h, ClassNeverKnown, event.SeverityError, p.Code, p.SKU.Value)
	x := r.out.Exception
	x.Stage = stage
	x.Detail = "event " + p.EventID + " has waited for " + longFor(waited) + " for " + missingText(p) + ", which no master data knows"
	x.Remedy = "send the master data, then replay the event from the dead letters"
	r.tellWith(ctx, x, headersOf(p))
}

func missingText(p *event.ParkedEvent) string {
	switch p.Missing {
	case event.MissingKindSite:
		return "location " + p.Code + " of " + p.System
	case event.MissingKindUnit:
		return "unit " + p.Code + " of item " + p.SKU.Value
	default:
		return "item " + p.Code + " of " + p.System
	}
}

// longFor tells a duration as a person would: whole days as days.
func longFor(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "a day"
	case d > 0 && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + " days"
	}
	return d.String()
}

// references is how many references an event has: it cannot wait for more.
func references(e event.Record) int {
	const site, item, unit = 1, 1, 1
	switch e := e.(type) {
	case *event.OrderRelease:
		return 2*site + len(e.Lines)*(item+unit)
	case *event.InboundNotice:
		return site + len(e.Lines)*(item+unit)
	case *event.ReturnEvent:
		return site + len(e.Lines)*(item+unit)
	case *event.InventorySnapshot:
		return site + item + len(e.Balances)*unit
	default:
		return site + item + unit
	}
}

func headerOf(e event.Record) *event.EventHeader {
	switch e := e.(type) {
	case *event.InventoryMovement:
		return &e.Header
	case *event.InventorySnapshot:
		return &e.Header
	case *event.InventoryPolicy:
		return &e.Header
	case *event.Reservation:
		return &e.Header
	case *event.ReservationRequest:
		return &e.Header
	case *event.OrderRelease:
		return &e.Header
	case *event.InboundNotice:
		return &e.Header
	case *event.ShipmentMilestone:
		return &e.Header
	case *event.ReturnEvent:
		return &e.Header
	}
	return nil
}

// position is where a record lies, as raw_ref tells it.
func position(r *processors.Record) string {
	return r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10)
}
