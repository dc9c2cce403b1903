package masterdata

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"crossdock/avro/event"
	"crossdock/connectors"
)

type recorder struct {
	items    []*event.ItemMaster
	sites    []*event.SiteMaster
	problems []connectors.Problem
}

func (r *recorder) Event(e event.Record) error {
	switch e := e.(type) {
	case *event.ItemMaster:
		r.items = append(r.items, e)
	case *event.SiteMaster:
		r.sites = append(r.sites, e)
	default:
		return fmt.Errorf("a %s has come out", e.Kind())
	}
	return nil
}

func (r *recorder) Problem(p *connectors.Problem) error {
	kept := *p
	kept.Bytes = bytes.Clone(p.Bytes)
	r.problems = append(r.problems, kept)
	return nil
}

const received = 1793988000000000

func read(t testing.TB, text string) *recorder {
	t.Helper()
	r := &recorder{}
	d := &connectors.Document{Source: "desk", RawRef: "raw.desk/0/7", ReceivedAt: received, Bytes: []byte(text)}
	if err := translate(context.Background(), d, r); err != nil {
		t.Fatal(err)
	}
	streamed := &recorder{}
	d = &connectors.Document{Source: "desk", RawRef: "raw.desk/0/7", ReceivedAt: received, Body: iotest.HalfReader(strings.NewReader(text))}
	if err := translate(context.Background(), d, streamed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.items, streamed.items) + cmp.Diff(r.sites, streamed.sites); diff != "" || len(r.problems) != len(streamed.problems) {
		t.Fatalf("streamed it reads differently: %s", diff)
	}
	return r
}

func TestItemHasEveryColumn(t *testing.T) {
	r := read(t, "\xef\xbb\xbfSKU;description;description_de;base_uom;integral;units;gtin;aliases;lot_tracked;serial_profile;shelf_life_days;status;sites;version\r\n"+
		`TEA;Tea;"Tee; lose";EA;no;"CA=24;BAG=1/3@04006381333931;TEN=0.1";4006381333931;"OLD-1;erp:0000100234";yes;SER1;730;BLOCKED;"HAM1;HAM2";17`+"\r\n")
	want := []*event.ItemMaster{{
		Header: event.EventHeader{EventID: "raw.desk/0/7#2", DedupeKey: "desk||masterdata/items|TEA||17", CorrelationID: "TEA", SourceSystem: "desk", SourceDocType: "masterdata/items", SourceDocID: "TEA",
			SourceLine: event.Some("2"), SourceVersion: event.Some("17"), EventTime: received, IngestTime: received, RawRef: event.Some("raw.desk/0/7")},
		SKU: "TEA", Version: 17, GTIN: event.Some("4006381333931"), BaseUOM: "EA",
		Aliases:      []event.ItemAlias{{Code: "OLD-1"}, {System: event.Some("erp"), Code: "0000100234"}},
		Descriptions: []event.LocalText{{Language: "en", Text: "Tea"}, {Language: "de", Text: "Tee; lose"}},
		UOMs:         []event.ItemUnit{{UOM: "CA", Num: 24, Den: 1}, {UOM: "BAG", Num: 1, Den: 3, GTIN: event.Some("04006381333931")}, {UOM: "TEN", Num: 1, Den: 10}},
		LotTracked:   true, SerialProfile: event.Some("SER1"), ShelfLifeDays: event.Some(int32(730)), Status: "BLOCKED", Sites: []string{"HAM1", "HAM2"},
	}}
	if diff := cmp.Diff(want, r.items); diff != "" || len(r.problems) > 0 {
		t.Fatal(diff, r.problems)
	}
}

func TestSiteHasEveryColumn(t *testing.T) {
	r := read(t, "site,name,type,aliases,region,time_zone,negative_stock,owners,version\nHAM1,Hamburg,3PL,erp:1000;4012345000009,EU,Europe/Berlin,block,SHIP=wms;order=erp,3\n")
	want := []*event.SiteMaster{{
		Header: event.EventHeader{EventID: "raw.desk/0/7#2", DedupeKey: "desk||masterdata/sites|HAM1||3", CorrelationID: "HAM1", SourceSystem: "desk", SourceDocType: "masterdata/sites", SourceDocID: "HAM1",
			SourceLine: event.Some("2"), SourceVersion: event.Some("3"), EventTime: received, IngestTime: received, Site: "HAM1", RawRef: event.Some("raw.desk/0/7")},
		Site: "HAM1", Version: 3, Name: "Hamburg", Type: event.SiteTypeThirdParty, Aliases: []event.SiteAlias{{System: event.Some("erp"), Code: "1000"}, {Code: "4012345000009"}},
		Region: event.Some("EU"), TimeZone: "Europe/Berlin", NegativeStock: event.NegativeStockBlock, Owners: []event.FactOwner{{Fact: "SHIP", System: "wms"}, {Fact: "ORDER", System: "erp"}},
	}}
	if diff := cmp.Diff(want, r.sites); diff != "" || len(r.problems) > 0 {
		t.Fatal(diff, r.problems)
	}
}

func TestDefaults(t *testing.T) {
	r := read(t, "sku,base_uom\nMUG,EA\nBEAN,KG\n")
	if len(r.items) != 2 || !r.items[0].Integral || r.items[1].Integral || r.items[0].Status != "ACTIVE" || r.items[0].Version != received {
		t.Fatalf("got %+v", r.items)
	}
}

func TestBrokenRowIsAProblemWithItsLineAndTheOthersSurvive(t *testing.T) {
	for _, c := range []struct {
		name, row string
		cause     connectors.Cause
		column    string
	}{
		{"no SKU", ",EA,,", connectors.MissingValue, "sku"},
		{"no base unit", "TEA,,,", connectors.MissingValue, "base_uom"},
		{"a unit of 0", "TEA,EA,CA=0,", connectors.BadQuantity, "units"},
		{"a fraction with 0 below", "TEA,EA,CA=1/0,", connectors.BadQuantity, "units"},
		{"a negative unit", "TEA,EA,CA=-2,", connectors.BadQuantity, "units"},
		{"a unit of 1e30", "TEA,EA,CA=1e30,", connectors.BadQuantity, "units"},
		{"a unit without a factor", "TEA,EA,CA,", connectors.BadLine, "units"},
		{"a unit twice", "TEA,EA,CA=2;CA=3,", connectors.BadLine, "units"},
		{"the base unit as a unit", "TEA,EA,EA=2,", connectors.BadLine, "units"},
		{"a GTIN that a spreadsheet rounded", "TEA,EA,,4.00638E+12", connectors.BadCode, "gtin"},
		{"a GTIN with a wrong check digit", "TEA,EA,,4006381333932", connectors.BadCode, "gtin"},
		{"a GTIN that lost its zero", "TEA,EA,,403681333931", connectors.BadCode, "gtin"},
		{"too few columns", "TEA,EA", connectors.BadLine, ""},
		{"a lone quotation mark", `TEA,E"A,,`, connectors.BadLine, ""},
		{"the same SKU twice", "FIRST,EA,,", connectors.BadLine, "sku"},
		{"not UTF-8", "T\xfcA,EA,,", connectors.BadText, "sku"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "sku,base_uom,units,gtin\nFIRST,EA,CA=24,\n" + c.row + "\nLAST,EA,,\n"
			r := read(t, text)
			if len(r.items) != 2 || r.items[1].SKU != "LAST" || len(r.problems) != 1 {
				t.Fatalf("%d items, %v", len(r.items), r.problems)
			}
			p := r.problems[0]
			if p.Cause != c.cause || p.Position.Line != 3 || p.Position.Name != c.column || p.Remedy == "" || string(p.Bytes) != c.row {
				t.Fatalf("got %v with %q", &p, p.Bytes)
			}
		})
	}
}

func TestBrokenSiteRows(t *testing.T) {
	for _, c := range []struct{ row, column string }{
		{"HAM1,Mars/Olympus,DC,", "time_zone"},
		{"HAM1,UTC,SHED,", "type"},
		{"HAM1,UTC,DC,SHIP", "owners"},
		{"HAM1,UTC,DC,SLEEP=wms", "owners"},
		{"HAM1,,DC,", "time_zone"},
	} {
		r := read(t, "site,time_zone,type,owners\n"+c.row+"\n")
		if len(r.sites) > 0 || len(r.problems) != 1 || r.problems[0].Position.Name != c.column {
			t.Errorf("%s: %d sites, %v", c.row, len(r.sites), r.problems)
		}
	}
}

func TestUnknownColumnRefusesTheFile(t *testing.T) {
	r := read(t, "sku,base_uom,lot_traked\nTEA,EA,true\n")
	if len(r.items) > 0 || len(r.problems) != 1 || r.problems[0].Cause != connectors.UnknownField || r.problems[0].Position.Name != "lot_traked" {
		t.Fatalf("got %d items, %v", len(r.items), r.problems)
	}
}

func TestLatin1FileNeedsTheSetting(t *testing.T) {
	text := "sku,base_uom,description\nTEA,EA,Tee f\xfcr alle\n"
	r := &recorder{}
	d := &connectors.Document{Source: "desk", Bytes: []byte(text), Settings: connectors.Settings{Charset: connectors.Latin1}}
	if err := translate(context.Background(), d, r); err != nil {
		t.Fatal(err)
	}
	if len(r.items) != 1 || r.items[0].Descriptions[0].Text != "Tee für alle" {
		t.Fatalf("got %+v, %v", r.items, r.problems)
	}
}

func TestJSONHasTheSameNames(t *testing.T) {
	r := read(t, `{"sites":[{"site":"HAM1","time_zone":"UTC","aliases":["erp:1000"]}],
 "items":[{"sku":"TEA","base_uom":"EA","units":["CA=24","PAL=960"],"lot_tracked":true,"version":4},
  {"sku":"MUG","base_uom":"EA","colour":"blue"},
  7,
  {"sku":"T`+"\xc4"+`","base_uom":"EA"},
  {"sku":"CUP","base_uom":"EA","units":{"CA":24}},
  {"sku":"POT","base_uom":"EA"}]}`)
	if len(r.sites) != 1 || len(r.items) != 2 || r.items[0].Version != 4 || len(r.items[0].UOMs) != 2 || !r.items[0].LotTracked || r.items[1].SKU != "POT" {
		t.Fatalf("got %+v %+v", r.sites, r.items)
	}
	var got []string
	for _, p := range r.problems {
		got = append(got, fmt.Sprintf("%s line %d", p.Cause, p.Position.Line))
		if p.Position.Byte <= 0 || len(p.Bytes) == 0 || p.Remedy == "" {
			t.Errorf("not complete: %v", &p)
		}
	}
	if diff := cmp.Diff([]string{"UNKNOWN_FIELD line 3", "BAD_LINE line 4", "BAD_TEXT line 5", "BAD_LINE line 6"}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestTruncatedJSONKeepsWhatWasWhole(t *testing.T) {
	whole := `{"items":[{"sku":"TEA","base_uom":"EA"},{"sku":"MUG","base_uom":"EA"}]}`
	for cut := 1; cut < len(whole); cut++ {
		r := read(t, whole[:cut])
		if len(r.problems) == 0 {
			t.Fatalf("cut at %d: no problem", cut)
		}
	}
}

func TestOpenQuotationMarkDoesNotTakeTheWholeFile(t *testing.T) {
	r := &recorder{}
	body := io.MultiReader(strings.NewReader("sku,base_uom\n\"TEA,EA\n"), io.LimitReader(zeros{}, 200<<20))
	d := &connectors.Document{Source: "desk", Body: body}
	if err := translate(context.Background(), d, r); err != nil {
		t.Fatal(err)
	}
	if len(r.items) > 0 || len(r.problems) != 1 || r.problems[0].Cause != connectors.TooLong {
		t.Fatalf("got %v", r.problems)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestSplitRepeatsTheHeaderRow(t *testing.T) {
	var text strings.Builder
	text.WriteString("sku,base_uom,description\n")
	for i := range 200 {
		fmt.Fprintf(&text, "SKU-%d,EA,\"two\nlines\"\n", i)
	}
	total, parts := 0, 0
	err := split(iotest.HalfReader(strings.NewReader(text.String())), 700, func(part []byte) error {
		if len(part) > 700 {
			t.Fatalf("a part has %d bytes", len(part))
		}
		parts++
		r := read(t, string(part))
		if len(r.problems) > 0 {
			t.Fatalf("%v", r.problems)
		}
		total += len(r.items)
		return nil
	}, func(p *connectors.Problem) error { t.Fatal(p); return nil })
	if err != nil || total != 200 || parts < 5 {
		t.Fatalf("%d items in %d parts, %v", total, parts, err)
	}
	for _, whole := range []string{"sku,base_uom\n", "sku,base_uom\nTEA,EA", `{"items":[]}`} {
		var got []string
		if err := split(strings.NewReader(whole), 1<<20, func(p []byte) error { got = append(got, string(p)); return nil }, nil); err != nil || len(got) != 1 || got[0] != whole {
			t.Errorf("%q became %q, %v", whole, got, err)
		}
	}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		head string
		want connectors.Confidence
	}{
		{sample, connectors.Certain},
		{"\xef\xbb\xbf\"SKU\";\"Base_UOM\"\r\n", connectors.Certain},
		{"site\ttime_zone\nHAM1\tUTC\n", connectors.Certain},
		{`{"items":[`, connectors.Certain},
		{`{ "sites": []}`, connectors.Certain},
		{`{"event":"ItemMaster"}`, connectors.No},
		{"sku,qty\n", connectors.No},
		{"hello", connectors.No},
		{"", connectors.No},
	} {
		if got := detect([]byte(c.head)); got != c.want {
			t.Errorf("%.50q: %d, want %d", c.head, got, c.want)
		}
	}
}

func TestSampleIsTranslatedWhole(t *testing.T) {
	if r := read(t, sample); len(r.items) != 3 || len(r.problems) > 0 {
		t.Fatalf("%d items, %v", len(r.items), r.problems)
	}
}

// FuzzTranslate holds that no file panics, and that every row is an event or a problem that says why.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("site,time_zone\nHAM1,UTC\n"))
	f.Add([]byte(`{"items":[{"sku":"TEA","base_uom":"EA"}],"sites":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &recorder{}
		if err := translate(context.Background(), &connectors.Document{Source: "desk", Bytes: b}, r); err != nil {
			t.Fatal(err)
		}
		for _, p := range r.problems {
			if p.Cause == "" || p.Detail == "" || p.Remedy == "" {
				t.Fatalf("not complete: %+v", p)
			}
		}
	})
}
