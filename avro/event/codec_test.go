package event_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/event/eventtest"
	"crossdock/avro/schemas"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

func diff(a, b event.Record) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }

// eachKind runs a check of random events of every kind.
func eachKind(t *testing.T, check func(t *rapid.T, e event.Record)) {
	t.Helper()
	for _, k := range event.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { check(t, eventtest.Events(k).Draw(t, "event")) })
		})
	}
}

func TestDecodeIsTheReverseOfAppend(t *testing.T) {
	eachKind(t, func(t *rapid.T, e event.Record) {
		b := e.AppendAvro([]byte("before"))
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatal("AppendAvro has changed what stood before")
		}
		b = b[len("before"):]
		copied, inPlace := event.New(e.Kind()), event.New(e.Kind())
		if err := copied.DecodeAvro(b); err != nil {
			t.Fatal(err)
		}
		if err := inPlace.DecodeAvroInPlace(b); err != nil {
			t.Fatal(err)
		}
		if d := diff(e, inPlace); d != "" {
			t.Fatal("in place:", d)
		}
		clear(b) // what DecodeAvro made must not depend on b
		if d := diff(e, copied); d != "" {
			t.Fatal("copied:", d)
		}
	})
}

// A worker decodes record after record into one struct.
func TestNothingOfAnEarlierRecordIsLeft(t *testing.T) {
	for _, k := range event.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				used, reset := event.New(k), event.New(k)
				for _, e := range rapid.SliceOfN(eventtest.Events(k), 1, 4).Draw(t, "events") {
					b := e.AppendAvro(nil)
					if err := used.DecodeAvroInPlace(b); err != nil {
						t.Fatal(err)
					}
					if d := diff(e, used); d != "" {
						t.Fatal(d)
					}
					if err := reset.DecodeAvroInPlace(b); err != nil {
						t.Fatal(err)
					}
					reset.Reset()
					if d := diff(event.New(k), reset); d != "" {
						t.Fatal("after Reset:", d)
					}
				}
			})
		})
	}
}

// plainCodecOf is codecOf without logical types: goavro 2.15 cannot write a decimal of 0 in a fixed type (it makes one byte
// of it), nor any such decimal as text. What the logical types mean is compared in package serde, where goavro prints.
func plainCodecOf(t testing.TB, k event.Kind) *goavro.Codec {
	t.Helper()
	text, err := schemas.Full(k.String())
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(strings.ReplaceAll(text, `"logicalType"`, `"logical"`))
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

func TestGoavroReadsWhatWeWriteAndWeReadWhatGoavroWrites(t *testing.T) {
	codecs := make(map[event.Kind]*goavro.Codec)
	for _, k := range event.Kinds() {
		codecs[k] = plainCodecOf(t, k)
	}
	eachKind(t, func(t *rapid.T, e event.Record) {
		codec := codecs[e.Kind()]
		native, rest, err := codec.NativeFromBinary(e.AppendAvro(nil))
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro: %v, %d bytes left", err, len(rest))
		}
		text, err := codec.TextualFromNative(nil, native)
		if err != nil {
			t.Fatal(err)
		}
		if native, _, err = codec.NativeFromTextual(text); err != nil {
			t.Fatal(err)
		}
		b, err := codec.BinaryFromNative(nil, native)
		if err != nil {
			t.Fatal(err)
		}
		back := event.New(e.Kind())
		if err := back.DecodeAvro(b); err != nil {
			t.Fatal(err)
		}
		if d := diff(eventtest.Sorted(e), eventtest.Sorted(back)); d != "" {
			t.Fatal(d)
		}
	})
}

func TestEveryCutIsNamed(t *testing.T) {
	eachKind(t, func(t *rapid.T, e event.Record) {
		b := e.AppendAvro(nil)
		into := event.New(e.Kind())
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		var failure *event.DecodeError
		if err := into.DecodeAvroInPlace(b[:cut:cut]); !errors.As(err, &failure) {
			t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
		}
		if failure.Kind != e.Kind() || failure.Field == "" || failure.Offset > cut {
			t.Fatalf("cut at %d of %d: %+v", cut, len(b), failure)
		}
		if err := into.DecodeAvroInPlace(append(b, 0)); !errors.As(err, &failure) || failure.Offset != len(b) || failure.Field != "" {
			t.Fatalf("a byte too many: %v", err)
		}
	})
}

func TestAnyByteChangedNeverPanics(t *testing.T) {
	eachKind(t, func(t *rapid.T, e event.Record) {
		b := e.AppendAvro(nil)
		into := event.New(e.Kind())
		for range 8 {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			var failure *event.DecodeError
			if err := into.DecodeAvroInPlace(b); err != nil && !errors.As(err, &failure) {
				t.Fatal(err)
			}
		}
	})
}

func TestPeekEventIDReadsWithoutDecoding(t *testing.T) {
	for _, k := range event.Kinds() {
		if !k.HasHeader() {
			continue
		}
		e := event.New(k)
		b := e.AppendAvro(nil)
		b = append([]byte{6, 'a', 'b', 'c'}, b[1:]...) // the empty event id was one byte
		if id, ok := event.PeekEventID(b); !ok || id != "abc" {
			t.Errorf("%s: %q, %v", k, id, ok)
		}
		if id, ok := event.PeekEventID(b[:2]); ok {
			t.Errorf("%s: read %q from a cut event", k, id)
		}
	}
}
