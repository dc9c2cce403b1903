package oracle

import (
	"bytes"

	"crossdock/avro/event"
)

// An entry is what the balance of one key must be.
type entry struct {
	buckets  Buckets
	version  int64
	asOf     int64
	postings uint64 // sum of postingOf
	hash     uint64
	keyAt    uint64 // chunk of the arena times arenaChunk, and where in it
	keyLen   uint32
}

func (e *entry) state() State { return State{e.version, event.Micros(e.asOf), e.buckets} }

const (
	entriesPerSlab = 1 << 14
	arenaChunk     = 1 << 20
)

// A keyTable holds entries by key: an open-addressing index over slabs without pointers, so that millions of them are
// neither copied when they grow nor walked by the collector.
type keyTable struct {
	index []uint32 // entry plus one; 0 is empty
	slabs [][]entry
	used  int
	arena [][]byte // the keys' bytes; a key lies in one chunk
}

func (t *keyTable) len() int { return t.used }

func (t *keyTable) at(i int) *entry { return &t.slabs[i/entriesPerSlab][i%entriesPerSlab] }

// key is valid as long as the table is.
func (t *keyTable) key(e *entry) []byte {
	chunk, at := e.keyAt/arenaChunk, e.keyAt%arenaChunk
	return t.arena[chunk][at : at+uint64(e.keyLen)]
}

// append appends the key of entry i.
func (t *keyTable) append(b []byte, i int) []byte { return append(b, t.key(t.at(i))...) }

func (t *keyTable) find(hash uint64, key []byte) (int, bool) {
	if len(t.index) == 0 {
		return 0, false
	}
	mask := uint64(len(t.index) - 1)
	for at := hash & mask; t.index[at] != 0; at = (at + 1) & mask {
		i := int(t.index[at] - 1)
		if e := t.at(i); e.hash == hash && bytes.Equal(t.key(e), key) {
			return i, true
		}
	}
	return 0, false
}

// open finds the entry of a key, or makes an empty one.
func (t *keyTable) open(hash uint64, key []byte, limit int) (int, error) {
	if i, ok := t.find(hash, key); ok {
		return i, nil
	}
	if t.used >= limit || len(key) > arenaChunk {
		return 0, ErrTooManyKeys
	}
	if t.used*4 >= len(t.index)*3 {
		t.grow()
	}
	i := t.used
	if i%entriesPerSlab == 0 {
		t.slabs = append(t.slabs, make([]entry, entriesPerSlab))
	}
	t.used++
	e := t.at(i)
	e.hash, e.keyLen = hash, uint32(len(key))
	if n := len(t.arena); n == 0 || len(t.arena[n-1])+len(key) > arenaChunk {
		t.arena = append(t.arena, make([]byte, 0, arenaChunk))
	}
	last := len(t.arena) - 1
	e.keyAt = uint64(last)*arenaChunk + uint64(len(t.arena[last]))
	t.arena[last] = append(t.arena[last], key...)
	t.insert(i)
	return i, nil
}

func (t *keyTable) insert(i int) {
	mask := uint64(len(t.index) - 1)
	at := t.at(i).hash & mask
	for t.index[at] != 0 {
		at = (at + 1) & mask
	}
	t.index[at] = uint32(i + 1)
}

func (t *keyTable) grow() {
	t.index = make([]uint32, max(1<<10, 2*len(t.index)))
	for i := range t.used {
		t.insert(i)
	}
}

// A hashSet is a set of 64-bit hashes, 12 to 24 bytes each.
type hashSet struct {
	slots []uint64 // 0 is empty; the hash 0 is kept as 1
	used  int
}

// add says where the hash lies, and whether it is new. Places change when the set grows.
func (s *hashSet) add(hash uint64) (at int, added bool) {
	if s.used*3 >= len(s.slots)*2 {
		old := s.slots
		s.slots = make([]uint64, max(1<<10, 2*len(old)))
		for _, h := range old {
			if h != 0 {
				at, _ := s.place(h)
				s.slots[at] = h
			}
		}
	}
	at, found := s.place(hash)
	if found {
		return at, false
	}
	s.slots[at] = max(1, hash)
	s.used++
	return at, true
}

func (s *hashSet) find(hash uint64) (at int, ok bool) {
	if len(s.slots) == 0 {
		return 0, false
	}
	return s.place(hash)
}

func (s *hashSet) place(hash uint64) (at int, found bool) {
	hash = max(1, hash)
	mask := len(s.slots) - 1
	for at = int(hash>>32) & mask; s.slots[at] != 0; at = (at + 1) & mask {
		if s.slots[at] == hash {
			return at, true
		}
	}
	return at, false
}
