package x12_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/connectors/canonical"
	"crossdock/connectors/x12"
)

// received is when the documents of the tests came in: 2026-11-06T18:00:00Z.
const received event.Micros = 1793988000000000

// recorder is a sink that keeps what it is given.
type recorder struct {
	events   []event.Record
	problems []connectors.Problem
}

func (r *recorder) Event(e event.Record) error {
	r.events = append(r.events, e)
	return nil
}

func (r *recorder) Problem(p *connectors.Problem) error {
	kept := *p
	kept.Bytes = bytes.Clone(p.Bytes)
	r.problems = append(r.problems, kept)
	return nil
}

func document(b []byte) *connectors.Document {
	return &connectors.Document{Source: "wms", Bytes: b, RawRef: "raw.wms/2/41", RawPartition: 2, RawOffset: 41, ReceivedAt: received}
}

func translate(t testing.TB, d *connectors.Document) *recorder {
	t.Helper()
	r := &recorder{}
	if err := x12.Connector().Translate(context.Background(), d, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func newCodec(t testing.TB) *canonical.Codec {
	t.Helper()
	c, err := canonical.New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGolden shows what documents become. Rewrite the files with: go test ./connectors/x12 -run TestGolden -rewrite
func TestGolden(t *testing.T) {
	codec := newCodec(t)
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd != "translate" {
				t.Fatalf("%s: unknown command %q", td.Pos, td.Cmd)
			}
			input := []byte(td.Input)
			values := map[string]string{}
			brief := false
			for _, a := range td.CmdArgs {
				switch a.Key {
				case "file":
					b, err := os.ReadFile(filepath.Join("testdata", a.Vals[0]))
					if err != nil {
						t.Fatal(err)
					}
					input = b
				case "brief":
					brief = true
				case "body":
					input = envelope(a.Vals[0], td.Input)
				default:
					values[a.Key] = strings.Join(a.Vals, ",")
				}
			}
			d := document(input)
			var err error
			if d.Settings, err = connectors.ParseSettings(values); err != nil {
				t.Fatal(err)
			}
			return render(t, codec, translate(t, d), brief)
		})
	})
}

// envelope puts the body of one set into an interchange, one segment a line.
func envelope(set, body string) []byte {
	group := "OW"
	if set == "945" {
		group = "SW"
	}
	lines := strings.Split(strings.TrimSpace(body), "\n")
	segments := []string{
		"ISA*00*          *00*          *ZZ*HAFENLAGER     *ZZ*NORDLICHT      *261106*1700*U*00401*000000900*0*P*>",
		"GS*" + group + "*HAFENLAGER*NORDLICHT*20261106*1700*900*X*004010",
		"ST*" + set + "*0001",
	}
	segments = append(segments, lines...)
	segments = append(segments, fmt.Sprintf("SE*%d*0001", len(lines)+2), "GE*1*900", "IEA*1*000000900")
	return []byte(strings.Join(segments, "~\n") + "~\n")
}

// render prints a translation: events as indented JSON, problems as lines. A brief one leaves headers out.
func render(t testing.TB, codec *canonical.Codec, r *recorder, brief bool) string {
	t.Helper()
	var out strings.Builder
	for _, e := range r.events {
		line, err := codec.Append(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		if brief {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(line, &members); err != nil {
				t.Fatal(err)
			}
			delete(members, "header")
			if line, err = json.Marshal(members); err != nil {
				t.Fatal(err)
			}
			out.Write(line)
		} else {
			var indented bytes.Buffer
			if err := json.Indent(&indented, line, "", "  "); err != nil {
				t.Fatal(err)
			}
			out.Write(indented.Bytes())
		}
		out.WriteByte('\n')
	}
	for i := range r.problems {
		p := &r.problems[i]
		fmt.Fprintf(&out, "%s: %v [%d bytes]\n", p.Level, p, len(p.Bytes))
	}
	return out.String()
}
