// Package store keeps the keyed state of one partition in memory, under the transaction that its task is in. It knows no
// broker, no clock and no schema: keys and values are bytes.
//
// A Partition is two layers. What is at rest lies in cells (key and value side by side, in size classes), found by an
// index over entries of 16 bytes; there is no Go map and no pointer in any of it, so a million keys cost the garbage
// collector nothing. What the running transaction has put lies in an arena of its own, and an entry holds the number of
// its pending value: one look-up finds both.
//
// Invariants:
//
//   - What is at rest changes in Commit and Restore only (I1): a value that Get returned stands until its key is put or
//     the transaction ends.
//   - Rollback undoes what was done since the last Savepoint, and nothing else.
//   - Changes are the keys that differ from what is at rest, in the order in which they were first touched.
//   - Get, Put and Delete of keys that are there allocate nothing once the arenas have grown.
//
// A Partition belongs to one goroutine.
package store

import (
	"iter"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"crossdock/processors"
)

const (
	// MaxValue bounds one value in bytes: its changelog record must pass any broker's default of 1 MiB. What can grow
	// further is many records.
	MaxValue = 512 << 10
	// MaxKey bounds one key in bytes.
	MaxKey = 1<<16 - 1

	slabEntries = 1 << 12
	keptChunks  = 8 // of the transaction's arena, between transactions
)

// An entry is one key.
type entry struct {
	cell     uint32 // where key and value lie; of a free entry, 1 + the next free slot
	pend     uint32 // 1 + index of the pending value
	valueLen uint32
	keyLen   uint16
	class    uint8 // of the cell
	state    uint8
}

const (
	unused = iota
	opened // by this transaction: there is a key at rest, but no value
	atRest
)

// A room is memory in the transaction's arena.
type room struct{ at, units uint32 }

// A pending value is what the transaction has put for one key. Its two rooms take turns, so that a key that is put a
// thousand times needs no more than two.
type pending struct {
	slot, hash uint32
	tag        uint32
	mark       uint32 // the savepoint since which it has been put
	length     uint32
	dead       bool
	value      room
	spare      room
}

// An undo is a pending value as it was at the last savepoint. One without a slot was not there.
type undo struct {
	index uint32
	fresh bool
	old   pending
}

// A Partition is the store of one task.
type Partition struct {
	index   index
	slabs   [][]entry
	slots   uint32 // handed out so far, free ones included
	free    uint32 // 1 + first free slot
	cells   cells
	keys    int // that have a value in the transaction's eyes
	resting int // that have one at rest

	arena   arena
	pending []pending
	undos   []undo
	mark    uint32
	tag     uint32
	err     error

	last memo
}

// A memo is the last look-up, so that Put after Get need not repeat it.
type memo struct {
	key  []byte // of a miss
	hash uint32
	slot uint32
	kind uint8
}

const (
	forgotten = iota
	hit
	miss
)

var _ processors.Store = (*Partition)(nil)

// New makes an empty partition of some kilobytes.
func New() *Partition {
	p := &Partition{mark: 1}
	p.index.grow()
	return p
}

func (p *Partition) entry(slot uint32) *entry { return &p.slabs[slot/slabEntries][slot%slabEntries] }

func (p *Partition) key(e *entry) []byte { return p.cells.bytes(e.cell, int(e.keyLen)) }

// rest is the value at rest.
func (p *Partition) rest(e *entry) []byte {
	n := int(e.keyLen)
	b := p.cells.bytes(e.cell, n+int(e.valueLen))
	return b[n:]
}

// current is the value in the transaction's eyes, nil where there is none.
func (p *Partition) current(e *entry) []byte {
	switch {
	case e.pend != 0:
		if d := &p.pending[e.pend-1]; !d.dead {
			return p.arena.bytes(d.value.at, int(d.length))
		}
	case e.state == atRest:
		return p.rest(e)
	}
	return nil
}

// find returns the entry of a key, nil where there is none, and leaves in p.last what was found.
func (p *Partition) find(key []byte) *entry {
	switch p.last.kind {
	case hit:
		if e := p.entry(p.last.slot); string(p.key(e)) == string(key) {
			return e
		}
	case miss:
		if string(p.last.key) == string(key) {
			return nil
		}
	}
	hash := uint32(xxhash.Sum64(key) >> 32)
	p.last.hash = hash
	mask := p.index.mask()
	for i := hash & mask; p.index.cells[i] != 0; i = (i + 1) & mask {
		cell := p.index.cells[i]
		if uint32(cell>>32) != hash {
			continue
		}
		slot := uint32(cell) - 1
		if e := p.entry(slot); string(p.key(e)) == string(key) {
			p.last.kind, p.last.slot = hit, slot
			return e
		}
	}
	p.last.kind, p.last.key = miss, append(p.last.key[:0], key...)
	return nil
}

// open makes an entry for a key that find has just missed, with room for a value of the length given.
func (p *Partition) open(key []byte, value int) *entry {
	slot := p.free - 1
	if p.free != 0 {
		p.free = p.entry(slot).cell
	} else {
		slot = p.slots
		p.slots++
		if slot%slabEntries == 0 {
			room := slabEntries
			if slot == 0 { // a partition may hold few keys
				room = 32
			}
			p.slabs = append(p.slabs, make([]entry, 0, room))
		}
		s := &p.slabs[slot/slabEntries]
		*s = append(*s, entry{})
	}
	class := classOf(units(len(key) + value))
	e := p.entry(slot)
	*e = entry{cell: p.cells.alloc(class), keyLen: uint16(len(key)), class: class, state: opened}
	copy(p.key(e), key)
	p.index.add(p.last.hash, slot)
	p.last.kind, p.last.slot = hit, slot
	return e
}

// closeEntry forgets a key.
func (p *Partition) closeEntry(slot, hash uint32) {
	p.index.remove(hash, slot)
	e := p.entry(slot)
	p.cells.release(e.cell, e.class)
	*e = entry{cell: p.free}
	p.free = slot + 1
	p.last.kind = forgotten
}

// Get returns the value of a key, nil where there is none. It is valid until the key is put or the transaction ends.
func (p *Partition) Get(key []byte) []byte {
	if e := p.find(key); e != nil {
		return p.current(e)
	}
	return nil
}

// Put sets the value of a key within the transaction. A key or value past its bound is not put: Err then says so, and the
// record in hand must be rejected.
func (p *Partition) Put(key, value []byte) {
	if len(key) > MaxKey || len(value) > MaxValue {
		p.tooLarge(key, len(value))
		return
	}
	e := p.find(key)
	if e == nil {
		e = p.open(key, len(value))
	}
	d := p.touch(e)
	if d.dead {
		d.dead = false
		p.keys++
	}
	if d.value.units < units(len(value)) {
		d.value = p.room(len(value))
	}
	d.length = uint32(len(value))
	copy(p.arena.bytes(d.value.at, len(value)), value)
}

// Delete removes a key within the transaction.
func (p *Partition) Delete(key []byte) {
	e := p.find(key)
	if e == nil || p.current(e) == nil {
		return
	}
	p.touch(e).dead = true
	p.keys--
}

// touch returns the pending value of an entry, ready to be written: what it was at the last savepoint is kept.
func (p *Partition) touch(e *entry) *pending {
	if e.pend == 0 {
		p.pending = append(p.pending, pending{slot: p.last.slot, hash: p.last.hash, dead: e.state != atRest})
		e.pend = uint32(len(p.pending))
		p.undos = append(p.undos, undo{index: e.pend - 1, fresh: true})
	}
	d := &p.pending[e.pend-1]
	if d.mark != p.mark {
		if d.mark != 0 {
			p.undos = append(p.undos, undo{index: e.pend - 1, old: *d})
			d.value, d.spare = d.spare, d.value
		}
		d.mark = p.mark
	}
	d.tag = p.tag
	return d
}

// room is for a value and a little growth.
func (p *Partition) room(n int) room {
	u := units(n) + uint32(n)/(8*unit) + 1
	at, _, _ := p.arena.alloc(u)
	return room{at, u}
}

func (p *Partition) tooLarge(key []byte, value int) {
	if p.err == nil {
		p.err = processors.Rejectf(processors.TooLarge, "what grows without end must be many records",
			"state of key %.80q is %d bytes with a key of %d; a value may have %d, a key %d",
			key, value, len(key), MaxValue, MaxKey)
	}
}

// Err says why a Put since the last Savepoint was not done, as a *processors.Rejection; nil if all were.
func (p *Partition) Err() error { return p.err }

// Savepoint begins a record: Rollback comes back to here, and what is put from here on carries tag (the record's index in
// its batch, say).
func (p *Partition) Savepoint(tag uint32) {
	p.tag = tag
	p.err = nil
	p.undos = p.undos[:0]
	p.mark++
	if p.mark == 0 { // 2^32 savepoints in one transaction cannot be, but over many they can
		p.mark = 1
		for i := range p.pending {
			p.pending[i].mark = 1<<32 - 1
		}
	}
}

// Rollback undoes every Put and Delete since the last Savepoint.
func (p *Partition) Rollback() {
	for i := len(p.undos) - 1; i >= 0; i-- {
		u := &p.undos[i]
		d := &p.pending[u.index]
		e := p.entry(d.slot)
		before := !d.dead
		var after bool
		if u.fresh {
			after = e.state == atRest
			e.pend = 0
			if e.state == opened {
				p.closeEntry(d.slot, d.hash)
			}
			p.pending = p.pending[:u.index]
		} else {
			after = !u.old.dead
			*d = u.old
		}
		p.keys += count(after) - count(before)
	}
	p.undos = p.undos[:0]
	p.err = nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A Change is one key that the transaction has changed.
type Change struct {
	Key   []byte // valid until the transaction ends
	Value []byte // nil: deleted
	Tag   uint32 // of the last savepoint before the last Put or Delete
}

// Changes are the keys that the transaction has changed, each once, in the order in which they were first touched. A key
// that came and went within the transaction is none. What is put during the iteration is part of it.
func (p *Partition) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for i := 0; i < len(p.pending); i++ {
			d := &p.pending[i]
			e := p.entry(d.slot)
			if d.dead && e.state != atRest {
				continue
			}
			if !yield(Change{Key: p.key(e), Value: p.current(e), Tag: d.tag}) {
				return
			}
		}
	}
}

// Commit makes what was put the state at rest: call it when the broker has reported the commit, never before.
func (p *Partition) Commit() {
	for i := range p.pending {
		d := &p.pending[i]
		e := p.entry(d.slot)
		e.pend = 0
		if d.dead {
			p.closeEntry(d.slot, d.hash)
			continue
		}
		p.settle(e, p.arena.bytes(d.value.at, int(d.length)))
	}
	p.resting = p.keys
	p.end()
}

// settle writes a value at rest, into a cell of another class where it needs one.
func (p *Partition) settle(e *entry, value []byte) {
	if class := classOf(units(int(e.keyLen) + len(value))); class != e.class {
		old, oldClass := e.cell, e.class
		key := p.key(e)
		e.cell, e.class = p.cells.alloc(class), class
		copy(p.key(e), key)
		p.cells.release(old, oldClass)
	}
	e.valueLen, e.state = uint32(len(value)), atRest
	copy(p.rest(e), value)
}

// Abort drops what was put.
func (p *Partition) Abort() {
	for i := range p.pending {
		d := &p.pending[i]
		e := p.entry(d.slot)
		e.pend = 0
		if e.state == opened {
			p.closeEntry(d.slot, d.hash)
		}
	}
	p.keys = p.resting
	p.end()
}

func (p *Partition) end() {
	p.pending, p.undos, p.err = p.pending[:0], p.undos[:0], nil
	p.arena.reset(keptChunks)
	p.last.kind = forgotten
}

// Restore sets the value of a key at rest, as a changelog tells it: nil deletes. It is for a partition that no
// transaction has begun on. An error is a *processors.Rejection: the changelog holds what no store has written.
func (p *Partition) Restore(key, value []byte) error {
	if len(key) > MaxKey || len(value) > MaxValue {
		p.tooLarge(key, len(value))
		err := p.err
		p.err = nil
		return err
	}
	e := p.find(key)
	if value == nil {
		if e != nil {
			p.closeEntry(p.last.slot, p.last.hash)
			p.resting--
		}
		p.keys = p.resting
		return nil
	}
	if e == nil {
		e = p.open(key, len(value))
		p.resting++
	}
	p.settle(e, value)
	p.keys = p.resting
	return nil
}

// Each calls f for every key in the transaction's eyes, in no order, until f returns false. f must not change the store.
func (p *Partition) Each(f func(key, value []byte) bool) {
	for _, slab := range p.slabs {
		for i := range slab {
			if e := &slab[i]; e.state != unused {
				if v := p.current(e); v != nil && !f(p.key(e), v) {
					return
				}
			}
		}
	}
}

// Len counts the keys in the transaction's eyes.
func (p *Partition) Len() int { return p.keys }

// Pending is how many bytes the transaction holds. The runner ends a transaction early when it passes its bound.
func (p *Partition) Pending() int {
	return int(p.arena.next)*unit + len(p.pending)*int(unsafe.Sizeof(pending{}))
}

// Stats says what a partition holds and costs.
type Stats struct {
	Keys    int // in the transaction's eyes
	Changed int // touched by the transaction
	Pending int // bytes of the transaction
	Bytes   int // of memory that state at rest and its index hold, free cells included
	Free    int // bytes of it that are free to be used again
}

// Stats reads the partition's figures. Only the owner may.
func (p *Partition) Stats() Stats {
	s := Stats{Keys: p.keys, Changed: len(p.pending), Pending: p.Pending(), Free: p.cells.freeUnits * unit}
	s.Bytes = p.cells.size() + 8*len(p.index.cells)
	for _, slab := range p.slabs {
		s.Bytes += cap(slab) * int(unsafe.Sizeof(entry{}))
	}
	return s
}
