// Package x12 translates ASC X12 transaction sets of warehouses and depositors into canonical events: 940 (Warehouse Shipping
// Order) and 945 (Warehouse Shipping Advice). Other sets are recognised and named. Package syntax below it reads the
// interchanges; here is what sets mean.
//
// Element numbers and code lists are those of the X12 data element dictionary, lengths those of its newest version.
package x12

import (
	"bytes"
	"context"
	_ "embed" // for the sample
	"errors"
	"fmt"
	"io"

	"crossdock/connectors"
	"crossdock/connectors/x12/syntax"
	"crossdock/topology/topics"
)

// mappingVersion rises with every change of what a document becomes.
const (
	mappingVersion = 1
	mappingName    = "x12/1"
)

// CauseGroupType says that GS01 is not the functional identifier of the sets in the group (a notice).
const CauseGroupType connectors.Cause = "X12_GROUP_TYPE"

//go:embed testdata/940_order.edi
var sample string

// Connector declares the family.
func Connector() connectors.Connector {
	c := connectors.Connector{
		Name:           "x12",
		Doc:            "ASC X12 interchanges: 940 and 945",
		Direction:      connectors.In,
		MappingVersion: mappingVersion,
		Sample:         sample,
		Detect:         detect,
		Peek:           peek,
		Translate:      translate,
		Split:          split,
	}
	for _, s := range sets() {
		c.DocTypes = append(c.DocTypes, connectors.DocType{Name: "X12/" + s.id, Title: s.title, Makes: s.makes})
	}
	return c
}

func detect(head []byte) connectors.Confidence {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(head) > 3 && bytes.HasPrefix(head, []byte("ISA")) {
		if c := head[3]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return connectors.Certain
		}
	}
	return connectors.No
}

// peek reads sender and receiver of the first interchange, which order is kept by, and the first set's type.
func peek(head []byte) (connectors.Peek, bool) {
	ic, id, ok := syntax.Peek(head)
	if !ok {
		return connectors.Peek{}, false
	}
	p := connectors.Peek{Key: topics.Key(nil, ic.SenderQualifier+":"+ic.Sender, ic.ReceiverQualifier+":"+ic.Receiver)}
	if s := known(id); s.title != "" {
		p.DocType = "X12/" + id
	}
	return p, true
}

func known(id string) set {
	for _, s := range sets() {
		if s.id == id {
			return s
		}
	}
	return set{id: id}
}

func charset(s *connectors.Settings) syntax.Charset {
	if s.Charset == connectors.Latin1 {
		return syntax.Latin1
	}
	return syntax.UTF8
}

func translate(ctx context.Context, d *connectors.Document, out connectors.Sink) error {
	var r *syntax.Reader
	if d.Bytes != nil {
		r = syntax.NewBytesReader(d.Bytes, syntax.Limits{}, charset(&d.Settings))
	} else {
		r = syntax.NewReader(d.Reader(), syntax.Limits{}, charset(&d.Settings))
	}
	for ordinal := 1; ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		set, err := r.Next()
		var f *syntax.Fault
		switch {
		case errors.As(err, &f):
			err = out.Problem(faultProblem(f))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("x12: reading %s: %w", d.RawRef, err)
		default:
			err = translateSet(d, set, ordinal, out)
			ordinal++
		}
		if err != nil {
			return err
		}
	}
}

func translateSet(d *connectors.Document, s *syntax.Set, ordinal int, out connectors.Sink) error {
	k := known(s.ID)
	m := &mapper{doc: d, set: s, ordinal: ordinal, docType: "X12/" + s.ID}
	st := &s.Segments[0]
	var mapping func()
	switch s.ID {
	case "940":
		mapping = m.order
	case "945":
		mapping = m.shipping
	}
	switch {
	case mapping == nil:
		p := notMapped(k, position(st.At(1)))
		p.Bytes = s.Raw
		return out.Problem(p)
	case s.Interchange.Usage != 'P' && !d.Settings.AcceptTest:
		m.problem = &connectors.Problem{Cause: connectors.TestDocument, Position: position(s.Interchange.Pos), Detail: fmt.Sprintf("ISA15 is %q: the interchange is not for production", s.Interchange.Usage),
			Remedy: "ask the sender for ISA15 P, or set accept_test for the source"}
		m.problem.Position.Element = 15
	default:
		mapping()
	}
	if m.problem != nil {
		return out.Problem(m.refusal())
	}
	if s.Group.ID != k.group {
		if err := out.Problem(&connectors.Problem{Cause: CauseGroupType, Level: connectors.Notice, DocType: m.docType, DocID: m.docID, Position: position(s.Group.Pos), Bytes: s.Raw,
			Detail: fmt.Sprintf("GS01 is %q, a %s belongs into a group %s", s.Group.ID, s.ID, k.group), Remedy: "ask the sender to name the group rightly"}); err != nil {
			return err
		}
	}
	for _, e := range m.events {
		if err := out.Event(e); err != nil {
			return err
		}
	}
	return nil
}

// refusal completes the problem of the set.
func (m *mapper) refusal() *connectors.Problem {
	p := m.problem
	p.DocType, p.DocID, p.Bytes = m.docType, m.docID, m.set.Raw
	if m.others > 0 {
		p.Detail += fmt.Sprintf(" (and %d more in this set)", m.others)
	}
	return p
}

// notMapped names a set that is recognised and not translated. An acknowledgment needs nobody's attention: nothing is lost
// with it.
func notMapped(k set, at connectors.Position) *connectors.Problem {
	p := &connectors.Problem{Cause: connectors.NotYetMapped, Position: at, DocType: "X12/" + k.id}
	switch {
	case k.title == "":
		p.Detail = fmt.Sprintf("transaction set %s is not known", k.id)
		p.Remedy = "look whether it belongs here; translated are 940 and 945"
	case k.ack:
		p.Level = connectors.Notice
		p.Detail = fmt.Sprintf("transaction set %s (%s) is not yet mapped", k.id, k.title)
		p.Remedy = "nothing: it acknowledges what was sent"
	default:
		p.Detail = fmt.Sprintf("transaction set %s (%s) is not yet mapped", k.id, k.title)
		p.Remedy = "keep it: replay it when its mapping exists; translated are 940 and 945"
	}
	return p
}

// faultProblem makes a problem of what the syntax found.
func faultProblem(f *syntax.Fault) *connectors.Problem {
	p := &connectors.Problem{Cause: connectors.Cause(f.Code), Detail: f.Detail, Remedy: f.Remedy, Position: position(f.Pos), Bytes: f.Raw}
	if f.Notice {
		p.Level = connectors.Notice
	}
	if f.Set != "" {
		k := known(f.Set)
		p.DocType = "X12/" + f.Set
		switch {
		case k.title == "":
			p.Detail += fmt.Sprintf(" (transaction set %s is not known)", f.Set)
		case k.makes == nil:
			p.Detail += fmt.Sprintf(" (transaction set %s, %s, is not yet mapped)", f.Set, k.title)
		default:
			p.Detail += fmt.Sprintf(" (transaction set %s, %s)", f.Set, k.title)
		}
	}
	return p
}

// split cuts a stream at interchange borders, and larger interchanges at set borders.
func split(r io.Reader, limit int, emit func([]byte) error, refuse func(*connectors.Problem) error) error {
	return syntax.Split(r, limit, emit, func(f *syntax.Fault) error { return refuse(faultProblem(f)) })
}
