package event_test

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"crossdock/avro/event"
	"crossdock/avro/event/eventtest"

	"github.com/linkedin/goavro/v2"
)

// FuzzDecode gives any bytes to the decoder of any kind, and to goavro where that is safe (it makes room for whatever
// count it is told):
//
//   - nothing panics, and a failure is a *DecodeError within the bytes;
//   - what decodes is decoded to the same by goavro, and encodes to something that decodes to the same again;
//   - what goavro decodes and would write in the same bytes is not refused.
func FuzzDecode(f *testing.F) {
	codecs := make(map[event.Kind]*goavro.Codec)
	for _, k := range event.Kinds() {
		codecs[k] = plainCodecOf(f, k)
		f.Add(byte(k), event.New(k).AppendAvro(nil))
		for seed := range 2 {
			f.Add(byte(k), eventtest.Events(k).Example(seed).AppendAvro(nil))
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		k := event.Kind(kind)
		e := event.New(k)
		if e == nil {
			return
		}
		if err := e.DecodeAvro(data); err != nil {
			var failure *event.DecodeError
			if !errors.As(err, &failure) || failure.Kind != k || failure.Offset < 0 || failure.Offset > len(data) {
				t.Fatalf("%v (%+v)", err, failure)
			}
			if failure.Field != "" && goavroWritesTheSame(codecs[k], data) {
				t.Fatalf("goavro reads and writes these bytes, and we refuse them: %v", err)
			}
			return
		}
		again := event.New(k)
		if err := again.DecodeAvroInPlace(e.AppendAvro(nil)); err != nil {
			t.Fatal("what we write, we do not read:", err)
		}
		if d := diff(e, again); d != "" {
			t.Fatal("written and read again:", d)
		}
		native, rest, err := codecs[k].NativeFromBinary(data)
		if err != nil || len(rest) > 0 {
			t.Fatalf("goavro does not read what we read: %v, %d bytes left", err, len(rest))
		}
		theirs, err := codecs[k].BinaryFromNative(nil, native)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.DecodeAvro(theirs); err != nil {
			t.Fatal(err)
		}
		if d := diff(withoutRepeatedKeys(e), withoutRepeatedKeys(again)); d != "" {
			t.Fatal("goavro reads something else:", d)
		}
	})
}

// goavroWritesTheSame tells whether goavro reads bytes and writes them alike. Bytes with a count beyond them are not
// given to it.
func goavroWritesTheSame(codec *goavro.Codec, data []byte) (same bool) {
	const small = 1 << 12
	goavro.MaxBlockCount, goavro.MaxBlockSize = small, small
	defer func() {
		if recover() != nil { // goavro panics on some damaged bytes
			same = false
		}
	}()
	native, rest, err := codec.NativeFromBinary(data)
	if err != nil || len(rest) > 0 {
		return false
	}
	theirs, err := codec.BinaryFromNative(nil, native)
	return err == nil && bytes.Equal(theirs, data)
}

// withoutRepeatedKeys sorts the header's map and keeps the last of the entries with the same key, as a reader with a hash
// map does.
func withoutRepeatedKeys(e event.Record) event.Record {
	pairs := headerPairs(e)
	if pairs == nil {
		return e
	}
	last := make(map[string]string, len(*pairs))
	for _, p := range *pairs {
		last[p.Key] = p.Value
	}
	kept := (*pairs)[:0]
	for k, v := range last {
		kept = append(kept, event.Pair{Key: k, Value: v})
	}
	*pairs = kept
	return eventtest.Sorted(e)
}

// headerPairs is the only map that an event has; nil where it has no header.
func headerPairs(e event.Record) *[]event.Pair {
	header := reflect.ValueOf(e).Elem().FieldByName("Header")
	if !header.IsValid() {
		return nil
	}
	return &header.Addr().Interface().(*event.EventHeader).Ext
}
