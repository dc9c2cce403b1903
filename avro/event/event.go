// Package event holds Crossdock's canonical events: Go structs and Avro codecs generated from ../schemas, and the few
// types that those share.
package event

// A Record is any canonical event. Its bytes are Avro binary of its current schema, without framing.
type Record interface {
	// Kind names the schema.
	Kind() Kind
	// AppendAvro appends the Avro binary encoding.
	AppendAvro(b []byte) []byte
	// DecodeAvro reads one whole record from b, which may be reused afterwards: texts are copied.
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
