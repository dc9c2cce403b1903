package syntax

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func benchDocument() []byte {
	line := []string{"LX*1", "W12*CC*24*24*0*CA**VN*TEA-EARL-100*L-2601", "G69*EARL GREY TEA 100 BAGS", "N9*LV*LPN-000077811", "MAN*GM*00340123450000000017"}
	set := append([]string{}, "W06*F*SO-70014*20261104*BOL-30551**PO-9921", "N1*SF*HAFENLAGER*92*HAM1")
	for range 20 {
		set = append(set, line...)
	}
	var b bytes.Buffer
	for range 500 {
		b.WriteString(interchange("*", ">", "~\n", set))
	}
	return b.Bytes()
}

func drain(b *testing.B, r *Reader) (sets int) {
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			return sets
		}
		if err != nil {
			b.Fatal(err)
		}
		sets++
	}
}

// BenchmarkReadInMemory reads sets in place, as the translate stage does.
func BenchmarkReadInMemory(b *testing.B) {
	doc := benchDocument()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if drain(b, NewBytesReader(doc, Limits{}, UTF8)) != 500 {
			b.Fatal("sets are missing")
		}
	}
}

// BenchmarkReadStream reads the same through a window, as a large file is.
func BenchmarkReadStream(b *testing.B) {
	doc := benchDocument()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if drain(b, NewReader(bytes.NewReader(doc), Limits{}, UTF8)) != 500 {
			b.Fatal("sets are missing")
		}
	}
}

// FuzzReader holds that reading never panics, that memory and stream give the same, and that positions lie in the document.
func FuzzReader(f *testing.F) {
	f.Add([]byte(interchange("*", ">", "~\n", oneSet, oneSet)))
	f.Add([]byte(interchange("~", ">", "\n", oneSet)))
	f.Add([]byte(interchange("*", ">", "…", oneSet)))
	f.Add([]byte(isa("*", "~\n") + "GS*SW*A*B~\n"))
	f.Add([]byte("ISA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{SegmentBytes: 200, SetBytes: 1000, SetSegments: 20, Elements: 20, FaultBytes: 100, Faults: 50}
		inMemory := readAll(t, NewBytesReader(bytes.Clone(b), limits, UTF8))
		stream := readAll(t, NewReader(bytes.NewReader(b), limits, UTF8))
		if len(inMemory.sets) != len(stream.sets) || inMemory.codes() != stream.codes() {
			t.Fatalf("memory %v %q, stream %v %q", inMemory.codes(), inMemory.sets, stream.codes(), stream.sets)
		}
		for _, x := range inMemory.faults {
			if x.Detail == "" || x.Remedy == "" || x.Pos.Byte < 0 || x.Pos.Byte > int64(len(b)) {
				t.Fatalf("%+v in a document of %d bytes", x, len(b))
			}
		}
		_ = Split(bytes.NewReader(b), 1000, func(part []byte) error {
			if len(part) > 1000 {
				t.Fatalf("a part has %d bytes", len(part))
			}
			return nil
		}, func(*Fault) error { return nil })
	})
}
