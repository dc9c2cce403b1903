package task

import (
	"bytes"
	"errors"
	"fmt"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// taskContext is a Task as its processor sees it.
type taskContext Task

var _ processors.Context = (*taskContext)(nil)

// Now is for processors.Context.
func (c *taskContext) Now() int64 { return c.now }

// Record is for processors.Context.
func (c *taskContext) Record() *processors.Record { return c.record }

// Decode is for processors.Context.
func (c *taskContext) Decode(e event.Record) error {
	return c.rejection(c.serde.Decode(c.record.Value, e))
}

// Kind is for processors.Context.
func (c *taskContext) Kind() (event.Kind, error) {
	kind, err := c.serde.Kind(c.record.Value)
	return kind, c.rejection(err)
}

// rejection makes an error of the serde one of the processor's. An unknown schema id is noted as well: it is the
// runner's to learn, whatever the processor makes of the error.
func (c *taskContext) rejection(err error) error {
	if err == nil {
		return nil
	}
	var (
		unknown *serde.UnknownSchemaError
		framing *serde.FramingError
		kind    *serde.KindError
		decode  *event.DecodeError
	)
	switch {
	case errors.As(err, &unknown):
		c.unknown = unknown
		return unknownSchema(unknown)
	case errors.As(err, &framing):
		return processors.Rejectf(processors.BadFraming, "Produce records with Confluent framing: a zero byte, four bytes of schema id, Avro binary.", "%v", err)
	case errors.As(err, &kind):
		return processors.Rejectf(processors.UnexpectedKind, "Produce the event to the topic that carries it: crossdock topology describe lists them.", "%v", err)
	case errors.As(err, &decode):
		r := processors.Rejectf(processors.BadRecord, "Encode the record with the schema that its id names.", "%v", err)
		r.Position = fmt.Sprintf("byte %d", decode.Offset)
		return r
	}
	return processors.Rejectf(processors.BadRecord, "Encode the record with the schema that its id names.", "%v", err)
}

func unknownSchema(u *serde.UnknownSchemaError) *processors.Rejection {
	return processors.Rejectf(processors.UnknownSchema, "Register the schema under this id, or correct the producer's registry; then replay the record.", "%v", u)
}

// Encode is for processors.Context.
func (c *taskContext) Encode(b []byte, e event.Record) []byte { return c.serde.Append(b, e) }

// Store is for processors.Context.
func (c *taskContext) Store(i int) processors.Store { return c.stores[i] }

// Emit is for processors.Context.
func (c *taskContext) Emit(to topics.ID, key []byte, e event.Record) {
	o := Output{To: to, Tag: c.tag, Value: c.arena.encode(c.serde, e)}
	if to == topics.DeadLetters {
		if d, ok := e.(*event.DeadLetter); ok {
			o.Cause = processors.Cause(d.Cause)
		}
	}
	if c.record != nil {
		o.Inherit = true
		if o.SameKey = bytes.Equal(key, c.record.Key); o.SameKey {
			o.Key = c.record.Key
		}
	}
	if !o.SameKey {
		o.Key = c.arena.copy(key)
	}
	c.out = append(c.out, o)
}

// EmitRaw is for processors.Context.
func (c *taskContext) EmitRaw(to topics.ID, key, value []byte, headers []processors.Header) {
	o := Output{To: to, Tag: c.tag, Key: c.arena.copy(key), Value: c.arena.copy(value)}
	o.SameKey = c.record != nil && bytes.Equal(key, c.record.Key)
	if len(headers) > 0 {
		o.Headers = make([]processors.Header, len(headers))
		for i, h := range headers {
			o.Headers[i] = processors.Header{Key: h.Key, Value: c.arena.copy(h.Value)}
		}
	}
	c.out = append(c.out, o)
}
