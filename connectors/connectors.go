// Package connectors is the border between native documents and canonical events: what a connector is, what it is
// given, what it gives. The families lie below it, each in three parts and no more: syntax (bytes to native document and
// back), mapping in, mapping out. Package catalog puts them into one table.
//
// The package and the families know the canonical events and the names of topics. They know no broker, no clock and no
// network: a document brings the time it was received with it, so that translating it again gives the same events.
//
// Invariants:
//
//   - Translating the same raw record again gives the same events with the same ids, in the same order.
//   - The dedupe key of an event does not depend on the envelope it came in.
//   - A part of a document (a transaction set, a row, a line) is translated whole or refused whole, with a Problem that has its
//     cause, position, remedy and bytes; the parts beside it are translated.
//   - A quantity is exact or a Problem, never rounded.
package connectors

import (
	"context"
	"fmt"
	"io"
	"strings"

	"crossdock/avro/event"
)

// Direction says which way a connector translates.
type Direction uint8

// The directions.
const (
	In Direction = 1 << iota
	Out
	Both = In | Out
)

func (d Direction) String() string {
	switch d {
	case In:
		return "in"
	case Out:
		return "out"
	case Both:
		return "in, out"
	}
	return fmt.Sprintf("direction(%d)", uint8(d))
}

// A DocType is one kind of document that a connector knows.
type DocType struct {
	Name  string   // "X12/940": what headers, hints and events call it
	Title string   // "Warehouse Shipping Order"
	Makes []string // names of the canonical records it becomes; none: it is recognised and named, not mapped
}

// A Connector declares one family of native formats.
type Connector struct {
	Name           string // "x12"
	Doc            string // one line for help
	DocTypes       []DocType
	Direction      Direction
	MappingVersion int    // rises with every change of what a document becomes
	Sample         string // a document written for the project
	// Detect says how surely a document that begins with head is of this family.
	Detect func(head []byte) Confidence
	// Peek reads the ordering key and the type of a document from its beginning, cheaply. ok is false where they cannot
	// be told. It is nil where a document has nothing to peek at.
	Peek func(head []byte) (p Peek, ok bool)
	// Translate gives out the events and problems of a document, in its order. It returns an error only for what is no fault
	// of the document: the sink's, the context's or the stream's.
	Translate func(ctx context.Context, d *Document, out Sink) error
	// Split cuts a stream into documents of at most limit bytes at its own borders; nil where the format has none. What
	// cannot be cut is given to refuse.
	Split func(r io.Reader, limit int, emit func(part []byte) error, refuse func(*Problem) error) error
}

// Confidence is how surely a document is of a family.
type Confidence uint8

// The degrees of confidence.
const (
	No       Confidence = iota
	Possible            // it has the looks
	Certain             // it has the signature
)

// A Peek is what the beginning of a document tells without translating it.
type Peek struct {
	Key     []byte // what order is kept by: documents with equal keys stay in order
	DocType string // empty where the beginning does not tell
}

// A Sink takes what a document becomes. An error stops the translation.
type Sink interface {
	// Event takes an event with source codes, not enriched. It may keep it.
	Event(e event.Record) error
	// Problem takes a part that was refused, or a notice. Its bytes are valid during the call.
	Problem(p *Problem) error
}

// A Table is the list of connectors, in the order in which they are asked to detect.
type Table struct{ connectors []Connector }

// NewTable makes a table. An error names every declaration that is incomplete or double.
func NewTable(connectors ...Connector) (*Table, error) {
	var wrong []string
	names := map[string]string{}
	once := func(name, by string) {
		if other, again := names[name]; again {
			wrong = append(wrong, fmt.Sprintf("%s declares %q, which %s declares too", by, name, other))
		}
		names[name] = by
	}
	for _, c := range connectors {
		if c.Name == "" || c.Doc == "" || c.Sample == "" || len(c.DocTypes) == 0 || c.MappingVersion < 1 || c.Detect == nil {
			wrong = append(wrong, fmt.Sprintf("connector %q needs name, doc, doc types, mapping version, sample and detect", c.Name))
		}
		if c.Direction&In != 0 && c.Translate == nil {
			wrong = append(wrong, fmt.Sprintf("connector %q translates in, and has no Translate", c.Name))
		}
		once(c.Name, c.Name)
		for _, d := range c.DocTypes {
			once(d.Name, c.Name)
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("connectors: %s", strings.Join(wrong, "; "))
	}
	return &Table{connectors: append([]Connector(nil), connectors...)}, nil
}

// All returns the connectors in order.
func (t *Table) All() []Connector { return append([]Connector(nil), t.connectors...) }

// ByDocType finds the connector that declares a document type, or a family by its name.
func (t *Table) ByDocType(name string) (*Connector, bool) {
	for i := range t.connectors {
		c := &t.connectors[i]
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
		for _, d := range c.DocTypes {
			if strings.EqualFold(d.Name, name) {
				return c, true
			}
		}
	}
	return nil, false
}

// known lists the families for a remedy.
func (t *Table) known() string {
	var names []string
	for _, c := range t.connectors {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}
