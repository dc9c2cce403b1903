package store

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// ErrLeaseOver is of a batch whose lease has ended: another owner may have the partition (I8).
var ErrLeaseOver = errors.New("the lease of the store has ended")

// A disk is the part of a partition that has one below it. It is the owner's, and what is shared is the folder's.
//
// What is at rest in memory is a cache then: cells that the disk has as they are may be evicted. A cell's head holds the
// number of the flush that takes its value to the disk; it is clean when that flush, or a later one, is done.
type disk struct {
	db      *DB
	folder  *folder
	lease   uint64
	meta    meta // name and topic id
	at      Position
	dropped string
	fault   error
	// released says that the lease has been given up.
	released bool

	flush   uint32   // number of the next flush, from 1
	applied uint32   // number of the last one that is done
	dirty   []uint32 // cells that the next flush takes; one that moved is there twice
	bytes   int64    // of them
	ahead   bool     // at has moved since the last flush
	since   time.Time
	batch   *batch // on its way
	spare   *batch

	whole   bool // every key of the disk has a cell: it needs no filter
	known   bool // the filter has every key
	filter  filter
	build   *build
	deleted int // keys since the filter was made

	hand          uint32 // of the clock
	loaded        int    // bytes read in this transaction
	reads         uint64
	reported      int64 // of db.memory
	dirtyReported int64 // of db.dirty
	key           []byte
}

func newDisk(db *DB, f *folder, lease uint64, m meta, dropped string) *disk {
	return &disk{db: db, folder: f, lease: lease, meta: m, at: m.at, dropped: dropped, flush: 1, since: db.opts.Clock()}
}

// dirtyOverhead is what a change weighs beside key and value.
const dirtyOverhead = 32

// changed takes note of a cell whose value at rest the disk does not have.
func (p *Partition) changed(at uint32) {
	d, h := p.disk, p.cells.head(at)
	if h.flush() == d.flush {
		return
	}
	h.setFlush(d.flush)
	d.dirty = append(d.dirty, at)
	d.bytes += int64(h.keyLen() + h.valueLen() + dirtyOverhead)
}

// appeared takes note of a key that has a value at rest and had none in memory.
func (d *disk) appeared(hash uint32) {
	if d.build != nil {
		d.build.added = append(d.build.added, hash)
	}
	if d.known {
		d.filter.add(hash)
	}
}

// moved takes note of where the state stands.
func (d *disk) moved(at Position) {
	if at.Changelog > d.at.Changelog {
		d.at.Changelog = at.Changelog
		d.ahead = true
	}
	d.at.Source = max(d.at.Source, at.Source)
	if at.Stamp.After(d.at.Stamp) {
		d.at.Stamp = at.Stamp
	}
}

// pebbleKey is a key as the disk has it, valid until the next.
func (d *disk) pebbleKey(key []byte) []byte {
	d.key = append(append(d.key[:0], keyPrefix), key...)
	return d.key
}

// load looks a key up that has no cell, whose hash p.last has, and makes it a cell if the disk has it.
func (p *Partition) load(key []byte) bool {
	d := p.disk
	if d.whole || d.known && !d.filter.has(p.last.hash) || d.fault != nil {
		return false
	}
	v, closer, err := d.get(key)
	if closer == nil {
		if err != nil {
			d.fault = d.folder.fail(err)
		}
		return false
	}
	if len(v) > MaxValue {
		d.fault = d.folder.fail(pebble.ErrCorruption)
		_ = closer.Close()
		return false
	}
	p.open(key, len(v))
	p.cells.head(p.last.cell).settle(len(v))
	copy(p.cells.value(p.last.cell), v)
	d.loaded += headBytes + len(key) + len(v)
	if err := closer.Close(); err != nil {
		d.fault = d.folder.fail(err)
	}
	return true
}

type closer interface{ Close() error }

// get reads a key from the disk; there is no closer where it has none.
func (d *disk) get(key []byte) ([]byte, closer, error) {
	d.reads++
	v, c, err := d.folder.pebble.Get(d.pebbleKey(key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return v, c, nil
}

// onDisk says whether the disk has a key.
func (p *Partition) onDisk(key []byte) bool {
	_, closer, err := p.disk.get(key)
	if err != nil {
		p.disk.fault = p.disk.folder.fail(err)
	}
	return closer != nil && closer.Close() == nil
}

// restoreOnDisk is Restore. It reads nothing from the disk, as a rule: whether the key was there matters to the count alone.
func (p *Partition) restoreOnDisk(key, value []byte) {
	d := p.disk
	if p.seek(key) {
		at, hash := p.last.cell, p.last.hash
		there := p.cells.head(at).state() == atRest
		switch {
		case value != nil:
			p.settle(at, hash, value)
			p.resting += 1 - count(there)
		case there:
			p.bury(at, hash)
			p.resting--
		}
		return
	}
	hash, there := p.last.hash, true
	switch {
	case d.whole || d.known && !d.filter.has(hash):
		there = false
	case d.deleted > 0:
		there = p.onDisk(key)
	case !d.known:
		d.build.doubted = append(d.build.doubted, hash)
	}
	if value != nil {
		p.open(key, len(value))
		p.settle(p.last.cell, hash, value)
		p.resting += 1 - count(there)
		return
	}
	if there {
		p.open(key, 0)
		p.cells.head(p.last.cell).settle(0)
		p.bury(p.last.cell, hash)
		p.resting--
	}
}

// Restored ends a batch of Restore: the state has the effect of all of the changelog before next.
func (p *Partition) Restored(next int64) {
	if p.disk != nil {
		p.disk.moved(Position{Changelog: next})
		p.tidy()
		return
	}
	p.stands = max(p.stands, next)
}

// StampDue says that the time of the last stamp is long enough ago for Idle to renew it, if the owner can say that the state
// is its changelog's end.
func (p *Partition) StampDue() bool {
	d := p.disk
	return d != nil && d.db.opts.Clock().Sub(d.at.Stamp) >= d.db.opts.StampInterval
}

// Idle is for an owner that has nothing to commit: it lets what is old enough be written, and takes note of what was. atEnd
// says that the state is known to be its changelog's end, whose time it is then.
func (p *Partition) Idle(atEnd bool) {
	d := p.disk
	if d == nil {
		return
	}
	if atEnd && p.StampDue() {
		d.at.Stamp, d.ahead = d.db.opts.Clock(), true
	}
	p.tidy()
}

// Fault says why the partition cannot be relied on, as a *CorruptError, an *IOError or ErrLeaseOver; nil as long as it can.
// What was read since the last call that returned nil may be wrong, and must not be committed.
func (p *Partition) Fault() error {
	if p.disk == nil {
		return nil
	}
	if p.disk.fault != nil {
		return p.disk.fault
	}
	return p.disk.folder.failure()
}

// Loaded is how many bytes the transaction has read from the disk into memory, where they stay until it ends. The runner
// ends a transaction early when it passes a bound.
func (p *Partition) Loaded() int {
	if p.disk == nil {
		return 0
	}
	return p.disk.loaded
}

// tidy is what a partition on disk does between transactions.
func (p *Partition) tidy() {
	d := p.disk
	d.loaded = 0
	d.db.reads.Add(d.reads)
	p.reads += d.reads
	d.reads = 0
	p.takeBatch()
	p.takeScan()
	d.db.dirty.Add(d.bytes - d.dirtyReported)
	d.dirtyReported = d.bytes
	if d.fault == nil {
		p.flushIfDue()
	}
	p.trim()
}

// takeBatch takes back a batch that is written: what it took from cells that have not changed since is clean.
func (p *Partition) takeBatch() {
	d := p.disk
	b := d.batch
	if b == nil || !b.over.Load() {
		return
	}
	d.batch = nil
	if b.err != nil {
		if d.fault == nil {
			d.fault = b.err
		}
		return
	}
	d.applied = b.flush
	for _, at := range b.graves {
		if h := p.cells.head(at); h.state() == gone && h.flush() <= d.applied {
			p.shut(at, hashOf(p.cells.key(at)))
		}
	}
	b.reset(d.db.share(d.db.opts.DirtyBytes))
	d.spare = b
}

func (p *Partition) flushIfDue() {
	d := p.disk
	now := d.db.opts.Clock()
	if len(d.dirty) == 0 && !d.ahead {
		d.since = now
		return
	}
	if d.batch == nil && (d.bytes >= d.db.share(d.db.opts.DirtyBytes)/2 || now.Sub(d.since) >= d.db.opts.FlushInterval) {
		p.cut()
		d.since = now
	}
}

// cut copies the changes into a batch and gives it to the writers.
func (p *Partition) cut() {
	d := p.disk
	b := d.spare
	if b == nil {
		b = &batch{}
	}
	d.spare = nil
	b.lease, b.flush, b.bytes = d.lease, d.flush, d.bytes
	b.meta = d.meta
	b.meta.at, b.meta.keys = d.at, uint64(max(0, p.resting))
	b.expect(len(d.dirty), int(d.bytes))
	for _, at := range d.dirty {
		h := p.cells.head(at)
		if h.flush() != d.flush {
			continue // the key moved
		}
		switch h.state() {
		case atRest:
			b.add(p.cells.key(at), p.cells.value(at), false)
		case gone:
			b.add(p.cells.key(at), nil, true)
			b.graves = append(b.graves, at)
		}
	}
	d.dirty, d.bytes, d.dirtyReported, d.ahead = d.dirty[:0], 0, 0, false
	d.flush++
	d.batch = b
	d.db.submit(d.folder, b)
}

// eachOnDisk calls f for the keys that have no cell.
func (p *Partition) eachOnDisk(f func(key, value []byte) bool) {
	d := p.disk
	if d.whole || d.fault != nil {
		return
	}
	all, err := d.folder.pebble.NewIter(stateKeys())
	if err != nil {
		d.fault = d.folder.fail(err)
		return
	}
	for ok := all.First(); ok; ok = all.Next() {
		key := all.Key()[1:]
		if _, cached := p.index.find(hashOf(key), key, &p.cells); cached {
			continue
		}
		v, err := all.ValueAndErr()
		if err != nil {
			break // Close says it too
		}
		if v == nil {
			v = []byte{}
		}
		if !f(key, v) {
			break
		}
	}
	if err := errors.Join(all.Error(), all.Close()); err != nil {
		d.fault = d.folder.fail(err)
	}
}

func stateKeys() *pebble.IterOptions {
	return &pebble.IterOptions{LowerBound: []byte{keyPrefix}, UpperBound: []byte{keyPrefix + 1}}
}

func (d *disk) stats(s *Stats) {
	s.Bytes += d.filter.size()
	s.Dirty = int(d.bytes)
	if d.batch != nil {
		s.Dirty += int(d.batch.bytes)
	}
}

// A build is a filter that is being made from all keys of the disk, while the owner goes on.
type build struct {
	stop     context.CancelFunc
	done     chan struct{}
	filter   filter
	expected int // keys
	keys     int
	err      error
	added    []uint32 // hashes of keys that appeared since it began
	doubted  []uint32 // hashes of keys that were restored, and counted as if the disk had them
	deleted  int      // as disk.deleted when it began
}

// scan begins to make a filter of the keys on disk as they are now.
func (p *Partition) scan(expected int) {
	d := p.disk
	all, err := d.folder.pebble.NewIter(stateKeys())
	if err != nil {
		d.fault = d.folder.fail(err)
		return
	}
	ctx, stop := context.WithCancel(d.db.life)
	b := &build{stop: stop, done: make(chan struct{}), expected: expected, deleted: d.deleted}
	d.build = b
	d.folder.scans.Go(func() {
		defer close(b.done)
		select {
		case d.db.scans <- struct{}{}:
			defer func() { <-d.db.scans }()
			b.filter.expect(expected)
			for ok := all.First(); ok; ok = all.Next() {
				b.filter.add(hashOf(all.Key()[1:]))
				if b.keys++; b.keys%1024 == 0 && ctx.Err() != nil {
					break
				}
			}
		case <-ctx.Done():
		}
		b.err = errors.Join(all.Error(), all.Close(), ctx.Err())
	})
}

// takeScan takes a filter that is made.
func (p *Partition) takeScan() {
	d := p.disk
	b := d.build
	if b == nil {
		if d.known && d.deleted > max(rebuildAfter, p.resting) && d.fault == nil {
			p.rebuild()
		}
		return
	}
	select {
	case <-b.done:
	default:
		return
	}
	d.build = nil
	b.stop()
	if b.err != nil {
		if d.fault == nil {
			d.fault = d.folder.fail(b.err)
		}
		return
	}
	if !d.known { // the meta record may have been written while some keys were counted in doubt
		found := b.keys - b.expected
		for _, hash := range b.doubted {
			if b.filter.add(hash) {
				found++
			}
		}
		p.resting, p.keys = p.resting+found, p.keys+found
	}
	for _, hash := range b.added {
		b.filter.add(hash)
	}
	d.filter, d.known = b.filter, true
	d.deleted -= b.deleted
}

// learn makes the filter of a partition that has had all keys in memory, before the first of them leaves it.
func (p *Partition) learn() {
	d := p.disk
	d.filter.expect(p.index.n)
	for _, slot := range p.index.slots {
		if slot != 0 {
			d.filter.add(uint32(slot >> 32))
		}
	}
	d.whole, d.known, d.deleted = false, true, 0
}

// rebuildAfter is how many keys must have gone before a filter is made anew.
const rebuildAfter = 1 << 16

// rebuild makes the filter anew, without those that have gone.
func (p *Partition) rebuild() {
	p.scan(p.resting)
	d := p.disk
	if d.build == nil {
		return
	}
	for _, slot := range p.index.slots {
		if slot == 0 {
			continue
		}
		if h := p.cells.head(cellOf(slot)); h.state() == atRest && h.flush() > d.applied {
			d.build.added = append(d.build.added, uint32(slot>>32))
		}
	}
}

func (d *disk) stopScan() {
	if d.build != nil {
		d.build.stop()
		d.build = nil
	}
}
