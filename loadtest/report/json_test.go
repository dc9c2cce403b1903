package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func written(t *testing.T, r *Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestADocumentReadsBackAsItWasWritten(t *testing.T) {
	for name, r := range samples() {
		got, err := Read(bytes.NewReader(written(t, r)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := *r
		want.Format = Format
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
}

func TestReadingSaysWhatIsWrongWithADocument(t *testing.T) {
	whole := string(written(t, sampleReport(5, 100, Movements)))
	for _, c := range []struct{ name, text, want string }{
		{"empty", "  \n", "is empty"},
		{"cut off", whole[:len(whole)/2], "cut off"},
		{"cut off early", whole[:1], "cut off"},
		{"a page", "<!doctype html><html>", "no JSON"},
		{"other JSON", `{"name":"inventory","records":12}`, "no load test's report"},
		{"a list", `[1,2]`, "JSON array"},
		{"a later format", strings.Replace(whole, `"format":1`, `"format":2`, 1), "format 2"},
		{"no format at all", strings.Replace(whole, `"format":1`, `"format":0`, 1), "formats begin at 1"},
		{"a changed field", strings.Replace(whole, `"seed":42`, `"seed":"x"`, 1), "field seed holds a string"},
		{"more behind it", whole + "{}", "after top-level value"},
	} {
		_, err := Read(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestAFieldOfALaterVersionIsPassedOver(t *testing.T) {
	text := strings.Replace(string(written(t, sampleReport(5, 100, Movements))), `"format":1`, `"format":1,"weather":"fair"`, 1)
	if _, err := Read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func TestARunsFolderStandsForItsReport(t *testing.T) {
	dir := t.TempDir()
	if err := WriteFile(filepath.Join(dir, JSONName), sampleReport(5, 100, Movements).WriteJSON); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, JSONName)} {
		if r, err := ReadFile(path); err != nil || r.Profile != "peak-day" {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("absent: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, JSONName), []byte(`{"format":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), JSONName) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %v", err)
	}
}

// JSON has no NaN: whoever divided by nothing is told where, and no half document is written.
func TestAFigureThatIsNoNumberIsNamed(t *testing.T) {
	r := sampleReport(5, 100, Movements)
	r.Processes[1].CPUSecondsPerMillion = math.NaN()
	r.Slices[3].Seconds = math.Inf(1)
	var b bytes.Buffer
	err := r.WriteJSON(&b)
	if err == nil || !strings.Contains(err.Error(), "process kafka's cpu_seconds_per_million") || !strings.Contains(err.Error(), "slices[3].seconds") {
		t.Errorf("%v", err)
	}
	if b.Len() > 0 {
		t.Errorf("%d bytes were written", b.Len())
	}
}

// Whatever is read can be written, shown and compared, and reads back the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"format":1,"run":"r","began":"2026-11-20T09:30:00Z"}`))
	f.Add([]byte(`{"format":1,"run":"r","began":"2026-11-20T09:30:00Z","slices":[{"at_s":-1,"seconds":1e300,"due":-5,"seen":{"x":9223372036854775807}}],"hops":[{"name":"x","measured":1,"share":-2,"edges_us":[0,0,-4],"heat":[[1],[1,2,3,4,5,6]],"quantiles":[{"q":2,"us":-1},{"q":0,"us":0}]}]}`))
	f.Add([]byte(`{"format":1,"run":"r","began":"2026-11-20T09:30:00Z","commits":{"count":1,"stages":[{"stage":"s","duration_counts":[1,2,3]}],"duration_edges_s":[1]},"partitions":[{"partition":-1,"records":-4}],"search":[{"rate":0}],"processes":[{"name":"p","samples":[{"at_s":1},{"at_s":0}]}]}`))
	r := sampleReport(3, 50, Documents)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		first := written(t, r)
		again, err := Read(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		if second := written(t, again); !bytes.Equal(first, second) {
			t.Fatalf("written twice:\n%s\n%s", first, second)
		}
		checkPage(t, "fuzzed", r.WriteHTML)
		checkPage(t, "fuzzed comparison", Compare(r, sampleReport(2, 10, Movements)).WriteHTML)
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
	})
}
