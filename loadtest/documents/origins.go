package documents

// origins remember in which documents the latest movements were: what repeats one says the same again. Their room is the
// load's span of repetitions; who is not in it any more is said anew.
type origins struct {
	slots []origin

	advices map[int64]*advice // by their numbers
	order   []int64           // of the advices, the oldest first
	size    int               // of the advices, in lines
	most    int
}

type origin struct{ seq, number int64 } // seq plus one; 0: none

// rememberedMost bounds the slots, at 16 bytes each.
const rememberedMost = 1 << 22

// newOrigins has room for repetitions of one of the latest span movements; forLong: of hours ago.
func newOrigins(span int, forLong bool) *origins {
	slots := 1 << 12
	for slots < 4*span && slots < rememberedMost {
		slots *= 2
	}
	most := 4096 + span
	if forLong {
		slots, most = rememberedMost, 1<<20
	}
	return &origins{slots: make([]origin, slots), advices: make(map[int64]*advice), most: most}
}

func (o *origins) add(seq, number int64) {
	o.slots[seq&int64(len(o.slots)-1)] = origin{seq + 1, number}
}

// find is the document of a movement; ok is false where it is forgotten.
func (o *origins) find(seq int64) (number int64, ok bool) {
	s := o.slots[seq&int64(len(o.slots)-1)]
	return s.number, s.seq == seq+1
}

func (o *origins) keep(a *advice) {
	o.advices[a.number] = a
	o.order = append(o.order, a.number)
	o.size += a.size()
	for o.size > o.most && len(o.order) > 1 {
		old := o.advices[o.order[0]]
		o.size -= old.size()
		delete(o.advices, old.number)
		o.order = o.order[1:]
	}
}
