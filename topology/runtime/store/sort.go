package store

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// sort puts the keys in order: by the eight bytes behind what all have in common, digit by digit from the last, which costs a key
// the same however many there are, and those few that have these in common by the rest. Comparing all of them takes four times as
// long.
func (b *batch) sort() {
	common := b.common()
	var counts [digits][256]uint32
	var word [8]byte
	for i := range b.entries {
		e := &b.entries[i]
		word = [8]byte{}
		copy(word[:], b.key(e)[common:])
		e.first = binary.BigEndian.Uint64(word[:])
		for d := range counts {
			counts[d][byte(e.first>>(8*d))]++
		}
	}
	from, to := b.entries, slices.Grow(b.order[:0], len(b.entries))[:len(b.entries)]
	for d := range counts {
		count, shift := &counts[d], 8*d
		if len(from) > 0 && int(count[byte(from[0].first>>shift)]) == len(from) {
			continue // all have the same digit here
		}
		at := uint32(0)
		for i, n := range count {
			count[i], at = at, at+n
		}
		for i := range from {
			digit := byte(from[i].first >> shift)
			to[count[digit]] = from[i]
			count[digit]++
		}
		from, to = to, from
	}
	b.entries, b.order = from, to
	for i := 0; i < len(from); {
		n := i + 1
		for n < len(from) && from[n].first == from[i].first {
			n++
		}
		if n-i > 1 {
			slices.SortStableFunc(from[i:n], func(x, y entry) int { return bytes.Compare(b.key(&x)[common:], b.key(&y)[common:]) })
		}
		i = n
	}
}

const digits = 8

// common is how many bytes all keys begin with alike.
func (b *batch) common() int {
	if len(b.entries) == 0 {
		return 0
	}
	first := b.key(&b.entries[0])
	common := len(first)
	for i := range b.entries {
		key := b.key(&b.entries[i])
		common = min(common, len(key))
		for string(key[:common]) != string(first[:common]) {
			common--
		}
	}
	return common
}
