package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// beside ends the name of a folder that is used in another's place, which a process has open that does not end: one that is
// frozen, or whose machine is away and still has the lock of a shared disk. What it has it may keep, and write when it wakes: nobody
// else reads it before it has gone. Whoever opens the partition later keeps of the two the one that is further.
const beside = ".beside"

// patience is how long a folder is waited for.
type patience struct {
	db    *DB
	began time.Time
	told  time.Time
}

// tellLocked is how often the log is told of a wait that goes on.
const tellLocked = time.Minute

// over says whether a folder that is locked should be left to whoever has it, and tells of it.
func (w *patience) over(f *folder, err error) bool {
	waited := time.Since(w.began)
	attributes := []any{"store", f.name, "folder", f.path, "process", holder(f.path, err), "waited", waited.Round(time.Millisecond).String()}
	// Where somebody has gone beside before there is no use in waiting again.
	if f.path == f.home && (waited > w.db.opts.LockTimeout || w.db.exists(f.home+beside)) {
		w.db.log.Error("another process has the store open and does not end: it may keep the folder, and one beside it is used. End that process", attributes...)
		return true
	}
	if w.told.IsZero() || time.Since(w.told) > tellLocked {
		w.told = time.Now()
		w.db.log.Warn("another process has the store open: waiting for it to end", attributes...)
	}
	return false
}

// exists says whether there is a file or folder.
func (db *DB) exists(path string) bool {
	_, err := db.fs.Stat(path)
	return err == nil
}

// holder is the id of the process that has a folder's lock, 0 where it cannot be told. This one must not ask for its own: a process
// that closes a file loses its locks on it (fcntl, POSIX).
func holder(path string, err error) int32 {
	if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
		return 0
	}
	lock, err := os.Open(filepath.Join(path, "LOCK"))
	if err != nil {
		return 0
	}
	defer func() { _ = lock.Close() }()
	l := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(lock.Fd(), syscall.F_GETLK, &l); err != nil || l.Type == syscall.F_UNLCK {
		return 0
	}
	return l.Pid
}

// homecoming ends the time of a folder beside, when the folder whose place it took is free again. The further one stays. Moved says that
// the folder was shut and another one is to be opened in its place.
func (f *folder) homecoming(at int64) (moved bool, err error) {
	if f.path != f.home || !f.db.exists(f.home+beside) {
		return false, nil
	}
	f.shut()
	f.path = f.home + beside
	further, readable := f.peek(at)
	switch {
	case !readable: // somebody has it open, or it is of no use
		f.path = f.home
		return false, f.open()
	case !further:
		if err := f.db.fs.RemoveAll(f.path); err != nil {
			return false, &IOError{Name: f.name, Err: err}
		}
		f.path = f.home
		return false, f.open()
	}
	f.path = f.home
	if err := f.remove(); err != nil {
		return false, &IOError{Name: f.name, Err: err}
	}
	if err := f.db.fs.Rename(f.home+beside, f.home); err != nil {
		return false, &IOError{Name: f.name, Err: err}
	}
	f.db.log.Warn("the store that was used beside a locked folder is further than that: it takes its place", "store", f.name)
	return true, nil
}

// peek opens a folder for a look at how far it is, and shuts it.
func (f *folder) peek(than int64) (further, readable bool) {
	defer f.clearFailure()
	if err := f.open(); err != nil {
		return false, false
	}
	m, found, err := f.meta()
	f.shut()
	return err == nil && found && m.at.Changelog > than, err == nil && f.failure() == nil
}
