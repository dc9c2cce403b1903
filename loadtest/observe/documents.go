package observe

import (
	"sync"
	"time"
)

// documents are those whose events have not all been seen, by the hash of their id.
type documents struct {
	mu         sync.Mutex // guards all below
	most       int
	level      uint8
	open       map[uint64]document
	eligible   int64
	unfollowed int64
}

type document struct {
	intended int64 // microseconds
	events   int32 // still to be seen
}

func (d *documents) add(hash uint64, events int, intended time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.eligible++
	for len(d.open) >= d.most && d.level < sampleBits {
		d.level++
		before := len(d.open)
		for h := range d.open {
			if !sampled(h>>sampleShift, d.level) {
				delete(d.open, h)
			}
		}
		d.unfollowed += int64(before - len(d.open))
	}
	if len(d.open) >= d.most || !sampled(hash>>sampleShift, d.level) {
		d.unfollowed++
		return
	}
	d.open[hash] = document{intended.Microseconds(), int32(min(events, 1<<30))}
}

// seen takes note of one event. With the last one of a document it tells the document's intended time, and for how many
// documents it stands.
func (d *documents) seen(id uint64) (intended time.Duration, n int64, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	doc, ok := d.open[id]
	if !ok {
		return 0, 0, false
	}
	if doc.events--; doc.events > 0 {
		d.open[id] = doc
		return 0, 0, false
	}
	delete(d.open, id)
	return time.Duration(doc.intended) * time.Microsecond, 1 << d.level, true
}

func (d *documents) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

func (d *documents) share() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return share(d.eligible, d.unfollowed)
}
