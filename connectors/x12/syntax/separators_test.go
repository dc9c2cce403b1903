package syntax

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// isa builds a header of 106 characters; tail is what stands behind ISA15 and its separator.
func isa(element, tail string) string {
	h := "ISA*00*          *00*          *ZZ*HAFENLAGER     *ZZ*NORDLICHT      *261106*1700*U*00401*000000900*0*P*"
	return strings.ReplaceAll(h, "*", element) + tail
}

// interchange puts sets into an envelope with the given separators.
func interchange(element, component, terminator string, sets ...[]string) string {
	var b strings.Builder
	b.WriteString(isa(element, component+terminator))
	segment := func(elements ...string) { b.WriteString(strings.Join(elements, element) + terminator) }
	segment("GS", "SW", "HAFENLAGER", "NORDLICHT", "20261106", "1700", "900", "X", "004010")
	for i, s := range sets {
		control := string(rune('1' + i))
		segment("ST", "945", control)
		for _, line := range s {
			segment(strings.Split(line, "*")...)
		}
		segment("SE", itoa(len(s)+2), control)
	}
	segment("GE", itoa(len(sets)), "900")
	segment("IEA", "1", "000000900")
	return b.String()
}

func itoa(n int) string {
	if n >= 10 {
		return itoa(n/10) + string(rune('0'+n%10))
	}
	return string(rune('0' + n))
}

var oneSet = []string{"W06*F*SO-1*20261106", "LX*1", "W12*CC*1*1*0*EA**VN*MUG"}

// outcome is what a document gives: the sets' segments as text, and the faults' codes.
type outcome struct {
	sets   []string
	faults []*Fault
}

func readAll(t testing.TB, r *Reader) outcome {
	t.Helper()
	var o outcome
	for {
		set, err := r.Next()
		var f *Fault
		switch {
		case errors.As(err, &f):
			kept := *f
			kept.Raw = []byte(string(f.Raw))
			o.faults = append(o.faults, &kept)
		case errors.Is(err, io.EOF):
			return o
		case err != nil:
			t.Fatal(err)
		default:
			var b strings.Builder
			for i := range set.Segments {
				s := &set.Segments[i]
				b.Write(s.ID())
				for e := 1; e <= s.Len(); e++ {
					b.WriteByte('|')
					b.Write(s.Element(e))
				}
				b.WriteByte('\n')
			}
			o.sets = append(o.sets, b.String())
		}
	}
}

func read(t testing.TB, document string) outcome {
	return readAll(t, NewBytesReader([]byte(document), Limits{}, UTF8))
}

func (o outcome) codes() string {
	var c []string
	for _, f := range o.faults {
		c = append(c, string(f.Code))
	}
	return strings.Join(c, " ")
}

func TestAnyLegalSeparatorsReadTheSame(t *testing.T) {
	want := read(t, interchange("*", ">", "~", oneSet)).sets
	if len(want) != 1 {
		t.Fatal("the plain form does not read")
	}
	for _, c := range []struct{ name, element, component, terminator string }{
		{"tilde separates elements", "~", ">", "'"},
		{"star and newline", "*", ">", "\n"},
		{"star and CR LF", "*", ">", "\r\n"},
		{"backslash terminates", "*", ">", "\\"},
		{"backslash separates components", "*", "\\", "~"},
		{"ellipsis terminates, UTF-8", "*", ">", "…"},
		{"ellipsis terminates, one byte", "*", ">", "\x85"},
		{"control characters", "\x1d", "\x1f", "\x1c"},
		{"pipe and tab", "|", "^", "\t"},
		{"tilde and newline", "*", ">", "~\n"},
		{"tilde and CR LF", "*", ">", "~\r\n"},
		{"bang and plus", "+", ":", "!"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, interchange(c.element, c.component, c.terminator, oneSet))
			if len(got.faults) > 0 {
				t.Fatalf("faults: %v", got.faults[0])
			}
			if len(got.sets) != 1 || got.sets[0] != want[0] {
				t.Fatalf("got %q, want %q", got.sets, want)
			}
		})
	}
}

func TestIllegalHeadersAreNamed(t *testing.T) {
	plain := interchange("*", ">", "~", oneSet)
	body := plain[106:]
	for _, c := range []struct {
		name, document string
		code           Code
		element        int
	}{
		{"letters cannot separate", strings.ReplaceAll(plain, "~", "x"), BadSeparator, 0},
		{"a blank cannot separate", isa("*", " ~") + body, BadSeparator, 16},
		{"component and terminator are one", isa("*", "##") + body, SameSeparators, 0},
		{"element and terminator are one", isa("*", ":*") + body, SameSeparators, 0},
		{"element and component are one", isa("*", "*~") + body, SameSeparators, 16},
		{"a sign beyond ASCII separates components", isa("*", "\U0001F680~") + body, BadSeparator, 16},
		{"an emoji terminates", isa("*", ">\U0001F680") + body, BadSeparator, 0},
		{"a letter separates repetitions", strings.Replace(plain, "*U*00401*", "*Z*00501*", 1), BadSeparator, 11},
		{"repetition and element are one", strings.Replace(plain, "*U*00401*", "***00501*", 1), BadHeader, 14},
		{"repetition and component are one", strings.Replace(plain, "*U*00401*", "*>*00501*", 1), SameSeparators, 16},
		{"repetition and terminator are one", strings.Replace(plain, "*U*00401*", "*~*00501*", 1), SameSeparators, 11},
		{"an element is too long", strings.Replace(plain, "*261106*", "*20261106*", 1), BadHeader, 9},
		{"no date", strings.Replace(plain, "*261106*", "*261306*", 1), BadHeader, 9},
		{"no time", strings.Replace(plain, "*1700*", "*2500*", 1), BadHeader, 10},
		{"control number with letters", strings.Replace(plain, "000000900", "00000090A", 1), BadHeader, 13},
		{"unknown usage", strings.Replace(plain, "*0*P*", "*0*X*", 1), BadHeader, 15},
		{"no sender", strings.Replace(plain, "HAFENLAGER     ", "               ", 1), BadHeader, 6},
		{"truncated", plain[:60], Truncated, 0},
		{"truncated before the terminator", plain[:105], Truncated, 0},
		{"only three letters", "ISA", NotX12, 0},
		{"not EDI", "hello, world", NotX12, 0},
		{"UTF-16", "\xff\xfeI\x00S\x00A\x00", WrongEncoding, 0},
		{"EBCDIC", "\xc9\xe2\xc1\x5c", WrongEncoding, 0},
		{"empty", "", Truncated, 0},
		{"blank", " \r\n\t ", Truncated, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, c.document)
			if len(got.sets) > 0 || len(got.faults) == 0 {
				t.Fatalf("%d sets, %d faults: it was not refused", len(got.sets), len(got.faults))
			}
			f := got.faults[0]
			if f.Code != c.code || f.Pos.Element != c.element {
				t.Fatalf("got %v, want %s at element %d", f, c.code, c.element)
			}
			if f.Notice || f.Remedy == "" || f.Detail == "" {
				t.Fatalf("a refusal needs detail and remedy: %+v", f)
			}
		})
	}
}

func TestReadableHeadersThatBreakTheStandardGiveANotice(t *testing.T) {
	plain := interchange("*", ">", "~\n", oneSet)
	want := read(t, plain).sets[0]
	for _, c := range []struct {
		name, document string
		code           Code
	}{
		{"blanks are missing", strings.ReplaceAll(plain, "          ", " "), LooseHeader},
		{"blanks are no-break spaces", strings.Replace(plain, "          ", strings.Repeat("\u00a0", 10), 1), LooseHeader},
		{"ISA16 was left out", strings.Replace(plain, ">~", "~", 1), NoComponentMark},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := read(t, c.document)
			if got.codes() != string(c.code) || !got.faults[0].Notice {
				t.Fatalf("got %v, want the notice %s", got.faults, c.code)
			}
			if len(got.sets) != 1 || got.sets[0] != want {
				t.Fatalf("got %q, want %q", got.sets, want)
			}
		})
	}
}

func TestComponentMarkBeforeANewlineTerminatorIsKept(t *testing.T) {
	set, err := NewBytesReader([]byte(interchange("*", ">", "\n", []string{"SLN*1>2*3>4"})), Limits{}, UTF8).Next()
	if err != nil {
		t.Fatal(err)
	}
	if set.Interchange.Component != '>' || string(set.Interchange.Terminator) != "\n" {
		t.Fatalf("separators are %+v", set.Interchange.Separators)
	}
}
