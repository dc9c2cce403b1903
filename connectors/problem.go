package connectors

import (
	"fmt"
	"strings"
)

// A Cause is the stable code of why a part was refused: it is searched, counted and alerted on, so it never changes.
type Cause string

// Causes that families share. A family adds its own, with its name before them.
const (
	UnknownDocument  Cause = "UNKNOWN_DOCUMENT"     // no connector recognises the bytes
	WrongDocument    Cause = "WRONG_DOCUMENT"       // the bytes are not what the hint says
	EmptyDocument    Cause = "EMPTY_DOCUMENT"       // there are no bytes
	DocumentTooLarge Cause = "DOCUMENT_TOO_LARGE"   // past what a raw topic takes, and without borders to cut at
	NotYetMapped     Cause = "NOT_YET_MAPPED"       // recognised and named, but not translated
	BadQuantity      Cause = "BAD_QUANTITY"         // no exact decimal of 12 digits before and 6 after the point
	BadDate          Cause = "BAD_DATE"             // no date or time
	MissingValue     Cause = "MISSING_VALUE"        // a mandatory value is missing
	TooLong          Cause = "VALUE_TOO_LONG"       // longer than the format allows
	BadCode          Cause = "BAD_CODE"             // a code that the format does not have, or that is not translated
	BadTotal         Cause = "TOTAL_DOES_NOT_MATCH" // a control total is not the sum
	BadArithmetic    Cause = "QUANTITIES_DISAGREE"  // quantities of one line contradict each other
	NoLines          Cause = "NO_LINES"             // a document that needs lines has none
	TestDocument     Cause = "TEST_DOCUMENT"        // marked as a test, and the source is not set to take tests
	BadText          Cause = "BAD_TEXT"             // bytes that are not text in the source's charset
	BadLine          Cause = "BAD_LINE"             // a line or row that does not have its format
	UnknownField     Cause = "UNKNOWN_FIELD"        // a column or field that the format does not have
)

// Level says what becomes of a problem.
type Level uint8

// The levels.
const (
	Refused Level = iota // the part was not translated: a dead letter
	Notice               // nothing was lost; it is counted and shown
)

func (l Level) String() string {
	if l == Notice {
		return "notice"
	}
	return "refused"
}

// A Position is a place in a document, as far as the format knows it.
type Position struct {
	Segment int    // ordinal of the segment, from 1; 0: none
	Name    string // its name, or the column's or field's
	Element int    // within the segment, from 1; 0: the segment as a whole
	Line    int    // line or row of the file, from 1; 0: the format has none
	Byte    int64  // offset from the document's first byte; -1: unknown
}

// String is "segment 7 (W01), element 1, byte 245" or "line 3, qty_src".
func (p Position) String() string {
	var parts []string
	switch {
	case p.Segment > 0 && p.Name != "":
		parts = append(parts, fmt.Sprintf("segment %d (%s)", p.Segment, p.Name))
	case p.Segment > 0:
		parts = append(parts, fmt.Sprintf("segment %d", p.Segment))
	}
	if p.Element > 0 {
		parts = append(parts, fmt.Sprintf("element %d", p.Element))
	}
	if p.Line > 0 {
		parts = append(parts, fmt.Sprintf("line %d", p.Line))
	}
	if p.Segment == 0 && p.Name != "" {
		parts = append(parts, p.Name)
	}
	if p.Byte >= 0 {
		parts = append(parts, fmt.Sprintf("byte %d", p.Byte))
	}
	return strings.Join(parts, ", ")
}

// A Problem is a part of a document that was not translated, or a notice about one that was.
type Problem struct {
	Cause    Cause
	Level    Level
	Detail   string // what and where, in a sentence
	Remedy   string // what to do, in a sentence
	Position Position
	DocType  string // "X12/940", where it is known
	DocID    string // number of the native document, where it is known
	Part     int    // ordinal of the problem within the raw record, from 0: with the record's place it is the dead letter's identity
	Bytes    []byte // the failing part as received; large ones are cut, and RawRef has the whole
}

func (p *Problem) Error() string {
	s := string(p.Cause)
	if p.DocType != "" {
		s += " " + p.DocType
	}
	if p.DocID != "" {
		s += " " + p.DocID
	}
	if at := p.Position.String(); at != "" {
		s += " at " + at
	}
	s += ": " + p.Detail
	if p.Remedy != "" {
		s += "; " + p.Remedy
	}
	return s
}
