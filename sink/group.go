package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// options are those of a lane's client.
func (l *lane) options() []kgo.Opt {
	c := &l.s.config
	opts := append([]kgo.Opt{}, l.s.deps.Kafka...)
	opts = append(opts,
		kgo.ConsumerGroup(c.Group()),
		kgo.ConsumeTopics(l.topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.SessionTimeout/15),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A partition of transactions ends with a marker: only who sees it knows that it has come to the end.
		kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// After a loss at the broker everything is read again: rows collapse, gaps do not fill themselves.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(l.assigned),
		kgo.OnOffsetsFetched(l.offsetsFetched),
		kgo.AdjustFetchOffsetsFn(l.adjustOffsets),
		kgo.OnPartitionsRevoked(l.revoked),
		kgo.OnPartitionsLost(l.lost),
	)
	if c.Instance != "" {
		opts = append(opts, kgo.InstanceID(c.App+"/"+c.Instance+"/sink/"+l.table.name))
	}
	return opts
}

func (l *lane) assigned(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
	l.leases.assign(assigned[l.topic])
	l.joined.Store(true)
}

// revoked lets ClickHouse take what has been read of the partitions that leave, within bounds, so that their next owner need
// not read it again; then nothing is committed for them any more.
func (l *lane) revoked(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
	if len(revoked[l.topic]) == 0 {
		return
	}
	if l.state.Load().waiting == nil {
		deadline := time.NewTimer(drainTimeout)
		defer deadline.Stop()
		done := make(chan struct{})
		select {
		case l.drain <- done:
			select {
			case <-done:
			case <-deadline.C:
			}
		case <-l.encoded:
		case <-deadline.C:
		}
	}
	l.leases.revoke(revoked[l.topic])
}

func (l *lane) lost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	l.leases.revoke(lost[l.topic])
}

// offsetNotes keeps the metadata of the committed offsets from when they are fetched until reading begins.
type offsetNotes struct {
	mu    sync.Mutex
	notes map[int32]commitNote
}

func (l *lane) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	l.notes.mu.Lock()
	defer l.notes.mu.Unlock()
	l.notes.notes = map[int32]commitNote{}
	for _, g := range resp.Groups {
		for _, t := range g.Topics { // one: the lane's
			for _, p := range t.Partitions {
				var note commitNote
				if p.Metadata != nil && json.Unmarshal([]byte(*p.Metadata), &note) == nil && note.Version == 1 {
					l.notes.notes[p.Partition] = note
				}
			}
		}
	}
	return nil
}

func (l *lane) note(partition int32) (commitNote, bool) {
	l.notes.mu.Lock()
	defer l.notes.mu.Unlock()
	note, ok := l.notes.notes[partition]
	return note, ok
}

// adjustOffsets looks at where reading would begin. A committed offset of a topic that has been deleted and made anew means
// nothing: the new one is read from its start (S3). One below the start of the log is a range that retention has removed
// before the sink came to it: it is recorded and alarmed, never passed silently (S7). An error makes the client join again.
func (l *lane) adjustOffsets(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	details, err := l.s.admin.ListTopics(ctx, l.topic)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("sink: looking up topic %s: %w", l.topic, err)
	}
	starts, err := l.s.admin.ListStartOffsets(ctx, l.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("sink: looking up the start of topic %s: %w", l.topic, err)
	}
	id := uuid.UUID(details[l.topic].ID)
	for p, o := range offsets[l.topic] {
		lease := l.leases.get(p)
		if lease == nil {
			continue
		}
		lease.setTopicID(id)
		at := o.EpochOffset().Offset
		if note, ok := l.note(p); ok && at >= 0 && id != uuid.Nil && note.TopicID != uuid.Nil && note.TopicID != id {
			l.m.topicsReplaced.WithLabelValues(l.table.name).Inc()
			l.log.Error("the topic was deleted and made anew; it is read from its start, and rows of the old one stay in the table",
				"topic", l.topic, "partition", p, "old_topic_id", note.TopicID, "topic_id", id, "committed_offset", at)
			offsets[l.topic][p] = kgo.NewOffset().AtStart().WithEpoch(-1)
			at = -1
		}
		start, ok := starts.Lookup(l.topic, p)
		if !ok {
			continue
		}
		if at >= 0 && at < start.Offset {
			l.lose(lostRange{partition: p, topicID: id, from: at, to: start.Offset})
			at = start.Offset
			offsets[l.topic][p] = kgo.NewOffset().At(at)
		}
		lease.start(max(at, start.Offset))
	}
	return offsets, nil
}
