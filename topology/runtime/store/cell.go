package store

import "encoding/binary"

// A head is the beginning of a cell; key and value follow it, so that a look-up that has found the cell has found all.
//
//	0  1 + index of the pending value, 0 where there is none; of a free cell, 1 + address of the next free one
//	4  length of the value
//	8  length of the key
//	10 size class
//	11 state
//	12 number of the flush that takes the value at rest to the disk; 0: it is there, or there is no disk
type head [headBytes]byte

const headBytes = 16

const (
	freed  = iota
	opened // by this transaction: there is a key, but no value at rest
	atRest
	gone // deleted at rest, which the disk has yet to be told
)

func (h *head) pend() uint32     { return binary.LittleEndian.Uint32(h[0:]) }
func (h *head) setPend(i uint32) { binary.LittleEndian.PutUint32(h[0:], i) }
func (h *head) valueLen() int    { return int(binary.LittleEndian.Uint32(h[4:])) }
func (h *head) keyLen() int      { return int(binary.LittleEndian.Uint16(h[8:])) }
func (h *head) class() uint8     { return h[10] }
func (h *head) state() uint8     { return h[11] }
func (h *head) settle(valueLen int) {
	binary.LittleEndian.PutUint32(h[4:], uint32(valueLen))
	h[11] = atRest
}

// entomb leaves the key without a value at rest.
func (h *head) entomb() {
	binary.LittleEndian.PutUint32(h[4:], 0)
	h[11] = gone
}

func (h *head) flush() uint32     { return binary.LittleEndian.Uint32(h[12:]) }
func (h *head) setFlush(n uint32) { binary.LittleEndian.PutUint32(h[12:], n) }

// vacate marks the cell of a key as nobody's, before it is released.
func (h *head) vacate() {
	h[11] = freed
	h.setFlush(0)
}

func newHead(keyLen int, class uint8) (h head) {
	binary.LittleEndian.PutUint16(h[8:], uint16(keyLen))
	h[10], h[11] = class, opened
	return h
}

// cells keeps what is at rest: cells of size classes carved from an arena, those given back in one list a class, which is
// threaded through the free cells themselves.
type cells struct {
	arena
	free      [classes]uint32 // 1 + address of the first free cell
	freeUnits int
}

// cellClass is the class of the cell for a key and a value of these lengths.
func cellClass(key, value int) uint8 { return classOf(units(headBytes + key + value)) }

func (c *cells) head(at uint32) *head { return (*head)(c.bytes(at, headBytes)) }

// key is the key of a cell. Like every slice and head of a cell it is read before the next alloc.
func (c *cells) key(at uint32) []byte {
	return c.bytes(at, headBytes+c.head(at).keyLen())[headBytes:]
}

// value is the value at rest of a cell.
func (c *cells) value(at uint32) []byte {
	h := c.head(at)
	key := headBytes + h.keyLen()
	return c.bytes(at, key+h.valueLen())[key:]
}

func (c *cells) alloc(class uint8) uint32 {
	n := classUnits(class)
	if first := c.free[class]; first != 0 {
		c.free[class] = c.link(first - 1)
		c.freeUnits -= int(n)
		return first - 1
	}
	at, tail, left := c.arena.alloc(n)
	for left > 0 {
		class := classOf(left)
		if classUnits(class) > left {
			class--
		}
		c.release(tail, class)
		tail, left = tail+classUnits(class), left-classUnits(class)
	}
	return at
}

func (c *cells) release(at uint32, class uint8) {
	binary.LittleEndian.PutUint32(c.bytes(at, 4), c.free[class])
	c.free[class] = at + 1
	c.freeUnits += int(classUnits(class))
}

// link is the link in a free cell, which may be too small for a head.
func (c *cells) link(at uint32) uint32 { return binary.LittleEndian.Uint32(c.bytes(at, 4)) }
