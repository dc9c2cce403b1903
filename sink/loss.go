package sink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"crossdock/avro/event"
)

// A lostRange is a range of offsets that Kafka no longer had when the sink came to it (S7).
type lostRange struct {
	partition int32
	topicID   uuid.UUID
	from, to  int64 // to is the offset after the last
}

// losses are the ranges that are not in sink_lost_ranges yet. They are written before the next offsets are committed: until
// then the next start would find them again.
type losses struct {
	mu      sync.Mutex
	pending []lostRange
}

func (l *losses) add(r ...lostRange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, r...)
}

func (l *losses) take() []lostRange {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.pending
	l.pending = nil
	return taken
}

// lose alarms a range, and keeps it to be written down.
func (l *lane) lose(r lostRange) {
	l.m.lostRecords.WithLabelValues(l.table.name).Add(float64(r.to - r.from))
	l.log.Error("Kafka's retention has removed records that the sink had not read; the table misses them",
		"topic", l.topic, "partition", r.partition, "from_offset", r.from, "to_offset", r.to)
	l.losses.add(r)
}

// lossColumns are the columns of sink_lost_ranges.
type lossColumns struct {
	table, topic symbols
	topicID      scalars[uuid.UUID]
	partition    scalars[int32]
	from, to     scalars[int64]
	noticedAt    times
}

func (c *lossColumns) columns() []namedColumn {
	return []namedColumn{
		{"table_name", &c.table}, {"topic", &c.topic}, {"topic_id", &c.topicID}, {"partition", &c.partition},
		{"from_offset", &c.from}, {"to_offset", &c.to}, {"noticed_at", &c.noticedAt},
	}
}

func (l *lane) writeLosses(ctx context.Context, lost []lostRange) error {
	var c lossColumns
	now := time.Now()
	for _, r := range lost {
		c.table.add(l.table.name)
		c.topic.add(l.topic)
		c.topicID.add(r.topicID)
		c.partition.add(r.partition)
		c.from.add(r.from)
		c.to.add(r.to)
		c.noticedAt.add(event.MicrosOf(now))
	}
	columns := c.columns()
	id := fmt.Sprintf("sink_lost_ranges-%s-%s-%d", l.table.name, l.s.nonce, now.UnixNano())
	return l.s.insert(ctx, id, insertStatement(l.s.config.ClickHouse.Database, "sink_lost_ranges", columns), columns, l.handover)
}
