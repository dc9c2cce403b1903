package sink

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"crossdock/avro/event"
)

func TestLimitsAreThoseOfDateTime64(t *testing.T) {
	if want := event.MicrosOf(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)); earliest != want {
		t.Errorf("earliest is %d, want %d", earliest, want)
	}
	if want := event.MicrosOf(time.Date(2299, 12, 31, 23, 59, 59, 999_999_000, time.UTC)); latest != want {
		t.Errorf("latest is %d, want %d", latest, want)
	}
}

// samples are events that every table holds.
func samples() map[string]event.Record {
	return map[string]event.Record{
		"inventory_ledger": posting(1), "inventory_balances": balance("A", 1, 1), "exceptions": exception("x", 1, event.ExceptionStatusOpen),
		"dead_letters": deadLetter("d"),
	}
}

// put makes e the decoded event of a buffer of rows.
func put(t *testing.T, r rows, e event.Record) {
	t.Helper()
	if err := r.event().DecodeAvro(e.AppendAvro(nil)); err != nil {
		t.Fatal(err)
	}
}

// A field that is broken in any way that no column holds makes its row unholdable, and nothing of the row is taken: no field
// of any event was forgotten.
func TestEveryFieldIsJudgedBeforeTheRowIsTaken(t *testing.T) {
	// What no column takes, or what is bytes by nature.
	free := map[string]bool{
		"exceptions.Header.EventTzOffset": true, "exceptions.Header.SourceSeq": true, "exceptions.Header.EventTZOffset": true,
		"exceptions.Header.SourceVersion": true, "exceptions.Header.CapturedTime": true, "exceptions.Header.CorrectsEventID": true,
		"dead_letters.Partition": true, "dead_letters.Offset": true, "dead_letters.Part": true,
	}
	for _, tb := range tables() {
		sample := samples()[tb.name]
		r := tb.rows()
		put(t, r, sample)
		if _, err := r.add(); err != nil {
			t.Fatalf("%s: the sample: %v", tb.name, err)
		}
		seen := 0
		breakFields(reflect.ValueOf(sample).Elem(), tb.name, func(path string) {
			if free[path] {
				return
			}
			seen++
			put(t, r, sample)
			_, err := r.add()
			if cannot := (*unholdable)(nil); !errors.As(err, &cannot) {
				t.Errorf("%s is broken, and the row is taken: %v", path, err)
			}
			for _, c := range r.columns() {
				if err != nil && c.len() != 1 {
					t.Fatalf("%s: column %s has %d values: part of a refused row was taken", path, c.name, c.len())
				}
			}
		})
		if seen < 10 {
			t.Errorf("%s: only %d fields were broken", tb.name, seen)
		}
	}
}

// breakFields breaks one field after the other and calls try for each.
func breakFields(v reflect.Value, path string, try func(path string)) {
	for i := range v.NumField() {
		field, at := v.Field(i), path+"."+v.Type().Field(i).Name
		kept := reflect.New(field.Type()).Elem()
		kept.Set(field)
		switch x := field.Addr().Interface().(type) {
		case *string:
			*x = "a\xff"
		case *event.Optional[string]:
			*x = event.Some("a\xff")
		case *event.Micros:
			*x = latest + 1
		case *event.Optional[event.Micros]:
			*x = event.Some(latest + 1)
		case *event.Quantity:
			*x = -event.MaxQuantity - 1
		case *int64:
			*x = -1
		case *int32:
			*x = -1
		case *event.EventHeader:
			breakFields(field, at, try)
			continue
		case *[]event.TextPair:
			*x = []event.TextPair{{Name: "a\xff"}}
		default: // enums, flags, bytes: no value of them is too much for its column
			continue
		}
		try(at)
		field.Set(kept)
	}
}
