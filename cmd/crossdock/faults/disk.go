package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

func stateRot() Fault {
	return Fault{
		Name: "rot",
		Does: "an instance is killed with -9, a stretch of one of its store's files is overwritten, and it starts again under its name",
		Must: "what is damaged is found and restored from its changelog, or was not needed",
		inject: func(_ context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			if err := i.kill9(); err != nil {
				return "", err
			}
			file, size, err := d.spoil(f.state(i.disk))
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s: %s, %d bytes", i.name, file, size), i.start(i.name)
		},
	}
}

func stateGone() Fault {
	return Fault{
		Name: "state gone",
		Does: "an instance is killed with -9, the folder of its stores is removed, and it starts again under its name",
		Must: "its state is restored from the changelogs",
		inject: func(_ context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			if err := i.kill9(); err != nil {
				return "", err
			}
			if err := os.RemoveAll(f.state(i.disk)); err != nil {
				return "", err
			}
			return i.name, i.start(i.name)
		},
	}
}

// spoilt is how many bytes at most are overwritten.
const spoilt = 4 << 10

// spoil overwrites a stretch of a file with data that the draw picks below a folder: tables and manifests, what a disk can rot
// in, and not the small files that say who works there.
func (d Draw) spoil(folder string) (file string, size int64, err error) {
	type data struct {
		path string
		size int64
	}
	var all []data
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && filepath.Ext(path) == ".sst" {
			all = append(all, data{path, info.Size()})
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(all) == 0 {
		return "nothing was written yet", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	slices.SortFunc(all, func(a, b data) int { return int(b.size - a.size) })
	pick := all[d.Broker%min(len(all), 3)]
	size = min(spoilt, pick.size)
	at := int64(d.Share * float64(pick.size-size))
	out, err := os.OpenFile(pick.path, os.O_WRONLY, 0)
	if err != nil {
		return "", 0, err
	}
	_, err = out.WriteAt(make([]byte, size), at)
	return filepath.Base(pick.path), size, errors.Join(err, out.Close())
}
