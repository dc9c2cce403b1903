package event

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// The readers below are the primitives of the generated decoders. Each reads one value of s at i and returns the position
// after it, or a negative one, whose meaning is in error.go. They read a string, not a slice, for three reasons: a text is
// then a substring, which costs a bounds check and no conversion; a substring never points past the end of its memory,
// where the garbage collector forbids a pointer; and a string is passed in two registers instead of three.
//
// They never read past len(s), and the position that they return never passes it.

// inPlace sees bytes as a string without copying them.
func inPlace(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// long reads an Avro long: zigzag, little-endian in groups of 7 bits (Avro 1.12 specification, Binary Encoding).
func long(s string, i int) (int64, int) {
	if uint(i) < uint(len(s)) && s[i] < 0x80 {
		return int64(s[i]>>1) ^ -int64(s[i]&1), i + 1
	}
	return longVarint(s, i)
}

// longVarint is long for every length. Times have 8 bytes, so those are read in one load: the groups of 7 bits are pushed
// together in three steps instead of in a loop (a movement in place takes 116 ns instead of 137).
func longVarint(s string, i int) (int64, int) {
	if uint(i) < uint(len(s)) && len(s)-i >= 8 {
		w := binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s[i:]), 8))
		if stop := ^w & 0x8080808080808080; stop != 0 {
			n := bits.TrailingZeros64(stop) + 1 // bits in use, a multiple of 8
			w &= math.MaxUint64 >> (64 - n)
			w = w&0x007f007f007f007f | w&0x7f007f007f007f00>>1
			w = w&0x00003fff00003fff | w&0x3fff00003fff0000>>2
			w = w&0x000000000fffffff | w&0x0fffffff00000000>>4
			return int64(w>>1) ^ -int64(w&1), i + n/8
		}
	}
	var w uint64
	for shift := 0; ; shift += 7 {
		if uint(i) >= uint(len(s)) {
			return 0, failTruncated
		}
		c := s[i]
		i++
		if shift == 63 && c > 1 {
			return 0, failVarint
		}
		w |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(w>>1) ^ -int64(w&1), i
		}
	}
}

// integer reads an Avro int.
func integer(s string, i int) (int32, int) {
	v, n := long(s, i)
	if n >= 0 && int64(int32(v)) != v {
		return 0, failInt
	}
	return int32(v), n
}

// shortText returns where a text of at most 63 bytes ends, the usual case; 0: text must look. It is small enough to be
// inlined.
func shortText(s string, i int) int {
	if uint(i) < uint(len(s)) && s[i]&0x81 == 0 {
		if end := i + 1 + int(s[i]>>1); end <= len(s) {
			return end
		}
	}
	return 0
}

// text reads an Avro string of any length, left in place. That it is UTF-8 is not checked: what a source sent as text is
// kept as it is.
func text(s string, i int) (string, int) {
	size, n := long(s, i)
	switch {
	case n < 0:
		return "", n
	case size < 0:
		return "", failLength
	case size > int64(len(s)-n):
		return "", failTruncated
	}
	return s[n : n+int(size)], n + int(size)
}

// binaryText reads Avro bytes, left in place.
func binaryText(s string, i int) ([]byte, int) {
	t, n := text(s, i)
	if len(t) == 0 {
		return nil, n
	}
	return unsafe.Slice(unsafe.StringData(t), len(t)), n
}

// boolean reads an Avro boolean.
func boolean(s string, i int) (bool, int) {
	if uint(i) >= uint(len(s)) {
		return false, failTruncated
	}
	if s[i] > 1 {
		return false, failBoolean
	}
	return s[i] == 1, i + 1
}

// quantity reads the fixed(8) of a Quantity.
func quantity(s string, i int) (Quantity, int) {
	if len(s)-i < 8 {
		return 0, failTruncated
	}
	return Quantity(binary.BigEndian.Uint64(unsafe.Slice(unsafe.StringData(s[i:i+8]), 8))), i + 8
}

// micros reads a timestamp-micros, which never has one byte only.
func micros(s string, i int) (Micros, int) {
	v, n := longVarint(s, i)
	return Micros(v), n
}

// date reads a date.
func date(s string, i int) (Date, int) {
	v, n := integer(s, i)
	return Date(v), n
}

// symbol reads the index of an enum of count symbols, at most 64. Like branch it takes the number in one byte only, as
// every Avro encoder writes it, and is small enough to be inlined.
func symbol(s string, i int, count uint8) (uint8, int) {
	if uint(i) >= uint(len(s)) {
		return 0, failTruncated
	}
	if s[i]&1 != 0 || s[i]>>1 >= count {
		return 0, failEnum
	}
	return s[i] >> 1, i + 1
}

// branch reads which branch of ["null", T] follows.
func branch(s string, i int) (valid bool, n int) {
	if uint(i) >= uint(len(s)) {
		return false, failTruncated
	}
	if s[i]&^branchValue != 0 {
		return false, failBranch
	}
	return s[i] == branchValue, i + 1
}

// endOfItems tells whether the end of an array or map follows, one zero byte.
func endOfItems(s string, i int) bool { return uint(i) < uint(len(s)) && s[i] == 0 }

// block reads the head of a block of an array or map whose items have at least minSize bytes. end is where the block must
// end, -1 where the writer did not say. A count that the bytes left cannot hold fails here, before anything is made for it;
// so does a count of 0 in several bytes, since endOfItems has looked for the usual one.
func block(s string, i int, minSize int64) (count int64, end, n int) {
	count, n = long(s, i)
	if n < 0 {
		return 0, 0, n
	}
	end = -1
	if count < 0 {
		var size int64
		size, n = long(s, n)
		switch {
		case n < 0:
			return 0, 0, n
		case size < 0:
			return 0, 0, failLength
		case size > int64(len(s)-n):
			return 0, 0, failTruncated
		case count == math.MinInt64:
			return 0, 0, failCount
		}
		count, end = -count, n+int(size)
	}
	if count == 0 || count > int64(len(s)-n)/minSize {
		return 0, 0, failCount
	}
	return count, end, n
}

// pair reads an entry of a map of strings.
func pair(s string, i int) (Pair, int) {
	key, n := text(s, i)
	if n < 0 {
		return Pair{}, n
	}
	value, n := text(s, n)
	return Pair{key, value}, n
}

// extend makes room for one more item and keeps what an earlier use of the slice left there, so that the slices within
// are used again.
func extend[T any](items []T) []T {
	if len(items) < cap(items) {
		return items[:len(items)+1]
	}
	var zero T
	return append(items, zero)
}
