// Package translate is the stage between raw bytes and canonical events: it has a document translated, has each event
// enriched and sent to its inbox, and makes dead letters of the parts that cannot be. All of a document is one transaction.
//
// It knows no format and no rule of enriching; both are given to it. Invariants:
//
//   - A part that is refused does not touch the parts beside it.
//   - The number of a part counts everything that the document gave out before it, so that translating the same bytes again
//     gives dead letters with the same ids.
//   - Nothing is decided here by what is in the document.
package translate

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// A Document is one native document, as it lies on the raw topic of its source. It is valid during the call that it is
// given to.
type Document struct {
	Source       string       // configured name of the source
	ContentType  string       // as the sender said; may be empty
	DocType      string       // a hint such as X12/940; empty: by content
	Bytes        []byte       //
	RawRef       string       // topic/partition/offset
	RawPartition int32        // with RawOffset the version of a state document that has none of its own
	RawOffset    int64        //
	ReceivedAt   event.Micros // when it was received
}

// A Translator makes canonical events of documents, with source codes in them. Translating again gives the same. An error
// is for what is no fault of the document, and stops the worker unless it is a *processors.Rejection of the whole.
type Translator interface {
	Translate(d *Document, out Sink) error
}

// A Sink takes what a document becomes, in its order.
type Sink interface {
	// Event takes an event. It may be changed.
	Event(e event.Record) error
	// Problem takes a part that was refused, or a notice. Its bytes are valid during the call.
	Problem(p *Problem) error
}

// A Problem is a part of a document that was not translated, or a notice about one that was.
type Problem struct {
	Notice   bool // nothing was lost: it is counted, and no dead letter
	Cause    processors.Cause
	Detail   string // what and where, in a sentence
	Position string // "segment 7 (W01), element 1"; may be empty
	Remedy   string // what to do, in a sentence
	DocType  string // where it is known
	DocID    string // where it is known
	Bytes    []byte // the failing part as received
}

// An Enricher resolves an event and emits what becomes of it. A *processors.Rejection comes back, and nothing has been
// emitted.
type Enricher interface {
	Forward(ctx processors.Context, e event.Record) error
}

// Counters counts what the stage does. One Counters may serve all tasks of a process; records that an aborted transaction
// processes again are counted again.
type Counters struct {
	Documents atomic.Uint64
	Events    atomic.Uint64 // that went on
	Refused   atomic.Uint64 // parts and events that became dead letters
	Notices   atomic.Uint64
}

// Options of the stage.
type Options struct {
	Translator Translator
	Enricher   Enricher
	Naming     topics.Naming
	// Counters, where given, counts.
	Counters *Counters
}

// Stage is this stage's name, as dead letters tell it.
const Stage = "translate"

// Headers of a raw record that are read here.
const (
	headerContentType = "content-type"
	headerDocType     = "doc-type"
	headerReceived    = "received-time" // RFC 3339
)

// NotRaw is the cause of a rejection: the record is on no raw topic.
const NotRaw processors.Cause = "NOT_A_RAW_TOPIC"

// wholeBytes bounds the documents that are repeated in the dead letter of a single event: one whose own bytes nobody cut
// out. Larger ones are found by their raw reference.
const wholeBytes = 64 << 10

// New makes the processor of one task. It keeps no state.
func New(o Options) processors.Processor {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	return &processor{options: o}
}

type processor struct {
	options Options
	letter  event.DeadLetter
}

// Process translates one document.
func (p *processor) Process(ctx processors.Context, r *processors.Record) error {
	source, ok := p.options.Naming.RawSource(r.Topic)
	if !ok {
		return processors.Rejectf(NotRaw, "check the topics that the stage is given", "%s is not the raw topic of a source", r.Topic)
	}
	d := Document{
		Source:       source,
		Bytes:        r.Value,
		RawRef:       r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10),
		RawPartition: r.Partition,
		RawOffset:    r.Offset,
		ReceivedAt:   event.Micros(r.Time),
	}
	for _, h := range r.Headers {
		switch h.Key {
		case headerContentType:
			d.ContentType = string(h.Value)
		case headerDocType:
			d.DocType = string(h.Value)
		case headerReceived:
			// What does not read is not worth a document: the record's own time is as good to a second.
			if t, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
				d.ReceivedAt = event.MicrosOf(t)
			}
		}
	}
	p.options.Counters.Documents.Add(1)
	s := sink{p: p, ctx: ctx, record: r, doc: &d}
	err := p.options.Translator.Translate(&d, &s)
	var rejection *processors.Rejection
	var fatal *processors.Fatal
	if err == nil || errors.As(err, &rejection) || errors.As(err, &fatal) {
		return err
	}
	return &processors.Fatal{Reason: "translating " + d.RawRef + " failed, and not for what is in the document", Err: err}
}

// A sink is what becomes of one document.
type sink struct {
	p      *processor
	ctx    processors.Context
	record *processors.Record
	doc    *Document
	part   int32 // of what comes next
}

// Event has an event enriched and sent on; a rejection of it is a dead letter of this part.
func (s *sink) Event(e event.Record) error {
	part := s.part
	s.part++
	err := s.p.options.Enricher.Forward(s.ctx, e)
	if err == nil {
		s.p.options.Counters.Events.Add(1)
		return nil
	}
	var rejection *processors.Rejection
	if !errors.As(err, &rejection) {
		return err
	}
	whole, detail := s.doc.Bytes, fmt.Sprintf("%s: %s", e.Kind(), rejection.Detail)
	if len(whole) > wholeBytes {
		whole, detail = nil, detail+"; the document is at its raw reference"
	}
	s.dead(part, &Problem{Cause: rejection.Cause, Detail: detail, Position: rejection.Position, Remedy: rejection.Remedy, Bytes: whole})
	return nil
}

// Problem makes a dead letter of a part, or counts a notice.
func (s *sink) Problem(p *Problem) error {
	part := s.part
	s.part++
	if p.Notice {
		s.p.options.Counters.Notices.Add(1)
		return nil
	}
	s.dead(part, p)
	return nil
}

// dead makes a dead letter of a part.
func (s *sink) dead(part int32, p *Problem) {
	s.p.options.Counters.Refused.Add(1)
	r := s.record
	d := &s.p.letter
	d.Reset()
	d.ID = s.doc.RawRef + "/" + strconv.Itoa(int(part))
	d.Stage = Stage
	d.Cause = string(p.Cause)
	d.Detail = p.Detail
	if p.DocType != "" || p.DocID != "" {
		d.Detail = p.DocType + " " + p.DocID + ": " + p.Detail
	}
	d.Position = event.Optional[string]{Value: p.Position, Valid: p.Position != ""}
	d.Remedy = p.Remedy
	d.Topic, d.Partition, d.Offset, d.Part = r.Topic, r.Partition, r.Offset, part
	d.Key = event.Optional[[]byte]{Value: r.Key, Valid: r.Key != nil}
	d.Value = event.Optional[[]byte]{Value: p.Bytes, Valid: p.Bytes != nil}
	for _, h := range r.Headers {
		d.Headers = append(d.Headers, event.TextPair{Name: h.Key, Value: h.Value})
	}
	d.RawRef = event.Some(s.doc.RawRef)
	d.Source = event.Some(s.doc.Source)
	d.Attempt = 1
	d.FailedAt = event.Micros(s.ctx.Now())
	s.ctx.Emit(topics.DeadLetters, r.Key, d)
}
