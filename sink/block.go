package sink

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
)

// A block is what one insert carries: rows, and how far they bring each partition. It also carries what came instead of
// rows: records to dead-letter, and positions of records that make none (transaction markers). Its memory is used again.
type block struct {
	table *table
	rows  rows
	all   []namedColumn // of rows, then of meta
	meta  metaColumns

	n            int       // rows
	bytes        int       // of the records
	started      time.Time // when the first record came; zero: empty
	reached      map[*lease]*reach
	rejects      []reject
	refused      int // records that are no rows of their own; the first of them is told, not each
	firstRefused reject
	drained      []chan<- struct{} // closed when the block is done with
	id           string            // deduplication token and query id, the same for every try
}

// metaColumns say where each row comes from (S3).
type metaColumns struct {
	topic     symbols
	topicID   scalars[uuid.UUID]
	partition scalars[int32]
	offset    scalars[int64]
	line      scalars[uint32]
}

// A reach is how far a block brings a partition.
type reach struct {
	next         int64 // offset after the last record
	epoch        int32 // leader epoch of that record
	newestEvent  event.Micros
	newestRecord event.Micros
}

// recordOverhead is counted for a record besides its bytes: what the columns hold of it beside the texts themselves.
const recordOverhead = 256

func newBlock(t *table) *block {
	b := &block{table: t, rows: t.rows(), reached: map[*lease]*reach{}}
	b.all = append(b.rows.columns(),
		namedColumn{"_topic", &b.meta.topic}, namedColumn{"_topic_id", &b.meta.topicID}, namedColumn{"_partition", &b.meta.partition},
		namedColumn{"_offset", &b.meta.offset}, namedColumn{"_line", &b.meta.line})
	return b
}

func (b *block) reset() {
	for _, c := range b.all {
		c.reset()
	}
	clear(b.reached)
	clear(b.rejects)
	b.refused, b.firstRefused = 0, reject{}
	b.n, b.bytes, b.started, b.rejects, b.drained, b.id = 0, 0, time.Time{}, b.rejects[:0], nil, ""
}

// pass notes that a record of a partition is done with when the block is.
func (b *block) pass(l *lease, r *kgo.Record, now time.Time) *reach {
	if b.started.IsZero() {
		b.started = now
	}
	at := b.reached[l]
	if at == nil {
		at = &reach{}
		b.reached[l] = at
	}
	at.next, at.epoch = r.Offset+1, r.LeaderEpoch
	return at
}

// add makes the decoded event of a record a row. An *unholdable error leaves the block as it was.
func (b *block) add(from part, r *kgo.Record, now time.Time) error {
	at, err := b.rows.add()
	if err != nil {
		return err
	}
	b.added(from, r, at, now)
	return nil
}

// added completes the row that rows has just taken.
func (b *block) added(from part, r *kgo.Record, at event.Micros, now time.Time) {
	b.meta.topic.add(r.Topic)
	b.meta.topicID.add(from.topicID)
	b.meta.partition.add(r.Partition)
	b.meta.offset.add(r.Offset)
	b.meta.line.add(0)
	b.n++
	b.bytes += len(r.Value) + len(r.Key) + recordOverhead
	reached := b.pass(from.lease, r, now)
	reached.newestEvent = max(reached.newestEvent, at)
	reached.newestRecord = max(reached.newestRecord, event.MicrosOf(r.Timestamp))
}

// empty says that there is nothing to be done for the block, not even to tell somebody that it is done.
func (b *block) empty() bool { return len(b.reached) == 0 && len(b.drained) == 0 }

// verify counts the columns: one that was left out of a row would shift every later value.
func (b *block) verify() error {
	for _, c := range b.all {
		if c.len() != b.n {
			return &fillError{c.name, fmt.Errorf("%d values in %d rows", c.len(), b.n)}
		}
	}
	return nil
}
