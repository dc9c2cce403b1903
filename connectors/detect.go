package connectors

import (
	"bytes"
	"context"
	"fmt"
)

// Detect finds the connector of a document: by its hint, else by its content. The problem is not nil where there is none; an
// error is the stream's.
func (t *Table) Detect(d *Document) (*Connector, *Problem, error) {
	head, err := d.Head()
	if err != nil {
		return nil, nil, err
	}
	refuse := func(cause Cause, detail, remedy string) *Problem {
		p := &Problem{Cause: cause, Detail: detail, Remedy: remedy, Position: Position{Byte: 0}, DocType: d.DocType, Bytes: d.Bytes}
		if p.Bytes == nil {
			p.Bytes = head
		}
		return p
	}
	if len(bytes.TrimSpace(head)) == 0 && len(head) < headBytes {
		return nil, refuse(EmptyDocument, "the document is empty", "look at the transfer: nothing has arrived"), nil
	}
	if d.DocType != "" {
		if c, ok := t.ByDocType(d.DocType); ok {
			return c, nil, nil
		}
		return nil, refuse(UnknownDocument, fmt.Sprintf("no connector declares the document type %q", d.DocType), "name one of "+t.known()+", or leave the type out to have it detected"), nil
	}
	var best *Connector
	sure := No
	for i := range t.connectors {
		if c := t.connectors[i].Detect(head); c > sure {
			best, sure = &t.connectors[i], c
		}
	}
	if best == nil {
		return nil, refuse(UnknownDocument, "the document "+looksLike(head)+", which no connector translates", "send one of "+t.known()+", or name the document type"), nil
	}
	return best, nil, nil
}

// Translate finds the connector of a document and lets it translate. Problems are numbered in their order. Errors are those of the sink,
// the context and the stream.
func (t *Table) Translate(ctx context.Context, d *Document, out Sink) error {
	numbered := &numberedSink{Sink: out}
	c, problem, err := t.Detect(d)
	if err != nil {
		return err
	}
	if problem != nil {
		return numbered.Problem(problem)
	}
	if c.Translate == nil {
		return numbered.Problem(&Problem{Cause: NotYetMapped, Detail: "documents of " + c.Name + " are written, not read", Remedy: "send one of " + t.known(), Position: Position{Byte: 0}, Bytes: d.Bytes})
	}
	return c.Translate(ctx, d, numbered)
}

// A numberedSink gives each problem its ordinal.
type numberedSink struct {
	Sink
	next int
}

// Problem numbers it.
func (s *numberedSink) Problem(p *Problem) error {
	p.Part = s.next
	s.next++
	return s.Sink.Problem(p)
}

// looksLike names formats by their signatures, for a person who has sent the wrong file.
func looksLike(head []byte) string {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for _, s := range [...]struct{ prefix, name string }{
		{"\xff\xfe", "is UTF-16 text"},
		{"\xfe\xff", "is UTF-16 text"},
		{"I\x00S\x00A", "is X12 in UTF-16"},
		{"\x00I\x00S\x00A", "is X12 in UTF-16"},
		{"\xc9\xe2\xc1", "is X12 in EBCDIC"},
		{"%PDF", "is a PDF"},
		{"PK\x03\x04", "is a ZIP archive (or an Excel or Word file)"},
		{"\x1f\x8b", "is compressed with gzip"},
		{"\xd0\xcf\x11\xe0", "is an old Excel or Word file"},
		{"UNA", "looks like EDIFACT"},
		{"UNB", "looks like EDIFACT"},
		{"EDI_DC", "looks like a flat IDoc"},
		{"ST", "looks like X12 without its envelope (ISA, GS)"},
		{"GS", "looks like X12 without its ISA"},
	} {
		if bytes.HasPrefix(head, []byte(s.prefix)) {
			return s.name
		}
	}
	trimmed := bytes.TrimSpace(head)
	switch {
	case bytes.HasPrefix(trimmed, []byte("<")) && bytes.Contains(head, []byte("IDOC")):
		return "looks like an IDoc in XML"
	case bytes.HasPrefix(trimmed, []byte("<")):
		return "looks like XML or HTML"
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("[")):
		return "looks like JSON without a type that is known"
	case !textual(head):
		return "is binary"
	}
	return "is text of no known form"
}

// textual says whether the bytes are text in an ASCII-based charset: no control characters but those that text has.
func textual(head []byte) bool {
	for _, c := range head {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' && (c < 0x1c || c > 0x1f) {
			return false
		}
	}
	return true
}
