package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"crossdock/loadtest/durable"
)

// fullAfter is a file on a disk that has so many bytes left.
type fullAfter struct {
	f    *os.File // not embedded: its WriteString would pass Write by
	left *int
	sync error
}

func (f fullAfter) Write(b []byte) (int, error) {
	if len(b) > *f.left {
		n, _ := f.f.Write(b[:*f.left])
		*f.left = 0
		return n, &os.PathError{Op: "write", Path: f.f.Name(), Err: syscall.ENOSPC}
	}
	*f.left -= len(b)
	return f.f.Write(b)
}

func (f fullAfter) Close() error { return f.f.Close() }
func (f fullAfter) Sync() error  { return errors.Join(f.f.Sync(), f.sync) }

func almostFull(left int, sync error) disk {
	return disk{create: func(path string) (durable.File, error) {
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		return fullAfter{f, &left, sync}, nil
	}}
}

func saying(content string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
}

// At whichever byte the disk is full, the file of before is untouched, and nothing else lies beside it.
func TestAFullDiskLeavesNothingHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), HTMLName)
	if err := (disk{}).write(path, saying("before")); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("x", 200_000)
	for _, left := range []int{0, 1, 65_536, 199_999} {
		err := almostFull(left, nil).write(path, saying(content))
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "free space there or choose another folder") {
			t.Errorf("%d bytes left: %v", left, err)
		}
		mustHold(t, path, "before")
	}
	// Some file systems find out only when the data is forced to the disk.
	if err := almostFull(1<<20, syscall.EDQUOT).write(path, saying(content)); !errors.Is(err, syscall.EDQUOT) {
		t.Errorf("sync: %v", err)
	}
	mustHold(t, path, "before")
	if err := almostFull(200_000, nil).write(path, saying(content)); err != nil {
		t.Errorf("room enough: %v", err)
	}
	mustHold(t, path, content)
}

// mustHold wants the file to be alone in its folder.
func mustHold(t *testing.T, path, content string) {
	t.Helper()
	if text, err := os.ReadFile(path); err != nil || string(text) != content {
		t.Errorf("%s holds %d bytes, %v", path, len(text), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestAReportThatCannotBeShownIsNotWrittenAtAll(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	err := WriteFile(filepath.Join(dir, HTMLName), func(w io.Writer) error { return errors.Join(saying("half")(w), broken) })
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), HTMLName) {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestAFileIsReadableByOthersAndItsFolderMustBeThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, HTMLName)
	if err := WriteFile(path, sampleReport(2, 10, Movements).WriteHTML); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o444 != 0o444 || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := WriteFile(filepath.Join(dir, "absent", "x"), saying("")); err == nil || !strings.Contains(err.Error(), "make its folder first") {
		t.Errorf("%v", err)
	}
	blocked := filepath.Join(path, "below")
	if err := WriteFile(blocked, saying("")); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("%v", err)
	}
}
