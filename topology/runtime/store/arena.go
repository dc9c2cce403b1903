package store

import "math/bits"

// Memory is counted in units of 8 bytes, so that a 32-bit address reaches 32 GiB.
const (
	unit       = 8
	chunkUnits = 1 << 17 // 1 MiB: the largest cell fits in one chunk
	firstUnits = 1 << 11 // 16 KiB: what an almost empty partition costs
)

// units is how many of them hold n bytes, at least one.
func units(n int) uint32 { return max(1, uint32(n+unit-1)/unit) }

// An arena hands out memory in rising order from chunks that the garbage collector never looks into. Chunk 0 starts small
// and is moved while it grows; a slice of it that was handed out before keeps the old bytes.
type arena struct {
	chunks [][]byte
	next   uint32 // address of the first unit that was never handed out
}

// alloc hands out n units in one piece. tail is what is left over of a chunk that n does not fit in.
func (a *arena) alloc(n uint32) (at, tail, tailUnits uint32) {
	chunk, used := int(a.next/chunkUnits), a.next%chunkUnits
	if used > 0 && used+n > chunkUnits {
		tail, tailUnits = a.next, chunkUnits-used
		a.growFirst(chunkUnits)
		chunk, used = chunk+1, 0
		a.next = uint32(chunk) * chunkUnits
	}
	if chunk == 0 {
		a.growFirst(used + n)
	} else if chunk == len(a.chunks) {
		a.chunks = append(a.chunks, make([]byte, chunkUnits*unit))
	}
	at = a.next
	a.next += n
	return at, tail, tailUnits
}

// growFirst makes chunk 0 hold n units: a power of two of them.
func (a *arena) growFirst(n uint32) {
	if len(a.chunks) == 0 {
		a.chunks = append(a.chunks, nil)
	}
	if int(n)*unit <= len(a.chunks[0]) {
		return
	}
	grown := make([]byte, max(firstUnits, 1<<bits.Len32(n-1))*unit)
	copy(grown, a.chunks[0])
	a.chunks[0] = grown
}

// bytes is the memory at an address. Appending to it never reaches what lies behind.
func (a *arena) bytes(at uint32, n int) []byte {
	c, o := a.chunks[at/chunkUnits], int(at%chunkUnits)*unit
	return c[o : o+n : o+n]
}

// reset takes back all that was handed out, and gives chunks beyond keep back to the collector.
func (a *arena) reset(keep int) {
	a.next = 0
	if len(a.chunks) > keep {
		clear(a.chunks[keep:])
		a.chunks = a.chunks[:keep]
	}
}

func (a *arena) size() int {
	if len(a.chunks) == 0 {
		return 0
	}
	return len(a.chunks[0]) + (len(a.chunks)-1)*chunkUnits*unit
}

// Size classes of cells: each multiple of 8 bytes up to 128, then eight steps between powers of two, so that at most an
// eighth of a cell is empty.
const (
	smallClasses = 16
	classes      = smallClasses + 8*13 // up to 1 MiB
)

// classOf is the smallest class that holds n units, n > 0.
func classOf(n uint32) uint8 {
	if n <= smallClasses {
		return uint8(n - 1)
	}
	k := bits.Len32(n-1) - 5
	step := uint32(2) << k
	return uint8(smallClasses + 8*uint32(k) + (n-smallClasses<<k+step-1)/step - 1)
}

// classUnits is the size of a class's cells.
func classUnits(class uint8) uint32 {
	if class < smallClasses {
		return uint32(class) + 1
	}
	k, j := (class-smallClasses)/8, uint32(class-smallClasses)%8+1
	return smallClasses<<k + j<<(k+1)
}
