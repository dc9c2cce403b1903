package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAResultIsWrittenWholeOrNotAtAll(t *testing.T) {
	r := newResult(Inventory, &Options{Records: 5})
	dir := filepath.Join(t.TempDir(), "bench", "results")
	path, err := r.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"records": 5`) {
		t.Errorf("%v: %s", err, text)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v: %v", err, files)
	}
	if _, err := r.Write(filepath.Join(path, "under a file")); err == nil {
		t.Error("written under a file")
	}
}

func TestASpreadHasTheMiddleOfAnEvenNumberOfRuns(t *testing.T) {
	var r Result
	for _, v := range []float64{4, 1, 3, 2} {
		r.Runs = append(r.Runs, Measured{Stage: Measure{RecordsPerSecond: v}})
	}
	if s := r.Spread(func(r *Measured) float64 { return r.Stage.RecordsPerSecond }); s != (Spread{2.5, 1, 4}) {
		t.Errorf("%+v", s)
	}
}
