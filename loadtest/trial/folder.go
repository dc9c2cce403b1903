package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"crossdock/loadtest/durable"
	"crossdock/loadtest/report"
)

// The files of a run's folder.
const (
	ManifestFile = "run.json"
	LogFile      = "sent.log" // of the run itself; those of attempts are sent-1.log, ...
)

// manifestFormat is the version of run.json; a reader refuses a higher one.
const manifestFormat = 1

// A Manifest is run.json: with the logs, enough to make every event of a run again, and to find what came of it.
type Manifest struct {
	Format int          `json:"format"`
	Run    string       `json:"run"`
	Entry  report.Entry `json:"entry"`
	App    string       `json:"app"`    // application id's beginning, as configured
	Prefix string       `json:"prefix"` // of topics
	// Registry is "memory" where the schemas' ids came from a registry that ended with the run: registering anew gives
	// the same ids.
	Registry string `json:"registry"`
	Ledger   bool   `json:"ledger"` // the ledger topic was written
	Tables   bool   `json:"tables"` // the tables in ClickHouse were filled
	Parts    []Part `json:"parts"`  // in the order sent
	// From is where the topics that a verdict reads ended before the run, by topic and partition.
	From map[string]map[int32]int64 `json:"from"`
}

// A Part is one load that was sent: the run itself, or an attempt of a search.
type Part struct {
	Name        string    `json:"name"` // what it is to a reader: "run", "attempt 3"
	Space       string    `json:"space"`
	Seed        uint64    `json:"seed"`
	Rate        float64   `json:"rate"`         // the highest of its plan, events a second
	ProfileText string    `json:"profile_text"` // as it ran, all values, YAML
	Began       time.Time `json:"began"`        // the first event's intended and event time
	Log         string    `json:"log"`          // file in the folder
}

// namePattern is what a run's name may be: it is a folder's name, and part of a URL at times.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName says why a run cannot be called so.
func CheckName(run string) error {
	if !namePattern.MatchString(run) {
		return fmt.Errorf("run %q: a name has 1 to 64 letters, digits, dots, hyphens and underscores, and begins with a letter or a digit", run)
	}
	return nil
}

// CheckOut says why a run's folder could not be written below out, before anything is sent for it: the name is taken, or
// the folder cannot be made or written. It leaves out made, and nothing in it.
func CheckOut(out, run string) error {
	if err := CheckName(run); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(out, run)); err == nil {
		return fmt.Errorf("run %s: there is one of that name already in %s; give another with --run", run, out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("results folder %s: %w; give one that can be written with --out", out, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("results folder: %w; give one that can be written with --out", err)
	}
	probe, err := os.MkdirTemp(out, partial(run))
	if err != nil {
		return fmt.Errorf("results folder: %w; give one that can be written with --out", err)
	}
	err = os.WriteFile(filepath.Join(probe, "probe"), []byte("can this folder be written?\n"), 0o644)
	if err = errors.Join(err, os.RemoveAll(probe)); err != nil {
		return fmt.Errorf("results folder: %w; give one that can be written with --out", err)
	}
	return nil
}

// sameName bounds how many runs of one name may end at one time.
const sameName = 100

// partial begins the name of a folder that is being written.
func partial(run string) string { return "." + run + "-partial-" }

// A File is one of a folder that is to be written.
type File struct {
	Name  string
	Write func(io.Writer) error
}

// WriteFolder writes a run's folder below out, whole or not at all, and returns its path. Where another run of that name has
// ended meanwhile, it is that of the run with -2, -3 and so on behind: what was measured is not thrown away for its name.
// What has been written when something fails, a full disk say, is taken away again.
func WriteFolder(out, run string, files []File) (string, error) {
	return writeFolder(out, run, files, durable.New)
}

func writeFolder(out, run string, files []File, create durable.Create) (_ string, err error) {
	path := filepath.Join(out, run)
	defer func() {
		if err != nil {
			err = fmt.Errorf("the run's folder %s was not written, and nothing of it is left: %w", path, full(err))
		}
	}()
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(out, partial(run))
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp makes it for its owner alone
		return "", err
	}
	for _, f := range files {
		if err := durable.Fill(filepath.Join(temp, f.Name), f.Write, create); err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	for n := 2; ; n++ {
		err := os.Rename(temp, path)
		if err == nil {
			return path, durable.SyncFolder(out)
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) || n > sameName {
			return "", err
		}
		path = filepath.Join(out, fmt.Sprintf("%s-%d", run, n))
	}
}

// full says what to do where no space is left.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return fmt.Errorf("no space is left there: %w; make room, or give another folder with --out", err)
	}
	return err
}

// asJSON writes a document.
func asJSON(document any) func(io.Writer) error {
	return func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(document)
	}
}

// ReadManifest reads run.json of a run's folder. The error says what is missing of a folder that is none.
func ReadManifest(folder string) (*Manifest, error) {
	path := filepath.Join(folder, ManifestFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no folder of a run: it has no %s", folder, ManifestFile)
	}
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Format > manifestFormat {
		return nil, fmt.Errorf("%s: format %d was written by a newer crossdock; this one reads up to %d", path, m.Format, manifestFormat)
	}
	if m.Format < 1 || len(m.Parts) == 0 {
		return nil, fmt.Errorf("%s: it names nothing that was sent", path)
	}
	for _, p := range m.Parts {
		if p.Log != filepath.Base(p.Log) || strings.HasPrefix(p.Log, ".") {
			return nil, fmt.Errorf("%s: part %s: %q is no file of the folder", path, p.Name, p.Log)
		}
	}
	return m, nil
}
