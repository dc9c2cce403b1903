package syntax

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// Separators are the delimiters of one interchange. ISA declares them by standing at a fixed place (X12.5, 3.2).
type Separators struct {
	Element    byte
	Component  byte   // ISA16; 0 where a sender left it out
	Repetition byte   // ISA11 from version 00402 on; 0: none
	Terminator []byte // one character: a byte, or the UTF-8 form of a sign beyond ASCII
}

// An Interchange is what an ISA segment says. Texts are trimmed.
type Interchange struct {
	Separators
	SenderQualifier, Sender     string // ISA05, ISA06
	ReceiverQualifier, Receiver string // ISA07, ISA08
	Date, Time                  string // ISA09 YYMMDD, ISA10 HHMM
	Version                     string // ISA12
	Control                     string // ISA13
	AckRequested                bool   // ISA14
	Usage                       byte   // ISA15: P production, T test, I information
	Pos                         Position
	raw                         []byte
}

// isaWidths are the fixed widths of ISA01 to ISA15 (X12.5, interchange control header).
var isaWidths = [15]int{2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1}

const (
	// headerBytes is more than any readable ISA takes: 106 characters, some of them of several bytes, line wraps.
	headerBytes = 512
	// lookahead is how far the segment behind the ISA is looked at to tell an ISA16 that was left out from a newline
	// that is the terminator.
	lookahead = 256
)

// parseISA reads the ISA segment that b begins with, and as many of the bytes behind it as are at hand. It returns how many bytes it
// takes, terminator included, and a fault: with n > 0 a notice, with n == 0 the reason why nothing can be read. short
// says that b ends too early to tell; last, that nothing comes behind b.
func parseISA(b []byte, last bool) (h Interchange, n int, f *Fault, short bool) {
	if len(b) < 4 {
		return h, 0, nil, true
	}
	h.Element = b[3]
	if !legalSeparator(rune(h.Element)) || h.Element == '\r' || h.Element == '\n' {
		return h, 0, isaFault(BadSeparator, 0, 3, "the element separator %s is not legal", show(b[3:4])), false
	}
	var text [15][]byte
	var at [15]int
	loose, wrapped := false, false
	p := 4
	for i := range isaWidths {
		at[i] = p
		width, plain := 0, true
		for ; ; p++ {
			if p >= len(b) {
				return h, 0, nil, true
			}
			if b[p] == h.Element {
				break
			}
			if b[p] == '\r' || b[p] == '\n' { // a line wrap
				plain = false
				continue
			}
			if utf8.RuneStart(b[p]) {
				width++
			}
			if width > isaWidths[i] {
				return h, 0, isaFault(BadHeader, i+1, at[i], "element %d is longer than its %d characters", i+1, isaWidths[i]), false
			}
		}
		text[i] = b[at[i]:p]
		if !plain {
			text[i], wrapped = unwrap(nil, text[i]), true
		}
		loose = loose || width != isaWidths[i] || len(text[i]) != isaWidths[i]
		p++
	}
	if f = h.fill(text, at); f != nil {
		return h, 0, f, false
	}
	end, f, short := h.delimiters(b, p, last, wrapped)
	if f != nil || short {
		return h, 0, f, short
	}
	switch {
	case h.Component == 0:
		f = isaFault(NoComponentMark, 16, p, "element 16 is empty, and %s ends every segment", show(h.Terminator))
		f.Remedy = "ask the sender to put its component separator at position 105 of the ISA"
		f.Notice = true
	case loose:
		f = isaFault(LooseHeader, 0, 0, "the header is not 106 characters: blanks are missing or are not ASCII")
		f.Remedy = "ask the sender to pad ISA02, ISA04, ISA06 and ISA08 with blanks"
		f.Notice = true
	}
	return h, end, f, false
}

// delimiters reads ISA16 and the terminator at b[p:]. Where lines were wrapped before, a line break is a wrap here too, and
// ends no segment.
func (h *Interchange) delimiters(b []byte, p int, last, wrapped bool) (end int, f *Fault, short bool) {
	unwrapped := func() bool {
		for wrapped && p < len(b) && (b[p] == '\r' || b[p] == '\n') {
			p++
		}
		return p < len(b)
	}
	if !unwrapped() {
		return 0, nil, true
	}
	h.Component = b[p]
	switch {
	case h.Component == '\r' || h.Component == '\n':
		return 0, isaFault(BadHeader, 16, p, "element 16, the component separator, is missing"), false
	case h.Component >= utf8.RuneSelf || !legalSeparator(rune(h.Component)):
		return 0, isaFault(BadSeparator, 16, p, "the component separator %s is not legal", show(firstChar(b[p:]))), false
	case h.Component == h.Element:
		return 0, isaFault(SameSeparators, 16, p, "%s separates elements and components", show(b[p:p+1])), false
	case h.Component == h.Repetition:
		return 0, isaFault(SameSeparators, 16, p, "%s separates repetitions and components", show(b[p:p+1])), false
	}
	p++
	if !unwrapped() || !utf8.FullRune(b[p:]) {
		return 0, nil, true
	}
	h.Terminator = append([]byte(nil), firstChar(b[p:])...)
	r, size := utf8.DecodeRune(h.Terminator)
	if r == utf8.RuneError && size == 1 {
		r = 0x85 // one byte of an 8-bit charset, such as the ellipsis or NEL at 0x85: no letter is meant
	}
	switch {
	case !legalSeparator(r):
		return 0, isaFault(BadSeparator, 0, p, "the segment terminator %s is not legal", show(h.Terminator)), false
	case len(h.Terminator) == 1 && (h.Terminator[0] == h.Element || h.Terminator[0] == h.Component):
		return 0, isaFault(SameSeparators, 0, p, "%s ends segments and separates elements or components", show(h.Terminator)), false
	case len(h.Terminator) == 1 && h.Terminator[0] == h.Repetition:
		return 0, isaFault(SameSeparators, 11, p, "%s ends segments and separates repetitions", show(h.Terminator)), false
	}
	end = p + len(h.Terminator)
	if r == '\r' || r == '\n' {
		left, known := componentLeftOut(b[end:], h.Component)
		if !known && !last {
			return 0, nil, true
		}
		if left {
			h.Terminator, h.Component, end = []byte{h.Component}, 0, p
		}
	}
	return end, nil, false
}

// componentLeftOut says whether the line behind an ISA that ends in "c newline" ends in c too: then c is the terminator,
// every segment stands on a line of its own, and ISA16 was left out. No segment of an envelope ends in a component.
func componentLeftOut(rest []byte, c byte) (left, known bool) {
	line := bytes.TrimLeft(rest, "\r\n \t")
	i := bytes.IndexAny(line, "\r\n")
	if i < 0 {
		if len(rest) < lookahead {
			return false, false
		}
		return false, true
	}
	line = bytes.TrimRight(line[:i], " \t")
	return len(line) > 0 && line[len(line)-1] == c, true
}

// fill checks the elements of the header and takes them over.
func (h *Interchange) fill(text [15][]byte, at [15]int) *Fault {
	s := func(i int) string { return string(bytes.TrimSpace(text[i-1])) }
	bad := func(i int, what string) *Fault {
		return isaFault(BadHeader, i, at[i-1], "element %d is %q: %s", i, text[i-1], what)
	}
	for _, i := range [...]int{1, 3, 5, 7} {
		if v := s(i); len(v) != 2 || !alphanumeric(v) {
			return bad(i, "a qualifier has two letters or digits")
		}
	}
	for _, i := range [...]int{6, 8} {
		if s(i) == "" {
			return bad(i, "sender and receiver are mandatory")
		}
		if !utf8.Valid(text[i-1]) {
			return bad(i, "it is not text")
		}
	}
	h.SenderQualifier, h.Sender, h.ReceiverQualifier, h.Receiver = s(5), s(6), s(7), s(8)
	h.Date, h.Time, h.Version, h.Control = s(9), s(10), s(12), s(13)
	if _, err := time.Parse("060102", h.Date); err != nil {
		return bad(9, "a date is YYMMDD")
	}
	if _, err := time.Parse("1504", h.Time); err != nil {
		return bad(10, "a time is HHMM")
	}
	if len(h.Version) != 5 || !digits(h.Version) {
		return bad(12, "a version has five digits")
	}
	if len(h.Control) != 9 || !digits(h.Control) {
		return bad(13, "a control number has nine digits")
	}
	ack, usage := s(14), s(15)
	if ack != "0" && ack != "1" {
		return bad(14, "it is 0 or 1")
	}
	if usage != "P" && usage != "T" && usage != "I" {
		return bad(15, "it is P (production), T (test) or I (information)")
	}
	h.AckRequested, h.Usage = ack == "1", usage[0]
	// Before version 00402 ISA11 names the standard (U); many senders of later versions still say U and mean none.
	if h.Version >= "00402" && s(11) != "U" {
		r := text[10]
		if len(r) != 1 || !legalSeparator(rune(r[0])) || r[0] >= utf8.RuneSelf {
			return isaFault(BadSeparator, 11, at[10], "the repetition separator %s is not legal", show(r))
		}
		if r[0] == h.Element {
			return isaFault(SameSeparators, 11, at[10], "%s separates elements and repetitions", show(r))
		}
		h.Repetition = r[0]
	}
	return nil
}

func isaFault(c Code, element, at int, format string, args ...any) *Fault {
	f := &Fault{Code: c, Detail: "ISA: " + fmt.Sprintf(format, args...), Pos: Position{ID: "ISA", Element: element, Byte: int64(at)}}
	switch c {
	case BadSeparator:
		f.Remedy = "use a sign that is neither letter, digit nor blank, such as * for elements, : for components, ~ for segments"
	case SameSeparators:
		f.Remedy = "give each role a sign of its own, such as * for elements, : for components, ~ for segments"
	default:
		f.Remedy = "send an ISA of 106 characters: ISA, 16 elements of fixed width, the terminator (X12.5)"
	}
	return f
}

// legalSeparator says whether a sign may delimit: X12.5 leaves it to the partners as long as it cannot occur in data. Letters,
// digits and blanks always can.
func legalSeparator(r rune) bool {
	return r > 0 && r != ' ' && r != 0xa0 && r != 0xfeff && r < 0x10000 && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func firstChar(b []byte) []byte {
	_, size := utf8.DecodeRune(b)
	return b[:size]
}

func show(b []byte) string { return strconv.Quote(string(b)) }

func alphanumeric(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) > 0
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

// unwrap appends b without line breaks.
func unwrap(to, b []byte) []byte {
	for _, c := range b {
		if c != '\r' && c != '\n' {
			to = append(to, c)
		}
	}
	return to
}
