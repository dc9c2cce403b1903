package scans

import "crossdock/avro/event"

// A happening is what is decided of a Retailer's movement. All else follows from it, so that a repetition says the same
// again.
type happening struct {
	seq    int64 // of the original
	texts  uint64
	event  event.Micros
	ingest event.Micros
	item   int32
	site   int32
	device int32
	qty    int32  // in cases or pieces; below zero: the other way
	order  int32  // its number, from 1; 0: none
	nth    uint32 // see repeats.moved
	kind   Kind
	form   form
	cases  bool
	lot    bool
}

// repeats remembers the originals that may be repeated soon. Its memory is the load's DuplicateSpan, whatever the number
// of keys.
type repeats struct {
	depth     uint32
	recent    []happening // a ring
	originals int64
	// moved counts the originals of the keys that share a slot, so that what counts as many younger movements of a key is
	// never too few.
	moved []uint32
}

func (p *repeats) rewind(load *Load) {
	p.depth, p.originals = uint32(min(load.DuplicateDepth, 1<<31)), 0
	p.recent = make([]happening, 0, load.DuplicateSpan)
	slots := 1 << 12
	for slots < 4*load.DuplicateSpan && slots < 1<<20 {
		slots *= 2
	}
	p.moved = make([]uint32, slots)
}

func (p *repeats) slot(item, site int32) *uint32 {
	h := (uint64(uint32(item))<<32 | uint64(uint32(site))) * 0x9e3779b97f4a7c15
	return &p.moved[h>>40&uint64(len(p.moved)-1)]
}

// add remembers an original, and says to it how many its key had.
func (p *repeats) add(f *happening) {
	n := p.slot(f.item, f.site)
	*n++
	f.nth = *n
	if len(p.recent) < cap(p.recent) {
		p.recent = append(p.recent, *f)
	} else {
		p.recent[p.originals%int64(len(p.recent))] = *f
	}
	p.originals++
}

// pick is an original with at most depth younger movements of its key.
func (p *repeats) pick(r *random) *happening {
	const tries = 16
	for range tries {
		f := &p.recent[r.below(len(p.recent))]
		if *p.slot(f.item, f.site)-f.nth <= p.depth {
			return f
		}
	}
	// The last one of all is the last one of its key.
	return &p.recent[(p.originals-1)%int64(cap(p.recent))]
}

// hottest remembers movements of the busiest key, the first item at the first site, for as long as they take to be old
// enough. Where there are more of them than it has room for it remembers some, evenly over time.
type hottest struct {
	age, step event.Micros
	ring      []happening // nil: the load repeats none
	n, old    int64       // remembered so far; the first of them that is not old enough
	last      event.Micros
}

// rememberedHottest spans twice the age, so that at any time half of it is old enough.
const rememberedHottest = 1 << 16

func (h *hottest) rewind(load *Load) {
	*h = hottest{}
	if load.Hottest.Share == 0 {
		return
	}
	h.age = event.Micros(load.Hottest.Age.Microseconds())
	h.step = 2 * h.age / rememberedHottest
	h.ring = make([]happening, rememberedHottest)
}

func (h *hottest) add(f *happening) {
	if h.ring == nil || f.item != 0 || f.site != 0 || h.n > 0 && f.ingest < h.last+h.step {
		return
	}
	h.ring[h.n%rememberedHottest] = *f
	h.n++
	h.last = f.ingest
}

// pick is one that is old enough, nil where none is.
func (h *hottest) pick(at event.Micros, r *random) *happening {
	for h.old < h.n && h.ring[h.old%rememberedHottest].ingest <= at-h.age {
		h.old++
	}
	least := max(0, h.n-rememberedHottest)
	h.old = max(h.old, least)
	if h.old == least {
		return nil
	}
	return &h.ring[(least+int64(r.below(int(h.old-least))))%rememberedHottest]
}
