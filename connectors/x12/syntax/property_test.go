package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// A drawn document: sets of segments of elements, free of whatever may separate.
type drawn struct{ sets [][][]string }

func drawDocument(t *rapid.T) drawn {
	text := rapid.StringMatching(`[A-Z0-9ü ]{0,8}[A-Z0-9]`)
	element := rapid.OneOf(rapid.Just(""), text)
	segment := rapid.Custom(func(t *rapid.T) []string {
		id := rapid.StringMatching(`[A-Z][A-Z0-9]{1,2}`).Filter(func(s string) bool {
			switch s {
			case "ISA", "IEA", "GS", "GE", "ST", "SE":
				return false
			}
			return true
		}).Draw(t, "id")
		return append([]string{id}, rapid.SliceOfN(element, 0, 6).Draw(t, "elements")...)
	})
	return drawn{rapid.SliceOfN(rapid.SliceOfN(segment, 0, 8), 1, 4).Draw(t, "sets")}
}

// render writes the document with separators that it draws.
func (d drawn) render(t *rapid.T) string {
	sign := rapid.SampledFrom(strings.Split("! \" # $ % & ' ( ) * + , - . / : ; < = > ? @ [ \\ ] ^ _ ` { | } ~ \x1c \x1d \x1e \x1f", " "))
	element := sign.Draw(t, "element")
	component := sign.Filter(func(s string) bool { return s != element }).Draw(t, "component")
	terminator := rapid.OneOf(sign, rapid.SampledFrom([]string{"\n", "\r", "…", "\x85", "¶"})).
		Filter(func(s string) bool { return s != element && s != component }).Draw(t, "terminator")
	var b strings.Builder
	b.WriteString(isa(element, component+terminator))
	after := rapid.SampledFrom([]string{"", "\n", "\r\n", "\n  ", "\n\t"}).Draw(t, "between segments")
	put := func(elements ...string) {
		b.WriteString(after)
		b.WriteString(strings.Join(elements, element) + terminator)
	}
	put("GS", "SW", "A", "B", "20261106", "1700", "900", "X", "004010")
	for i, set := range d.sets {
		put("ST", "945", fmt.Sprint(i+1))
		for _, s := range set {
			put(s...)
		}
		put("SE", fmt.Sprint(len(set)+2), fmt.Sprint(i+1))
	}
	put("GE", fmt.Sprint(len(d.sets)), "900")
	put("IEA", "1", "000000900")
	document := b.String()
	if c := terminator[0]; c != '\n' && c != '\r' && rapid.Bool().Draw(t, "wrapped") {
		width := rapid.IntRange(4, 103).Draw(t, "width")
		var w strings.Builder
		column := 0
		for i := 0; i < len(document); { // a character is never cut in two
			_, size := utf8.DecodeRuneInString(document[i:])
			w.WriteString(document[i : i+size])
			i += size
			if column++; column == width {
				w.WriteByte('\n')
				column = 0
			}
		}
		document = w.String()
	}
	return document
}

// TestSeparatorsAndWrapsDoNotMatter holds the invariant: the same segments give the same sets.
func TestSeparatorsAndWrapsDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDocument(t)
		document := d.render(t)
		var want []string
		for i, set := range d.sets {
			var b strings.Builder
			fmt.Fprintf(&b, "ST|945|%d\n", i+1)
			for _, s := range set {
				for e := range s {
					s[e] = strings.Trim(s[e], " ")
				}
				b.WriteString(strings.Join(s, "|") + "\n")
			}
			fmt.Fprintf(&b, "SE|%d|%d\n", len(set)+2, i+1)
			want = append(want, b.String())
		}
		chars := UTF8
		if strings.Contains(document, "\x85") && !strings.Contains(document, "…") {
			chars = Latin1
		}
		o := outcome{}
		collect(t, NewBytesReader([]byte(document), Limits{}, chars), &o)
		if o.codes() != "" || strings.Join(o.sets, "\n") != strings.Join(want, "\n") {
			t.Fatalf("document %q\ngot  %q\nwant %q\nfaults %v", document, o.sets, want, o.faults)
		}
		streamed := outcome{}
		collect(t, NewReader(iotest.HalfReader(strings.NewReader(document)), Limits{}, chars), &streamed)
		if strings.Join(streamed.sets, "") != strings.Join(o.sets, "") {
			t.Fatalf("streamed it reads differently: %q", streamed.sets)
		}
	})
}

// fataler is what collect needs of a test.
type fataler interface{ Fatal(...any) }

func collect(t fataler, r *Reader, o *outcome) {
	got := outcome{}
	for {
		set, err := r.Next()
		var f *Fault
		if errors.As(err, &f) {
			got.faults = append(got.faults, f)
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
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
		got.sets = append(got.sets, b.String())
	}
	*o = got
}

// TestSplitKeepsEverySet cuts interchanges at drawn limits: each part is within the limit and reads without a fault, and
// all parts together have the sets of the whole.
func TestSplitKeepsEverySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "interchanges")
		var document strings.Builder
		for range n {
			document.WriteString(drawDocument(t).render(t))
		}
		text := document.String()
		whole := outcome{}
		collect(t, NewBytesReader([]byte(text), Limits{}, Latin1), &whole)
		if whole.codes() != "" {
			t.Skip("interchanges whose separators bite each other")
		}
		limit := rapid.IntRange(1200, 4000).Draw(t, "limit")
		var parts outcome
		err := Split(iotest.HalfReader(strings.NewReader(text)), limit, func(part []byte) error {
			if len(part) > limit {
				t.Fatalf("a part has %d bytes, the limit is %d", len(part), limit)
			}
			o := outcome{}
			collect(t, NewBytesReader(bytes.Clone(part), Limits{}, Latin1), &o)
			if o.codes() != "" {
				t.Fatalf("a part has faults: %v\n%q", o.faults, part)
			}
			parts.sets = append(parts.sets, o.sets...)
			return nil
		}, func(f *Fault) error { t.Fatalf("refused: %v", f); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(parts.sets, "") != strings.Join(whole.sets, "") {
			t.Fatalf("got %d sets, want %d", len(parts.sets), len(whole.sets))
		}
	})
}
