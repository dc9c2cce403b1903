package sink

import "crossdock/avro/event"

// deadLetterRows are rows of dead_letters. Keys, values and the values of headers are bytes as they were: those alone need
// not be UTF-8.
type deadLetterRows struct {
	decoded event.DeadLetter

	id, detail, position, remedy, key, value, rawRef text
	stage, cause, topic, source                      symbols
	partition, part                                  scalars[int32]
	offset                                           scalars[int64]
	attempt                                          scalars[uint32]
	headerNames, headerValues                        texts
	failedAt                                         times
}

func newDeadLetterRows() *deadLetterRows { return &deadLetterRows{} }

func (r *deadLetterRows) event() event.Record { return &r.decoded }

func (r *deadLetterRows) columns() []namedColumn {
	return []namedColumn{
		{"id", &r.id}, {"stage", &r.stage}, {"cause", &r.cause}, {"detail", &r.detail}, {"position", &r.position},
		{"remedy", &r.remedy}, {"topic", &r.topic}, {"partition", &r.partition}, {"offset", &r.offset}, {"part", &r.part},
		{"key", &r.key}, {"value", &r.value}, {"header_names", &r.headerNames}, {"header_values", &r.headerValues},
		{"raw_ref", &r.rawRef}, {"source", &r.source}, {"attempt", &r.attempt}, {"failed_at", &r.failedAt},
	}
}

func (r *deadLetterRows) add() (event.Micros, error) {
	e := &r.decoded
	var c check
	c.text("id", e.ID)
	c.text("stage", e.Stage)
	c.text("cause", e.Cause)
	c.text("detail", e.Detail)
	c.optional("position", e.Position)
	c.text("remedy", e.Remedy)
	c.text("topic", e.Topic)
	c.optional("raw_ref", e.RawRef)
	c.optional("source", e.Source)
	c.count("attempt", int64(e.Attempt))
	c.time("failed_at", e.FailedAt)
	for _, h := range e.Headers {
		c.text("header_names", h.Name)
	}
	if err := c.err(); err != nil {
		return 0, err
	}
	return r.put(), nil
}

// put makes the decoded event a row without a look at its values. The event's slices are used again for the next record.
func (r *deadLetterRows) put() event.Micros {
	e := &r.decoded
	names, values := make([]string, len(e.Headers)), make([]string, len(e.Headers))
	for i, h := range e.Headers {
		names[i], values[i] = h.Name, string(h.Value)
	}
	r.id.add(e.ID)
	r.stage.add(e.Stage)
	r.cause.add(e.Cause)
	r.detail.add(e.Detail)
	r.position.addOptional(e.Position)
	r.remedy.add(e.Remedy)
	r.topic.add(e.Topic)
	r.partition.add(e.Partition)
	r.offset.add(e.Offset)
	r.part.add(e.Part)
	r.key.add(string(e.Key.Value))
	r.value.add(string(e.Value.Value))
	r.headerNames.add(names)
	r.headerValues.add(values)
	r.rawRef.addOptional(e.RawRef)
	r.source.addOptional(e.Source)
	r.attempt.add(uint32(e.Attempt))
	r.failedAt.add(e.FailedAt)
	return e.FailedAt
}
