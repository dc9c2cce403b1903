package report

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile writes one file whole or not at all: beside its place, forced to the disk, then renamed. Its folder must exist.
func WriteFile(path string, content func(io.Writer) error) error {
	return disk{}.write(path, content)
}

// A disk is where files are made. The zero value is the system's; a test gives one that fills up.
type disk struct {
	create func(path string) (file, error)
}

type file interface {
	io.WriteCloser
	Sync() error
}

func (d disk) write(path string, content func(io.Writer) error) (err error) {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+".tmp")
	defer func() {
		if err != nil {
			_ = os.Remove(temporary) // the first error is the one to tell; a renamed one is gone already
			err = remedy(path, err)
		}
	}()
	if err := d.fill(temporary, content); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func (d disk) fill(name string, content func(io.Writer) error) error {
	create := d.create
	if create == nil {
		create = func(path string) (file, error) { return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) }
	}
	f, err := create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	err = content(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFolder makes a rename last. A system that cannot do so for a folder is taken at its word.
func syncFolder(path string) error {
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

// remedy says what could not be written, and what to do.
func remedy(path string, err error) error {
	advice := "nothing was left half-written"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		advice = "free space there or choose another folder, then write it again; " + advice
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		advice = "choose a folder that may be written to; " + advice
	case errors.Is(err, fs.ErrNotExist):
		advice = "make its folder first; " + advice
	}
	return fmt.Errorf("report: %s cannot be written: %w (%s)", path, err, advice)
}
