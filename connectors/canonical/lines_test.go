package canonical

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/connectors"
)

type recorder struct {
	events   []event.Record
	problems []connectors.Problem
}

func (r *recorder) Event(e event.Record) error { r.events = append(r.events, e); return nil }
func (r *recorder) Problem(p *connectors.Problem) error {
	kept := *p
	kept.Bytes = bytes.Clone(p.Bytes)
	r.problems = append(r.problems, kept)
	return nil
}

func translate(t testing.TB, c *Codec, text string) *recorder {
	t.Helper()
	d := feed()
	d.Bytes = []byte(text)
	r := &recorder{}
	if err := Connector(c).Translate(context.Background(), d, r); err != nil {
		t.Fatal(err)
	}
	return r
}

const goodLine = `{"event":"InventoryMovement","header":{"source_doc_id":"GR-1","event_time":"2026-11-02T08:40:00Z","site":"HAM1"},"sku":"TEA","type":"RECEIPT","qty_src":"24","to":{"bucket":"AVAILABLE"}}`

func TestBrokenLineIsAProblemWithItsNumberAndTheOthersSurvive(t *testing.T) {
	c := codec(t)
	for _, bad := range []struct {
		name, line string
		cause      connectors.Cause
		field      string
	}{
		{"no JSON", `{"event":`, connectors.BadLine, ""},
		{"not UTF-8", strings.Replace(goodLine, "TEA", "T\xc4", 1), connectors.BadText, ""},
		{"no object", `[1,2]`, connectors.BadLine, ""},
		{"two values", goodLine + ` {}`, connectors.BadLine, ""},
		{"unknown kind", `{"event":"Movement"}`, connectors.BadCode, "event"},
		{"a kind that Crossdock makes", `{"event":"InventoryBalance"}`, connectors.BadCode, "event"},
		{"a field spelt wrongly", strings.Replace(goodLine, `"sku"`, `"SKU"`, 1), connectors.UnknownField, "SKU"},
		{"a field of the header spelt wrongly", strings.Replace(goodLine, `"site"`, `"sight"`, 1), connectors.UnknownField, "header.sight"},
		{"a field twice", strings.Replace(goodLine, `"sku"`, `"sku":"X","sku"`, 1), connectors.BadLine, ""},
		{"no SKU", strings.Replace(goodLine, `"sku":"TEA",`, ``, 1), connectors.MissingValue, "sku"},
		{"no site", strings.Replace(goodLine, `,"site":"HAM1"`, ``, 1), connectors.MissingValue, "header.site"},
		{"no time", strings.Replace(goodLine, `"event_time":"2026-11-02T08:40:00Z",`, ``, 1), connectors.MissingValue, "header.event_time"},
		{"no identity", strings.Replace(goodLine, `"source_doc_id":"GR-1",`, ``, 1), connectors.MissingValue, "header.source_doc_id"},
		{"a time without a zone", strings.Replace(goodLine, `08:40:00Z`, `08:40:00`, 1), connectors.BadDate, "header.event_time"},
		{"a time finer than microseconds", strings.Replace(goodLine, `08:40:00Z`, `08:40:00.1234567Z`, 1), connectors.BadDate, "header.event_time"},
		{"a quantity of 1e30", strings.Replace(goodLine, `"24"`, `1e30`, 1), connectors.BadQuantity, "qty_src"},
		{"7 decimals", strings.Replace(goodLine, `"24"`, `"0.0000001"`, 1), connectors.BadQuantity, "qty_src"},
		{"13 digits", strings.Replace(goodLine, `"24"`, `"1000000000000"`, 1), connectors.BadQuantity, "qty_src"},
		{"unknown bucket", strings.Replace(goodLine, `AVAILABLE`, `SHELF`, 1), connectors.BadCode, "to.bucket"},
		{"text where an object belongs", strings.Replace(goodLine, `{"bucket":"AVAILABLE"}`, `"AVAILABLE"`, 1), connectors.BadLine, "to"},
		{"deeply nested", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), connectors.BadLine, ""},
	} {
		t.Run(bad.name, func(t *testing.T) {
			r := translate(t, c, goodLine+"\n"+bad.line+"\r\n\n"+goodLine+"\n")
			if len(r.events) != 2 || len(r.problems) != 1 {
				t.Fatalf("%d events, %v", len(r.events), r.problems)
			}
			p := r.problems[0]
			if p.Cause != bad.cause || p.Position.Line != 2 || p.Position.Name != bad.field || p.Position.Byte != int64(len(goodLine)+1) || p.Remedy == "" || string(p.Bytes) != bad.line {
				t.Fatalf("got %v, line %d, field %q", &p, p.Position.Line, p.Position.Name)
			}
			if id := r.events[1].(*event.InventoryMovement).Header.EventID; id != "raw.desk/0/7#4" {
				t.Fatalf("the event of line 4 has the id %s", id)
			}
		})
	}
}

func TestLineThatIsTooLongIsRefusedAndNotKept(t *testing.T) {
	c := codec(t)
	long := strings.Repeat("x", maxLine+5000)
	r := translate(t, c, goodLine+"\n"+long+"\n"+goodLine)
	if len(r.events) != 2 || len(r.problems) != 1 || r.problems[0].Cause != connectors.TooLong || len(r.problems[0].Bytes) > maxLine {
		t.Fatalf("%d events, %d problems", len(r.events), len(r.problems))
	}
}

func TestSplitCutsAtLineEnds(t *testing.T) {
	c := Connector(codec(t))
	var text strings.Builder
	for i := range 100 {
		text.WriteString(strings.Replace(goodLine, "GR-1", fmt.Sprintf("GR-%d", i), 1) + "\n")
	}
	var joined bytes.Buffer
	parts := 0
	err := c.Split(strings.NewReader(text.String()), 1000, func(part []byte) error {
		if len(part) > 1000 {
			t.Fatalf("a part has %d bytes", len(part))
		}
		parts++
		joined.Write(part)
		return nil
	}, func(p *connectors.Problem) error { t.Fatal(p); return nil })
	if err != nil || joined.String() != text.String() || parts < 20 {
		t.Fatalf("%d parts, %v", parts, err)
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		want connectors.Confidence
	}{
		{goodLine, connectors.Certain},
		{"\xef\xbb\xbf" + goodLine, connectors.Certain},
		{`{"header":{"event":"InventoryMovement"},"event":"OrderRelease"}`, connectors.Certain},
		{`{"event":"something"}`, connectors.Possible},
		{`{"header":{"event":"InventoryMovement"}}`, connectors.No},
		{`{"items":[]}`, connectors.No},
		{`["event","InventoryMovement"]`, connectors.No},
		{`{"name":"event","x":"InventoryMovement"}`, connectors.No},
		{`{`, connectors.No},
		{``, connectors.No},
		{`ISA*00*`, connectors.No},
	} {
		if got := detect([]byte(c.head)); got != c.want {
			t.Errorf("%.60q: %d, want %d", c.head, got, c.want)
		}
	}
}

func TestSampleIsTranslatedWhole(t *testing.T) {
	r := translate(t, codec(t), sample)
	if len(r.events) != 2 || len(r.problems) > 0 {
		t.Fatalf("%d events, %v", len(r.events), r.problems)
	}
}

func TestPrinterShowsProblemsBesideEvents(t *testing.T) {
	c := codec(t)
	var events, problems bytes.Buffer
	p := &Printer{Codec: c, Events: &events, Problems: &problems, JSON: true}
	d := feed()
	d.Bytes = []byte(goodLine + "\n{\n")
	if err := Connector(c).Translate(context.Background(), d, p); err != nil {
		t.Fatal(err)
	}
	if p.EventCount != 1 || p.RefusedCount != 1 || p.NoticeCount != 0 || strings.Count(events.String(), "\n") != 1 {
		t.Fatalf("counts are %+v", p)
	}
	if want := `{"problem":"BAD_LINE","level":"refused","doc_type":"canonical/events","part":0,"position":"line 2, byte 186","detail":"the JSON text ends too early","remedy":"write one JSON object a line (RFC 8259)","bytes":1}` + "\n"; problems.String() != want {
		t.Fatalf("got %s", problems.String())
	}
}

// FuzzRead holds that no line panics, and that what is read prints and reads back as itself.
func FuzzRead(f *testing.F) {
	f.Add([]byte(goodLine))
	for _, l := range strings.Split(strings.TrimSpace(sample), "\n") {
		f.Add([]byte(l))
	}
	f.Add([]byte(`{"event":"SiteMaster","site":"HAM1","type":"DC","owners":[{"fact":"SHIP","system":"wms"}]}`))
	c, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := c.Read(line, feed(), 1)
		if err != nil {
			return
		}
		printed, err := c.Append(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.Read(printed, feed(), 2)
		if err != nil {
			t.Fatalf("%s: %v", printed, err)
		}
		if !bytes.Equal(back.AppendAvro(nil), e.AppendAvro(nil)) {
			t.Fatalf("%s reads back as something else", printed)
		}
	})
}
