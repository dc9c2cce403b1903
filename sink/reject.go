package sink

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// Causes of the sink's dead letters. Those that stages have too bear the same code.
const (
	causeFraming       = "BAD_FRAMING"
	causeUnknownSchema = "UNKNOWN_SCHEMA"
	causeRecord        = "BAD_RECORD"
	causeKind          = "UNEXPECTED_KIND"
	causeUnholdable    = "CANNOT_STORE"
)

// A reject is a record that becomes no row, and why.
type reject struct {
	record *kgo.Record
	cause  string
	detail string
	remedy string
}

func (r *reject) Error() string { return r.cause + ": " + r.detail }

// into makes the dead letter. Its id names the record, so that a second sending collapses. All its texts are UTF-8 and its
// times are now: it can always be stored, which is why a dead letter about a dead letter ends there.
func (r *reject) into(e *event.DeadLetter, now time.Time) {
	e.Reset()
	e.ID = fmt.Sprintf("%s/%d/%d/0", r.record.Topic, r.record.Partition, r.record.Offset)
	e.Stage = "sink"
	e.Cause = r.cause
	e.Detail = strings.ToValidUTF8(r.detail, "\uFFFD")
	e.Remedy = r.remedy
	e.Topic = r.record.Topic
	e.Partition = r.record.Partition
	e.Offset = r.record.Offset
	e.Attempt = 1
	e.FailedAt = event.MicrosOf(now)
	if r.record.Key != nil {
		e.Key = event.Some(r.record.Key)
	}
	if r.record.Value != nil {
		e.Value = event.Some(r.record.Value)
	}
	for _, h := range r.record.Headers {
		switch value := string(h.Value); h.Key {
		case "source":
			e.Source = event.Some(strings.ToValidUTF8(value, "\uFFFD"))
		case "raw-ref":
			e.RawRef = event.Some(strings.ToValidUTF8(value, "\uFFFD"))
		}
		e.Headers = append(e.Headers, event.TextPair{Name: strings.ToValidUTF8(h.Key, "\uFFFD"), Value: h.Value})
	}
}

// deadLetter is the record to send to the dead letters.
func (l *lane) deadLetter(r *reject) *kgo.Record {
	var e event.DeadLetter
	r.into(&e, time.Now())
	return &kgo.Record{
		Topic: l.s.deps.Topics.Topic(topics.DeadLetters), Key: r.record.Key, Headers: r.record.Headers,
		Value: l.s.deps.Serde.Append(nil, &e),
	}
}

// rejected notes a record that becomes no row. One of the dead letters' own topic is not sent there again, where it would
// come back: it becomes a row of dead_letters at once, as what is wrong with a dead letter.
func (l *lane) rejected(b *block, from part, r reject, now time.Time) {
	l.m.deadLetters.WithLabelValues(l.table.name, r.cause).Inc()
	l.log.Debug("record cannot be stored", "topic", r.record.Topic, "partition", r.record.Partition, "offset", r.record.Offset,
		"cause", r.cause, "detail", r.detail)
	if b.refused == 0 {
		b.firstRefused = r
	}
	b.refused++
	if own, ok := b.rows.(*deadLetterRows); ok {
		r.into(&own.decoded, now)
		b.added(from, r.record, own.put(), now)
		return
	}
	b.rejects = append(b.rejects, r)
	b.bytes += len(r.record.Value) + recordOverhead
	b.pass(from.lease, r.record, now)
}
