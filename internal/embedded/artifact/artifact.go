// Package artifact keeps what Crossdock fetches once for a machine (the ClickHouse engine, the jars of the test services):
// where it lies, who may write it, and how a half-finished download is never mistaken for a whole one.
//
// It knows nothing of what it keeps.
//
// Invariants:
//
//   - A directory that exists is complete: it is filled under another name and renamed.
//   - One process fills a directory; the others wait for it and then use what it made.
package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// RootEnv names the environment variable that moves the cache.
const RootEnv = "CROSSDOCK_CACHE"

// An Unavailable says that something outside of Crossdock is missing, and how to get it. Tests skip on it.
type Unavailable struct {
	What   string // the service or tool: "the ClickHouse engine"
	Why    string // "npm is not installed"
	Remedy string // a sentence that begins with a verb
}

func (e *Unavailable) Error() string { return e.What + " is not available: " + e.Why + ". " + e.Remedy }

// Root is the directory of everything that is fetched once: $CROSSDOCK_CACHE, else crossdock in the user's cache
// directory ($XDG_CACHE_HOME, else ~/.cache; on macOS ~/Library/Caches). It is not created.
func Root() (string, error) {
	if dir := os.Getenv(RootEnv); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("the user's cache directory is unknown (%w); set %s to a directory", err, RootEnv)
	}
	return filepath.Join(dir, "crossdock"), nil
}

// Once returns when dir exists and is complete. If it is absent, fill is called with an empty directory beside it, which
// becomes dir when fill returns nil. Of several callers, in any processes, one fills and the others wait until ctx ends.
func Once(ctx context.Context, dir string, fill func(ctx context.Context, staging string) error) error {
	if present(dir) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := Acquire(ctx, dir+".lock")
	if err != nil {
		return err
	}
	defer lock.Release()
	if present(dir) {
		return nil
	}
	staging := dir + ".partial"
	if err := os.RemoveAll(staging); err != nil { // what an interrupted run left
		return err
	}
	if err := os.Mkdir(staging, 0o755); err != nil {
		return err
	}
	if err := fill(ctx, staging); err != nil {
		return errors.Join(err, os.RemoveAll(staging))
	}
	return os.Rename(staging, dir)
}

func present(dir string) bool {
	_, err := os.Stat(dir)
	return !errors.Is(err, fs.ErrNotExist)
}
