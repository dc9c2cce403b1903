package documents

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/scans"
	"crossdock/loadtest/sent"
)

// format is that of a saved log: behind its head is a byte for each document, how often it is in.
func format() *sent.Format[head] {
	return &sent.Format[head]{Magic: "xdk-docs", Version: 1, Writer: "a load test of documents", MaxRest: 1 << 32}
}

// head is a log without its documents.
type head struct {
	Log *Log `json:"log"`
	sent.Counts
	Events   int64         `json:"events"`
	Taken    int64         `json:"taken"`
	Doubtful []int64       `json:"doubtful"`
	Outages  []sent.Outage `json:"outages"`
	Imprint  uint64        `json:"imprint"`
}

// Save writes the log: with the generator of the same load it is enough to walk, resolve and verify the run later. Credentials
// are left out. The run must be over.
func (l *Log) Save(w io.Writer) error {
	mark, err := imprint(l.generator, l.Shape, l.Planned)
	if err != nil {
		return fmt.Errorf("save the log: %w", err)
	}
	l.mu.Lock()
	h := head{
		Log: l, Counts: l.Counts(), Events: l.events, Taken: l.taken, Doubtful: slices.Sorted(maps.Keys(l.doubtful)),
		Outages: l.Outages(), Imprint: mark,
	}
	copies := slices.Clone(l.copies)
	l.mu.Unlock()
	return format().Write(w, &h, copies)
}

// ReadLog reads what Save wrote. The generator must be of the load that was sent; kafka says how the brokers are reached, for
// Resolve. An error is a *sent.FileError, or the reader's.
func ReadLog(r io.Reader, g *scans.Generator, kafka []kgo.Opt) (*Log, error) {
	h, copies, err := format().Read(r)
	if err != nil {
		return nil, err
	}
	l := h.Log
	if l == nil {
		return nil, &sent.FileError{Problem: "its head has no log"}
	}
	if l.Documents < 0 || l.Planned < 0 || l.Made < 0 || l.Made > l.Planned {
		return nil, &sent.FileError{Problem: fmt.Sprintf("%d of %d events in %d documents cannot be", l.Made, l.Planned, l.Documents)}
	}
	mark, err := imprint(g, l.Shape, l.Planned)
	if err != nil {
		return nil, &sent.FileError{Problem: "its documents cannot be made again", Err: err}
	}
	if h.Imprint != mark {
		return nil, &sent.FileError{Problem: "it is of another load than the generator's: give the profile, seed and run name that were sent"}
	}
	in := int64(0)
	for _, n := range copies {
		if n > 0 {
			in++
		}
	}
	if in != h.Taken {
		return nil, &sent.FileError{Problem: fmt.Sprintf("%d documents are in by its list, and %d by its head", in, h.Taken)}
	}
	l.Restore(h.Counts)
	l.watch = newWatch()
	l.watch.Restore(h.Outages)
	l.copies, l.events, l.taken = copies, h.Events, h.Taken
	l.doubtful = make(map[int64]struct{}, len(h.Doubtful))
	for _, number := range h.Doubtful {
		l.doubtful[number] = struct{}{}
	}
	l.kafka, l.generator = kafka, g.Again()
	return l, nil
}

// imprint tells runs apart by their first documents.
func imprint(g *scans.Generator, s Shape, count int64) (uint64, error) {
	const first = 64
	cutter, err := NewCutter(g.Again(), s, count, nil)
	if err != nil {
		return 0, err
	}
	sum := xxhash.New()
	for range first {
		d := cutter.Next()
		if d == nil {
			break
		}
		_, _ = sum.Write(d.Body) // it never fails
		cutter.Release(d)
	}
	return sum.Sum64(), nil
}
