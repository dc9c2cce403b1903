package syntax

import "bytes"

// A Segment is one segment of a set. It lies in the reader's memory and is valid until the reader's next call.
type Segment struct {
	Num    int   // ordinal in the document, from 1
	Offset int64 // of its first character in the document
	text   []byte
	ends   []uint32 // where identifier and elements end in text
	raw    []byte   // as received, from the first character, terminator excluded
	bad    int32    // 1 + index in raw of the first character that is not legal
}

// ID is the segment identifier.
func (s *Segment) ID() []byte { return s.text[:s.ends[0]] }

// Is says whether the segment has the identifier.
func (s *Segment) Is(id string) bool { return string(s.text[:s.ends[0]]) == id }

// Len counts the elements.
func (s *Segment) Len() int { return len(s.ends) - 1 }

// Element is the i-th element, from 1, without blanks around it; nil where the sender left it out.
func (s *Segment) Element(i int) []byte {
	if i < 1 || i >= len(s.ends) {
		return nil
	}
	b := s.text[s.ends[i-1]+1 : s.ends[i]]
	if len(b) > 0 && (b[0] <= ' ' || b[len(b)-1] <= ' ') {
		b = bytes.Trim(b, " \t")
	}
	return b
}

// Text is Element as a string.
func (s *Segment) Text(i int) string { return string(s.Element(i)) }

// Raw is the segment as received, without its terminator.
func (s *Segment) Raw() []byte { return s.raw }

// At is the position of the i-th element, from 1; 0 is the segment.
func (s *Segment) At(i int) Position {
	p := Position{Segment: s.Num, ID: string(s.ID()), Element: i, Byte: s.Offset}
	if i < 1 {
		return p
	}
	if i >= len(s.ends) { // an element that is missing would stand at the end
		p.Byte += int64(len(s.raw))
		return p
	}
	p.Byte += int64(s.rawIndex(int(s.ends[i-1]) + 1))
	return p
}

// rawIndex finds the place in raw of the character at text[i]: raw has line wraps that text has not.
func (s *Segment) rawIndex(i int) int {
	if len(s.raw) == len(s.text) {
		return i
	}
	for j, c := range s.raw {
		if c == '\r' || c == '\n' {
			continue
		}
		if i == 0 {
			return j
		}
		i--
	}
	return len(s.raw)
}
