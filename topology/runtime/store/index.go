package store

// An index finds the slot of a key: open addressing with linear probing over 32 bits of hash and 1 + slot. The position
// comes from the same 32 bits, so growing and removing read no key.
type index struct {
	cells []uint64 // hash<<32 | 1+slot; 0 is empty
	n     int
}

const firstIndex = 1 << 6

func (x *index) mask() uint32 { return uint32(len(x.cells) - 1) }

// add enters a slot whose hash and key are not there yet.
func (x *index) add(hash, slot uint32) {
	if 3*(x.n+1) > 2*len(x.cells) {
		x.grow()
	}
	x.n++
	x.place(uint64(hash)<<32 | uint64(slot+1))
}

func (x *index) place(cell uint64) {
	i, mask := uint32(cell>>32)&x.mask(), x.mask()
	for x.cells[i] != 0 {
		i = (i + 1) & mask
	}
	x.cells[i] = cell
}

func (x *index) grow() {
	old := x.cells
	x.cells = make([]uint64, max(firstIndex, 2*len(old)))
	for _, cell := range old {
		if cell != 0 {
			x.place(cell)
		}
	}
}

// remove takes out a slot that is there. Cells behind it move up, so that no probe ever meets a grave.
func (x *index) remove(hash, slot uint32) {
	mask := x.mask()
	i := hash & mask
	for x.cells[i] != uint64(hash)<<32|uint64(slot+1) {
		i = (i + 1) & mask
	}
	x.n--
	for j := (i + 1) & mask; x.cells[j] != 0; j = (j + 1) & mask {
		home := uint32(x.cells[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask { // it may lie at i: its home is not between i and itself
			x.cells[i] = x.cells[j]
			i = j
		}
	}
	x.cells[i] = 0
}
