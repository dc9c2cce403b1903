package store

// warmKeys is how many keys Warm looks up side by side: as many misses as a core has on their way at a time.
const warmKeys = 16

// Warm touches what look-ups of some keys will read: their slots, and then their cells. It changes nothing. A look-up of a key
// out of a million waits twice for main memory, one wait after the other; those of several keys at a time overlap. The number
// of keys that seem to be in memory is a guess, and never too small by much.
func (p *Partition) Warm(keys [][]byte) (found int) {
	var slots [warmKeys]uint64
	sum := byte(0)
	for len(keys) > 0 {
		n := min(len(keys), warmKeys)
		mask := p.index.mask()
		for i, key := range keys[:n] {
			hash := hashOf(key)
			slot := p.index.slots[hash&mask]
			if uint32(slot>>32) != hash {
				slot = 0
			}
			slots[i] = slot
		}
		for _, slot := range slots[:n] {
			if slot != 0 {
				found++
				at := cellOf(slot)
				c := p.cells.chunks[at/chunkUnits]
				o := int(at%chunkUnits) * unit
				sum += c[o] + c[min(o+cacheLine, len(c)-1)]
			}
		}
		keys = keys[n:]
	}
	p.warmth = sum
	return found
}

const cacheLine = 64
