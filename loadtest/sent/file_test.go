package sent

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type testHead struct {
	Name string `json:"name"`
	Counts
}

func testFormat() *Format[testHead] {
	return &Format[testHead]{Magic: "xdk-test", Version: 3, Writer: "a test", MaxRest: 1 << 20}
}

func written(t testing.TB, h *testHead, rest []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := testFormat().Write(&b, h, rest); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestASavedLogReadsBackWhole(t *testing.T) {
	h := &testHead{"a run", Counts{Kinds: map[uint8]int64{3: 4}, Poison: map[uint8]int64{}, Offline: 5}}
	for _, rest := range [][]byte{{}, {1}, bytes.Repeat([]byte{7, 8}, 1<<19)} {
		again, got, err := testFormat().Read(bytes.NewReader(written(t, h, rest)))
		if err != nil || !bytes.Equal(got, rest) {
			t.Fatalf("%d bytes of %d: %v", len(got), len(rest), err)
		}
		if d := cmp.Diff(h, again); d != "" {
			t.Error(d)
		}
	}
}

func TestWhatIsNoSavedLogIsRefusedByName(t *testing.T) {
	file := written(t, &testHead{Name: "a run"}, bytes.Repeat([]byte("something"), 100))
	start := len("xdk-test") + 1
	changed := func(at int, to byte) []byte {
		c := bytes.Clone(file)
		c[at] = to
		return c
	}
	for name, c := range map[string]struct {
		bytes []byte
		says  string
	}{
		"nothing":              {nil, "not written by a test"},
		"another file":         {[]byte(`{"format": 1, "run": "r"}`), "not written by a test"},
		"a newer version":      {changed(start-1, 9), "version 9"},
		"a start alone":        {file[:start+2], "cut short"},
		"half a file":          {file[:len(file)/2], "checksum"},
		"a changed byte":       {changed(len(file)/2, file[len(file)/2]^1), "checksum"},
		"a file and something": {append(bytes.Clone(file), 0), "checksum"},
		"more than there is":   {written(t, &testHead{}, make([]byte, 1<<20+maxHead+1)), "more than any log"},
	} {
		_, _, err := testFormat().Read(bytes.NewReader(c.bytes))
		var e *FileError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range file { // no cut is taken for a whole
		if _, _, err := testFormat().Read(bytes.NewReader(file[:n])); err == nil {
			t.Fatalf("the first %d of %d bytes are read as a log", n, len(file))
		}
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAFullDiskIsToldBySave(t *testing.T) {
	if err := testFormat().Write(full{}, &testHead{}, nil); !errors.Is(err, errFull) {
		t.Errorf("the error is %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f, &testHead{Name: "a run"}, []byte("something")))
	f.Add([]byte("xdk-test\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := testFormat().Read(bytes.NewReader(b))
		if err == nil && (h == nil || int64(len(rest)) > testFormat().most()) {
			t.Errorf("%v and %d bytes", h, len(rest))
		}
	})
}
