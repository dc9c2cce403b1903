package observe

import (
	"sync"
	"time"
)

// A position is where a balance stands on its topic.
type position struct {
	partition int32
	offset    int64
}

// rows are the events whose balance was seen and whose row was not: a queue by partition, in the order of offsets.
type rows struct {
	mu         sync.Mutex // guards all below
	most       int
	level      uint8
	partitions map[int32]*rowQueue
	size       int
	unfollowed int64
}

// A rowQueue is a queue of chunks, so that it neither moves nor keeps what has left it.
type rowQueue struct {
	chunks [][]rowEntry
	first  int // in the first chunk
}

// rowEntry is an event in 16 bytes.
type rowEntry struct {
	where uint64 // offset, and the level at which its balance was seen in the lowest 8 bits
	what  uint64 // intended time in microseconds, and the key's sample bits in the lowest 16
}

const rowChunk = 1 << 10

func (e rowEntry) offset() int64 { return int64(e.where >> 8) }
func (e rowEntry) level() uint8  { return uint8(e.where) }
func (e rowEntry) intended() time.Duration {
	return time.Duration(e.what>>sampleBits) * time.Microsecond
}
func (e rowEntry) bits() uint64 { return e.what & (1<<sampleBits - 1) }

func (r *rows) add(at position, hash uint64, us int64, level uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bits := hash >> sampleShift
	for r.size >= r.most && r.level < sampleBits {
		r.halve()
	}
	if r.size >= r.most || !sampled(bits, r.level) {
		r.unfollowed++
		return
	}
	q := r.partitions[at.partition]
	if q == nil {
		q = &rowQueue{}
		r.partitions[at.partition] = q
	}
	q.push(rowEntry{uint64(at.offset)<<8 | uint64(level), uint64(us)<<sampleBits | bits})
	r.size++
}

func (q *rowQueue) push(e rowEntry) {
	n := len(q.chunks)
	if n == 0 || len(q.chunks[n-1]) == rowChunk {
		q.chunks = append(q.chunks, make([]rowEntry, 0, rowChunk))
		n++
	}
	q.chunks[n-1] = append(q.chunks[n-1], e)
}

// upTo takes out the events of the balances up to a position, and says how many events each stands for.
func (r *rows) upTo(at position, take func(intended time.Duration, n int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.partitions[at.partition]
	if q == nil {
		return
	}
	for len(q.chunks) > 0 {
		chunk := q.chunks[0]
		for ; q.first < len(chunk); q.first++ {
			e := chunk[q.first]
			if e.offset() > at.offset {
				return
			}
			take(e.intended(), 1<<max(e.level(), r.level))
			r.size--
		}
		q.chunks, q.first = q.chunks[1:], 0
	}
	q.chunks = nil
}

// halve lets go the events of half of the keys.
func (r *rows) halve() {
	r.level++
	before := r.size
	r.size = 0
	for _, q := range r.partitions {
		old := *q
		*q = rowQueue{}
		for i, chunk := range old.chunks {
			if i == 0 {
				chunk = chunk[old.first:]
			}
			for _, e := range chunk {
				if sampled(e.bits(), r.level) {
					q.push(e)
					r.size++
				}
			}
		}
	}
	r.unfollowed += int64(before - r.size)
}

func (r *rows) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

func (r *rows) letGo() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unfollowed
}
