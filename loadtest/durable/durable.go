// Package durable writes files so that they are there whole or not at all, and outlive a power cut, also where the disk
// fills up in the middle. It knows nothing of what is in them.
package durable

import (
	"bufio"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// A File is one that is being written.
type File interface {
	io.WriteCloser
	Sync() error
}

// A Create makes a file that is not there yet. Tests give one whose disk fills up.
type Create func(path string) (File, error)

// New is the system's Create.
func New(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
}

// Write writes a file beside its place, forces it to the disk and renames it. Its folder must exist. Where it fails nothing
// is left, and what stood there before still does.
func Write(path string, content func(io.Writer) error, create Create) (err error) {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+".tmp")
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // the first error is the one to tell; a renamed one is gone already
		}
	}()
	if err := Fill(temporary, content, create); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// Fill makes a file and forces its content to the disk. Where it fails what was written is left: whoever calls it takes it away.
func Fill(path string, content func(io.Writer) error, create Create) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	err = content(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncFolder makes a rename last. A system that cannot do so for a folder is taken at its word.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}
