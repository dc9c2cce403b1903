// Package event holds Crossdock's canonical events: Go structs and Avro codecs generated from ../schemas, and the few
// types that those share. It knows no framing, no registry and no topic.
//
// Invariants of the codecs, whatever bytes they are given:
//
//   - A decoder reads nothing outside its bytes and never panics; what is wrong is a *DecodeError with field and byte.
//   - It makes room only for items that it has read: a count alone allocates nothing.
//   - It leaves nothing of an earlier event in the struct; the whole of the bytes is one event, or it is refused.
//   - Encoding into room that is there and decoding in place allocate nothing.
//
// The primitives are in read.go and write.go; the generator is ../gen.
package event

// A Record is any canonical event. Its bytes are Avro binary of its current schema, without framing.
type Record interface {
	// Kind names the schema.
	Kind() Kind
	// AppendAvro appends the Avro binary encoding.
	AppendAvro(b []byte) []byte
	// DecodeAvro reads one whole record from b, which may be reused afterwards: texts are copied, into one piece of
	// memory that lives as long as any of them.
	DecodeAvro(b []byte) error
	// DecodeAvroInPlace is DecodeAvro with texts left in place: the record is valid as long as b is neither changed
	// nor reused. It allocates nothing once the record's slices have grown.
	DecodeAvroInPlace(b []byte) error
	// Reset makes the record the zero event and keeps the room of its slices.
	Reset()
}

// An Optional is a field that may be null. The zero value is null.
type Optional[T any] struct {
	Value T
	Valid bool
}

// Some is an Optional that is not null.
func Some[T any](v T) Optional[T] { return Optional[T]{v, true} }

// Or returns the value, or other where it is null.
func (o Optional[T]) Or(other T) T {
	if o.Valid {
		return o.Value
	}
	return other
}

// A Pair is one entry of a map field. Maps are slices here: order is kept and nothing is hashed.
type Pair struct{ Key, Value string }
