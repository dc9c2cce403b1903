package store

import (
	"context"
	"fmt"
	"time"
)

// A Claim is what is leased: a partition of a store, and what the brokers say of its changelog.
type Claim struct {
	Store     string // a name for folders: application and store
	Partition int32
	Changelog [16]byte // topic id
	// Start and End are what the changelog holds, read after the stable offset fetch (I3).
	Start, End int64
	// Retention is the changelog's delete.retention.ms; 0: it is not known, and any age will do.
	Retention time.Duration
}

func (c *Claim) name() string { return fmt.Sprintf("%s/%d", c.Store, c.Partition) }

// unfit says why a folder cannot be caught up from its changelog, "" if it can.
func (c *Claim) unfit(m *meta, now time.Time) string {
	switch {
	case m.name != c.name():
		return fmt.Sprintf("it holds %s", m.name)
	case m.changelog != c.Changelog:
		return fmt.Sprintf("its changelog was made anew: topic id %x then, %x now", m.changelog, c.Changelog)
	case m.at.Changelog > c.End:
		return fmt.Sprintf("it stands at offset %d, beyond the changelog's end at %d", m.at.Changelog, c.End)
	case m.at.Changelog < c.Start:
		return fmt.Sprintf("it stands at offset %d, before the changelog's start at %d", m.at.Changelog, c.Start)
	case c.Retention > 0 && now.Sub(m.at.Stamp) > c.Retention:
		return fmt.Sprintf("it was last known to be at its changelog's end at %s, and tombstones are kept for %v only",
			m.at.Stamp.UTC().Format(time.RFC3339), c.Retention)
	}
	return ""
}

// Lease opens a partition for one owner, who must Release it (I8). It waits until what an earlier lease left is written or
// dropped. Position says where to read the changelog from: a folder that is of no use is removed, which is said in the log,
// and the partition is empty then. An error is that of ctx, ErrClosed or an *IOError.
func (db *DB) Lease(ctx context.Context, c Claim) (*Partition, error) {
	f, lease, err := db.take(ctx, &c)
	if err != nil {
		return nil, err
	}
	m, dropped, err := f.reopen(ctx, &c)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		f.shut()
		db.mu.Lock()
		defer db.mu.Unlock()
		f.loosen()
		return nil, err
	}
	if m.name == "" {
		m = meta{changelog: c.Changelog, name: c.name(), at: Position{Changelog: c.Start, Stamp: db.opts.Clock()}}
	}
	if dropped != "" {
		db.log.Warn("a store is dropped and restored from its changelog", "store", f.name, "why", dropped)
	}
	p := New()
	p.disk = newDisk(db, f, lease, m, dropped)
	p.keys, p.resting = int(m.keys), int(m.keys)
	if m.at.Changelog > c.Start || m.keys > 0 {
		p.scan(int(m.keys))
	} else {
		p.disk.whole = true // since there is nothing
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closing {
		p.disk.stopScan()
		f.shut()
		f.loosen()
		return nil, ErrClosed
	}
	f.opened = true
	return p, nil
}

// take waits for a folder and holds it.
func (db *DB) take(ctx context.Context, c *Claim) (*folder, uint64, error) {
	for {
		db.mu.Lock()
		if db.closing {
			db.mu.Unlock()
			return nil, 0, ErrClosed
		}
		f := db.folders[c.name()]
		if f == nil {
			f = newFolder(db, c.Store, c.Partition)
			db.folders[c.name()] = f
		}
		if !f.held {
			f.held, f.free = true, make(chan struct{})
			f.lease++
			lease := f.lease
			db.leased.Add(1)
			db.mu.Unlock()
			return f, lease, nil
		}
		free := f.free
		db.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// loosen ends a lease. The caller holds db.mu.
func (f *folder) loosen() {
	f.held, f.leaving, f.opened = false, false, false
	f.db.leased.Add(-1)
	close(f.free)
	f.db.queued.Broadcast()
}

// Release ends the lease, and does not wait: what was committed is written, and the folder shut, while others go on. A
// partition that has failed is dropped instead, and its folder with it when it is leased again. The partition must not be
// used any more.
func (p *Partition) Release() {
	d := p.disk
	if d == nil || d.released {
		return
	}
	p.Abort()
	if p.Fault() == nil && (len(d.dirty) > 0 || d.ahead) {
		p.cut()
	}
	d.leave(false)
}

// Drop ends the lease as a crash would: what is not on disk yet is forgotten, and read from the changelog again.
func (p *Partition) Drop() {
	if d := p.disk; d != nil && !d.released {
		d.leave(true)
	}
}

// leave gives the folder to the writers, who write what is queued, unless it is to be refused, and shut it.
func (d *disk) leave(refuse bool) {
	d.stopScan()
	d.released = true
	if d.fault == nil {
		d.fault = ErrLeaseOver
	}
	db, f := d.db, d.folder
	db.memory.Add(-d.reported)
	db.dirty.Add(-d.dirtyReported)
	d.reported, d.dirtyReported = 0, 0
	db.mu.Lock()
	defer db.mu.Unlock()
	if f.lease == d.lease && f.held && !f.leaving {
		f.depart(refuse)
	}
}

// depart ends the lease of a folder. The caller holds db.mu.
func (f *folder) depart(refuse bool) {
	if refuse {
		f.lease++
	}
	f.leaving, f.opened = true, false
	f.db.enqueue(f)
}

// abandon shuts a folder whose lease nobody has ended, when the DB ends.
func (f *folder) abandon() {
	f.db.mu.Lock()
	defer f.db.mu.Unlock()
	if f.opened {
		f.depart(true)
	}
}

// Position says where the state at rest stands. Without a disk it is the changelog's offset alone.
func (p *Partition) Position() Position {
	if p.disk == nil {
		return Position{Changelog: p.stands}
	}
	return p.disk.at
}

// Dropped says why what the folder held was of no use; "" if it was not so.
func (p *Partition) Dropped() string {
	if p.disk == nil {
		return ""
	}
	return p.disk.dropped
}
