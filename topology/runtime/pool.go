package runtime

import (
	"cmp"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A fetchPool keeps what a worker's fetches are decoded into, to be used again when their transaction has ended. What it
// keeps is bounded: a fetch of a worker is some MiB, and two or three of them are on their way at any time.
type fetchPool struct {
	maxBytes   int // 0: maxHeldBytes
	maxRecords int // 0: maxHeldRecords

	mu          sync.Mutex
	bytes       [][]byte
	records     [][]kgo.Record
	heldBytes   int
	heldRecords int
}

const (
	maxHeldBytes   = 48 << 20
	maxHeldRecords = 100_000
	smallFetch     = 64 << 10
	// expansion is a guess of what a compressed batch becomes; a wrong one costs one growth.
	expansion = 4
)

// GetDecompressBytes is for kgo.PoolDecompressBytes.
func (p *fetchPool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.bytes); n > 0 {
		b := p.bytes[n-1]
		p.bytes = p.bytes[:n-1]
		p.heldBytes -= cap(b)
		return b
	}
	return make([]byte, 0, max(smallFetch, len(compressed)*expansion))
}

// PutDecompressBytes is for kgo.PoolDecompressBytes.
func (p *fetchPool) PutDecompressBytes(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldBytes+cap(b) <= cmp.Or(p.maxBytes, maxHeldBytes) {
		p.bytes = append(p.bytes, b)
		p.heldBytes += cap(b)
	}
}

// recentRecords is how many slices are looked at for one that is large enough.
const recentRecords = 8

// GetRecords is for kgo.PoolRecords.
func (p *fetchPool) GetRecords(n int) []kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.records) - 1
	for i := last; i >= 0 && i > last-recentRecords; i-- {
		if r := p.records[i]; cap(r) >= n {
			p.records[i] = p.records[last]
			p.records = p.records[:last]
			p.heldRecords -= cap(r)
			return r[:0]
		}
	}
	return make([]kgo.Record, 0, n+n/4)
}

// PutRecords is for kgo.PoolRecords.
func (p *fetchPool) PutRecords(r []kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heldRecords+cap(r) <= cmp.Or(p.maxRecords, maxHeldRecords) {
		p.records = append(p.records, r)
		p.heldRecords += cap(r)
	}
}

// empty gives what is kept to the collector.
func (p *fetchPool) empty() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes, p.records, p.heldBytes, p.heldRecords = nil, nil, 0, 0
}
