package clickhouse

import (
	"bytes"
	"strings"
	"testing"
)

// wireBlock is a block of one row with a column of the type, whose prefix and data are given.
func wireBlock(typ string, data ...byte) []byte {
	var b bytes.Buffer
	appendHeader(&b, []column{{"c", typ}})
	out := b.Bytes()
	out[len(blockInfo)+1] = 1 // rows
	return append(out, data...)
}

func TestRecodingTwiceGivesTheSameBlock(t *testing.T) {
	for _, c := range []struct {
		typ  string
		data []byte
	}{
		{"UInt8", []byte{7}},
		{"String", []byte{2, 'a', 'b'}},
		{"FixedString(3)", []byte("abc")},
		{"Decimal(18, 6)", make([]byte, 8)},
		{"Decimal(38, 6)", make([]byte, 16)},
		{"Nullable(DateTime64(6, 'UTC'))", make([]byte, 9)},
		{"Enum8('a, (b' = 1, 'it\\'s' = 2)", []byte{1}},
		{"Array(String)", []byte{2, 0, 0, 0, 0, 0, 0, 0, 1, 'x', 0}},
		{"Map(String, UInt16)", []byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 'k', 5, 0}},
		{"Tuple(`a b` UInt8, c String)", []byte{1, 1, 'z'}},
		{"LowCardinality(Nullable(String))", append([]byte{1, 0, 0, 0, 0, 0, 0, 0 /* index of one byte */, 0, 2, 0, 0, 0, 0, 0, 0},
			2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'x' /* two keys */, 1, 0, 0, 0, 0, 0, 0, 0, 1)},
		{"SimpleAggregateFunction(sum, UInt64)", make([]byte, 8)},
		{"IntervalDay", make([]byte, 8)},
	} {
		in := wireBlock(c.typ, c.data...)
		var plain, back bytes.Buffer
		b, err := recode(&plain, bytes.NewReader(in), wire)
		if err != nil || b.rows != 1 || len(b.columns) != 1 || b.columns[0].typ != c.typ {
			t.Errorf("%s: %+v, %v", c.typ, b, err)
			continue
		}
		if _, err := recode(&back, bytes.NewReader(plain.Bytes()), bare); err != nil || !bytes.Equal(back.Bytes(), in) {
			t.Errorf("%s: %v\n got %x\nwant %x", c.typ, err, back.Bytes(), in)
		}
	}
}

func TestABlockThatLiesIsAnErrorAndCostsNoMemory(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // 2^31 - 1
	for name, in := range map[string][]byte{
		"cut off":                  wireBlock("UInt64", 1, 2),
		"a string of 2 GiB":        wireBlock("String", huge...),
		"an array of 2^60":         wireBlock("Array(UInt8)", 0, 0, 0, 0, 0, 0, 0, 16),
		"no index":                 wireBlock("LowCardinality(String)", make([]byte, 40)...),
		"a wide index":             wireBlock("LowCardinality(String)", append(make([]byte, 8), 9, 0, 0, 0, 0, 0, 0, 0)...),
		"a type with no known end": wireBlock("AggregateFunction(sum, UInt64)", 1),
		"an unknown info field":    {9, 0},
		"nothing":                  {},
	} {
		var out bytes.Buffer
		if _, err := recode(&out, bytes.NewReader(in), wire); err == nil {
			t.Errorf("%s: no error", name)
		}
		if out.Cap() > 4*copyStride {
			t.Errorf("%s: %d bytes were set aside", name, out.Cap())
		}
	}
}

func FuzzRecode(f *testing.F) {
	f.Add(wireBlock("Array(LowCardinality(String))", make([]byte, 8)...))
	f.Add(wireBlock("Tuple(a UInt8, b Nullable(String))", 1, 0, 1, 'x'))
	f.Fuzz(func(t *testing.T, in []byte) {
		var plain, back bytes.Buffer
		if _, err := recode(&plain, bytes.NewReader(in), wire); err != nil {
			return
		}
		if _, err := recode(&back, bytes.NewReader(plain.Bytes()), bare); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func TestStatementsThatTheEngineWouldCallASuccess(t *testing.T) {
	for q, good := range map[string]bool{
		"SELECT 1": true, "  /* why */ SELECT 1": true, "(SELECT 1)": true, "-- a\nSELECT 1": true, ";": true,
		"": false, "-- nothing": false, "\x04x": false, `"x`: false, "/* a */": false, "1": false,
	} {
		if err := checkStatement(q); (err == nil) != good {
			t.Errorf("%q: %v", q, err)
		}
	}
}

func TestInsertsWhoseRowsComeSeparatelyAreTakenApart(t *testing.T) {
	for q, want := range map[string]insertStatement{
		"INSERT INTO t VALUES":                              {"INSERT INTO t", "t", "", "Values"},
		"INSERT INTO `my db`.t (a, b) FORMAT Native":        {"INSERT INTO `my db`.t (a, b)", "`my db`.t", "a, b", "Native"},
		"insert into table d.t (a) SETTINGS x = 1 VALUES ;": {"insert into table d.t (a) SETTINGS x = 1", "d.t", "a", "Values"},
	} {
		if got, ok := splitInsert(q); !ok || got != want {
			t.Errorf("%s: %+v, %v", q, got, ok)
		}
	}
	for _, q := range []string{"INSERT INTO t VALUES (1)", "INSERT INTO t SELECT 1", "SELECT 1 FORMAT Native", "INSERT INTO FUNCTION url('x') VALUES"} {
		if got, ok := splitInsert(q); ok {
			t.Errorf("%s: taken for %+v", q, got)
		}
	}
}

func TestPlatformsWithoutAnEngineAreNamed(t *testing.T) {
	if _, err := thisPlatform("linux", "riscv64"); err == nil || !strings.Contains(err.Error(), "linux/riscv64") || !strings.Contains(err.Error(), "docker compose") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsReportEveryProblem(t *testing.T) {
	err := (&Options{Sessions: -1}).validate()
	for _, flag := range []string{"--lib", "--path", "--http", "--sessions"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not in %v", flag, err)
		}
	}
}
