package trial

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"crossdock/loadtest/durable"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
)

// narrow is a file on a disk that is full after so many bytes.
type narrow struct {
	file *os.File
	left *int
}

func (n narrow) Write(p []byte) (int, error) {
	if len(p) > *n.left {
		written, err := n.file.Write(p[:*n.left])
		*n.left -= written
		return written, errors.Join(err, &os.PathError{Op: "write", Path: n.file.Name(), Err: syscall.ENOSPC})
	}
	*n.left -= len(p)
	return n.file.Write(p)
}

func (n narrow) Sync() error  { return n.file.Sync() }
func (n narrow) Close() error { return n.file.Close() }

func text(name, content string) File {
	return File{name, func(w io.Writer) error { _, err := io.WriteString(w, content); return err }}
}

func entries(t *testing.T, folder string) (names []string) {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		names = append(names, f.Name())
	}
	return names
}

func TestAFolderIsWrittenWhole(t *testing.T) {
	out := filepath.Join(t.TempDir(), "deep", "results")
	path, err := WriteFolder(out, "monday", []File{text("a", "1"), text("b", "2")})
	if err != nil || path != filepath.Join(out, "monday") {
		t.Fatal(path, err)
	}
	if got := entries(t, path); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Fatal(got)
	}
	if got := entries(t, out); len(got) != 1 {
		t.Fatalf("more than the folder is left: %v", got)
	}
}

func TestAFullDiskLeavesNothingHalfWritten(t *testing.T) {
	for _, room := range []int{0, 1, 300<<10 - 1, 300 << 10, 300<<10 + 5} {
		out := t.TempDir()
		left := room
		_, err := writeFolder(out, "monday", []File{text("a", strings.Repeat("x", 300<<10)), text("b", "the second")}, func(path string) (durable.File, error) {
			f, err := os.Create(path)
			return narrow{f, &left}, err
		})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space is left there") || !strings.Contains(err.Error(), "--out") {
			t.Errorf("room for %d bytes: %v", room, err)
		}
		if got := entries(t, out); len(got) != 0 {
			t.Errorf("room for %d bytes: %v is left", room, got)
		}
	}
}

func TestAFolderThatIsThereIsNeverTouched(t *testing.T) {
	out := t.TempDir()
	if _, err := WriteFolder(out, "monday", []File{text("a", "1")}); err != nil {
		t.Fatal(err)
	}
	if err := CheckOut(out, "monday"); err == nil || !strings.Contains(err.Error(), "--run") {
		t.Errorf("%v", err)
	}
	if got := entries(t, out); len(got) != 1 {
		t.Errorf("%v is left", got)
	}
}

func TestAFolderThatCannotBeWrittenIsNamedBeforeTheRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{out, filepath.Join(out, "below")} {
		if err := CheckOut(folder, "monday"); err == nil || !strings.Contains(err.Error(), "--out") {
			t.Errorf("%s: %v", folder, err)
		}
	}
	fresh := filepath.Join(t.TempDir(), "results")
	if err := CheckOut(fresh, "monday"); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, fresh); len(got) != 0 {
		t.Errorf("the look left %v", got)
	}
}

func TestARunsNameIsAFoldersName(t *testing.T) {
	for _, name := range []string{"a", "peak-day-1124-0930", "2026.11.27_x"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".hidden", "a/b", "..", "a b", "-x", strings.Repeat("x", 65), "a|b"} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestAFolderOfAnotherKindIsNamed(t *testing.T) {
	folder := t.TempDir()
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, ManifestFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(says string) {
		t.Helper()
		if _, err := ReadManifest(folder); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	check("is no folder of a run")
	write("{")
	check("unexpected end of JSON")
	write(`{"format": 99}`)
	check("newer crossdock")
	write(`{"format": 1}`)
	check("nothing that was sent")
	write(`{"format": 1, "parts": [{"name": "run", "log": "../../etc/passwd"}]}`)
	check("is no file of the folder")
}

// Two runs of one name may be begun at one time, since neither has a folder yet. What both measured is kept.
func TestTheSecondRunOfANameIsWrittenBesideTheFirst(t *testing.T) {
	out := t.TempDir()
	for i, want := range []string{"monday", "monday-2", "monday-3"} {
		path, err := WriteFolder(out, "monday", []File{text("a", strconv.Itoa(i))})
		if err != nil || path != filepath.Join(out, want) {
			t.Fatalf("run %d is in %s: %v", i, path, err)
		}
		if content, err := os.ReadFile(filepath.Join(path, "a")); err != nil || string(content) != strconv.Itoa(i) {
			t.Errorf("%s holds %q, %v", path, content, err)
		}
	}
	if got := entries(t, out); len(got) != 3 {
		t.Errorf("more than the folders is left: %v", got)
	}
}

// A run's folder that was damaged is no verdict about the pipeline.
func TestADamagedFolderIsNoVerdict(t *testing.T) {
	p, err := profile.Load("base")
	if err != nil {
		t.Fatal(err)
	}
	part := Part{Name: "run", Space: "R-00", Seed: 1, ProfileText: p.YAML(), Began: time.Now().UTC().Truncate(time.Microsecond), Log: LogFile}
	typo := part
	typo.ProfileText = "pacee: {}\n"
	for name, files := range map[string][]File{
		"no manifest": {text(LogFile, "x")},
		"no log":      {{ManifestFile, asJSON(&Manifest{Format: 1, Run: "r", Entry: report.Movements, Parts: []Part{part}})}},
		"no such log": {{ManifestFile, asJSON(&Manifest{Format: 1, Run: "r", Entry: report.Movements, Parts: []Part{part}})}, text(LogFile, "these are other bytes")},
		"profile":     {{ManifestFile, asJSON(&Manifest{Format: 1, Run: "r", Entry: report.Movements, Parts: []Part{typo}})}, text(LogFile, "x")},
	} {
		folder, err := WriteFolder(t.TempDir(), "r", files)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Verify(t.Context(), folder, Evidence{})
		var unfit *UnfitError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), folder) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
