package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Split cuts a stream of any size into documents of at most limit bytes: whole interchanges, and those that are larger at the
// borders of their sets, each part in an envelope of its own with the same control numbers and the part's own counts.
// It checks no more than it needs for cutting: what is wrong within a part is found when the part is read, and what is in
// no readable interchange is a part too. A set that is larger than limit is given to refuse. Errors are those of the stream and the callbacks;
// parts are valid during the call.
func Split(r io.Reader, limit int, emit func(part []byte) error, refuse func(*Fault) error) error {
	sp := &splitter{limit: limit, emit: emit, refuse: refuse}
	sp.s = scanner{src: r, limits: Limits{SegmentBytes: max(64<<10, min(limit, 1<<20)), Elements: 1 << 20, FaultBytes: min(limit, 1<<20)}.ensureDefaults(), chars: Latin1, mark: -1}
	for {
		more, err := sp.step()
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// A splitter holds the interchange in hand as far as it has not been given out.
type splitter struct {
	s       scanner
	limit   int
	emit    func([]byte) error
	refuse  func(*Fault) error
	ic      *Interchange
	isa     []byte // the ISA segment as received
	gs      []byte // the GS segment of the open group; nil: none is open
	gsID    string // GS06
	gsAt    int    // where it stands in part
	part    []byte // what has been gathered, from ISA on
	whole   int    // part up to here ends behind a set or a group; 0: neither yet
	sets    int    // whole sets of the open group in part
	groups  int    // groups begun in part
	allSets int    // sets of the open group in the whole interchange
	all     int    // groups of the interchange
	cut     bool   // the interchange has been cut: trailers that were right are made again
	worth   bool   // part has a set, or a trailer that is wrong
	skip    bool   // within a set that is too large
}

func (sp *splitter) step() (more bool, err error) {
	s := &sp.s
	if sp.ic != nil {
		s.hold(s.pos) // line breaks and indents belong to the part
	}
	if !s.blanks() {
		if !errors.Is(s.err, io.EOF) {
			return false, s.err
		}
		return false, sp.flush()
	}
	if sp.ic == nil || s.atHeader() {
		s.release()
		return true, sp.open()
	}
	var seg Segment
	cut, f := s.segment(&seg)
	if cut && !errors.Is(s.err, io.EOF) {
		return false, s.err
	}
	if f != nil && f.Code == SegmentTooLong {
		s.release()
		return true, sp.tooLarge(f.Pos)
	}
	received := s.buf[s.mark:s.pos]
	id := ""
	if f == nil && (!cut || seg.Is("IEA")) { // what is wrong is found when the part is read
		id = string(seg.ID())
	}
	err = sp.add(&seg, received, id)
	s.release()
	return true, err
}

// open begins an interchange, or refuses what is in none.
func (sp *splitter) open() error {
	if err := sp.flush(); err != nil {
		return err
	}
	s := &sp.s
	if !s.atHeader() {
		f := notX12(s.buf[s.pos:], s.offset(s.pos))
		f.Raw = s.resync(nil)
		return sp.unreadable(f)
	}
	s.hold(s.pos)
	h, f := s.header()
	if h == nil {
		s.release()
		f.Raw = s.resync(f.Raw)
		return sp.unreadable(f)
	}
	isa := bytes.Clone(s.buf[s.mark:s.pos])
	s.release()
	*sp = splitter{s: sp.s, limit: sp.limit, emit: sp.emit, refuse: sp.refuse, ic: h, isa: isa, part: bytes.Clone(isa)}
	return nil
}

// unreadable gives out what no interchange can be read from as a document of its own, so that it is kept and refused where documents are read.
// Only what is too large for that is refused here.
func (sp *splitter) unreadable(f *Fault) error {
	if sp.s.err != nil && !errors.Is(sp.s.err, io.EOF) {
		return sp.s.err // it may be unreadable for that reason alone
	}
	if len(f.Raw) < min(sp.s.limits.FaultBytes, sp.limit) {
		return sp.emit(f.Raw)
	}
	return sp.refuse(f)
}

// add takes a segment over, as received with the line breaks before it.
func (sp *splitter) add(seg *Segment, received []byte, id string) error {
	right := true // a trailer that is wrong stays as it is: who reads the part says so
	switch id {
	case "GE":
		if right = sp.gs != nil && sameNumber(seg.Text(1), strconv.Itoa(sp.allSets)); right && sp.cut {
			received = sp.trailer("GE", sp.sets, seg.Text(2))
		}
	case "IEA":
		if right = sameNumber(seg.Text(1), strconv.Itoa(sp.all)); right && sp.cut {
			received = sp.trailer("IEA", sp.groups, seg.Text(2))
		}
	case "ST":
		sp.skip = false
		sp.allSets++
	case "GS":
		sp.skip = false
	}
	trailer := id == "GE" || id == "IEA"
	if sp.skip && !trailer {
		sp.skip = id != "SE"
		return nil
	}
	if !trailer && len(sp.part)+len(received)+trailerRoom > sp.limit {
		if err := sp.cutHere(seg.At(0), len(received)); err != nil || sp.skip {
			return err
		}
	}
	if id == "GS" {
		sp.gs, sp.gsID, sp.gsAt, sp.sets, sp.allSets = bytes.Clone(received), seg.Text(6), len(sp.part), 0, 0
		sp.groups++
		sp.all++
	}
	sp.part = append(sp.part, received...)
	sp.worth = sp.worth || id == "SE" || !right
	switch id {
	case "SE":
		sp.sets++
		sp.whole = len(sp.part)
	case "GE":
		sp.gs, sp.skip, sp.whole = nil, false, len(sp.part)
	case "IEA":
		return sp.flush()
	}
	return nil
}

// trailerRoom is kept for a GE and an IEA segment.
const trailerRoom = 64

// trailer makes a GE or IEA segment.
func (sp *splitter) trailer(id string, count int, control string) []byte {
	e := string(sp.ic.Element)
	b := append([]byte(id+e+strconv.Itoa(count)+e+control), sp.s.term...)
	if t := sp.s.term[0]; t != '\n' && t != '\r' {
		b = append([]byte{'\n'}, b...)
	}
	return b
}

// grouped says whether the open group began before what is whole ends.
func (sp *splitter) grouped() bool { return sp.gs != nil && sp.gsAt < sp.whole }

// cutHere gives out what is whole and begins a part with what has been gathered behind it, for more bytes to come.
func (sp *splitter) cutHere(at Position, more int) error {
	if sp.whole == 0 {
		return sp.tooLarge(at)
	}
	rest := bytes.Clone(sp.part[sp.whole:])
	part, groups := sp.part[:sp.whole:sp.whole], sp.groups
	switch {
	case sp.grouped():
		part = append(part, sp.trailer("GE", sp.sets, sp.gsID)...)
	case sp.gs != nil: // restart puts its GS in front
		groups--
		rest = rest[len(sp.gs):]
	}
	part = append(part, sp.trailer("IEA", groups, sp.ic.Control)...)
	if err := sp.emit(part); err != nil {
		return err
	}
	sp.cut = true
	sp.restart(rest)
	if len(sp.part)+more+trailerRoom > sp.limit {
		return sp.tooLarge(at)
	}
	return nil
}

// restart begins a part: the interchange's header, the open group's, and rest.
func (sp *splitter) restart(rest []byte) {
	sp.part = bytes.Clone(sp.isa)
	sp.groups, sp.sets, sp.whole, sp.worth = 0, 0, 0, false
	if sp.gs != nil {
		sp.gsAt, sp.groups = len(sp.part), 1
		sp.part = append(sp.part, sp.gs...)
	}
	sp.part = append(sp.part, rest...)
}

// tooLarge refuses the set in hand, of which part has a beginning, and goes on behind it.
func (sp *splitter) tooLarge(at Position) error {
	begin := sp.whole
	if sp.gs != nil && !sp.grouped() {
		begin = sp.gsAt + len(sp.gs)
	}
	f := &Fault{Code: SetTooLarge, Pos: at, Raw: bytes.Clone(clip(sp.part[min(begin, len(sp.part)):], sp.s.limits.FaultBytes)),
		Detail: fmt.Sprintf("a transaction set is larger than the %d bytes that one document may have", sp.limit), Remedy: "ask the sender to split it"}
	if begin == 0 { // nothing but the header
		begin = len(sp.isa)
	}
	sp.part = sp.part[:min(begin, len(sp.part))]
	sp.skip, sp.cut = true, true
	return sp.refuse(f)
}

// flush gives out what is left of the interchange in hand.
func (sp *splitter) flush() error {
	part, ic, worth := sp.part, sp.ic, sp.worth || !sp.cut
	sp.part, sp.ic, sp.gs, sp.s.term = nil, nil, nil, nil
	if ic == nil || !worth {
		return nil
	}
	if len(part) > sp.limit {
		return sp.refuse(&Fault{Code: SetTooLarge, Pos: ic.Pos, Raw: clip(part, sp.s.limits.FaultBytes), Detail: fmt.Sprintf("what is left of interchange %s is larger than %d bytes", ic.Control, sp.limit),
			Remedy: "ask the sender to split it"})
	}
	return sp.emit(part)
}
