package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A Group is what a GS segment says.
type Group struct {
	ID               string // GS01, functional identifier: OW for 940, SW for 945
	Sender, Receiver string // GS02, GS03
	Date, Time       string // GS04 CCYYMMDD, GS05 HHMM to HHMMSSDD
	Control          string // GS06
	Version          string // GS08
	Pos              Position
	sets             int
	controls         map[string]struct{}
	raw              []byte
	bad              bool // its trailer has nothing to be compared with
}

// A Set is one whole transaction set, whose count and control number are right. It is valid until the reader's next call.
type Set struct {
	Interchange *Interchange
	Group       *Group
	ID          string // ST01
	Control     string // ST02
	Segments    []Segment
	Raw         []byte // as received, from ST to SE
}

// repeatedControls bounds the control numbers remembered of one group.
const repeatedControls = 10_000

// A Reader reads interchanges, groups and sets from a stream of any size.
type Reader struct {
	s      scanner
	ic     *Interchange
	group  *Group
	groups int
	set    Set
	inSet  bool
	from   int64 // offset of ST
	length int   // segments of the set so far
	broken *Fault
	faults []*Fault
	lost   bool // within segments that belong nowhere
	any    bool // an ISA or something else has been seen
	count  int  // of faults
	done   bool
}

// NewReader reads from r.
func NewReader(r io.Reader, l Limits, c Charset) *Reader {
	return &Reader{s: scanner{src: r, limits: l.ensureDefaults(), chars: c, mark: -1}}
}

// NewBytesReader reads from b, in place. b must not change while segments of it are in use.
func NewBytesReader(b []byte, l Limits, c Charset) *Reader {
	return &Reader{s: scanner{buf: b[:len(b):len(b)], err: io.EOF, limits: l.ensureDefaults(), chars: c, mark: -1}}
}

// Next returns the next whole set. A *Fault says what was wrong before it; reading goes on with the next call. io.EOF is
// the end, any other error is the stream's.
func (r *Reader) Next() (*Set, error) {
	for {
		if len(r.faults) > 0 {
			f := r.faults[0]
			r.faults = r.faults[1:]
			return nil, f
		}
		if r.done {
			return nil, io.EOF
		}
		set := r.step()
		if r.s.err != nil && !errors.Is(r.s.err, io.EOF) && r.s.pos == len(r.s.buf) {
			r.done, r.faults = true, nil
			return nil, r.s.err
		}
		if set != nil {
			return set, nil
		}
	}
}

// step reads one segment. It returns a set that it completes.
func (r *Reader) step() *Set {
	if !r.inSet {
		r.s.release()
	}
	if !r.s.blanks() {
		r.end()
		return nil
	}
	if r.ic == nil || r.s.atHeader() {
		r.open()
		return nil
	}
	var seg Segment
	cut, f := r.s.segment(&seg)
	if cut && (f != nil || !seg.Is("IEA")) {
		r.finish(&Fault{Code: Truncated, Pos: Position{Segment: seg.Num, Byte: seg.Offset}, Raw: seg.raw, Detail: "the document ends within a segment", Remedy: sendAgain})
		return nil
	}
	if r.inSet {
		return r.inside(&seg, f)
	}
	if f != nil {
		r.stray(f)
		return nil
	}
	r.outside(&seg)
	return nil
}

// outside handles a segment of the envelope.
func (r *Reader) outside(seg *Segment) {
	lost := r.lost
	r.lost = false
	switch {
	case seg.Is("GS"):
		r.closeGroup(nil)
		r.openGroup(seg)
	case seg.Is("ST"):
		r.openSet(seg)
	case seg.Is("GE"):
		r.closeGroup(seg)
	case seg.Is("IEA"):
		r.closeGroup(nil)
		r.close(seg)
	case seg.Is("TA1"):
		r.report(&Fault{Code: InterchangeAck, Pos: seg.At(0), Raw: seg.raw, Notice: true,
			Detail: fmt.Sprintf("TA1 answers interchange %s with %s (A accepted, E accepted with errors, R rejected)", clip(seg.Element(1), 20), clip(seg.Element(4), 20)),
			Remedy: "nothing where it is A; else look at what was sent"})
	case seg.Is("ISB"), seg.Is("ISE"), seg.Is("TA3"):
		// Service segments of the interchange (X12.5): they carry no business.
	default:
		r.lost = lost
		r.stray(&Fault{Code: UnexpectedSegment, Pos: seg.At(0), Raw: seg.raw,
			Detail: fmt.Sprintf("a %s segment stands outside any transaction set", seg.ID()),
			Remedy: "ask the sender to put it between ST and SE"})
	}
}

// stray reports a segment that belongs nowhere. Those behind it are passed in silence until the envelope goes on: they are one
// trouble, not many.
func (r *Reader) stray(f *Fault) {
	if !r.lost {
		r.report(f)
	}
	r.lost = true
}

// inside handles a segment while a set is open.
func (r *Reader) inside(seg *Segment, f *Fault) *Set {
	if f != nil {
		r.length++
		r.breakSet(f)
		r.forget()
		return nil
	}
	switch {
	case seg.Is("SE"):
		r.length++
		return r.closeSet(seg)
	case seg.Is("ST"), seg.Is("GS"), seg.Is("GE"), seg.Is("IEA"):
		// Unless the set is closed here, everything behind a lost SE would be lost with it.
		r.breakSet(&Fault{Code: MissingSetTrailer, Pos: seg.At(0),
			Detail: fmt.Sprintf("set %s has no SE before this %s", r.set.Control, seg.ID()),
			Remedy: "ask the sender to send the set again"})
		r.s.pos = int(seg.Offset - r.s.base)
		r.s.num--
		r.dropSet()
		return nil
	}
	r.length++
	size := int(seg.Offset-r.from) + len(seg.raw)
	if r.broken == nil && (size > r.s.limits.SetBytes || r.length > r.s.limits.SetSegments) {
		r.breakSet(&Fault{Code: SetTooLarge, Pos: seg.At(0),
			Detail: fmt.Sprintf("set %s has more than %d bytes or %d segments", r.set.Control, r.s.limits.SetBytes, r.s.limits.SetSegments),
			Remedy: "ask the sender to split it"})
	}
	if r.broken == nil {
		r.set.Segments = append(r.set.Segments, *seg)
		return nil
	}
	r.forget()
	return nil
}

// forget drops the segments of a broken set, which nobody needs, and lets the window move on once it holds what a fault
// may carry: the rest of the set is only looked through.
func (r *Reader) forget() {
	r.set.Segments, r.s.ends, r.s.wraps = r.set.Segments[:0], r.s.ends[:0], r.s.wraps[:0]
	if r.s.mark >= 0 && r.s.pos-r.s.mark >= r.s.limits.FaultBytes {
		r.keepRaw()
		r.s.mark = -1
	}
}

// keepRaw gives the fault of the broken set in hand the set's bytes, as far as they are held.
func (r *Reader) keepRaw() {
	if r.s.mark >= 0 {
		r.broken.Raw = bytes.Clone(clip(r.s.buf[r.s.mark:r.s.pos], r.s.limits.FaultBytes))
	}
}

// breakSet marks the set in hand as broken, by its first fault.
func (r *Reader) breakSet(f *Fault) {
	if r.broken == nil {
		f.Set = r.set.ID
		r.broken = f
	}
}

// dropSet reports the broken set in hand and leaves it.
func (r *Reader) dropSet() {
	r.keepRaw()
	f := r.broken
	r.leaveSet()
	r.report(f)
}

func (r *Reader) leaveSet() {
	r.inSet, r.broken = false, nil
}

func (r *Reader) openSet(seg *Segment) {
	r.s.hold(int(seg.Offset - r.s.base))
	r.inSet, r.from, r.length = true, seg.Offset, 1
	r.set = Set{Interchange: r.ic, Group: r.group, ID: seg.Text(1), Control: seg.Text(2), Segments: append(r.set.Segments[:0], *seg)}
	switch {
	case r.group == nil:
		r.breakSet(&Fault{Code: SetOutsideGroup, Pos: seg.At(0), Detail: "the set stands outside any group",
			Remedy: "ask the sender to put GS before it"})
	case len(r.set.ID) != 3 || !digits(r.set.ID):
		r.breakSet(&Fault{Code: BadEnvelope, Pos: seg.At(1), Detail: fmt.Sprintf("ST01 is %q: a set is named by three digits", clip([]byte(r.set.ID), 20)),
			Remedy: "ask the sender to name the transaction set"})
	case len(r.set.Control) < 1 || len(r.set.Control) > 9:
		r.breakSet(&Fault{Code: BadEnvelope, Pos: seg.At(2), Detail: fmt.Sprintf("ST02 is %q: a control number has 1 to 9 characters", clip([]byte(r.set.Control), 20)),
			Remedy: "ask the sender to number the transaction set"})
	}
	if r.group == nil {
		return
	}
	r.group.sets++
	if _, again := r.group.controls[r.set.Control]; again {
		r.report(&Fault{Code: RepeatedSet, Pos: seg.At(2), Raw: seg.raw, Set: r.set.ID, Notice: true,
			Detail: fmt.Sprintf("control number %q was used before in this group", r.set.Control),
			Remedy: "ask the sender to number the sets of a group uniquely"})
	} else if len(r.group.controls) < repeatedControls {
		r.group.controls[r.set.Control] = struct{}{}
	}
}

func (r *Reader) closeSet(seg *Segment) *Set {
	count := string(seg.Element(1))
	switch {
	case !sameNumber(count, strconv.Itoa(r.length)):
		r.breakSet(&Fault{Code: SetCount, Pos: seg.At(1), Detail: fmt.Sprintf("SE01 is %q, the set has %d segments", clip([]byte(count), 20), r.length),
			Remedy: "ask the sender to send the set again: segments are lost, or counted wrongly"})
	case !sameControl(seg.Text(2), r.set.Control):
		r.breakSet(&Fault{Code: SetControl, Pos: seg.At(2), Detail: fmt.Sprintf("SE02 is %q, ST02 is %q", clip(seg.Element(2), 20), r.set.Control),
			Remedy: "ask the sender to send the set again: parts of two sets may have been mixed"})
	}
	if r.broken != nil {
		r.dropSet()
		return nil
	}
	r.set.Segments = append(r.set.Segments, *seg)
	r.set.Raw = r.s.buf[r.s.mark:r.s.pos]
	r.leaveSet()
	return &r.set
}

func (r *Reader) openGroup(seg *Segment) {
	r.groups++
	r.group = &Group{ID: seg.Text(1), Sender: seg.Text(2), Receiver: seg.Text(3), Date: seg.Text(4), Time: seg.Text(5), Control: seg.Text(6), Version: seg.Text(8),
		Pos: seg.At(0), controls: map[string]struct{}{}, raw: bytes.Clone(seg.raw)}
	if len(r.group.ID) != 2 || r.group.Control == "" || len(r.group.Control) > 9 {
		r.report(&Fault{Code: BadEnvelope, Pos: seg.At(0), Raw: seg.raw, Detail: "GS has no functional identifier of two letters or no control number of 1 to 9 digits",
			Remedy: "ask the sender for a full GS segment"})
		r.group.bad = true
	}
}

// closeGroup ends the group in hand; seg is its GE, nil where another segment shows that there is none.
func (r *Reader) closeGroup(seg *Segment) {
	g := r.group
	r.group = nil
	switch {
	case g == nil && seg == nil, g != nil && g.bad:
	case g == nil:
		r.report(&Fault{Code: UnexpectedSegment, Pos: seg.At(0), Raw: seg.raw, Detail: "GE without GS", Remedy: "look at the GS segment before it"})
	case seg == nil:
		r.report(&Fault{Code: MissingGroupEnd, Pos: g.Pos, Raw: g.raw, Detail: fmt.Sprintf("group %s has no GE", g.Control), Remedy: "ask the sender whether sets are missing at its end"})
	default:
		if !sameNumber(seg.Text(1), strconv.Itoa(g.sets)) {
			r.report(&Fault{Code: GroupCount, Pos: seg.At(1), Raw: seg.raw, Detail: fmt.Sprintf("GE01 is %q, the group has %d sets", clip(seg.Element(1), 20), g.sets),
				Remedy: "ask the sender whether sets are missing"})
		}
		if !sameControl(seg.Text(2), g.Control) {
			r.report(&Fault{Code: GroupControl, Pos: seg.At(2), Raw: seg.raw, Detail: fmt.Sprintf("GE02 is %q, GS06 is %q", clip(seg.Element(2), 20), g.Control),
				Remedy: "ask the sender whether groups have been mixed"})
		}
	}
}

// open begins an interchange at an ISA segment, or passes what is none.
func (r *Reader) open() {
	if r.inSet {
		r.breakSet(&Fault{Code: MissingSetTrailer, Pos: Position{Byte: r.s.offset(r.s.pos)}, Detail: fmt.Sprintf("set %s has no SE before the next interchange", r.set.Control),
			Remedy: "ask the sender to send the set again"})
		r.dropSet()
		r.s.mark = -1
	}
	if r.ic != nil {
		r.closeGroup(nil)
		r.report(&Fault{Code: MissingTrailer, Pos: r.ic.Pos, Raw: r.ic.raw, Detail: fmt.Sprintf("interchange %s has no IEA before the next one", r.ic.Control), Remedy: "ask the sender whether its end is missing"})
		r.ic = nil
	}
	r.s.term = nil
	if !r.s.atHeader() {
		at := r.s.offset(r.s.pos)
		f := notX12(r.s.buf[r.s.pos:], at)
		f.Raw = r.s.resync(nil)
		r.report(f)
		return
	}
	r.any = true
	h, f := r.s.header()
	if f != nil {
		r.report(f)
	}
	if h == nil {
		f.Raw = r.s.resync(f.Raw)
		return
	}
	r.ic, r.groups = h, 0
}

// close ends the interchange at its IEA.
func (r *Reader) close(seg *Segment) {
	ic := r.ic
	r.ic, r.s.term = nil, nil
	if !sameNumber(seg.Text(1), strconv.Itoa(r.groups)) {
		r.report(&Fault{Code: InterchangeCount, Pos: seg.At(1), Raw: seg.raw, Detail: fmt.Sprintf("IEA01 is %q, the interchange has %d groups", clip(seg.Element(1), 20), r.groups),
			Remedy: "ask the sender whether groups are missing"})
	}
	if !sameControl(seg.Text(2), ic.Control) {
		r.report(&Fault{Code: InterchangeControl, Pos: seg.At(2), Raw: seg.raw, Detail: fmt.Sprintf("IEA02 is %q, ISA13 is %q", clip(seg.Element(2), 20), ic.Control),
			Remedy: "ask the sender whether interchanges have been mixed"})
	}
}

const sendAgain = "send the whole document again: what was whole is not counted twice"

// end reports a document that ends between segments, unless it is complete.
func (r *Reader) end() {
	at := Position{Segment: r.s.num, Byte: r.s.offset(r.s.pos)}
	switch {
	case !errors.Is(r.s.err, io.EOF):
	case r.inSet:
		r.finish(&Fault{Code: Truncated, Pos: at, Detail: fmt.Sprintf("the document ends within set %s", r.set.Control), Remedy: sendAgain})
	case r.ic != nil:
		r.finish(&Fault{Code: Truncated, Pos: at, Raw: r.ic.raw, Detail: fmt.Sprintf("the document ends within interchange %s: no GE or no IEA", r.ic.Control), Remedy: sendAgain})
	case !r.any:
		r.finish(&Fault{Code: Truncated, Pos: at, Detail: "the document is empty", Remedy: "look at the transfer: nothing has arrived"})
	default:
		r.done = true
	}
}

// finish reports the fault that ends the document.
func (r *Reader) finish(f *Fault) {
	r.done = true
	if !r.inSet {
		r.report(f)
		return
	}
	if r.broken != nil {
		r.broken.Detail += "; " + f.Detail
	}
	r.breakSet(f)
	r.dropSet()
}

// report queues a fault. A document with very many is not read to its end: it is of another kind, or an attack.
func (r *Reader) report(f *Fault) {
	r.any = true
	r.count++
	if r.count > r.s.limits.Faults {
		if !r.done {
			f = &Fault{Code: TooManyFaults, Pos: f.Pos, Detail: fmt.Sprintf("more than %d faults: what follows was not read", r.s.limits.Faults),
				Remedy: "mend what the first faults name, and send the document again"}
			r.done, r.inSet = true, false
			r.faults = append(r.faults, f)
		}
		return
	}
	r.faults = append(r.faults, f)
}

// sameNumber compares a count as written with what was counted: leading zeros are legal.
func sameNumber(written, counted string) bool {
	if !digits(written) {
		return false
	}
	for len(written) > 1 && written[0] == '0' {
		written = written[1:]
	}
	return written == counted
}

// sameControl compares control numbers. They are numbers (N0) in envelopes and text in sets; senders that drop leading
// zeros on one side mean the same.
func sameControl(a, b string) bool {
	if a == b {
		return true
	}
	return digits(a) && digits(b) && trimZeros(a) == trimZeros(b)
}

func trimZeros(s string) string {
	for len(s) > 1 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

// notX12 names what stands where an interchange belongs.
func notX12(b []byte, at int64) *Fault {
	f := &Fault{Code: NotX12, Pos: Position{Byte: at}, Detail: "no ISA segment begins here",
		Remedy: "send X12 beginning with ISA; if this is another format, send it to a source of that format"}
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")), bytes.HasPrefix(b, []byte("I\x00S\x00A")), bytes.HasPrefix(b, []byte("\x00I\x00S\x00A")):
		f.Code, f.Detail, f.Remedy = WrongEncoding, "the document is UTF-16", "send it as ASCII or UTF-8"
	case bytes.HasPrefix(b, []byte("\xc9\xe2\xc1")):
		f.Code, f.Detail, f.Remedy = WrongEncoding, "the document is EBCDIC", "transfer it as text, or convert it to ASCII"
	}
	return f
}
