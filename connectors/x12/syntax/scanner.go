package syntax

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// Charset is how bytes above 0x7F are to be understood.
type Charset uint8

// The charsets that occur in X12: most say nothing beyond ASCII, and newer systems write UTF-8.
const (
	UTF8   Charset = iota // bytes that are not UTF-8 are a fault
	Latin1                // ISO 8859-1 or Windows-1252: any byte above 0x9F is a character
)

// Limits bound what one document may make the reader keep. Zero values are the defaults.
type Limits struct {
	SegmentBytes int // one segment (64 KiB)
	Elements     int // elements of one segment (256)
	SetBytes     int // one transaction set (16 MiB)
	SetSegments  int // segments of one transaction set (200,000)
	FaultBytes   int // bytes of a failing part that a fault carries (1 MiB)
	Faults       int // faults of one document, after which it is not read on (10,000)
}

func (l Limits) ensureDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.SegmentBytes, 64<<10)
	set(&l.Elements, 256)
	set(&l.SetBytes, 16<<20)
	set(&l.SetSegments, 200_000)
	set(&l.FaultBytes, 1<<20)
	set(&l.Faults, 10_000)
	return l
}

// What a byte is within a segment. Line breaks are never data in X12 (they are not in its character sets): where they
// do not end segments they wrap lines, at any column.
const (
	plain   = iota
	element // the element separator
	wrap    // CR, LF
	illegal // other control characters, DEL
	high    // above 0x7F
)

// A scanner cuts a stream into segments. It keeps one window of the stream; while keep says so, the window only grows and
// what was handed out stays as it is.
type scanner struct {
	src    io.Reader
	err    error // of src, io.EOF included
	buf    []byte
	pos    int   // of the next segment in buf
	base   int64 // offset of buf[0] in the document
	mark   int   // first byte of buf that must stay; -1: none
	num    int   // segments so far
	limits Limits
	chars  Charset
	kinds  [256]uint8
	term   []byte
	ends   []uint32 // arena of the segments handed out since the last release
	wraps  []byte   // arena of unwrapped text, likewise
}

func (s *scanner) offset(i int) int64 { return s.base + int64(i) }

// hold keeps the window from buf[i] on; release lets go of it and of all segments handed out.
func (s *scanner) hold(i int) { s.mark = i }

func (s *scanner) release() {
	s.mark, s.ends, s.wraps = -1, s.ends[:0], s.wraps[:0]
}

// more reads on. It says whether bytes came.
func (s *scanner) more() bool {
	if s.err != nil {
		return false
	}
	if len(s.buf) == cap(s.buf) {
		from := s.pos
		if s.mark >= 0 {
			from = s.mark
		}
		rest := s.buf[from:]
		if s.mark >= 0 || len(rest) > cap(s.buf)/2 || cap(s.buf) == 0 {
			s.buf = append(make([]byte, 0, max(64<<10, 2*len(rest))), rest...)
		} else {
			s.buf = s.buf[:copy(s.buf[:cap(s.buf)], rest)]
		}
		s.base += int64(from)
		s.pos -= from
		if s.mark >= 0 {
			s.mark = 0
		}
	}
	for range 100 {
		n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		s.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// need makes n bytes from pos on available and says whether it could.
func (s *scanner) need(n int) bool {
	for len(s.buf)-s.pos < n {
		if !s.more() {
			return false
		}
	}
	return true
}

// use sets the separators of the interchange.
func (s *scanner) use(sep *Separators) {
	for i := range s.kinds {
		switch {
		case i < ' ' && i != '\t' || i == 0x7f:
			s.kinds[i] = illegal
		case i >= utf8.RuneSelf:
			s.kinds[i] = high
		default:
			s.kinds[i] = plain
		}
	}
	s.kinds['\r'], s.kinds['\n'] = wrap, wrap
	for _, c := range []byte{sep.Component, sep.Repetition} {
		if c != 0 {
			s.kinds[c] = plain
		}
	}
	s.kinds[sep.Element] = element
	s.term = sep.Terminator
}

// blanks skips what may stand between segments: blanks, line breaks, a byte order mark, the end-of-file mark of old
// systems. It says whether anything is left.
func (s *scanner) blanks() bool {
	for {
		for s.pos < len(s.buf) {
			switch c := s.buf[s.pos]; {
			case c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n'), c == 0x1a:
				if len(s.term) == 1 && c == s.term[0] && c != '\r' && c != '\n' {
					return true // an empty segment
				}
				s.pos++
			case c == 0xef:
				if !s.need(3) || !bytes.HasPrefix(s.buf[s.pos:], byteOrderMark) {
					return true
				}
				s.pos += len(byteOrderMark)
			default:
				return true
			}
		}
		if !s.more() {
			return false
		}
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf") // UTF-8; never changed

// atHeader says whether an ISA segment begins at pos.
func (s *scanner) atHeader() bool {
	return s.need(4) && s.buf[s.pos] == 'I' && s.buf[s.pos+1] == 'S' && s.buf[s.pos+2] == 'A' &&
		!alphanumeric(string(s.buf[s.pos+3:s.pos+4])) && s.buf[s.pos+3] < utf8.RuneSelf
}

// header reads the ISA segment at pos. h is nil where it cannot be read; pos then stands behind its first three letters.
func (s *scanner) header() (h *Interchange, f *Fault) {
	for {
		last := s.err != nil
		parsed, n, f, short := parseISA(s.buf[s.pos:], last)
		if short && !last && len(s.buf)-s.pos < headerBytes+lookahead {
			s.more()
			continue
		}
		s.num++
		start := s.pos
		if short {
			f = isaFault(BadHeader, 0, len(s.buf)-s.pos, "the header goes on for more than %d bytes", headerBytes)
			if last {
				f.Code, f.Detail, f.Remedy = Truncated, "the document ends within its ISA segment", sendAgain
			}
			n = 0
		}
		if f != nil {
			f.Pos.Segment = s.num
			f.Pos.Byte += s.offset(start)
		}
		if n == 0 {
			f.Raw = bytes.Clone(s.buf[start : start+3])
			s.pos += 3
			return nil, f
		}
		parsed.Pos = Position{Segment: s.num, ID: "ISA", Byte: s.offset(start)}
		if f != nil {
			f.Raw = s.buf[start : start+n]
		}
		parsed.raw = bytes.Clone(s.buf[start : start+n])
		s.pos += n
		s.use(&parsed.Separators)
		return &parsed, f
	}
}

// resync looks for the next ISA segment: three letters that no letter or digit stands before, with a sign behind them.
// What it passes is appended to passed, up to Limits.FaultBytes.
func (s *scanner) resync(passed []byte) []byte {
	keep := func(b []byte) { passed = append(passed, clip(b, s.limits.FaultBytes-len(passed))...) }
	before := byte(0)
	if s.pos > 0 {
		before = s.buf[s.pos-1]
	}
	for {
		window := s.buf[s.pos:]
		i := bytes.Index(window, []byte("ISA"))
		skip := i
		if i < 0 {
			skip = max(0, len(window)-2)
		}
		if skip > 0 {
			keep(window[:skip])
			before = window[skip-1]
			s.pos += skip
		}
		if i < 0 {
			if !s.more() {
				keep(s.buf[s.pos:])
				s.pos = len(s.buf)
				return passed
			}
			continue
		}
		if !alphanumeric(string([]byte{before})) && s.atHeader() {
			return passed
		}
		keep([]byte("I"))
		before = 'I'
		s.pos++
	}
}

func clip(b []byte, n int) []byte { return b[:max(0, min(len(b), n))] }

// segment reads the segment at pos, which blanks has reached. At the end of the document cut is true where the terminator is missing.
// A fault has the segment's position; the scanner stands behind the segment.
func (s *scanner) segment(seg *Segment) (cut bool, f *Fault) {
	s.num++
	length, scanned := -1, 0
	for {
		window := s.buf[s.pos:]
		from := max(0, scanned-len(s.term)+1)
		var i int
		if len(s.term) == 1 {
			i = bytes.IndexByte(window[from:], s.term[0])
		} else {
			i = bytes.Index(window[from:], s.term)
		}
		if i >= 0 {
			length = from + i
			break
		}
		scanned = len(window)
		if scanned > s.limits.SegmentBytes {
			break
		}
		if !s.more() {
			cut = true
			length = len(s.buf) - s.pos
			break
		}
	}
	*seg = Segment{Num: s.num, Offset: s.offset(s.pos)}
	if length < 0 || length > s.limits.SegmentBytes {
		f = &Fault{Code: SegmentTooLong, Pos: Position{Segment: s.num, Byte: seg.Offset}, Detail: "the segment is longer than the limit",
			Remedy: "look whether the segment terminator " + show(s.term) + " is missing"}
		from := s.pos
		if s.mark >= 0 {
			from = s.mark
		}
		f.Raw = bytes.Clone(clip(s.buf[from:], s.limits.FaultBytes))
		s.skipSegment(length)
		return false, f
	}
	raw := s.buf[s.pos : s.pos+length : s.pos+length]
	s.pos += length
	if !cut {
		s.pos += len(s.term)
	}
	f = s.tokenize(seg, raw)
	return cut, f
}

// skipSegment passes a segment that is too long, and lets go of what was held: the set is lost anyway.
func (s *scanner) skipSegment(length int) {
	s.mark = -1
	if length >= 0 {
		s.pos += length + len(s.term)
		return
	}
	for {
		window := s.buf[s.pos:]
		if i := bytes.Index(window, s.term); i >= 0 {
			s.pos += i + len(s.term)
			return
		}
		s.pos += max(0, len(window)-len(s.term)+1)
		if !s.more() {
			s.pos = len(s.buf)
			return
		}
	}
}

func (s *scanner) tokenize(seg *Segment, raw []byte) *Fault {
	for n := len(raw); n > 0 && (raw[n-1] == '\r' || raw[n-1] == '\n'); n-- { // CR LF where one of them is the terminator
		raw = raw[:n-1]
	}
	seg.raw, seg.text = raw, raw
	first := len(s.ends)
	seen, wrapped, illegalAt := uint8(0), false, -1
	for i, c := range raw {
		switch s.kinds[c] {
		case plain:
		case element:
			s.ends = append(s.ends, uint32(i))
		case wrap:
			wrapped = true
		case illegal:
			if illegalAt < 0 {
				illegalAt = i
			}
		default:
			seen = high
		}
	}
	if wrapped {
		s.ends = s.ends[:first]
		from := len(s.wraps)
		s.wraps = unwrap(s.wraps, raw)
		seg.text = s.wraps[from:len(s.wraps):len(s.wraps)]
		for i, c := range seg.text {
			if s.kinds[c] == element {
				s.ends = append(s.ends, uint32(i))
			}
		}
	}
	s.ends = append(s.ends, uint32(len(seg.text)))
	seg.ends = s.ends[first:len(s.ends):len(s.ends)]
	if len(seg.ends) > s.limits.Elements {
		seg.ends = seg.ends[:1]
		return &Fault{Code: SegmentTooLong, Pos: seg.At(0), Raw: clip(raw, 1024), Detail: "the segment has more elements than the limit",
			Remedy: "look whether the segment terminator " + show(s.term) + " is missing"}
	}
	if id := seg.ID(); len(id) < 2 || len(id) > 3 || !alphanumeric(string(id)) || id[0] < 'A' {
		p := seg.At(0)
		p.ID = ""
		return &Fault{Code: BadSegment, Pos: p, Raw: clip(raw, 1024), Detail: "a segment begins with " + show(clip(id, 20)) + ", which is no identifier of two or three letters and digits",
			Remedy: "look at the segment before it: its terminator may stand within data, or data may be lost"}
	}
	if seen == high && s.chars == UTF8 && !utf8.Valid(seg.text) {
		illegalAt = firstInvalid(raw)
	}
	if illegalAt >= 0 {
		return s.badCharacter(seg, illegalAt)
	}
	return nil
}

func (s *scanner) badCharacter(seg *Segment, i int) *Fault {
	seg.bad = int32(i) + 1
	p := Position{Segment: seg.Num, ID: string(seg.ID()), Byte: seg.Offset + int64(i)}
	p.Element = bytes.Count(seg.raw[:i], []byte{seg.raw[min(int(seg.ends[0]), i)]})
	f := &Fault{Code: BadCharacter, Pos: p, Raw: seg.raw}
	if c := seg.raw[i]; c < utf8.RuneSelf {
		f.Detail = "the control character " + show(seg.raw[i:i+1]) + " is not legal in data"
		f.Remedy = "ask the sender to leave control characters out"
	} else {
		f.Detail = "the bytes " + show(clip(seg.raw[i:], 4)) + " are not UTF-8"
		f.Remedy = "ask the sender for UTF-8, or set the source's charset to iso-8859-1"
	}
	return f
}

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return 0
}
