package store

// An index finds the cell of a key: open addressing with linear probing over 32 bits of hash and 1 + address. The position
// comes from the same 32 bits, so growing and removing read no key.
type index struct {
	slots []uint64 // hash<<32 | 1+address; 0 is empty
	n     int
}

const firstIndex = 1 << 6

func slotOf(hash, at uint32) uint64 { return uint64(hash)<<32 | uint64(at+1) }

func (x *index) mask() uint32 { return uint32(len(x.slots) - 1) }

// add enters a cell whose key is not there yet.
func (x *index) add(hash, at uint32) {
	if 3*(x.n+1) > 2*len(x.slots) {
		x.grow()
	}
	x.n++
	x.place(slotOf(hash, at))
}

func (x *index) place(slot uint64) {
	i, mask := uint32(slot>>32)&x.mask(), x.mask()
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]uint64, max(firstIndex, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			x.place(slot)
		}
	}
}

// position is where a cell that is there is entered.
func (x *index) position(hash, at uint32) uint32 {
	mask := x.mask()
	i := hash & mask
	for x.slots[i] != slotOf(hash, at) {
		i = (i + 1) & mask
	}
	return i
}

// move tells that what lay at one address now lies at another.
func (x *index) move(hash, from, to uint32) { x.slots[x.position(hash, from)] = slotOf(hash, to) }

// remove takes out a cell that is there. Slots behind it move up, so that no probe ever meets a grave.
func (x *index) remove(hash, at uint32) {
	mask := x.mask()
	i := x.position(hash, at)
	x.n--
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		home := uint32(x.slots[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask { // it may lie at i: its home is not between i and itself
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
