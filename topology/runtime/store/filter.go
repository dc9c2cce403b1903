package store

// A filter knows which keys a partition may have, by 32 bits of their hashes: open addressing, of which the position is the
// hash itself, so it grows without the keys. A key that it does not know is not there. One that it knows is not there in one
// of 2^32 / keys cases, which costs a read in vain. It takes 6 to 11 bytes a key. Keys are not taken out: a partition makes
// a new one when many have gone.
type filter struct {
	slots []uint32
	n     int
	zero  bool // the hash 0 is in it
}

const firstFilter = 1 << 8

func (f *filter) has(hash uint32) bool {
	if hash == 0 {
		return f.zero
	}
	if len(f.slots) == 0 {
		return false
	}
	mask := uint32(len(f.slots) - 1)
	for i := hash & mask; f.slots[i] != 0; i = (i + 1) & mask {
		if f.slots[i] == hash {
			return true
		}
	}
	return false
}

// add says whether the hash is new.
func (f *filter) add(hash uint32) bool {
	if hash == 0 {
		was := f.zero
		f.zero = true
		return !was
	}
	if 4*(f.n+1) > 3*len(f.slots) {
		f.grow(max(firstFilter, 2*len(f.slots)))
	}
	if !f.place(hash) {
		return false
	}
	f.n++
	return true
}

func (f *filter) place(hash uint32) bool {
	mask := uint32(len(f.slots) - 1)
	i := hash & mask
	for f.slots[i] != 0 {
		if f.slots[i] == hash {
			return false
		}
		i = (i + 1) & mask
	}
	f.slots[i] = hash
	return true
}

// expect makes room for so many hashes.
func (f *filter) expect(n int) {
	size := firstFilter
	for size*3 < n*4 {
		size *= 2
	}
	f.grow(size)
}

func (f *filter) grow(to int) {
	old := f.slots
	f.slots = make([]uint32, to)
	for _, hash := range old {
		if hash != 0 {
			f.place(hash)
		}
	}
}

// size is its memory in bytes.
func (f *filter) size() int { return 4 * len(f.slots) }
