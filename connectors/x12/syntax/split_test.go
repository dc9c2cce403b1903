package syntax

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func splitAll(t *testing.T, document string, limit int) (parts []string, refused []*Fault) {
	t.Helper()
	err := Split(iotest.OneByteReader(strings.NewReader(document)), limit,
		func(part []byte) error { parts = append(parts, string(bytes.Clone(part))); return nil },
		func(f *Fault) error {
			kept := *f
			refused = append(refused, &kept)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return parts, refused
}

func TestSplitLeavesAnInterchangeThatFitsAsItIs(t *testing.T) {
	for _, end := range []string{"~", "~\n", "~\r\n", "\n", "…\n  "} {
		one := strings.TrimRight(interchange("*", ">", end, oneSet, oneSet), " ")
		two := strings.Replace(one, "000000900", "000000901", 2)
		parts, refused := splitAll(t, one+two, 16<<20)
		if len(refused) > 0 || len(parts) != 2 {
			t.Fatalf("%q: %d parts, %v", end, len(parts), refused)
		}
		if strings.TrimSpace(parts[0]) != strings.TrimSpace(one) || strings.TrimSpace(parts[1]) != strings.TrimSpace(two) {
			t.Fatalf("%q: the bytes were changed: %q", end, parts)
		}
	}
}

func TestSplitOfALargeInterchangeGivesEachPartAnEnvelopeThatIsRight(t *testing.T) {
	var sets [][]string
	for range 9 {
		sets = append(sets, oneSet)
	}
	document := interchange("*", ">", "~\n", sets...)
	parts, refused := splitAll(t, document, 400)
	if len(refused) > 0 || len(parts) < 4 {
		t.Fatalf("%d parts, %v", len(parts), refused)
	}
	total := 0
	for _, p := range parts {
		o := read(t, p)
		if o.codes() != "" || len(p) > 400 {
			t.Fatalf("part of %d bytes: %v\n%s", len(p), o.faults, p)
		}
		total += len(o.sets)
	}
	if total != 9 {
		t.Fatalf("%d sets, want 9", total)
	}
}

func TestSplitKeepsATrailerThatIsWrong(t *testing.T) {
	document := strings.Replace(interchange("*", ">", "~\n", oneSet, oneSet, oneSet, oneSet), "GE*4*", "GE*5*", 1)
	parts, _ := splitAll(t, document, 400)
	var codes []string
	for _, p := range parts {
		if c := read(t, p).codes(); c != "" {
			codes = append(codes, c)
		}
	}
	if len(codes) != 1 || codes[0] != "X12_GE01_COUNT" {
		t.Fatalf("faults of the parts are %v: cutting must not mend a count that is wrong", codes)
	}
}

func TestSplitRefusesASetThatIsTooLargeAndKeepsTheOthers(t *testing.T) {
	large := append([]string{}, oneSet...)
	for range 40 {
		large = append(large, "NTE**this note fills the set")
	}
	for _, sets := range [][][]string{{oneSet, large, oneSet}, {large, oneSet}, {oneSet, large}} {
		parts, refused := splitAll(t, interchange("*", ">", "~\n", sets...), 700)
		if len(refused) != 1 || refused[0].Code != SetTooLarge || refused[0].Remedy == "" {
			t.Fatalf("refused %v", refused)
		}
		total := 0
		for _, p := range parts {
			o := read(t, p)
			if o.codes() != "" {
				t.Fatalf("part has faults %v\n%s", o.faults, p)
			}
			total += len(o.sets)
		}
		if total != len(sets)-1 {
			t.Fatalf("%d sets of %d are left", total, len(sets)-1)
		}
	}
}

func TestSplitKeepsWhatCannotBeRead(t *testing.T) {
	plain := interchange("*", ">", "~\n", oneSet)
	parts, refused := splitAll(t, "garbage\n"+plain+strings.Replace(plain, "*0*P*", "*0*X*", 1)+plain, 16<<20)
	if len(refused) > 0 || len(parts) != 4 {
		t.Fatalf("%d parts, %v", len(parts), refused)
	}
	if !strings.HasPrefix(parts[0], "garbage") || read(t, parts[2]).codes() != string(BadHeader) {
		t.Fatalf("parts are %q", parts)
	}
}

func TestSplitOfAStreamThatBreaksGivesNoHalfInterchange(t *testing.T) {
	broken := errors.New("connection reset")
	document := interchange("*", ">", "~\n", oneSet)
	for cut := 0; cut < len(document)-2; cut++ {
		err := Split(io.MultiReader(strings.NewReader(document[:cut]), iotest.ErrReader(broken)), 1<<20,
			func(part []byte) error { t.Fatalf("cut at %d: a part came out: %q", cut, part); return nil },
			func(*Fault) error { return nil })
		if !errors.Is(err, broken) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
}

func TestPeekReadsSenderReceiverAndFirstSet(t *testing.T) {
	document := interchange("*", ">", "~\n", oneSet)
	for _, cut := range []int{len(document), 180} {
		ic, first, ok := Peek([]byte(document[:cut]))
		if !ok || ic.Sender != "HAFENLAGER" || ic.Receiver != "NORDLICHT" || first != "945" {
			t.Fatalf("got %+v, %q, %v", ic, first, ok)
		}
	}
	if _, first, ok := Peek([]byte(document[:120])); !ok || first != "" {
		t.Fatalf("a head without ST gives %q, %v", first, ok)
	}
	if _, _, ok := Peek([]byte("ISA*00")); ok {
		t.Fatal("a header that is cut off has no key")
	}
}
