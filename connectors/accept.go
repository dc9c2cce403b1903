package connectors

import (
	"fmt"

	"crossdock/topology/topics"
)

// Headers of a record on a raw topic.
const (
	HeaderSource       = "source"        // configured name of the source
	HeaderContentType  = "content-type"  // as the sender said
	HeaderDocType      = "doc-type"      // as the sender hinted, else as the content shows; absent where neither tells
	HeaderReceivedTime = "received-time" // RFC 3339, UTC, to the microsecond
)

// A Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// An Accepted document is ready for the raw topic of its source: its bytes are the value.
type Accepted struct {
	Key     []byte // what order is kept by
	DocType string
	Headers []Header
}

// Accept decides whether a document may enter, and with which key and headers. It reads the document's beginning only,
// whatever comes in by HTTP or by file: what is wrong within is found by translating, so that the bytes are kept. The error is a
// *Problem, EmptyDocument or DocumentTooLarge. d.Bytes must be set.
func (t *Table) Accept(d *Document) (*Accepted, error) {
	refuse := func(cause Cause, detail, remedy string) error {
		return &Problem{Cause: cause, Detail: detail, Remedy: remedy, Position: Position{Byte: -1}, DocType: d.DocType}
	}
	switch {
	case len(d.Bytes) == 0:
		return nil, refuse(EmptyDocument, "the document is empty", "look at the transfer: nothing has arrived")
	case len(d.Bytes) > topics.MaxRawMessage:
		return nil, refuse(DocumentTooLarge, fmt.Sprintf("the document has %d bytes, the limit is %d", len(d.Bytes), topics.MaxRawMessage),
			"cut it at interchange or document borders (crossdock ingest does)")
	}
	a := &Accepted{DocType: d.DocType}
	c, problem, err := t.Detect(d)
	if err != nil {
		return nil, err
	}
	if problem == nil {
		head, err := d.Head()
		if err != nil {
			return nil, err
		}
		if c.Peek != nil {
			if p, ok := c.Peek(head); ok {
				a.Key = p.Key
				if a.DocType == "" {
					a.DocType = p.DocType
				}
			}
		}
		if a.DocType == "" {
			a.DocType = c.Name
		}
	}
	if len(a.Key) == 0 {
		a.Key = topics.Key(nil, d.Source)
	}
	a.Headers = []Header{{HeaderSource, []byte(d.Source)}}
	if d.ContentType != "" {
		a.Headers = append(a.Headers, Header{HeaderContentType, []byte(d.ContentType)})
	}
	if a.DocType != "" {
		a.Headers = append(a.Headers, Header{HeaderDocType, []byte(a.DocType)})
	}
	a.Headers = append(a.Headers, Header{HeaderReceivedTime, []byte(d.ReceivedAt.Time().Format("2006-01-02T15:04:05.000000Z07:00"))})
	return a, nil
}
