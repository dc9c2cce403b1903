package x12_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/canonical"
	"crossdock/connectors/x12"
)

func own(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func ownFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.edi")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d documents: %v", len(files), err)
	}
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

func headerOf(t testing.TB, e event.Record) *event.EventHeader {
	t.Helper()
	switch e := e.(type) {
	case *event.OrderRelease:
		return &e.Header
	case *event.InventoryMovement:
		return &e.Header
	case *event.ShipmentMilestone:
		return &e.Header
	case *event.LogisticsException:
		return &e.Header
	}
	t.Fatalf("a %s has come out", e.Kind())
	return nil
}

// lines are the events as canonical JSON.
func lines(t testing.TB, codec *canonical.Codec, r *recorder) string {
	t.Helper()
	var b strings.Builder
	for _, e := range r.events {
		line, err := codec.Append(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func TestTranslatingAgainGivesTheSameEvents(t *testing.T) {
	codec := newCodec(t)
	for _, name := range ownFiles(t) {
		first, again := translate(t, document([]byte(own(t, name)))), translate(t, document([]byte(own(t, name))))
		if lines(t, codec, first) != lines(t, codec, again) {
			t.Errorf("%s: the second translation differs", name)
		}
	}
}

func TestEventIDsAreUniqueWithinADocument(t *testing.T) {
	for _, name := range ownFiles(t) {
		seen, dedupe := map[string]bool{}, map[string]bool{}
		for _, e := range translate(t, document([]byte(own(t, name)))).events {
			h := headerOf(t, e)
			if seen[h.EventID] || dedupe[h.DedupeKey] {
				t.Errorf("%s: %s has an id or a dedupe key that another event has", name, h.EventID)
			}
			seen[h.EventID], dedupe[h.DedupeKey] = true, true
		}
	}
}

// TestNewEnvelopeIsTheSameHappening sends each document again in a new interchange: new control numbers, new date, another place on
// the raw topic. Ids differ, dedupe keys do not; a 940 R alone has its place as its version.
func TestNewEnvelopeIsTheSameHappening(t *testing.T) {
	for _, name := range ownFiles(t) {
		text := own(t, name)
		if name == "945_broken.edi" {
			continue // three sets of one envelope: the others show the rule
		}
		again := text
		for _, control := range []string{"101", "102", "103", "551", "552"} {
			again = strings.NewReplacer("000000"+control, "000004711", "*"+control+"*X*", "*77*X*", "*"+control+"~", "*77~").Replace(again)
		}
		again = strings.NewReplacer("ST*940*0001", "ST*940*8001", "ST*940*0002", "ST*940*8002", "ST*945*0001", "ST*945*8001", "*0001~", "*8001~", "*0002~", "*8002~").Replace(again)
		again = strings.Replace(again, "*2611", "*2612", 1) // ISA09
		if again == text {
			t.Fatalf("%s: the envelope was not changed", name)
		}
		first := translate(t, document([]byte(text)))
		d := document([]byte(again))
		d.RawRef, d.RawOffset = "raw.wms/2/99", 99
		second := translate(t, d)
		if len(first.events) != len(second.events) || len(second.problems) > 0 {
			t.Fatalf("%s: %d events, then %d, %v", name, len(first.events), len(second.events), second.problems)
		}
		for i := range first.events {
			a, b := headerOf(t, first.events[i]), headerOf(t, second.events[i])
			if a.EventID == b.EventID {
				t.Errorf("%s: the event id %s does not say where the raw record lies", name, a.EventID)
			}
			change := a.Action == event.ActionChange
			if same := a.DedupeKey == b.DedupeKey; same == change {
				t.Errorf("%s: dedupe keys %q and %q", name, a.DedupeKey, b.DedupeKey)
			}
		}
	}
}

func TestChangesAreVersionedByTheirPlaceOnTheRawTopic(t *testing.T) {
	var last string
	for _, at := range []int64{9, 10, 99, 100, 1 << 40} {
		d := document([]byte(own(t, "940_change.edi")))
		d.RawOffset = at
		for _, e := range translate(t, d).events {
			v := headerOf(t, e).SourceVersion.Value
			if v <= last {
				t.Fatalf("version %q does not follow %q", v, last)
			}
			last = v
		}
	}
}

// TestSeparatorsChangeNoEvent writes each document with other separators and line wraps.
func TestSeparatorsChangeNoEvent(t *testing.T) {
	codec := newCodec(t)
	want := map[string]string{}
	for _, name := range ownFiles(t) {
		want[name] = lines(t, codec, translate(t, document([]byte(own(t, name)))))
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(ownFiles(t)).Draw(rt, "document")
		signs := rapid.Permutation(strings.Split("! \" # $ % & ' ( ) + / ; < = ? @ [ \\ ] ^ _ ` { | } ~ \x1c \x1d \x1e \x1f", " ")).Draw(rt, "signs")
		text := strings.ReplaceAll(own(t, name), "~\n", "\x00")
		text = strings.NewReplacer("*", signs[0], ">", signs[1]).Replace(text)
		switch rapid.IntRange(0, 3).Draw(rt, "form") {
		case 0:
			text = strings.ReplaceAll(text, "\x00", "\n")
		case 1:
			text = strings.ReplaceAll(text, "\x00", signs[2]+"\r\n")
		case 2:
			text = strings.ReplaceAll(text, "\x00", signs[2])
			var w strings.Builder
			for i := 0; i < len(text); i += 80 {
				w.WriteString(text[i:min(i+80, len(text))] + "\r\n")
			}
			text = w.String()
		case 3:
			text = "\xef\xbb\xbf" + strings.ReplaceAll(text, "\x00", signs[2]+"\n\t  ")
		}
		if got := lines(t, codec, translate(t, document([]byte(text)))); got != want[name] {
			rt.Fatalf("%s as %q becomes\n%s\nwant\n%s", name, text, got, want[name])
		}
	})
}

// TestTruncatedDocumentsGiveWholeSetsOnly cuts each document at every byte.
func TestTruncatedDocumentsGiveWholeSetsOnly(t *testing.T) {
	codec := newCodec(t)
	for _, name := range ownFiles(t) {
		text := own(t, name)
		whole := lines(t, codec, translate(t, document([]byte(text))))
		for cut := range len(text) - len("~\n") {
			r := translate(t, document([]byte(text[:cut])))
			refused := false
			for _, p := range r.problems {
				refused = refused || p.Level == connectors.Refused
			}
			if !refused || !strings.HasPrefix(whole, lines(t, codec, r)) {
				t.Fatalf("%s cut at %d: %s", name, cut, summary(r))
			}
		}
	}
}

func TestOneBrokenSetLeavesTheOthers(t *testing.T) {
	r := translate(t, document([]byte(own(t, "945_broken.edi"))))
	if got := summary(r); got != "2 InventoryMovement; 2 ShipmentMilestone; BAD_QUANTITY; NOT_YET_MAPPED X12/944" {
		t.Fatalf("it became %s", got)
	}
	if b := string(r.problems[0].Bytes); !strings.HasPrefix(b, "ST*945*0002~") || !strings.HasSuffix(b, "SE*7*0002~") {
		t.Fatalf("the dead letter has %q, not the set's own bytes", b)
	}
}

func TestPeekKeepsOrderBySenderAndReceiver(t *testing.T) {
	p, ok := x12.Connector().Peek([]byte(own(t, "945_full.edi")))
	if !ok || string(p.Key) != "ZZ:HAFENLAGER|ZZ:NORDLICHT" || p.DocType != "X12/945" {
		t.Fatalf("got %q %q %v", p.Key, p.DocType, ok)
	}
}

// TestLinkedSetsOfOneShipmentAreDifferentHappenings holds that line 1 of the second set is not taken for line 1 of the first.
func TestLinkedSetsOfOneShipmentAreDifferentHappenings(t *testing.T) {
	body := "W06*F*SO-1*20261106*BOL-1***M-1*00%d002\nLX*1\nW12*CC*1*1*0*EA**VN*MUG"
	first := translate(t, document(envelope("945", strings.Replace(body, "%d", "1", 1))))
	second := translate(t, document(envelope("945", strings.Replace(body, "%d", "2", 1))))
	if len(first.events) != 2 || len(second.events) != 2 {
		t.Fatalf("%s, %s", summary(first), summary(second))
	}
	if a, b := headerOf(t, first.events[1]).DedupeKey, headerOf(t, second.events[1]).DedupeKey; a == b {
		t.Fatalf("both have the dedupe key %s", a)
	}
}

// failing is a sink that takes n events.
type failing struct{ left int }

func (f *failing) Event(event.Record) error {
	if f.left--; f.left < 0 {
		return os.ErrClosed
	}
	return nil
}
func (f *failing) Problem(*connectors.Problem) error { return nil }

func TestSinksErrorStopsTheTranslation(t *testing.T) {
	d := document([]byte(own(t, "945_full.edi")))
	if err := x12.Connector().Translate(context.Background(), d, &failing{left: 2}); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := x12.Connector().Translate(ctx, d, &failing{left: 99}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// FuzzTranslate holds that no document panics, that what is refused says why, and that reading it twice gives the same.
func FuzzTranslate(f *testing.F) {
	for _, name := range ownFiles(f) {
		f.Add([]byte(own(f, name)), false)
	}
	f.Add([]byte("ISA*00*"), true)
	f.Add([]byte(strings.ReplaceAll(own(f, "945_full.edi"), "~\n", "\n")), true)
	codec := newCodec(f)
	f.Fuzz(func(t *testing.T, b []byte, latin1 bool) {
		d := document(b)
		d.Settings.AcceptTest = true
		if latin1 {
			d.Settings.Charset = connectors.Latin1
		}
		r := translate(t, d)
		if len(r.events) == 0 && len(r.problems) == 0 && strings.Contains(string(b), "ST*940") {
			// Nothing at all is right only for an interchange without sets.
			t.Logf("%q", b)
		}
		for _, p := range r.problems {
			if p.Cause == "" || p.Detail == "" || p.Remedy == "" {
				t.Fatalf("not complete: %+v", p)
			}
			if p.Position.Byte < 0 || p.Position.Byte > int64(len(b)) {
				t.Fatalf("position %s in a document of %d bytes", p.Position, len(b))
			}
		}
		for _, e := range r.events {
			line, err := codec.Append(nil, e)
			if err != nil {
				t.Fatal(err)
			}
			back, err := codec.Read(line, d, 1)
			if err != nil {
				t.Fatalf("%s cannot be read back: %v", line, err)
			}
			if string(back.AppendAvro(nil)) != string(e.AppendAvro(nil)) {
				t.Fatalf("%s reads back as something else", line)
			}
		}
	})
}

// benchDocument is an interchange of many sets of 20 lines.
func benchDocument(sets int) []byte {
	var body strings.Builder
	body.WriteString("W06*F*SO-70014*20261104*BOL-30551**PO-9921~\nN1*SF*Hafenlager*92*HAM1~\n")
	for range 20 {
		body.WriteString("LX*1~\nW12*CC*24*24*0*CA**VN*TEA-EARL-100*L-2601~\nN9*LV*LPN-000077811~\n")
	}
	var b strings.Builder
	b.WriteString("ISA*00*          *00*          *ZZ*HAFENLAGER     *ZZ*NORDLICHT      *261106*1700*U*00401*000000900*0*P*>~\nGS*SW*HAFENLAGER*NORDLICHT*20261106*1700*900*X*004010~\n")
	for range sets {
		b.WriteString("ST*945*0001~\n" + body.String() + "SE*64*0001~\n")
	}
	b.WriteString("GE*1*900~\nIEA*1*000000900~\n")
	return []byte(b.String())
}

type discard struct{ events int }

func (d *discard) Event(event.Record) error          { d.events++; return nil }
func (d *discard) Problem(*connectors.Problem) error { return nil }

// BenchmarkTranslate945 measures syntax and mapping together; events/s is of movements and milestones.
func BenchmarkTranslate945(b *testing.B) {
	doc := benchDocument(500)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	out := &discard{}
	c := x12.Connector()
	for b.Loop() {
		if err := c.Translate(context.Background(), document(doc), out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.events)/b.Elapsed().Seconds(), "events/s")
}
