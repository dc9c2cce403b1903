package store

// An index finds the cell of a key: open addressing with linear probing over 32 bits of hash, a bit that says that the key
// was looked up lately, and 1 + address. The position comes from the same 32 bits, so growing and removing read no key.
type index struct {
	slots []uint64 // hash<<32 | 1+address; 0 is empty
	n     int
}

const firstIndex = 1 << 6

// used is the bit of a slot that the clock of a cache looks at. It leaves 31 bits of address: 16 GiB a partition.
const used = uint64(1) << 31

// cellOf is the address in a slot that is not empty.
func cellOf(slot uint64) uint32 { return uint32(slot&^used) - 1 }

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

func (x *index) grow() { x.resize(max(firstIndex, 2*len(x.slots))) }

// shrink leaves the index between a quarter and half full.
func (x *index) shrink() {
	to := firstIndex
	for to < 2*x.n {
		to *= 2
	}
	x.resize(to)
}

func (x *index) resize(to int) {
	old := x.slots
	x.slots = make([]uint64, to)
	for _, slot := range old {
		if slot != 0 {
			x.place(slot)
		}
	}
}

// find is where the cell of a key is entered.
func (x *index) find(hash uint32, key []byte, of *cells) (at uint32, there bool) {
	mask := x.mask()
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := x.slots[i]
		if slot == 0 {
			return 0, false
		}
		if uint32(slot>>32) == hash && string(of.key(cellOf(slot))) == string(key) {
			return i, true
		}
	}
}

// position is where a cell that is there is entered.
func (x *index) position(hash, at uint32) uint32 {
	mask := x.mask()
	i := hash & mask
	for x.slots[i]&^used != slotOf(hash, at) {
		i = (i + 1) & mask
	}
	return i
}

// move tells that what lay at one address now lies at another.
func (x *index) move(hash, from, to uint32) {
	slot := &x.slots[x.position(hash, from)]
	*slot = slotOf(hash, to) | *slot&used
}

// remove takes out a cell that is there. Slots behind it move up, so that no probe ever meets a grave.
func (x *index) remove(hash, at uint32) { x.removeAt(x.position(hash, at)) }

// removeAt takes out what is entered at a position.
func (x *index) removeAt(i uint32) {
	mask := x.mask()
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

func (x *index) size() int { return len(x.slots) * 8 }
