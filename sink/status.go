package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A TableStatus says how a table is.
type TableStatus struct {
	Table, Topic string
	// Rows are those that lie in the table, second sendings that have not been merged yet included.
	Rows uint64
	// Lag is the offsets of Kafka that the group has not committed.
	Lag int64
	// CompleteUntil: all that was in Kafka then is in the table. Zero: no sink has said so yet.
	CompleteUntil time.Time
	// Freshness is the age of CompleteUntil, 0 where that is zero.
	Freshness time.Duration
	// NewestEvent is the latest event time among the rows. Zero: none.
	NewestEvent time.Time
	// Lost are the offsets that Kafka's retention removed before they were read.
	Lost int64
	// Waiting and Stopped say what holds up the table in this process; empty: nothing, or it does not run here.
	Waiting, Stopped string
}

// Status asks ClickHouse and the brokers how every table is, whether the sink runs in this process, in another or not at all.
func (s *Sink) Status(ctx context.Context) ([]TableStatus, error) {
	out := make([]TableStatus, len(s.lanes))
	byTable := map[string]*TableStatus{}
	for i, l := range s.lanes {
		out[i] = TableStatus{Table: l.table.name, Topic: l.topic}
		byTable[l.table.name] = &out[i]
		state := l.state.Load()
		if state.waiting != nil {
			out[i].Waiting = state.waiting.Error()
		}
		if state.stopped != nil {
			out[i].Stopped = state.stopped.Reason
		}
		lag, err := s.lag(ctx, l.topic)
		if err != nil {
			return nil, err
		}
		out[i].Lag = lag
	}
	if err := s.rowCounts(ctx, byTable); err != nil {
		return nil, err
	}
	return out, s.freshness(ctx, byTable)
}

// lag is what the group has not committed of a topic that is still there.
func (s *Sink) lag(ctx context.Context, topic string) (int64, error) {
	committed, err := s.admin.FetchOffsetsForTopics(ctx, s.config.Group(), topic)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // which is a group that has committed nothing yet
		return 0, fmt.Errorf("sink: reading the offsets of group %s: %w", s.config.Group(), err)
	}
	starts, err := s.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("sink: reading the start of topic %s: %w", topic, err)
	}
	ends, err := s.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("sink: reading the end of topic %s: %w", topic, err)
	}
	var lag int64
	for p, end := range ends[topic] {
		var at int64
		if start, ok := starts.Lookup(topic, p); ok {
			at = max(at, start.Offset)
		}
		if c, ok := committed.Lookup(topic, p); ok {
			at = max(at, c.At)
		}
		lag += max(end.Offset-at, 0)
	}
	return lag, nil
}

func (s *Sink) rowCounts(ctx context.Context, byTable map[string]*TableStatus) error {
	rows, err := s.db.Query(ctx, "SELECT name, ifNull(total_rows, 0) FROM system.tables WHERE database = ?", s.config.ClickHouse.Database)
	if err != nil {
		return fmt.Errorf("sink: counting rows: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var n uint64
		if err := rows.Scan(&name, &n); err != nil {
			return fmt.Errorf("sink: counting rows: %w", err)
		}
		if t := byTable[name]; t != nil {
			t.Rows = n
		}
	}
	return rows.Err()
}

func (s *Sink) freshness(ctx context.Context, byTable map[string]*TableStatus) error {
	rows, err := s.db.Query(ctx, "SELECT table_name, complete_until, freshness_seconds, newest_event_time, lost_records FROM "+
		quote(s.config.ClickHouse.Database)+".freshness")
	if code := exceptionCode(err); code == codeUnknownTable || code == codeNoDatabase {
		return nil // nothing has been migrated yet: there is nothing to be fresh
	}
	if err != nil {
		return fmt.Errorf("sink: reading freshness: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var complete, newest time.Time
		var seconds float64
		var lost int64
		if err := rows.Scan(&name, &complete, &seconds, &newest, &lost); err != nil {
			return fmt.Errorf("sink: reading freshness: %w", err)
		}
		t := byTable[name]
		if t == nil {
			continue
		}
		t.Lost = lost
		if complete.Unix() > 0 {
			t.CompleteUntil, t.Freshness = complete.UTC(), time.Duration(seconds*float64(time.Second))
		}
		if newest.Unix() > 0 {
			t.NewestEvent = newest.UTC()
		}
	}
	return rows.Err()
}
