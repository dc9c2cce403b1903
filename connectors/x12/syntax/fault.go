package syntax

import "fmt"

// A Code says what is wrong, stably: people search for it and alarms count it, so it never changes.
type Code string

// The codes of faults. Those of an interchange refuse all that is in it; those of a group's or an interchange's trailer
// (GE, IEA) and of a part leave the sets that are whole by themselves alone.
const (
	NotX12             Code = "X12_NOT_AN_INTERCHANGE"    // bytes where an ISA segment belongs
	WrongEncoding      Code = "X12_WRONG_ENCODING"        // UTF-16, EBCDIC: not ASCII, nor an extension of it
	BadHeader          Code = "X12_BAD_ISA"               // an element of the ISA is too long, missing or not legal
	BadSeparator       Code = "X12_BAD_SEPARATOR"         // a separator that the standard does not allow
	SameSeparators     Code = "X12_SEPARATORS_NOT_UNIQUE" // one character in two roles
	LooseHeader        Code = "X12_ISA_NOT_FIXED_WIDTH"   // readable, but blanks are missing (a notice)
	NoComponentMark    Code = "X12_ISA16_EMPTY"           // readable, but ISA16 is missing (a notice)
	Truncated          Code = "X12_TRUNCATED"             // the document ends within a set, a group or an interchange
	BadSegment         Code = "X12_BAD_SEGMENT"           // no segment identifier where one belongs
	BadCharacter       Code = "X12_BAD_CHARACTER"         // a control character, or bytes that are not text in the charset
	SegmentTooLong     Code = "X12_SEGMENT_TOO_LONG"      // past Limits.SegmentBytes or Limits.Elements
	SetTooLarge        Code = "X12_SET_TOO_LARGE"         // past Limits.SetBytes or Limits.SetSegments
	UnexpectedSegment  Code = "X12_UNEXPECTED_SEGMENT"    // a segment between sets, groups or interchanges
	SetOutsideGroup    Code = "X12_SET_OUTSIDE_GROUP"     // ST without GS
	BadEnvelope        Code = "X12_BAD_ENVELOPE"          // a mandatory element of GS or ST is missing or not legal
	MissingSetTrailer  Code = "X12_SE_MISSING"            // a set without SE
	SetCount           Code = "X12_SE01_COUNT"            // SE01 is not the number of segments
	SetControl         Code = "X12_SE02_CONTROL_NUMBER"   // SE02 is not ST02
	RepeatedSet        Code = "X12_ST02_REPEATED"         // two sets of a group with one control number (a notice)
	MissingGroupEnd    Code = "X12_GE_MISSING"            // a group without GE
	GroupCount         Code = "X12_GE01_COUNT"            // GE01 is not the number of sets
	GroupControl       Code = "X12_GE02_CONTROL_NUMBER"   // GE02 is not GS06
	MissingTrailer     Code = "X12_IEA_MISSING"           // an interchange without IEA
	InterchangeCount   Code = "X12_IEA01_COUNT"           // IEA01 is not the number of groups
	TooManyFaults      Code = "X12_TOO_MANY_FAULTS"       // past Limits.Faults
	InterchangeAck     Code = "X12_TA1"                   // an interchange that was sent is acknowledged (a notice)
	InterchangeControl Code = "X12_IEA02_CONTROL_NUMBER"  // IEA02 is not ISA13
)

// A Position is a place in a document.
type Position struct {
	Segment int    // ordinal of the segment in the document, from 1; 0: outside all segments
	ID      string // its identifier
	Element int    // from 1; 0: the segment as a whole
	Byte    int64  // offset in the document, from 0
}

func (p Position) String() string {
	s := ""
	if p.Segment > 0 {
		s = fmt.Sprintf("segment %d", p.Segment)
		if p.ID != "" {
			s += " (" + p.ID + ")"
		}
		if p.Element > 0 {
			s += fmt.Sprintf(", element %d", p.Element)
		}
		s += ", "
	}
	return s + fmt.Sprintf("byte %d", p.Byte)
}

// A Fault is something wrong in a document, as an error value. Reading goes on behind it.
type Fault struct {
	Code   Code
	Detail string
	Remedy string
	Pos    Position
	Notice bool   // all could be read nevertheless: nothing was refused
	Raw    []byte // the failing part as received, cut at Limits.FaultBytes; valid until the next call
	Set    string // what ST01 says, where the part is a set
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s: %s at %s; %s", f.Code, f.Detail, f.Pos, f.Remedy)
}
