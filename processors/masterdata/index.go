package masterdata

// An index finds slots by the hash of a name. It is an open-addressing table of 8-byte entries without pointers (a
// million items have some four million names: a Go map of strings would be 400 MB for the collector to walk). Several
// slots may share a hash; whoever looks up compares the names themselves.
//
// An entry is the upper half of the hash, then the slot plus one; 0 is empty. The place of an entry follows from that
// upper half alone, so that growing needs no name.
type index struct {
	entries []uint64
	used    int
}

func (x *index) home(entry uint64) int {
	// The upper 32 bits scaled to the size of the table (Lemire's reduction).
	return int((entry >> 32) * uint64(len(x.entries)) >> 32)
}

func (x *index) add(hash uint64, slot uint32) {
	if x.used >= len(x.entries)*7/10 {
		x.grow()
	}
	x.insert(hash&^0xffffffff | uint64(slot+1))
	x.used++
}

func (x *index) insert(entry uint64) {
	i := x.home(entry)
	for x.entries[i] != 0 {
		if i++; i == len(x.entries) {
			i = 0
		}
	}
	x.entries[i] = entry
}

func (x *index) grow() {
	old := x.entries
	x.entries = make([]uint64, max(64, len(old)*3/2))
	for _, e := range old {
		if e != 0 {
			x.insert(e)
		}
	}
}

// remove takes one entry out and closes the gap, so that no probe ends too early.
func (x *index) remove(hash uint64, slot uint32) {
	if len(x.entries) == 0 {
		return
	}
	entry := hash&^0xffffffff | uint64(slot+1)
	i := x.home(entry)
	for x.entries[i] != entry {
		if x.entries[i] == 0 {
			return
		}
		if i++; i == len(x.entries) {
			i = 0
		}
	}
	x.used--
	n := len(x.entries)
	gap, j := i, i
	for {
		if j++; j == n {
			j = 0
		}
		e := x.entries[j]
		if e == 0 {
			break
		}
		// An entry may fill the gap only if its home is not between the gap and where it stands now.
		if (j-x.home(e)+n)%n >= (j-gap+n)%n {
			x.entries[gap] = e
			gap = j
		}
	}
	x.entries[gap] = 0
}

// A probe walks the slots that share a hash.
type probe struct {
	x    *index
	want uint32
	at   int
}

func (x *index) probe(hash uint64) probe {
	if len(x.entries) == 0 {
		return probe{}
	}
	return probe{x: x, want: uint32(hash >> 32), at: x.home(hash)}
}

// next returns the next slot, or false at the end.
func (p *probe) next() (slot uint32, ok bool) {
	if p.x == nil {
		return 0, false
	}
	for {
		e := p.x.entries[p.at]
		if e == 0 {
			return 0, false
		}
		if p.at++; p.at == len(p.x.entries) {
			p.at = 0
		}
		if uint32(e>>32) == p.want {
			return uint32(e) - 1, true
		}
	}
}
