package runtime

// A bound is how many records the next batch may have: it falls when a batch was too much, and rises again, as far as
// what records put and emit lets expect. A document may make a thousand times the outputs of a scan, and which of the two
// a stage reads shows only when the first have been processed.
type bound struct {
	records, max int
	room         int // bytes that a transaction should not pass
	weight       int // bytes that a record has lately put and emitted, at most; 0: not known yet
	hold         int // commits to wait for before it rises
}

// firstBatch is small enough that documents of a hundred lines fit, and doubles with every commit.
const firstBatch = 1000

func newBound(limit, room int) bound {
	return bound{records: min(limit, firstBatch), max: limit, room: room}
}

// fell is for a batch of n that must be smaller.
func (b *bound) fell(n, hold int) { b.records, b.hold = max(1, min(n, b.records)/2), hold }

// held is for a batch of n records and so many bytes that committed.
func (b *bound) held(n, bytes int) {
	if n > 0 {
		// Up at once, down slowly: one heavy batch among light ones is remembered for a while.
		b.weight = max(bytes/n, b.weight-b.weight/8)
	}
	rise := b.records
	if b.hold > 0 {
		b.hold--
	} else {
		rise = min(2*b.records, b.max)
	}
	if b.weight > 0 {
		rise = min(rise, max(1, b.room/b.weight))
	}
	b.records = rise
}
