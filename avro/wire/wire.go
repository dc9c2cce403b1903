// Package wire is the framing of a Kafka value that carries Avro: a zero byte, the schema's id as four bytes big-endian,
// and the Avro binary record (Confluent's wire format). It knows no schema and no registry.
package wire

import (
	"encoding/binary"
	"fmt"
)

const (
	// Size is how many bytes the framing takes.
	Size = 5
	// magic is the format's version, the only one there is.
	magic = 0
)

// A FramingError says why bytes are not framed.
type FramingError struct {
	Length int  // of the whole value, bytes
	First  byte // its first byte, 0 where it has none
}

func (e *FramingError) Error() string {
	switch {
	case e.Length == 0:
		return "wire: the value is empty, not an Avro record: a tombstone, or written by a producer without a schema registry"
	case e.First != magic:
		return fmt.Sprintf("wire: the value starts with byte 0x%02x instead of 0x00: the producer must write Confluent framing (0x00, schema id of 4 bytes, Avro)", e.First)
	}
	return fmt.Sprintf("wire: the value has %d bytes, fewer than the %d of its framing: it was cut", e.Length, Size)
}

// Append appends the framing of a schema id; the record's bytes follow.
func Append(b []byte, id int) []byte {
	return append(b, magic, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

// Split returns the schema's id and the record's bytes, which lie in value. An error is a *FramingError.
func Split(value []byte) (id int, payload []byte, err error) {
	if len(value) < Size || value[0] != magic {
		return 0, nil, framingError(value)
	}
	return int(binary.BigEndian.Uint32(value[1:])), value[Size:], nil
}

// framingError is apart to keep Split small enough to be inlined.
func framingError(value []byte) error {
	e := &FramingError{Length: len(value)}
	if len(value) > 0 {
		e.First = value[0]
	}
	return e
}
