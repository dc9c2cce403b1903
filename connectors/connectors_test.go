package connectors_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/topology/topics"
)

func fake(name string, edit func(*connectors.Connector)) connectors.Connector {
	c := connectors.Connector{
		Name: name, Doc: "for tests", DocTypes: []connectors.DocType{{Name: name + "/1"}}, Direction: connectors.In, MappingVersion: 1, Sample: name,
		Detect: func(head []byte) connectors.Confidence {
			if strings.HasPrefix(string(head), name) {
				return connectors.Certain
			}
			return connectors.No
		},
		Peek: func(head []byte) (connectors.Peek, bool) {
			return connectors.Peek{Key: []byte("key of " + name), DocType: name + "/1"}, len(head) > len(name)
		},
		Translate: func(_ context.Context, _ *connectors.Document, out connectors.Sink) error {
			for range 2 {
				if err := out.Problem(&connectors.Problem{Cause: connectors.NotYetMapped}); err != nil {
					return err
				}
			}
			return out.Event(&event.ItemMaster{SKU: name})
		},
	}
	if edit != nil {
		edit(&c)
	}
	return c
}

func table(t *testing.T, c ...connectors.Connector) *connectors.Table {
	t.Helper()
	made, err := connectors.NewTable(c...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

type recorder struct {
	events   []event.Record
	problems []*connectors.Problem
}

func (r *recorder) Event(e event.Record) error { r.events = append(r.events, e); return nil }
func (r *recorder) Problem(p *connectors.Problem) error {
	r.problems = append(r.problems, p)
	return nil
}
func TestTableNamesEveryBadDeclaration(t *testing.T) {
	_, err := connectors.NewTable(fake("a", nil), fake("a", nil), fake("b", func(c *connectors.Connector) { c.Sample = "" }), fake("c", func(c *connectors.Connector) { c.Translate = nil }))
	for _, want := range []string{`a declares "a"`, `a declares "a/1"`, `connector "b" needs`, `connector "c" translates in`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestDetectionGoesByHintThenByContent(t *testing.T) {
	tab := table(t, fake("alpha", nil), fake("beta", nil), fake("maybe", func(c *connectors.Connector) {
		c.Detect = func([]byte) connectors.Confidence { return connectors.Possible }
	}))
	for _, c := range []struct{ body, hint, want string }{
		{"alpha document", "", "alpha"},
		{"beta document", "", "beta"},
		{"anything", "", "maybe"},
		{"alpha document", "beta", "beta"},
		{"alpha document", "BETA/1", "beta"},
	} {
		got, problem, err := tab.Detect(&connectors.Document{Bytes: []byte(c.body), DocType: c.hint})
		if err != nil || problem != nil || got.Name != c.want {
			t.Errorf("%q as %q: %v %v %v", c.body, c.hint, got, problem, err)
		}
	}
}

func TestUnknownDocumentIsNamedWithARemedy(t *testing.T) {
	tab := table(t, fake("alpha", nil))
	for _, c := range []struct {
		name, body, hint string
		cause            connectors.Cause
		says             string
	}{
		{"empty", "", "", connectors.EmptyDocument, "empty"},
		{"blank", "\r\n \t", "", connectors.EmptyDocument, "empty"},
		{"UTF-16", "\xff\xfeI\x00", "", connectors.UnknownDocument, "UTF-16"},
		{"EBCDIC", "\xc9\xe2\xc1\x5c\xf0", "", connectors.UnknownDocument, "EBCDIC"},
		{"PDF", "%PDF-1.7", "", connectors.UnknownDocument, "PDF"},
		{"ZIP", "PK\x03\x04", "", connectors.UnknownDocument, "ZIP"},
		{"gzip", "\x1f\x8b\x08", "", connectors.UnknownDocument, "gzip"},
		{"EDIFACT", "UNB+UNOC:3", "", connectors.UnknownDocument, "EDIFACT"},
		{"IDoc", "<?xml version='1.0'?><DELVRY07><IDOC>", "", connectors.UnknownDocument, "IDoc"},
		{"XML", "<a/>", "", connectors.UnknownDocument, "XML"},
		{"JSON", `{"a":1}`, "", connectors.UnknownDocument, "JSON"},
		{"binary", "\x00\x01\x02\x03", "", connectors.UnknownDocument, "binary"},
		{"text", "hello", "", connectors.UnknownDocument, "text"},
		{"unknown hint", "alpha", "gamma", connectors.UnknownDocument, `"gamma"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := &recorder{}
			if err := tab.Translate(context.Background(), &connectors.Document{Bytes: []byte(c.body), DocType: c.hint}, out); err != nil {
				t.Fatal(err)
			}
			if len(out.events) > 0 || len(out.problems) != 1 {
				t.Fatalf("%d events, %d problems", len(out.events), len(out.problems))
			}
			p := out.problems[0]
			if p.Cause != c.cause || !strings.Contains(p.Detail, c.says) || p.Remedy == "" || string(p.Bytes) != c.body {
				t.Fatalf("got %v", p)
			}
		})
	}
}

func TestProblemsAreNumberedInTheirOrder(t *testing.T) {
	out := &recorder{}
	if err := table(t, fake("alpha", nil)).Translate(context.Background(), &connectors.Document{Bytes: []byte("alpha")}, out); err != nil {
		t.Fatal(err)
	}
	if len(out.problems) != 2 || out.problems[0].Part != 0 || out.problems[1].Part != 1 || len(out.events) != 1 {
		t.Fatalf("parts are %v", out.problems)
	}
}

func TestHeadOfAStreamIsNotConsumed(t *testing.T) {
	d := &connectors.Document{Body: iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 10_000)))}
	for range 2 {
		head, err := d.Head()
		if err != nil || len(head) != 4096 {
			t.Fatalf("%d bytes, %v", len(head), err)
		}
	}
	if err := iotest.TestReader(d.Reader(), []byte(strings.Repeat("x", 10_000))); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("connection reset")
	d = &connectors.Document{Body: iotest.ErrReader(broken)}
	if _, _, err := table(t, fake("alpha", nil)).Detect(d); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
}

func TestAcceptGivesKeyAndHeaders(t *testing.T) {
	tab := table(t, fake("alpha", nil))
	at := event.MicrosOf(time.Date(2026, 11, 24, 11, 30, 0, 5000, time.UTC))
	for _, c := range []struct{ name, body, contentType, hint, key, headers string }{
		{"peeked", "alpha document", "text/plain", "", "key of alpha", "source=erp content-type=text/plain doc-type=alpha/1 received-time=2026-11-24T11:30:00.000005Z"},
		{"a hint counts more", "alpha document", "", "alpha", "key of alpha", "source=erp doc-type=alpha received-time=2026-11-24T11:30:00.000005Z"},
		{"nothing to peek at", "alpha", "", "", "erp", "source=erp doc-type=alpha received-time=2026-11-24T11:30:00.000005Z"},
		{"unknown bytes are kept", "%PDF", "", "", "erp", "source=erp received-time=2026-11-24T11:30:00.000005Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := tab.Accept(&connectors.Document{Source: "erp", Bytes: []byte(c.body), ContentType: c.contentType, DocType: c.hint, ReceivedAt: at})
			if err != nil {
				t.Fatal(err)
			}
			var headers []string
			for _, h := range a.Headers {
				headers = append(headers, h.Key+"="+string(h.Value))
			}
			if string(a.Key) != c.key || strings.Join(headers, " ") != c.headers {
				t.Fatalf("key %q, headers %v", a.Key, headers)
			}
		})
	}
}

func TestAcceptRefusesWhatARawTopicDoesNotTake(t *testing.T) {
	tab := table(t, fake("alpha", nil))
	for _, c := range []struct {
		size  int
		cause connectors.Cause
	}{{0, connectors.EmptyDocument}, {topics.MaxRawMessage + 1, connectors.DocumentTooLarge}, {topics.MaxRawMessage, ""}} {
		_, err := tab.Accept(&connectors.Document{Source: "erp", Bytes: make([]byte, c.size)})
		var p *connectors.Problem
		if errors.As(err, &p); c.cause == "" && err != nil || c.cause != "" && (p == nil || p.Cause != c.cause || p.Remedy == "") {
			t.Errorf("%d bytes: %v", c.size, err)
		}
	}
}

func TestStateVersionsRiseWithTheRawRecordAndThePart(t *testing.T) {
	last := ""
	for _, offset := range []int64{0, 9, 10, 1 << 50} {
		for _, part := range []int{1, 9, 10, 100_000} {
			v := (&connectors.Document{RawPartition: 3, RawOffset: offset}).StateVersion(part)
			if v <= last {
				t.Fatalf("%q does not follow %q", v, last)
			}
			last = v
		}
	}
}

func TestSettingsReportEveryProblem(t *testing.T) {
	s, err := connectors.ParseSettings(map[string]string{"time_zone": "Europe/Berlin", "ship_from": "PICKED", "item_qualifiers": "UP, SK", "accept_test": "true", "charset": "ISO-8859-1", "system": "sap", "site": "HAM1", "partner": "acme"})
	if err != nil || s.Location().String() != "Europe/Berlin" || s.ShipFrom != event.BucketPicked || s.ItemQualifiers[1] != "SK" || !s.AcceptTest || s.Charset != connectors.Latin1 {
		t.Fatalf("got %+v, %v", s, err)
	}
	_, err = connectors.ParseSettings(map[string]string{"time_zone": "Mars", "ship_from": "DAMAGED", "item_qualifiers": "UPC", "accept_test": "maybe", "charset": "ebcdic", "colour": "blue"})
	for _, want := range []string{"time_zone:", "ship_from:", "item_qualifiers:", "accept_test:", "charset:", "colour: unknown setting"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	for _, k := range connectors.SettingKeys() {
		if _, err := connectors.ParseSettings(map[string]string{k.Key: "?"}); err != nil && strings.Contains(err.Error(), "unknown setting") {
			t.Errorf("%s is documented and unknown", k.Key)
		}
	}
}
