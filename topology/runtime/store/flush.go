package store

import (
	"slices"
	"sync/atomic"
)

// A batch is what an owner gives to a writer: its partition's changes since the last one, and where the state stands with
// them. All of it is on disk after the write, or nothing (I2).
type batch struct {
	lease   uint64
	flush   uint32 // number, as in the cells that it was copied from
	meta    meta
	data    []byte  // keys with their prefix, and values
	entries []entry // each key once
	order   []entry // of sort
	graves  []uint32
	bytes   int64 // counted as dirty

	err  error       // set before over
	over atomic.Bool // it is the owner's again
}

// An entry is one key of a batch.
type entry struct {
	first uint64 // eight bytes of the key behind what all have in common, for the order
	at    uint32 // of the key in data; the value follows
	key   uint32
	value int32 // -1: deleted
}

// expect makes room for some keys, which weigh so much with what counts beside key and value.
func (b *batch) expect(keys, bytes int) {
	b.entries = slices.Grow(b.entries, keys)
	b.data = slices.Grow(b.data, max(0, bytes-(dirtyOverhead-1)*keys))
}

func (b *batch) add(key, value []byte, deleted bool) {
	e := entry{at: uint32(len(b.data)), key: uint32(1 + len(key)), value: int32(len(value))}
	if deleted {
		e.value = -1
	}
	b.data = append(b.data, keyPrefix)
	b.data = append(b.data, key...)
	b.data = append(b.data, value...)
	b.entries = append(b.entries, e)
}

func (b *batch) key(e *entry) []byte { return b.data[e.at : e.at+e.key] }

func (b *batch) value(e *entry) []byte { return b.data[e.at+e.key : e.at+e.key+uint32(e.value)] }

// reset keeps the room of a batch for the next, unless it is much more than bound.
func (b *batch) reset(bound int64) {
	*b = batch{data: b.data[:0], entries: b.entries[:0], order: b.order[:0], graves: b.graves[:0]}
	if int64(cap(b.data)) > 2*bound {
		b.data, b.entries, b.order = nil, nil, nil
	}
}

// enqueue gives a folder to the writers. The caller holds db.mu.
func (db *DB) enqueue(f *folder) {
	if !f.busy && !slices.Contains(db.queue, f) {
		db.queue = append(db.queue, f)
		db.queued.Signal()
	}
}

// submit queues a batch. One of a lease that has ended is refused.
func (db *DB) submit(f *folder, b *batch) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if b.lease != f.lease || !f.held || f.leaving || db.closing {
		db.refuse(b)
		return
	}
	f.queue = append(f.queue, b)
	db.enqueue(f)
}

// refuse gives a batch back unwritten. The caller holds db.mu.
func (db *DB) refuse(b *batch) {
	db.refused.Add(1)
	db.dirty.Add(-b.bytes)
	b.err = ErrLeaseOver
	b.over.Store(true)
	db.stir()
}

// write is a writer: it takes one folder at a time, so that the batches of each are written in order.
func (db *DB) write() {
	db.mu.Lock()
	defer db.mu.Unlock()
	for {
		for len(db.queue) == 0 {
			if db.closing && !db.anyHeld() {
				db.queued.Broadcast()
				return
			}
			db.queued.Wait()
		}
		f := db.queue[0]
		db.queue = slices.Delete(db.queue, 0, 1)
		var b *batch
		if len(f.queue) > 0 {
			b = f.queue[0]
			f.queue = slices.Delete(f.queue, 0, 1)
			if b.lease != f.lease || db.closing {
				db.refuse(b)
				if len(f.queue) > 0 || f.leaving {
					db.enqueue(f)
				}
				continue
			}
		}
		f.busy = true
		db.mu.Unlock()
		if b != nil {
			bytes := b.bytes
			b.err = f.apply(b)
			b.over.Store(true)
			db.ease(bytes)
		} else {
			f.shut()
		}
		db.mu.Lock()
		f.busy = false
		switch {
		case b == nil && f.leaving && len(f.queue) == 0:
			f.loosen()
			db.queued.Broadcast()
		case len(f.queue) > 0 || f.leaving:
			db.enqueue(f)
		}
	}
}

func (db *DB) anyHeld() bool {
	for _, f := range db.folders {
		if f.held {
			return true
		}
	}
	return false
}
