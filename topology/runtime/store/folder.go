package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// A folder is one partition of a store on disk. It outlives leases, of which it has one at a time (I8).
type folder struct {
	db   *DB
	name string // store/partition
	home string // where it is
	path string // home, or beside it: the holder's of the lease

	// Guarded by db.mu:
	lease   uint64        // number of the lease that holds it, or held it last
	held    bool          // by a lease, or by what a lease left to write
	leaving bool          // released, and being written and shut
	free    chan struct{} // closed when it is held no more
	queue   []*batch      // to write, in order
	busy    bool          // a writer has it
	opened  bool          // pebble may be asked for its figures

	pebble    *pebble.DB      // of the lease
	options   *pebble.Options // that it was opened with
	compacted chan struct{}   // holds one where a compaction has ended
	scans     sync.WaitGroup  // of those who read all of it

	broken atomic.Bool // failed is set

	mu     sync.Mutex
	failed error         // its disk or its files fail: nothing of it can be relied on
	fails  chan struct{} // closed when failed is set
}

func newFolder(db *DB, store string, partition int32) *folder {
	home := db.path(store, partition)
	return &folder{db: db, name: fmt.Sprintf("%s/%d", store, partition), home: home, path: home,
		compacted: make(chan struct{}, 1), fails: make(chan struct{})}
}

// A CorruptError says that a partition's files do not read as they were written. It heals by a restore from the changelog:
// its folder is removed when it is leased again.
type CorruptError struct {
	Name string
	Err  error
}

func (e *CorruptError) Error() string { return fmt.Sprintf("store %s is damaged: %v", e.Name, e.Err) }

func (e *CorruptError) Unwrap() error { return e.Err }

// An IOError says that the disk fails a partition for a reason that its files have no part in.
type IOError struct {
	Name string
	Err  error
}

func (e *IOError) Error() string { return fmt.Sprintf("store %s: the disk fails: %v", e.Name, e.Err) }

func (e *IOError) Unwrap() error { return e.Err }

// fail takes note of an error of Pebble's. The first one stands.
func (f *folder) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.broken.Store(true)
		close(f.fails)
		if environmental(err) {
			f.failed = &IOError{Name: f.name, Err: err}
		} else {
			f.failed = &CorruptError{Name: f.name, Err: err}
		}
	}
	return f.failed
}

func (f *folder) failure() error {
	if !f.broken.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// environmental says whether an error is of the machine, and would be the same with an empty folder.
func environmental(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// open opens the folder's Pebble, an empty one where there is none.
func (f *folder) open() error {
	db := f.db
	o := &pebble.Options{
		FS:        db.fs,
		Cache:     db.blocks,
		FileCache: db.files,
		// The changelog is the log (I2).
		DisableWAL: true,
		// Batches are tables of their own, and never see the memtable.
		MemTableSize:          64 << 10,
		L0CompactionThreshold: 2 * compactDepth,
		L0StopWritesThreshold: 2 * maxDepth,
		LBaseMaxBytes:         64 << 20,
		FormatMajorVersion:    pebble.FormatNewest,
		Logger:                pebbleLog{f},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { _ = f.fail(err) },
			DataCorruption:  func(pebble.DataCorruptionInfo) { _ = f.fail(pebble.ErrCorruption) },
			CompactionEnd: func(pebble.CompactionInfo) {
				select {
				case f.compacted <- struct{}{}:
				default:
				}
			},
		},
	}
	o.TargetFileSizes[0] = 8 << 20
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	o.Levels[0].IndexBlockSize = 1 << 20                           // one level of it: a table has some MiB
	o.Levels[len(o.Levels)-1].FilterPolicy = pebble.NoFilterPolicy // Get does not ask it there
	o.Experimental.ReadCompactionRate = -1
	o.Experimental.CompactionScheduler = db.turns.newMember()
	o.EnsureDefaults()
	p, err := pebble.Open(f.path, o)
	if err != nil {
		return err
	}
	f.pebble, f.options = p, o
	return nil
}

// A partition's tables that have come since the last compaction lie over one another, as far as their keys reach.
const (
	compactDepth = 4  // of them are taken together
	maxDepth     = 24 // of them make writes wait
)

// shut closes the Pebble.
func (f *folder) shut() {
	f.scans.Wait()
	if f.pebble == nil {
		return
	}
	if err := f.pebble.Close(); err != nil && f.failure() == nil {
		f.db.log.Warn("a store does not close well", "store", f.name, "error", err)
	}
	f.pebble = nil
}

// remove empties the folder. It is renamed first, so that a crash leaves no half of it.
func (f *folder) remove() error {
	old := f.path + ".dropped"
	if err := f.db.fs.RemoveAll(old); err != nil {
		return err
	}
	if err := f.db.fs.Rename(f.path, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.db.fs.RemoveAll(old)
}

// size is that of its tables.
func (f *folder) size() int64 {
	f.db.mu.Lock()
	defer f.db.mu.Unlock()
	if !f.opened {
		return 0
	}
	return f.pebble.Metrics().Total().TablesSize
}

// lockRetry is how soon a folder that another process has open is tried again: one that is being stopped.
const lockRetry = 50 * time.Millisecond

// reopen opens the folder, or an empty one in its place where it is of no use: dropped says why then.
func (f *folder) reopen(ctx context.Context, c *Claim) (m meta, dropped string, err error) {
	if failed := f.failure(); failed != nil {
		dropped = failed.Error()
	}
	f.clearFailure()
	f.path = f.home
	patience := patience{db: f.db, began: time.Now()}
	for {
		if dropped != "" {
			if err := f.remove(); err != nil {
				return meta{}, dropped, &IOError{Name: f.name, Err: err}
			}
		}
		err := f.open()
		switch {
		case err == nil:
		case locked(err):
			if patience.over(f, err) {
				f.path, dropped = f.home+beside, ""
				continue
			}
			timer := time.NewTimer(lockRetry)
			select {
			case <-timer.C:
				continue
			case <-ctx.Done():
				timer.Stop()
				return meta{}, dropped, context.Cause(ctx)
			case <-f.db.life.Done():
				timer.Stop()
				return meta{}, dropped, ErrClosed
			}
		case environmental(err) || dropped != "":
			return meta{}, dropped, &IOError{Name: f.name, Err: err}
		default:
			dropped = fmt.Sprintf("it cannot be opened: %v", err)
			f.clearFailure()
			continue
		}
		m, found, err := f.meta()
		if err == nil && f.failure() != nil {
			err = f.failure()
		}
		if err == nil {
			var moved bool
			if moved, err = f.homecoming(m.at.Changelog); moved {
				continue
			}
		}
		switch {
		case err == nil && !found:
			return meta{}, dropped, nil
		case err == nil:
			why := c.unfit(&m, f.db.opts.Clock())
			if why == "" {
				return m, dropped, nil
			}
			err = errors.New(why)
		case environmental(err):
			f.shut()
			return meta{}, dropped, &IOError{Name: f.name, Err: err}
		}
		f.shut()
		if dropped != "" {
			return meta{}, dropped, &IOError{Name: f.name, Err: err}
		}
		dropped = err.Error()
		f.clearFailure()
	}
}

func (f *folder) clearFailure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		f.failed, f.fails = nil, make(chan struct{})
		f.broken.Store(false)
	}
}

// failing is closed when the folder fails.
func (f *folder) failing() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fails
}

// meta reads the meta record.
func (f *folder) meta() (m meta, found bool, err error) {
	b, closer, err := f.pebble.Get([]byte(metaKey))
	if errors.Is(err, pebble.ErrNotFound) {
		return meta{}, false, nil
	}
	if err != nil {
		return meta{}, false, err
	}
	m, err = readMeta(b)
	if e := closer.Close(); err == nil {
		err = e
	}
	return m, err == nil, err
}

// locked says whether an error is of a lock that another holds.
func locked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process"
}

// pebbleLog passes on what Pebble has to say.
type pebbleLog struct{ f *folder }

// Infof is for pebble.Logger.
func (l pebbleLog) Infof(string, ...any) {}

// Errorf is for pebble.Logger.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.f.db.log.Warn("pebble", "store", l.f.name, "message", fmt.Sprintf(format, args...))
}

// Fatalf is for pebble.Logger: it has no way on, and must not return. A panic in one of its goroutines ends the process, as
// a crash does, which the next start reads the changelog's tail for.
func (l pebbleLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.f.db.log.Error("the disk of the state fails: the process ends", "reason", "STATE_FAILED", "store", l.f.name, "error", message)
	panic("store " + l.f.name + ": " + message)
}
