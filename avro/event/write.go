package event

import "encoding/binary"

// The writers below are the primitives of the generated encoders.

// appendLong appends an Avro long; an int has the same form.
func appendLong(b []byte, v int64) []byte {
	w := uint64(v<<1) ^ uint64(v>>63)
	for w >= 0x80 {
		b = append(b, byte(w)|0x80)
		w >>= 7
	}
	return append(b, byte(w))
}

// appendText appends an Avro string, or bytes: they have the same form.
func appendText[T string | []byte](b []byte, t T) []byte {
	if len(t) < 64 {
		b = append(b, byte(len(t)<<1))
		return append(b, t...)
	}
	return append(appendLong(b, int64(len(t))), t...)
}

func appendBoolean(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendQuantity(b []byte, q Quantity) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(q))
}

// The head of an optional value: the branch of ["null", T].
const (
	branchNull  = 0 << 1
	branchValue = 1 << 1
)
