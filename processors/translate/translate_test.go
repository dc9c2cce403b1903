package translate_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/internal/fake"
	"crossdock/processors/translate"
	"crossdock/topology/topics"
)

// script is a translator that gives out what a test wrote down.
type script func(d *translate.Document, out translate.Sink) error

func (s script) Translate(d *translate.Document, out translate.Sink) error { return s(d, out) }

// passing is an enricher that lets milestones pass and rejects the rest.
type passing struct{}

func (passing) Forward(ctx processors.Context, e event.Record) error {
	m, ok := e.(*event.ShipmentMilestone)
	if !ok {
		return processors.Rejectf("NO_SITE", "name one", "%s without a site", e.Kind())
	}
	ctx.Emit(topics.ShipmentsInbox, []byte(m.Shipment), m)
	return nil
}

func newTask(counters *translate.Counters, s script) *fake.Task {
	t := fake.NewTask(translate.New(translate.Options{Translator: s, Enricher: passing{}, Naming: topics.Naming{Prefix: "x."}, Counters: counters}), 0)
	t.Clock = 1_764_000_000_000_000
	return t
}

func raw(value string) processors.Record {
	return processors.Record{Topic: "x.raw.3pl", Partition: 2, Offset: 41, Time: 5_000_000, Key: []byte("k"), Value: []byte(value), Headers: []processors.Header{
		{Key: "source", Value: []byte("3pl")}, {Key: "content-type", Value: []byte("text/plain")}, {Key: "doc-type", Value: []byte("X12/945")},
		{Key: "received-time", Value: []byte("2025-11-24T10:00:00.5Z")}}}
}

func letters(t *testing.T, task *fake.Task, out []fake.Output) (all []event.DeadLetter) {
	t.Helper()
	for _, o := range out {
		if o.To == topics.DeadLetters {
			var d event.DeadLetter
			if err := task.Serde.Decode(o.Value, &d); err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
	}
	return all
}

func mixed(_ *translate.Document, out translate.Sink) error {
	return errors.Join(
		out.Event(&event.ShipmentMilestone{Shipment: "A"}),
		out.Problem(&translate.Problem{Cause: "BAD_QUANTITY", Detail: "1e30", Position: "segment 7", Remedy: "ask", DocType: "X12/945", DocID: "9", Bytes: []byte("W12*1e30")}),
		out.Problem(&translate.Problem{Notice: true, Cause: "ODD", Detail: "odd"}),
		out.Event(&event.OrderRelease{}),
		out.Event(&event.ShipmentMilestone{Shipment: "B"}),
	)
}

func TestRefusedPartLeavesThePartsBesideIt(t *testing.T) {
	var c translate.Counters
	task := newTask(&c, mixed)
	if err := task.Process(raw("document")); err != nil {
		t.Fatal(err)
	}
	out := task.Commit()
	var to []string
	for _, o := range out {
		to = append(to, o.To.String())
		if len(o.Headers) != 4 {
			t.Errorf("%s has headers %v", o.To, o.Headers)
		}
	}
	if want := []string{"shipments-inbox", "dead-letters", "dead-letters", "shipments-inbox"}; !reflect.DeepEqual(to, want) {
		t.Fatalf("emitted to %v, want %v", to, want)
	}
	d := letters(t, task, out)
	if d[0].ID != "x.raw.3pl/2/41/1" || d[0].Part != 1 || d[0].Cause != "BAD_QUANTITY" || string(d[0].Value.Value) != "W12*1e30" ||
		d[0].Position.Value != "segment 7" || d[0].Remedy != "ask" || !strings.Contains(d[0].Detail, "X12/945 9") ||
		d[0].RawRef.Value != "x.raw.3pl/2/41" || d[0].Source.Value != "3pl" || string(d[0].Key.Value) != "k" || d[0].Offset != 41 || len(d[0].Headers) != 4 {
		t.Errorf("%+v", d[0])
	}
	if d[1].ID != "x.raw.3pl/2/41/3" || d[1].Cause != "NO_SITE" || string(d[1].Value.Value) != "document" || !strings.Contains(d[1].Detail, "OrderRelease") {
		t.Errorf("%+v", d[1])
	}
	if c.Documents.Load() != 1 || c.Events.Load() != 2 || c.Refused.Load() != 2 || c.Notices.Load() != 1 {
		t.Errorf("%d documents, %d events, %d refused, %d notices", c.Documents.Load(), c.Events.Load(), c.Refused.Load(), c.Notices.Load())
	}
}

func TestTranslatingAgainGivesTheSame(t *testing.T) {
	var first []fake.Output
	for i := range 2 {
		task := newTask(nil, mixed)
		if err := task.Process(raw("document")); err != nil {
			t.Fatal(err)
		}
		out := task.Commit()
		if i == 0 {
			first = out
		} else if !reflect.DeepEqual(out, first) {
			t.Error("the second time differs")
		}
	}
}

func TestDocumentIsGivenWithWhatItsRecordSays(t *testing.T) {
	var got translate.Document
	task := newTask(nil, func(d *translate.Document, _ translate.Sink) error { got = *d; got.Bytes = nil; return nil })
	if err := task.Process(raw("document")); err != nil {
		t.Fatal(err)
	}
	want := translate.Document{Source: "3pl", ContentType: "text/plain", DocType: "X12/945", RawRef: "x.raw.3pl/2/41", RawPartition: 2, RawOffset: 41, ReceivedAt: 1763978400500000}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r := raw("document")
	r.Headers = nil
	if err := task.Process(r); err != nil || got.ReceivedAt != 5_000_000 {
		t.Errorf("without the header it was received at %d (%v)", got.ReceivedAt, err)
	}
}

func TestWholeDocumentIsRejectedOrTheWorkerStops(t *testing.T) {
	emit := func(err error) script {
		return func(_ *translate.Document, out translate.Sink) error {
			return errors.Join(out.Event(&event.ShipmentMilestone{Shipment: "A"}), err)
		}
	}
	var rejection *processors.Rejection
	var fatal *processors.Fatal
	task := newTask(nil, emit(processors.Rejectf("UNKNOWN_DOCUMENT", "look", "what is it")))
	if err := task.Process(raw("?")); !errors.As(err, &rejection) {
		t.Errorf("got %v", err)
	}
	if out := task.Commit(); len(out) != 0 {
		t.Errorf("%d records of a rejected document", len(out))
	}
	task = newTask(nil, emit(fmt.Errorf("no registry of formats")))
	if err := task.Process(raw("?")); !errors.As(err, &fatal) || !strings.Contains(err.Error(), "x.raw.3pl/2/41") {
		t.Errorf("got %v", err)
	}
	r := raw("?")
	r.Topic = "x.movements"
	if err := task.Process(r); !errors.As(err, &rejection) || rejection.Cause != translate.NotRaw {
		t.Errorf("got %v", err)
	}
}

func TestLargeDocumentIsNotRepeatedForEachOfItsEvents(t *testing.T) {
	task := newTask(nil, func(_ *translate.Document, out translate.Sink) error { return out.Event(&event.OrderRelease{}) })
	if err := task.Process(raw(strings.Repeat("x", 1<<20))); err != nil {
		t.Fatal(err)
	}
	d := letters(t, task, task.Commit())[0]
	if d.Value.Valid || !strings.Contains(d.Detail, "raw reference") || d.RawRef.Value != "x.raw.3pl/2/41" {
		t.Errorf("%d bytes, %s, %s", len(d.Value.Value), d.Detail, d.RawRef.Value)
	}
}
