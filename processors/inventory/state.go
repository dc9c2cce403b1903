package inventory

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"crossdock/avro/event"
)

const (
	// remembered is how many dedupe hashes a key keeps (N2, its hot part).
	remembered = 64

	// buckets is how many buckets there are; EXTERNAL, the world outside, is the first and is never stored: it is what
	// makes the sum of all zero (N1).
	buckets = int(event.BucketClearing) + 1

	formatVersion = 1
	flagPolicy    = 1 << 0

	hashSize = 8
)

// A state is the stock of one SKU at one site, opened from its packed form. Its memory is a view of those bytes.
//
// Packed: format version (1 byte), flags (1 byte), postings (uvarint), as of (8 bytes, little endian), posted at as
// the distance from as of (varint); where a policy is known its version (uvarint) and the safety stock (varint); a
// bitmap of the buckets that are not zero (2 bytes, little endian) and a varint for each; the number of hashes in memory
// (1 byte), which of them is the oldest (1 byte), the hashes (8 bytes each, little endian). About 35 bytes for a key
// that has moved once, 560 for one that moves all day.
type state struct {
	postings      int64 // applied so far: the version of the balance
	asOf          event.Micros
	postedAt      event.Micros
	hasPolicy     bool
	policyVersion int64
	safetyStock   event.Quantity
	bucket        [buckets]event.Quantity
	memory        []byte // dedupe hashes; a ring once it is full
	oldest        byte   // which of a full ring is overwritten next
}

var errCorrupt = errors.New("inventory: the packed stock of a key is cut or damaged")

// open reads a packed state; nil is a key that nothing has touched. It allocates nothing.
func (s *state) open(b []byte) error {
	*s = state{}
	if b == nil {
		return nil
	}
	if len(b) < 2 || b[0] != formatVersion {
		return errCorrupt
	}
	flags := b[1]
	at := 2
	ok := true
	unsigned := func() uint64 {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			ok = false
			return 0
		}
		at += n
		return v
	}
	signed := func() int64 {
		v := unsigned()
		return int64(v>>1) ^ -int64(v&1)
	}
	s.postings = int64(unsigned())
	if !ok || len(b) < at+8 {
		return errCorrupt
	}
	s.asOf = event.Micros(binary.LittleEndian.Uint64(b[at:]))
	at += 8
	s.postedAt = s.asOf + event.Micros(signed())
	if flags&flagPolicy != 0 {
		s.hasPolicy = true
		s.policyVersion = int64(unsigned())
		s.safetyStock = event.Quantity(signed())
	}
	if !ok || len(b) < at+2 {
		return errCorrupt
	}
	used := binary.LittleEndian.Uint16(b[at:])
	at += 2
	if used>>buckets != 0 {
		return errCorrupt
	}
	for ; used != 0; used &= used - 1 {
		s.bucket[bits.TrailingZeros16(used)] = event.Quantity(signed())
	}
	if !ok || len(b) < at+2 {
		return errCorrupt
	}
	n := int(b[at])
	s.oldest = b[at+1]
	at += 2
	if n > remembered || int(s.oldest) >= remembered || len(b) != at+n*hashSize {
		return errCorrupt
	}
	s.memory = b[at:]
	return nil
}

// remembers says whether a hash is in the key's memory.
func (s *state) remembers(hash uint64) bool {
	m := s.memory
	for len(m) >= hashSize {
		if binary.LittleEndian.Uint64(m) == hash {
			return true
		}
		m = m[hashSize:]
	}
	return false
}

// appendTo packs the state as it is.
func (s *state) appendTo(b []byte) []byte {
	b = s.appendStock(b)
	b = append(b, byte(len(s.memory)/hashSize), s.oldest)
	return append(b, s.memory...)
}

// appendWith packs the state with one more hash in its memory; a full memory forgets its oldest.
func (s *state) appendWith(b []byte, hash uint64) []byte {
	b = s.appendStock(b)
	if n := len(s.memory) / hashSize; n < remembered {
		b = append(b, byte(n+1), s.oldest)
		b = append(b, s.memory...)
		return binary.LittleEndian.AppendUint64(b, hash)
	}
	b = append(b, remembered, (s.oldest+1)%remembered)
	at := len(b) + int(s.oldest)*hashSize
	b = append(b, s.memory...)
	binary.LittleEndian.PutUint64(b[at:], hash)
	return b
}

func (s *state) appendStock(b []byte) []byte {
	var flags byte
	if s.hasPolicy {
		flags |= flagPolicy
	}
	b = append(b, formatVersion, flags)
	b = binary.AppendUvarint(b, uint64(s.postings))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.asOf))
	b = binary.AppendVarint(b, int64(s.postedAt-s.asOf))
	if s.hasPolicy {
		b = binary.AppendUvarint(b, uint64(s.policyVersion))
		b = binary.AppendVarint(b, int64(s.safetyStock))
	}
	bitmap := len(b)
	b = append(b, 0, 0)
	var used uint16
	for i := 1; i < buckets; i++ {
		if q := s.bucket[i]; q != 0 {
			used |= 1 << i
			b = binary.AppendVarint(b, int64(q))
		}
	}
	binary.LittleEndian.PutUint16(b[bitmap:], used)
	return b
}

// onHand is the stock that lies on site: AVAILABLE to RETURNED. Eight buckets of 18 digits fit in 64 bits.
func (s *state) onHand() event.Quantity {
	var sum event.Quantity
	for i := event.BucketAvailable; i <= event.BucketReturned; i++ {
		sum += s.bucket[i]
	}
	return sum
}

// negative says whether stock is below zero anywhere. CLEARING is not stock: one half of a move across keys is negative
// there by nature.
func (s *state) negative() bool {
	for i := event.BucketAvailable; i < event.BucketClearing; i++ {
		if s.bucket[i] < 0 {
			return true
		}
	}
	return false
}

// availableToSell is what may be promised: never below zero, whatever the true balance is (N8).
func (s *state) availableToSell() event.Quantity {
	return max(0, s.bucket[event.BucketAvailable]-s.safetyStock)
}
