package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPoll is how often a held lock is tried again: the kernel offers no wait for a lock that a context can end.
const lockPoll = 50 * time.Millisecond

// A Lock is held by one process at a time and is released with it, however it ends.
type Lock struct{ file *os.File }

// Acquire takes the lock at path, waiting until ctx ends. The file is made if need be and is never removed: a lock whose
// file can vanish is held by two.
func Acquire(ctx context.Context, path string) (*Lock, error) {
	for {
		l, err := TryAcquire(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s is held by another process: %w", path, context.Cause(ctx))
		case <-time.After(lockPoll):
		}
	}
}

// ErrHeld says that another process has the lock.
var ErrHeld = errors.New("the lock is held by another process")

// TryAcquire takes the lock at path or returns ErrHeld.
func TryAcquire(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrHeld
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Lock{file: f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() {
	_ = l.file.Close() // closing releases a flock; there is nothing to flush
}
