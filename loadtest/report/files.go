package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"crossdock/loadtest/durable"
)

// WriteFile writes one file whole or not at all: beside its place, forced to the disk, then renamed. Its folder must exist.
func WriteFile(path string, content func(io.Writer) error) error {
	return disk{}.write(path, content)
}

// A disk is where files are made. The zero value is the system's; a test gives one that fills up.
type disk struct{ create durable.Create }

func (d disk) write(path string, content func(io.Writer) error) error {
	create := d.create
	if create == nil {
		create = durable.New
	}
	if err := durable.Write(path, content, create); err != nil {
		return remedy(path, err)
	}
	return nil
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
