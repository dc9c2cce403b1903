// Package store keeps the keyed state of one partition, under the transaction that its task is in. It knows no broker and no
// schema: keys and values are bytes.
//
// A Partition is two layers. What is at rest lies in cells (head, key and value side by side, in size classes), found by
// an index of hashes and addresses; there is no Go map and no pointer in any of it, so a million keys cost the garbage
// collector nothing, and a look-up misses the processor's caches twice. What the running transaction has put lies in an
// arena of its own, and a cell's head holds the number of its pending value: one look-up finds both.
//
// A Partition that a DB has leased has a disk below it, a Pebble of its own: the cells are a bounded cache then. What was
// committed is written behind the commit, in batches that say where the state stands; there is no log but the changelog.
//
// Invariants:
//
//   - What is at rest changes in Commit and Restore only (I1): a value that Get returned stands until its key is put or
//     the transaction ends.
//   - Rollback undoes what was done since the last Savepoint, and nothing else.
//   - Changes are the keys that differ from what is at rest, in the order in which they were first touched.
//   - Get, Put and Delete of keys that are there allocate nothing once the arenas have grown.
//   - The disk has the state of one of the commits, and the offsets of that commit (I2): state and meta record are one batch,
//     and the batches of a partition are written in order.
//   - Cache and unwritten changes are bounded over all partitions (I7): only clean cells are evicted, and whoever commits
//     waits when too much is dirty. Nothing is dropped.
//   - A partition has one owner at a time (I8): a batch carries the number of its lease, one of an old lease is refused, and
//     the next lease begins when the queue of the last is written or refused.
//   - A disk that fails is told by Fault before what was read from it is committed.
//
// A Partition belongs to one goroutine. A DB may be used by many.
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

	keptChunks = 8 // of the transaction's arena, between transactions
)

// A room is memory in the transaction's arena.
type room struct{ at, units uint32 }

// A pending value is what the transaction has put for one key. Its two rooms take turns, so that a key that is put a
// thousand times needs no more than two.
type pending struct {
	cell, hash uint32
	tag        uint32
	mark       uint32 // the savepoint since which it has been put
	length     uint32
	dead       bool
	value      room
	spare      room
}

// An undo is a pending value as it was at the last savepoint; a fresh one was not there.
type undo struct {
	index uint32
	fresh bool
	old   pending
}

// A Partition is the store of one task.
type Partition struct {
	index   index
	cells   cells
	keys    int // that have a value in the transaction's eyes
	resting int // that have one at rest

	arena   arena
	pending []pending
	undos   []undo
	mark    uint32
	tag     uint32
	err     error

	stands  int64 // offset of the changelog that comes next, where there is no disk
	last    memo
	warmth  byte // keeps Warm from being left out
	lookups uint64
	reads   uint64 // of the disk, those of the transaction apart
	disk    *disk  // nil: in memory only
}

// A memo is the last look-up, so that Put after Get need not repeat it.
type memo struct {
	key  []byte // of a miss
	hash uint32
	cell uint32 // of a hit
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

// current is the value of a cell in the transaction's eyes, nil where there is none.
func (p *Partition) current(at uint32) []byte {
	h := p.cells.head(at)
	switch {
	case h.pend() != 0:
		if d := &p.pending[h.pend()-1]; !d.dead {
			return p.arena.bytes(d.value.at, int(d.length))
		}
	case h.state() == atRest:
		return p.cells.value(at)
	}
	return nil
}

// find says whether a key has a cell, after a look at the disk where there is one, and leaves in p.last where, or the hash
// with which it can be opened.
func (p *Partition) find(key []byte) bool {
	if p.last.kind == miss && string(p.last.key) == string(key) {
		return false
	}
	if p.seek(key) || p.disk != nil && p.load(key) {
		return true
	}
	p.last.kind, p.last.key = miss, append(p.last.key[:0], key...)
	return false
}

// seek is find in memory alone.
func (p *Partition) seek(key []byte) bool {
	if p.last.kind == hit && string(p.cells.key(p.last.cell)) == string(key) {
		return true
	}
	p.lookups++
	hash := hashOf(key)
	p.last.kind, p.last.hash = forgotten, hash
	i, there := p.index.find(hash, key, &p.cells)
	if !there {
		return false
	}
	slot := p.index.slots[i]
	if slot&used == 0 {
		p.index.slots[i] = slot | used
	}
	p.last.kind, p.last.cell = hit, cellOf(slot)
	return true
}

func hashOf(key []byte) uint32 { return uint32(xxhash.Sum64(key) >> 32) }

// open makes a cell for a key that find has just missed, with room for a value of the length given.
func (p *Partition) open(key []byte, value int) {
	class := cellClass(len(key), value)
	at := p.cells.alloc(class)
	*p.cells.head(at) = newHead(len(key), class)
	copy(p.cells.key(at), key)
	p.index.add(p.last.hash, at)
	p.last.kind, p.last.cell = hit, at
}

// shut forgets a key.
func (p *Partition) shut(at, hash uint32) {
	p.index.remove(hash, at)
	p.vacate(at)
	p.last.kind = forgotten
}

// vacate gives the memory of a cell back.
func (p *Partition) vacate(at uint32) {
	h := p.cells.head(at)
	h.vacate()
	p.cells.release(at, h.class())
}

// Get returns the value of a key, nil where there is none. It is valid until the key is put or the transaction ends.
func (p *Partition) Get(key []byte) []byte {
	if p.find(key) {
		return p.current(p.last.cell)
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
	if !p.find(key) {
		p.open(key, len(value))
	}
	d := p.touch()
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
	if !p.find(key) || p.current(p.last.cell) == nil {
		return
	}
	p.touch().dead = true
	p.keys--
}

// touch returns the pending value of the cell found last, ready to be written: what it was at the last savepoint is kept.
func (p *Partition) touch() *pending {
	h := p.cells.head(p.last.cell)
	i := h.pend()
	if i == 0 {
		p.pending = append(p.pending, pending{cell: p.last.cell, hash: p.last.hash, dead: h.state() != atRest})
		i = uint32(len(p.pending))
		h.setPend(i)
		p.undos = append(p.undos, undo{index: i - 1, fresh: true})
	}
	d := &p.pending[i-1]
	if d.mark != p.mark {
		if d.mark != 0 {
			p.undos = append(p.undos, undo{index: i - 1, old: *d})
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
		before := !d.dead
		var after bool
		if u.fresh {
			after = p.forget(d)
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

// forget drops a pending value, and says whether there is a value at rest beneath it.
func (p *Partition) forget(d *pending) bool {
	h := p.cells.head(d.cell)
	if h.state() == opened {
		p.shut(d.cell, d.hash)
		return false
	}
	h.setPend(0)
	return h.state() == atRest
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
			if d.dead && p.cells.head(d.cell).state() != atRest {
				continue
			}
			if !yield(Change{Key: p.cells.key(d.cell), Value: p.current(d.cell), Tag: d.tag}) {
				return
			}
		}
	}
}

// Commit makes what was put the state at rest: call it when the broker has reported the commit, never before. at says where
// the state stands with it.
func (p *Partition) Commit(at Position) {
	for i := range p.pending {
		d := &p.pending[i]
		if d.dead {
			p.bury(d.cell, d.hash)
			continue
		}
		p.cells.head(d.cell).setPend(0)
		p.settle(d.cell, d.hash, p.arena.bytes(d.value.at, int(d.length)))
	}
	p.resting = p.keys
	p.end()
	if p.disk != nil {
		p.disk.moved(at)
		p.tidy()
		return
	}
	p.stands = max(p.stands, at.Changelog)
}

// bury forgets a key that has no value any more. One that the disk may have keeps its cell until the disk is told.
func (p *Partition) bury(at, hash uint32) {
	h := p.cells.head(at)
	switch {
	case p.disk == nil || h.state() == opened:
		p.shut(at, hash)
	case h.state() == gone:
		h.setPend(0)
	default:
		h.setPend(0)
		h.entomb()
		p.disk.deleted++
		p.changed(at)
	}
}

// settle writes a value at rest, into a cell of another class where it needs one.
func (p *Partition) settle(at, hash uint32, value []byte) {
	old := *p.cells.head(at)
	if class := cellClass(old.keyLen(), len(value)); class != old.class() {
		to := p.cells.alloc(class)
		*p.cells.head(to) = newHead(old.keyLen(), class)
		copy(p.cells.key(to), p.cells.key(at))
		p.vacate(at)
		p.index.move(hash, at, to)
		p.last.kind = forgotten
		at = to
	}
	p.cells.head(at).settle(len(value))
	copy(p.cells.value(at), value)
	if p.disk != nil {
		if old.state() != atRest {
			p.disk.appeared(hash)
		}
		p.changed(at)
	}
}

// Abort drops what was put.
func (p *Partition) Abort() {
	for i := range p.pending {
		p.forget(&p.pending[i])
	}
	p.keys = p.resting
	p.end()
	if p.disk != nil {
		p.tidy()
	}
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
	if p.disk != nil {
		p.restoreOnDisk(key, value)
		p.keys = p.resting
		return nil
	}
	there := p.find(key)
	switch {
	case value == nil && there:
		p.shut(p.last.cell, p.last.hash)
		p.resting--
	case value != nil:
		if !there {
			p.open(key, len(value))
			p.resting++
		}
		p.settle(p.last.cell, p.last.hash, value)
	}
	p.keys = p.resting
	return nil
}

// Each calls f for every key in the transaction's eyes, in no order, until f returns false. f must not change the store.
func (p *Partition) Each(f func(key, value []byte) bool) {
	for _, slot := range p.index.slots {
		if slot != 0 {
			at := cellOf(slot)
			if v := p.current(at); v != nil && !f(p.cells.key(at), v) {
				return
			}
		}
	}
	if p.disk != nil {
		p.eachOnDisk(f)
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
	Keys    int    // in the transaction's eyes
	Changed int    // touched by the transaction
	Pending int    // bytes of the transaction
	Bytes   int    // of memory that state at rest and its index hold, free cells and the filter of keys on disk included
	Free    int    // bytes of it that are free to be used again
	Cached  int    // keys in memory
	Dirty   int    // bytes that the disk does not have yet, those on their way included; 0 without a disk
	Lookups uint64 // since the partition was opened
	Reads   uint64 // look-ups that asked the disk: the rest found a key in memory, or knew that there is none
}

// Stats reads the partition's figures. Only the owner may.
func (p *Partition) Stats() Stats {
	s := Stats{
		Keys:    p.keys,
		Changed: len(p.pending),
		Pending: p.Pending(),
		Bytes:   p.cells.size() + p.index.size(),
		Free:    p.cells.freeUnits * unit,
		Cached:  p.index.n,
		Lookups: p.lookups,
		Reads:   p.reads,
	}
	if p.disk != nil {
		p.disk.stats(&s)
	}
	return s
}
