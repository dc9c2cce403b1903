package store

// trim keeps the memory of all partitions within its bound: a partition that has more than its share gives clean cells up
// while there is too much of it in all. A partition on disk calls it between transactions, so what Get has returned stands.
func (p *Partition) trim() {
	d := p.disk
	bound := d.db.opts.CacheBytes
	if over := p.report() - bound; over > 0 {
		mine, fair := p.bytes(), d.db.share(bound)
		if mine > fair {
			p.evict(max(fair, mine-over))
			p.report()
		}
	}
	if x := &p.index; len(x.slots) > shrinkFrom && 8*x.n < len(x.slots) {
		x.shrink() // it grew for keys that have left the memory since
		p.report()
	}
	if size := p.cells.size(); size > compactFrom && p.cells.freeUnits*unit > size/3 {
		p.compact()
		p.report()
	}
}

// compactFrom is the size of cells below which holes do not matter.
const compactFrom = 2 << 20

// shrinkFrom is the size of an index below which empty slots do not matter.
const shrinkFrom = 1 << 12

// bytes is the memory that state at rest takes, free cells apart.
func (p *Partition) bytes() int64 {
	return int64(int(p.cells.next)-p.cells.freeUnits)*unit + int64(p.index.size())
}

// report brings the sum over all partitions up to date, and returns it.
func (p *Partition) report() int64 {
	d := p.disk
	mine := p.bytes()
	sum := d.db.memory.Add(mine - d.reported)
	d.reported = mine
	return sum
}

// evict gives clean cells up until no more than some bytes are left: those first that were not looked up since the clock's
// hand passed them. The hand goes through the index a cache line at a time, in an order that scatters: one that swept it
// would leave what lies before it twice as full as the mean, and open addressing would come to a stand there.
func (p *Partition) evict(to int64) {
	d, x := p.disk, &p.index
	p.last.kind = forgotten
	if d.whole {
		p.learn()
	}
	excess := p.bytes() - to
	for steps := 2 * len(x.slots); excess > 0 && steps > 0; steps-- {
		line := (d.hand >> 3) * scatter & (x.mask() >> 3)
		i := line<<3 | d.hand&7
		slot := &x.slots[i]
		switch {
		case *slot == 0:
		case *slot&used != 0:
			*slot &^= used
		default:
			at := cellOf(*slot)
			if h := p.cells.head(at); h.state() == atRest && h.flush() <= d.applied && h.pend() == 0 {
				excess -= int64(classUnits(h.class())) * unit
				x.removeAt(i)
				p.vacate(at)
				continue // another slot may have moved here
			}
		}
		d.hand++
	}
}

// scatter is odd, so that multiples of it come to every line once.
const scatter = 0x9e3779b1

// compact moves all cells together: those that are free are of sizes that nobody asks for.
func (p *Partition) compact() {
	d := p.disk
	var to cells
	p.last.kind = forgotten
	d.dirty = d.dirty[:0]
	var graves []uint32
	for i, slot := range p.index.slots {
		if slot == 0 {
			continue
		}
		at := cellOf(slot)
		class := p.cells.head(at).class()
		n := to.alloc(class)
		copy(to.bytes(n, int(classUnits(class))*unit), p.cells.bytes(at, int(classUnits(class))*unit))
		p.index.slots[i] = slotOf(uint32(slot>>32), n) | slot&used
		switch h := to.head(n); {
		case h.flush() == d.flush:
			d.dirty = append(d.dirty, n)
		case h.state() == gone:
			graves = append(graves, n)
		}
	}
	if d.batch != nil {
		d.batch.graves = graves
	}
	p.cells = to
}
