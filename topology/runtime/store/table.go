package store

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// apply writes a batch as a table of its own, and returns when it is on disk. Pebble takes a table over whole or not at all
// (I2). That spares what a batch of Pebble's would cost: a copy, an order of its own, and a memtable to merge.
func (f *folder) apply(b *batch) error {
	if err := f.failure(); err != nil {
		return err
	}
	b.sort()
	path := f.path + nextTable
	written, err := f.writeTable(path, b)
	if err == nil {
		err = f.awaitRoom()
	}
	if err == nil {
		err = f.pebble.Ingest(f.db.life, []string{path})
	}
	switch {
	case err == nil:
		f.db.written.Add(written)
		return nil
	case f.db.life.Err() != nil:
		return ErrClosed
	}
	return f.fail(err)
}

// nextTable ends the name of a table that Pebble does not have yet. It lies beside the folder: one that a crash leaves is
// nobody's, and the next is written over it.
const nextTable = ".next"

// writeTable writes the changes of a batch, and its meta record, in order, to a file that is on disk when it returns.
func (f *folder) writeTable(path string, b *batch) (written uint64, err error) {
	file, err := f.db.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	w := sstable.NewRawWriter(objstorageprovider.NewFileWritable(file), f.options.MakeWriterOptions(0, f.pebble.TableFormat()))
	key := pebble.MakeInternalKey([]byte(metaKey), 0, pebble.InternalKeyKindSet)
	err = w.Add(key, b.meta.appendTo(nil), false)
	for i := range b.entries {
		e := &b.entries[i]
		user := b.key(e)
		if err != nil {
			break
		}
		if i > 0 && string(b.key(&b.entries[i-1])) == string(user) {
			continue // its cell moved while it was dirty: the same value twice
		}
		if e.value < 0 {
			err = w.Add(pebble.MakeInternalKey(user, 0, pebble.InternalKeyKindDelete), nil, false)
		} else {
			err = w.Add(pebble.MakeInternalKey(user, 0, pebble.InternalKeyKindSet), b.value(e), false)
		}
		written++
	}
	if closing := w.Close(); err == nil { // which is what brings it to the disk
		err = closing
	}
	return written, err
}

// awaitRoom waits while as many tables lie over one another as may: each is one more to look into for a key. Compactions take
// them together.
func (f *folder) awaitRoom() error {
	for f.pebble.Metrics().Levels[0].Sublevels >= maxDepth {
		select {
		case <-f.compacted:
		case <-f.failing():
			return f.failure()
		case <-f.db.life.Done():
			return context.Cause(f.db.life)
		}
	}
	return nil
}
