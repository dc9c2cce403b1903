package task

import (
	"fmt"
	"strconv"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// Headers that a dead letter repeats as fields.
const (
	headerRawRef = "raw-ref"
	headerSource = "source"
)

// letters keeps what dead letters are made with.
type letters struct{ event event.DeadLetter }

// reject makes the record in hand a dead letter: what it did is gone already.
func (t *Task) reject(why *processors.Rejection) {
	t.rejected = why
	r := t.record
	d := &t.letters.event
	d.Reset()
	d.ID = r.Topic + "/" + strconv.Itoa(int(r.Partition)) + "/" + strconv.FormatInt(r.Offset, 10) + "/0"
	d.Stage = t.stage.Name
	d.Cause, d.Detail, d.Remedy = string(why.Cause), why.Detail, why.Remedy
	if why.Position != "" {
		d.Position = event.Some(why.Position)
	}
	d.Topic, d.Partition, d.Offset = r.Topic, r.Partition, r.Offset
	if r.Key != nil {
		d.Key = event.Some(r.Key)
	}
	if r.Value != nil {
		d.Value = event.Some(r.Value)
	}
	for _, h := range r.Headers {
		d.Headers = append(d.Headers, event.TextPair{Name: h.Key, Value: h.Value})
		switch h.Key {
		case headerRawRef:
			d.RawRef = event.Some(string(h.Value))
		case headerSource:
			d.Source = event.Some(string(h.Value))
		}
	}
	d.Attempt = 1
	d.FailedAt = event.Micros(t.now)

	t.out = t.out[:0]
	(*taskContext)(t).Emit(topics.DeadLetters, r.Key, d)
	if over := t.size(&t.out[0]) - t.limits.MessageBytes(topics.DeadLetters); over > 0 {
		// The record alone is as large as a message may be. Its bytes stay at its offset as long as the topic keeps them.
		const note = "; of the record's %d bytes only the first %d are here, the rest is at its offset"
		keep := max(0, len(r.Value)-over-len(note)-64)
		d.Value = event.Some(r.Value[:keep])
		d.Detail += fmt.Sprintf(note, len(r.Value), keep)
		t.out = t.out[:0]
		(*taskContext)(t).Emit(topics.DeadLetters, r.Key, d)
	}
	d.Reset()
}
