package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
	return disk{create: func(path string) (file, error) {
		f, err := os.Create(path)
		if err != nil {
			return nil, err
		}
		return fullAfter{f, &left, sync}, nil
	}}
}

func parts2(dir string, content string) []part {
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, content)
		return err
	}
	return []part{{filepath.Join(dir, JSONName), write}, {filepath.Join(dir, HTMLName), write}}
}

// At whichever byte the disk is full, the files of before are untouched, and nothing else lies beside them.
func TestAFullDiskLeavesNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	if err := (disk{}).write(parts2(dir, "before")...); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("x", 200_000)
	for _, left := range []int{0, 1, 65_536, 199_999, 200_000, 399_999} {
		err := almostFull(left, nil).write(parts2(dir, content)...)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "free space there or choose another folder") {
			t.Errorf("%d bytes left: %v", left, err)
		}
		mustHold(t, dir, "before")
	}
	// Some file systems find out only when the data is forced to the disk.
	if err := almostFull(1<<20, syscall.EDQUOT).write(parts2(dir, content)...); !errors.Is(err, syscall.EDQUOT) {
		t.Errorf("sync: %v", err)
	}
	mustHold(t, dir, "before")
	if err := almostFull(400_000, nil).write(parts2(dir, content)...); err != nil {
		t.Errorf("room enough: %v", err)
	}
	mustHold(t, dir, content)
}

func mustHold(t *testing.T, dir, content string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != JSONName && e.Name() != HTMLName || string(text) != content {
			t.Errorf("%s holds %d bytes", e.Name(), len(text))
		}
	}
	if len(entries) != 2 {
		t.Errorf("%d files", len(entries))
	}
}

// The page is written after the document: where it fails, the document does not stay behind alone.
func TestAReportThatCannotBeShownIsNotWrittenAtAll(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	all := parts2(dir, "x")
	all[1].content = func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	}
	if err := (disk{}).write(all...); !errors.Is(err, broken) || !strings.Contains(err.Error(), HTMLName) {
		t.Errorf("%v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

func TestAFileIsReadableByOthersAndAFolderIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results", "run")
	if err := sampleReport(2, 10, Movements).WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{JSONName, HTMLName} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o400 == 0 || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	err := WriteFile(filepath.Join(dir, "absent", "x"), func(io.Writer) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "make its folder first") {
		t.Errorf("%v", err)
	}
	blocked := filepath.Join(dir, JSONName, "below")
	if err := sampleReport(2, 10, Movements).WriteFiles(blocked); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("%v", err)
	}
}
