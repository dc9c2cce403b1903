package connectors

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"crossdock/avro/event"
)

// headBytes is what detection and peeking may look at.
const headBytes = 4 << 10

// A Document is one native document as it was received.
type Document struct {
	Source       string       // configured name of the source
	ContentType  string       // as the sender said; may be empty
	DocType      string       // a hint, such as "X12/940" or "masterdata"; empty: by content
	Bytes        []byte       // the document in memory; nil: it is read from Body
	Body         io.Reader    // the document as a stream
	RawRef       string       // where the raw bytes lie: topic/partition/offset, or the file's name. Event ids are made of it
	RawPartition int32        // with RawOffset the version of a state document that has none of its own
	RawOffset    int64        //
	ReceivedAt   event.Micros // when it was received
	Settings     Settings     // of the source
}

// Head returns the first bytes of the document, at most 4 KiB, without consuming them.
func (d *Document) Head() ([]byte, error) {
	if d.Bytes != nil {
		return d.Bytes[:min(len(d.Bytes), headBytes)], nil
	}
	if d.Body == nil {
		return nil, nil
	}
	b, ok := d.Body.(*bufio.Reader)
	if !ok || b.Size() < headBytes {
		b = bufio.NewReaderSize(d.Body, 64<<10)
		d.Body = b
	}
	head, err := b.Peek(headBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("connectors: reading %s: %w", d.RawRef, err)
	}
	return head, nil
}

// Reader reads the document.
func (d *Document) Reader() io.Reader {
	if d.Bytes != nil || d.Body == nil {
		return bytes.NewReader(d.Bytes)
	}
	return d.Body
}

// System is the name that events carry as their source system.
func (d *Document) System() string {
	if d.Settings.System != "" {
		return d.Settings.System
	}
	return d.Source
}

// StateVersion is the version of a state document that has none of its own: where its raw record lies, which rises with each
// record of one ordering key, and the part within the record. Versions compare as texts.
func (d *Document) StateVersion(part int) string {
	return fmt.Sprintf("%05d-%020d-%06d", d.RawPartition, d.RawOffset, part)
}

// EventID names the event that a place in the document becomes. Translating the raw record again gives the same.
func (d *Document) EventID(place string) string { return d.RawRef + "#" + place }
