package syntax

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEveryEnvelopeCountAndControlNumberIsChecked(t *testing.T) {
	plain := interchange("*", ">", "~\n", oneSet, oneSet)
	if got := read(t, plain); len(got.sets) != 2 || len(got.faults) != 0 {
		t.Fatalf("the plain form gives %d sets, %v", len(got.sets), got.faults)
	}
	replace := func(old, with string) string { return strings.Replace(plain, old, with, 1) }
	for _, c := range []struct {
		name, document string
		codes          string
		sets           int
		at, points     string // position of the first fault, and the text that it points at
	}{
		{"SE01 is wrong", replace("SE*5*1~", "SE*6*1~"), "X12_SE01_COUNT", 1, "segment 7 (SE), element 1", "6*1~"},
		{"SE01 has leading zeros", replace("SE*5*1~", "SE*005*1~"), "", 2, "", ""},
		{"SE01 is no number", replace("SE*5*1~", "SE*+5*1~"), "X12_SE01_COUNT", 1, "segment 7 (SE), element 1", "+5*1~"},
		{"SE02 is wrong", replace("SE*5*1~", "SE*5*9~"), "X12_SE02_CONTROL_NUMBER", 1, "segment 7 (SE), element 2", "9~"},
		{"SE02 drops zeros of ST02", replace("ST*945*1~", "ST*945*0001~"), "", 2, "", ""},
		{"SE is missing", replace("SE*5*1~\n", ""), "X12_SE_MISSING", 1, "segment 7 (ST)", "ST*945*2"},
		{"a segment is lost", replace("LX*1~\n", ""), "X12_SE01_COUNT", 1, "segment 6 (SE), element 1", "5*1~"},
		{"GE01 is wrong", replace("GE*2*", "GE*3*"), "X12_GE01_COUNT", 2, "", ""},
		{"GE02 is wrong", replace("GE*2*900", "GE*2*901"), "X12_GE02_CONTROL_NUMBER", 2, "", ""},
		{"GE is missing", replace("GE*2*900~\n", ""), "X12_GE_MISSING", 2, "", ""},
		{"IEA01 is wrong", replace("IEA*1*", "IEA*2*"), "X12_IEA01_COUNT", 2, "", ""},
		{"IEA02 is wrong", replace("IEA*1*000000900", "IEA*1*000000901"), "X12_IEA02_CONTROL_NUMBER", 2, "", ""},
		{"IEA02 drops zeros", replace("IEA*1*000000900", "IEA*1*900"), "", 2, "", ""},
		{"GE01 and GE02 are wrong", replace("GE*2*900", "GE*3*901"), "X12_GE01_COUNT X12_GE02_CONTROL_NUMBER", 2, "", ""},
		{"IEA01 and IEA02 are wrong", replace("IEA*1*000000900", "IEA*2*000000901"), "X12_IEA01_COUNT X12_IEA02_CONTROL_NUMBER", 2, "", ""},
		{"IEA is missing", replace("IEA*1*000000900~\n", ""), "X12_TRUNCATED", 2, "", ""},
		{"IEA is missing before the next interchange", replace("IEA*1*000000900~\n", "") + plain, "X12_IEA_MISSING", 4, "", ""},
		{"IEA without a terminator at the end", strings.TrimSuffix(plain, "~\n"), "", 2, "", ""},
		{"GE and IEA are missing before the next interchange", replace("GE*2*900~\nIEA*1*000000900~\n", "") + plain, "X12_GE_MISSING X12_IEA_MISSING", 4, "", ""},
		{"SE, GE and IEA are missing before the next interchange", replace("SE*5*2~\nGE*2*900~\nIEA*1*000000900~\n", "") + plain, "X12_SE_MISSING X12_GE_MISSING X12_IEA_MISSING", 3, "", ""},
		{"GS is missing", replace("GS*SW*HAFENLAGER*NORDLICHT*20261106*1700*900*X*004010~\n", ""), "X12_SET_OUTSIDE_GROUP X12_SET_OUTSIDE_GROUP X12_UNEXPECTED_SEGMENT X12_IEA01_COUNT", 0, "", ""},
		{"GS has no control number", replace("*900*X*", "**X*"), "X12_BAD_ENVELOPE", 2, "", ""},
		{"a segment between sets", replace("ST*945*2~", "NTE**hello~\nNTE**again~\nST*945*2~"), "X12_UNEXPECTED_SEGMENT", 2, "segment 8 (NTE)", "NTE**hello"},
		{"control number used twice", strings.Replace(replace("ST*945*2~", "ST*945*1~"), "SE*5*2~", "SE*5*1~", 1), "X12_ST02_REPEATED", 2, "", ""},
		{"ST01 is no set", replace("ST*945*1~", "ST*94*1~"), "X12_BAD_ENVELOPE", 1, "segment 3 (ST), element 1", "94*1"},
		{"ST02 is missing", replace("ST*945*1~", "ST*945~"), "X12_BAD_ENVELOPE", 1, "", ""},
		{"no identifier", replace("LX*1~", "**1~"), "X12_BAD_SEGMENT", 1, "segment 5", "**1~"},
		{"two terminators in a row", replace("LX*1~", "LX*1~~"), "X12_BAD_SEGMENT", 1, "segment 6", "~"},
		{"a control character", replace("MUG", "M\x00G"), "X12_BAD_CHARACTER", 1, "segment 6 (W12), element 8", "\x00G"},
		{"bytes that are not UTF-8", replace("MUG", "M\xfcG"), "X12_BAD_CHARACTER", 1, "segment 6 (W12), element 8", "\xfcG"},
		{"UTF-8", replace("MUG", "Müg"), "", 2, "", ""},
		{"service segments", replace("GS*", "TA1*000000900*261106*1700*A*000~\nISB*1~\nGS*"), "X12_TA1", 2, "segment 2 (TA1)", "TA1*"},
		{"something before the interchange", "garbage\n" + plain, "X12_NOT_AN_INTERCHANGE", 2, "", "garbage"},
		{"something between interchanges", plain + "garbage\n" + plain, "X12_NOT_AN_INTERCHANGE", 4, "", ""},
		{"a broken header before a whole interchange", "ISA*00*garbage~\n" + plain, "X12_BAD_ISA", 2, "segment 1 (ISA), element 2", "garbage~"},
		{"an end-of-file mark", plain + "\x1a", "", 2, "", ""},
		{"a byte order mark", "\xef\xbb\xbf" + plain, "", 2, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, c.document)
			if got.codes() != c.codes || len(got.sets) != c.sets {
				t.Fatalf("got %d sets and %q, want %d and %q\n%v", len(got.sets), got.codes(), c.sets, c.codes, got.faults)
			}
			if c.points != "" {
				pos := got.faults[0].Pos
				if !strings.HasPrefix(pos.String(), c.at) || !strings.HasPrefix(c.document[pos.Byte:], c.points) {
					t.Fatalf("position is %s, which points at %q, want %s and %q", pos, c.document[pos.Byte:], c.at, c.points)
				}
			}
			for _, f := range got.faults {
				if len(f.Raw) == 0 || f.Detail == "" || f.Remedy == "" {
					t.Fatalf("the fault is not complete: %v with %q", f, f.Raw)
				}
			}
			streamed := readAll(t, NewReader(iotest.OneByteReader(strings.NewReader(c.document)), Limits{}, UTF8))
			if streamed.codes() != got.codes() || strings.Join(streamed.sets, "") != strings.Join(got.sets, "") {
				t.Fatalf("byte by byte it reads differently: %q, %q", streamed.codes(), got.codes())
			}
			for i, f := range streamed.faults {
				if f.Pos != got.faults[i].Pos || !bytes.Equal(f.Raw, got.faults[i].Raw) {
					t.Fatalf("byte by byte fault %d is %v with %q, in memory %v with %q", i, f, f.Raw, got.faults[i], got.faults[i].Raw)
				}
			}
		})
	}
}

func TestFaultOfASetCarriesItsBytes(t *testing.T) {
	document := strings.Replace(interchange("*", ">", "~\n", oneSet, oneSet), "SE*5*1~", "SE*6*1~", 1)
	f := read(t, document).faults[0]
	want := document[strings.Index(document, "ST*945*1~") : strings.Index(document, "SE*6*1~")+len("SE*6*1~")]
	if string(f.Raw) != want || f.Set != "945" {
		t.Fatalf("fault of set %q carries %q, want %q", f.Set, f.Raw, want)
	}
}

func TestLineWrapsAtAnyColumnReadTheSame(t *testing.T) {
	plain := interchange("*", ">", "~", oneSet, oneSet)
	want := read(t, plain)
	for width := 4; width <= 120; width++ { // the first four bytes, which tell an ISA, are on one line
		for _, end := range []string{"\n", "\r\n"} {
			if width == 104 || width == 105 {
				continue // the first break stands just before or behind ISA16: it could be a separator
			}
			var b strings.Builder
			for i := 0; i < len(plain); i += width {
				b.WriteString(plain[i:min(i+width, len(plain))] + end)
			}
			got := read(t, b.String())
			if strings.Join(got.sets, "") != strings.Join(want.sets, "") || got.codes() != "" {
				t.Fatalf("wrapped at %d with %q: %d sets, %v", width, end, len(got.sets), got.faults)
			}
		}
	}
}

func TestPositionsCountLineWraps(t *testing.T) {
	plain := strings.Replace(interchange("*", ">", "~", oneSet), "SE*5*1", "SE*5*2", 1)
	var b strings.Builder
	for i := 0; i < len(plain); i += 80 {
		b.WriteString(plain[i:min(i+80, len(plain))] + "\n")
	}
	f := read(t, b.String()).faults[0]
	if got := b.String()[f.Pos.Byte]; got != '2' || f.Pos.Element != 2 {
		t.Fatalf("the position %s points at %q", f.Pos, got)
	}
}

func TestInterchangesWithDifferentSeparatorsInOneDocument(t *testing.T) {
	document := interchange("*", ">", "~\n", oneSet) + interchange("|", ":", "!", oneSet) + interchange("~", ">", "\n", oneSet)
	got := read(t, document)
	if len(got.sets) != 3 || got.codes() != "" || got.sets[0] != got.sets[1] || got.sets[1] != got.sets[2] {
		t.Fatalf("got %d sets, %v", len(got.sets), got.faults)
	}
}

// TestTruncationAnywhere cuts a document at every byte: what comes out is whole sets, and a fault where anything is missing.
func TestTruncationAnywhere(t *testing.T) {
	for _, end := range []string{"~", "~\r\n", "\n"} {
		document := interchange("*", ">", end, oneSet, oneSet) + interchange("|", "<", end, oneSet)
		whole := read(t, document)
		last := len(strings.TrimRight(document, "~\r\n"))
		for cut := range document {
			got := read(t, document[:cut])
			if len(got.sets) > len(whole.sets) {
				t.Fatalf("cut at %d: more sets than there are", cut)
			}
			for i, s := range got.sets {
				if s != whole.sets[i] {
					t.Fatalf("cut at %d: set %d is %q", cut, i, s)
				}
			}
			complete := cut >= last || len(got.sets) == 2 && len(read(t, document[cut:]).sets) == 1 && got.codes() == ""
			if len(got.faults) == 0 && !complete {
				t.Fatalf("cut at %d of %d with %q: no fault", cut, len(document), end)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	long := append(append([]string{}, oneSet...), "NTE**"+strings.Repeat("x", 2000))
	many := append([]string{}, oneSet...)
	for range 200 {
		many = append(many, "NTE**x")
	}
	limits := Limits{SegmentBytes: 1000, SetSegments: 100, Elements: 30, SetBytes: 3000, FaultBytes: 500}
	for _, c := range []struct {
		name string
		set  []string
		code Code
	}{
		{"a segment is too long", long, SegmentTooLong},
		{"too many elements", append(append([]string{}, oneSet...), "NTE"+strings.Repeat("*", 40)), SegmentTooLong},
		{"too many segments", many, SetTooLarge},
		{"too many bytes", []string{oneSet[0], "NTE**" + strings.Repeat("x", 900), "NTE**" + strings.Repeat("x", 900), "NTE**" + strings.Repeat("x", 900), "NTE**" + strings.Repeat("x", 900)}, SetTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := interchange("*", ">", "~\n", c.set, oneSet)
			for _, r := range []*Reader{NewBytesReader([]byte(document), limits, UTF8), NewReader(iotest.HalfReader(strings.NewReader(document)), limits, UTF8)} {
				got := readAll(t, r)
				if got.codes() != string(c.code) || len(got.sets) != 1 || got.faults[0].Set != "945" {
					t.Fatalf("got %d sets, %v: the set beside it must be read", len(got.sets), got.faults)
				}
				if raw := got.faults[0].Raw; len(raw) == 0 || len(raw) > limits.FaultBytes || !strings.HasPrefix(string(raw), "ST*945*1~") {
					t.Fatalf("the fault carries %q", raw)
				}
			}
		})
	}
}

func TestManyFaultsEndTheReading(t *testing.T) {
	bad := strings.Repeat("ST*945*1~SE*9*1~", 50)
	document := isa("*", ">~") + "GS*SW*A*B*20261106*1700*900*X*004010~" + bad + "GE*50*900~IEA*1*000000900~"
	got := readAll(t, NewBytesReader([]byte(document), Limits{Faults: 10}, UTF8))
	if n := len(got.faults); n != 11 || got.faults[10].Code != TooManyFaults {
		t.Fatalf("%d faults, the last is %v", n, got.faults[n-1])
	}
}

// TestSetsLargerThanTheWindowReadTheSame streams sets of up to some hundred kilobytes, whose window has to grow and move while a set
// is held, with broken ones and an unfinished one between them.
func TestSetsLargerThanTheWindowReadTheSame(t *testing.T) {
	var document strings.Builder
	for i, lines := range []int{3, 9000, 1, 3000, 40, 12000, 2} {
		set := append([]string{}, oneSet...)
		for n := range lines {
			set = append(set, "NTE**line "+itoa(n)+" of the set "+itoa(i))
		}
		one := interchange("*", ">", "~\r\n", set, oneSet)
		if i%3 == 1 {
			one = strings.Replace(one, "SE*5*2", "SE*6*2", 1)
		}
		document.WriteString(one)
	}
	text := document.String()
	text = text[:len(text)-60]
	want := read(t, text)
	if len(want.sets) < 10 || len(want.faults) < 3 {
		t.Fatalf("%d sets, %v", len(want.sets), want.faults)
	}
	for name, stream := range map[string]io.Reader{
		"as it comes": strings.NewReader(text), "in halves": iotest.HalfReader(strings.NewReader(text)), "with data and end at once": iotest.DataErrReader(strings.NewReader(text)),
	} {
		got := readAll(t, NewReader(stream, Limits{}, UTF8))
		if got.codes() != want.codes() || strings.Join(got.sets, "") != strings.Join(want.sets, "") {
			t.Fatalf("%s: %d sets and %q, want %d and %q", name, len(got.sets), got.codes(), len(want.sets), want.codes())
		}
		for i := range got.faults {
			if !bytes.Equal(got.faults[i].Raw, want.faults[i].Raw) || got.faults[i].Pos != want.faults[i].Pos {
				t.Fatalf("%s: fault %d is %v", name, i, got.faults[i])
			}
		}
	}
}

// pattern is an endless stream of one text.
type pattern struct {
	text string
	at   int
	left int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(b) && p.left > 0 {
		c := copy(b[n:min(len(b), n+int(min(p.left, 1<<20)))], p.text[p.at:])
		n += c
		p.at = (p.at + c) % len(p.text)
		p.left -= int64(c)
	}
	return n, nil
}

// TestTwoHundredMegabytesInBoundedMemory reads streams that never end well: no terminator, no SE, no interchange, one byte.
func TestTwoHundredMegabytesInBoundedMemory(t *testing.T) {
	const size = 200 << 20
	head := isa("*", ">~") + "GS*SW*A*B*20261106*1700*900*X*004010~ST*945*1~W06*F*1~"
	for _, c := range []struct {
		name string
		r    io.Reader
		code string
	}{
		{"no interchange", &pattern{text: "not an interchange, ", left: size}, "X12_NOT_AN_INTERCHANGE"},
		{"zeros", &pattern{text: strings.Repeat("\x00", 4096), left: size}, "X12_NOT_AN_INTERCHANGE"},
		{"no terminator", io.MultiReader(strings.NewReader(head), &pattern{text: "NTE**x", left: size}), "X12_SEGMENT_TOO_LONG"},
		{"no SE", io.MultiReader(strings.NewReader(head), &pattern{text: "NTE**a plain note that fills the set~", left: size}), "X12_SET_TOO_LARGE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			r := NewReader(c.r, Limits{}, UTF8)
			var codes []string
			for {
				_, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				var f *Fault
				if !errors.As(err, &f) {
					t.Fatalf("got %v", err)
				}
				codes = append(codes, string(f.Code))
			}
			runtime.ReadMemStats(&after)
			if len(codes) == 0 || codes[0] != c.code {
				t.Fatalf("faults are %v, want %s first", codes, c.code)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 160<<20 {
				t.Fatalf("%d MiB were allocated for a stream of %d MiB", got>>20, size>>20)
			}
		})
	}
}

func TestErrorsOfTheStreamAreNotFaults(t *testing.T) {
	broken := errors.New("connection reset")
	document := interchange("*", ">", "~\n", oneSet, oneSet)
	for cut := range document {
		r := NewReader(io.MultiReader(strings.NewReader(document[:cut]), iotest.ErrReader(broken)), Limits{}, UTF8)
		for {
			_, err := r.Next()
			var f *Fault
			if errors.As(err, &f) {
				t.Fatalf("cut at %d: %v", cut, f)
			}
			if err == nil {
				continue
			}
			if !errors.Is(err, broken) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			break
		}
	}
}

func TestCharsetLatin1TakesAnyByte(t *testing.T) {
	document := strings.Replace(interchange("*", ">", "~\n", oneSet), "MUG", "M\xfcG", 1)
	got := readAll(t, NewBytesReader([]byte(document), Limits{}, Latin1))
	if len(got.sets) != 1 || !strings.Contains(got.sets[0], "M\xfcG") {
		t.Fatalf("got %q, %v", got.sets, got.faults)
	}
}
