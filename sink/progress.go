package sink

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"crossdock/avro/event"
)

// A progressRow is a row of sink_progress.
type progressRow struct {
	table, topic        string
	topicID             uuid.UUID
	partition           int32
	next, end           int64
	newestEvent, newest event.Micros
	complete, updated   event.Micros
}

// progressColumns are the columns of sink_progress.
type progressColumns struct {
	table, topic                                        symbols
	topicID                                             scalars[uuid.UUID]
	partition                                           scalars[int32]
	next, end                                           scalars[int64]
	newestEvent, newestRecord, completeUntil, updatedAt times
}

func (p *progressColumns) columns() []namedColumn {
	return []namedColumn{
		{"table_name", &p.table}, {"topic", &p.topic}, {"topic_id", &p.topicID}, {"partition", &p.partition},
		{"next_offset", &p.next}, {"end_offset", &p.end}, {"newest_event_time", &p.newestEvent},
		{"newest_record_time", &p.newestRecord}, {"complete_until", &p.completeUntil}, {"updated_at", &p.updatedAt},
	}
}

// reportProgress measures and writes down how far the tables are, every ProgressInterval until ctx ends.
func (s *Sink) reportProgress(ctx context.Context) {
	tick := time.NewTicker(s.config.ProgressInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.progress(ctx, s.lanes...)
	}
}

// progressTimeout bounds one measurement.
const progressTimeout = 5 * time.Second

// progress measures and writes down once. What fails is tried again the next time: nothing depends on it but what people see.
func (s *Sink) progress(ctx context.Context, lanes ...*lane) {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	var all []progressRow
	for _, l := range lanes {
		if err := l.observeEnds(ctx); err != nil && ctx.Err() == nil {
			s.log.Debug("the ends of the partitions are not known", "topic", l.topic, "error", err)
		}
		all = append(all, l.progress(event.MicrosOf(time.Now()))...)
	}
	if err := s.writeProgress(ctx, all); err != nil && ctx.Err() == nil {
		s.log.Debug("sink_progress was not written", "error", err)
	}
}

// observeEnds asks the brokers where the partitions end. The time is taken before: what was there then lies below the end.
func (l *lane) observeEnds(ctx context.Context) error {
	at := event.MicrosOf(time.Now())
	ends, err := l.s.admin.ListCommittedOffsets(ctx, l.topic)
	if err != nil {
		return err
	}
	l.leases.each(func(lease *lease) {
		if end, ok := ends.Lookup(l.topic, lease.partition); ok && end.Err == nil {
			lease.observeEnd(end.Offset, at)
		}
	})
	return nil
}

// progress sets the lane's gauges and returns its rows.
func (l *lane) progress(now event.Micros) []progressRow {
	var out []progressRow
	var lag int64
	var newest event.Micros
	oldest := now
	l.leases.each(func(lease *lease) {
		lease.mu.Lock()
		defer lease.mu.Unlock()
		if lease.next.Offset < 0 {
			return
		}
		complete := lease.complete.until
		if complete == 0 { // behind since it was assigned: the time of the newest record is the best that is known
			complete = min(lease.newest.newestRecord, now)
		}
		oldest, newest = min(oldest, complete), max(newest, lease.newest.newestEvent)
		lag += max(lease.complete.end-lease.next.Offset, 0)
		out = append(out, progressRow{
			l.table.name, l.topic, lease.id, lease.partition, lease.next.Offset, lease.complete.end,
			lease.newest.newestEvent, lease.newest.newestRecord, max(complete, 0), now,
		})
	})
	if len(out) == 0 { // nothing is assigned here: another instance knows
		l.m.freshness.DeleteLabelValues(l.table.name)
		l.m.lagRecords.DeleteLabelValues(l.table.name)
		return nil
	}
	l.m.pending.WithLabelValues(l.table.name).Set(float64(l.pending.Load()))
	l.m.freshness.WithLabelValues(l.table.name).Set(float64(now-oldest) / 1e6)
	l.m.lagRecords.WithLabelValues(l.table.name).Set(float64(lag))
	if newest != 0 {
		l.m.newestEvent.WithLabelValues(l.table.name).Set(float64(newest) / 1e6)
	}
	return out
}

func (s *Sink) writeProgress(ctx context.Context, all []progressRow) error {
	if len(all) == 0 {
		return nil
	}
	var p progressColumns
	for _, r := range all {
		p.table.add(r.table)
		p.topic.add(r.topic)
		p.topicID.add(r.topicID)
		p.partition.add(r.partition)
		p.next.add(r.next)
		p.end.add(r.end)
		p.newestEvent.add(storable(r.newestEvent))
		p.newestRecord.add(storable(r.newest))
		p.completeUntil.add(storable(r.complete))
		p.updatedAt.add(r.updated)
	}
	columns := p.columns()
	id := fmt.Sprintf("sink_progress-%s-%d", s.nonce, time.Now().UnixNano())
	return s.insert(ctx, id, insertStatement(s.config.ClickHouse.Database, "sink_progress", columns), columns, newHandover())
}

// storable brings a timestamp that a producer made up into DateTime64's range.
func storable(m event.Micros) event.Micros { return min(max(m, earliest), latest) }
