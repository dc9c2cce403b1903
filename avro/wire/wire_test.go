package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"crossdock/avro/wire"

	"github.com/twmb/franz-go/pkg/sr"
)

// franz-go's client writes and reads the same framing.
func TestFramingIsConfluents(t *testing.T) {
	for _, id := range []int{0, 1, 255, 256, 100_001, 1<<31 - 1, 1<<32 - 1} {
		b := append(wire.Append([]byte("x"), id), "body"...)[1:]
		theirs, err := new(sr.ConfluentHeader).AppendEncode(nil, id, nil)
		if err != nil || !bytes.HasPrefix(b, theirs) || len(theirs) != wire.Size {
			t.Errorf("id %d: %x, franz-go writes %x, %v", id, b, theirs, err)
		}
		got, payload, err := wire.Split(b)
		if err != nil || got != id || string(payload) != "body" {
			t.Errorf("id %d: read as %d, %q, %v", id, got, payload, err)
		}
	}
}

func TestWhatIsNotFramedIsNamed(t *testing.T) {
	for value, want := range map[string]string{
		"":                     "empty",
		"\x00\x00\x00\x01":     "4 bytes",
		"\x01\x00\x00\x00\x01": "0x01",
		"{\"sku\": 1}":         "0x7b",
		"{":                    "0x7b",
	} {
		var framing *wire.FramingError
		if _, _, err := wire.Split([]byte(value)); !errors.As(err, &framing) || framing.Length != len(value) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}
