package runtime

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/task"
	"crossdock/topology/topics"
)

// A slab holds the records that a transaction produces, and which input caused each. It is used again when the
// transaction has ended, for then all are acknowledged.
type slab struct {
	chunks [][]produced
	n      int
}

type produced struct {
	record kgo.Record
	run    *run
	tag    uint32
}

const slabRecords = 1 << 12

func (s *slab) next(r *run, tag uint32) *kgo.Record {
	chunk := s.n / slabRecords
	if chunk == len(s.chunks) {
		s.chunks = append(s.chunks, make([]produced, slabRecords))
	}
	p := &s.chunks[chunk][s.n%slabRecords]
	s.n++
	*p = produced{run: r, tag: tag}
	return &p.record
}

// cause finds the input of a record.
func (s *slab) cause(record *kgo.Record) (*run, uint32) {
	for i := range s.n {
		if p := &s.chunks[i/slabRecords][i%slabRecords]; &p.record == record {
			return p.run, p.tag
		}
	}
	return nil, task.NoRecord
}

// keptSlabs bounds what stays between transactions.
const keptSlabs = 64

func (s *slab) reset() {
	if len(s.chunks) > keptSlabs {
		clear(s.chunks[keptSlabs:])
		s.chunks = s.chunks[:keptSlabs]
	}
	s.n = 0
}

var _ task.Sink = (*worker)(nil)

// Output produces an output of the task in hand: with its input's time, and in its input's partition where the key is the
// same and the partition counts are.
func (w *worker) Output(_ *task.Task, o *task.Output) {
	r := w.txn.current
	if o.To == topics.DeadLetters {
		r.metrics.deadLetter(o.Cause)
	}
	rec := w.txn.slab.next(r, o.Tag)
	rec.Topic, rec.Key, rec.Value, rec.Partition = w.topics.names[o.To], o.Key, o.Value, anyPartition
	if o.SameKey && r.alike[o.To] {
		rec.Partition = r.partition
	}
	w.stamp(rec, r, o.Tag)
	switch {
	case o.Inherit && o.Tag != task.NoRecord:
		rec.Headers = r.fetched[o.Tag].Headers
	case len(o.Headers) > 0:
		rec.Headers = make([]kgo.RecordHeader, len(o.Headers))
		for i, h := range o.Headers {
			rec.Headers[i] = kgo.RecordHeader(h)
		}
	}
	w.session.Produce(w.producing, rec, w.txn.promise)
}

// Changelog produces the state of a key.
func (w *worker) Changelog(_ *task.Task, i int, key, value []byte, tag uint32) {
	r := w.txn.current
	rec := w.txn.slab.next(r, tag)
	rec.Topic, rec.Key, rec.Value, rec.Partition = w.topics.changelogs[i], key, value, r.partition
	w.stamp(rec, r, tag)
	r.changes[i] = rec
	w.session.Produce(w.producing, rec, w.txn.promise)
}

// stamp sets a record's time, so that the client does not ask the clock for each: its input's, or the transaction's where
// there is none.
func (w *worker) stamp(rec *kgo.Record, r *run, tag uint32) {
	rec.Timestamp = w.txn.now
	if tag != task.NoRecord {
		if t := r.fetched[tag].Timestamp; t.UnixMilli() >= 0 {
			rec.Timestamp = t
		}
	}
}
