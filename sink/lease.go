package sink

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/event"
)

// A lease is one assignment of one partition. Records, blocks and commits belong to a lease, not to a partition: what was
// read under one that has been taken away is neither committed nor mixed with what is read when the partition comes back.
type lease struct {
	partition int32

	mu        sync.Mutex
	id        uuid.UUID // of the topic; zero: not known
	revoked   bool
	next      kgo.EpochOffset // all before it is in the table; -1: nothing known yet
	committed int64           // of next, what the broker has
	newest    reach
	complete  completeness
}

// A completeness turns "the end of the partition was at offset E at time T" into "all that was in the partition at time T is
// in the table".
type completeness struct {
	samples []endSample  // ends not reached yet, oldest first
	until   event.Micros // 0: not known yet
	end     int64        // the latest
}

type endSample struct {
	end int64
	at  event.Micros
}

// mostSamples bounds the ends that are remembered while a partition is behind; beyond it every second one is dropped, which
// makes the answer coarser, not wrong.
const mostSamples = 128

func (c *completeness) observe(end int64, at event.Micros) {
	c.end = end
	if len(c.samples) == mostSamples {
		kept := c.samples[:0]
		for i := 0; i < mostSamples; i += 2 {
			kept = append(kept, c.samples[i])
		}
		c.samples = kept
	}
	c.samples = append(c.samples, endSample{end, at})
}

func (c *completeness) reached(next int64) {
	n := 0
	for n < len(c.samples) && c.samples[n].end <= next {
		c.until = c.samples[n].at
		n++
	}
	c.samples = append(c.samples[:0], c.samples[n:]...)
}

func newLease(partition int32) *lease {
	return &lease{partition: partition, next: kgo.EpochOffset{Epoch: -1, Offset: -1}, committed: -1}
}

func (l *lease) topicID() uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.id
}

func (l *lease) setTopicID(id uuid.UUID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = id
}

func (l *lease) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.revoked
}

// start is where reading begins: nothing before it is the business of this lease.
func (l *lease) start(next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.Offset < 0 {
		l.next.Offset, l.committed = next, next
	}
}

// acknowledge notes that all records up to a reach are in the table or dead letters.
func (l *lease) acknowledge(at *reach) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = kgo.EpochOffset{Epoch: at.epoch, Offset: at.next}
	l.newest.newestEvent = max(l.newest.newestEvent, at.newestEvent)
	l.newest.newestRecord = max(l.newest.newestRecord, at.newestRecord)
	l.complete.reached(at.next)
}

func (l *lease) observeEnd(end int64, at event.Micros) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complete.observe(end, at)
	if l.next.Offset >= 0 {
		l.complete.reached(l.next.Offset)
	}
}

// A commitNote is the metadata of a committed offset. The id tells a topic that was deleted and made anew under the same name:
// offsets of the one mean nothing in the other (S3).
type commitNote struct {
	Version int       `json:"v"`
	TopicID uuid.UUID `json:"topic_id"`
}

// leases are those of a lane's topic.
type leases struct {
	topic string

	// held is locked for reading from the check that a lease is valid until its commit is answered, and for writing to
	// revoke: a commit for a partition that has a new owner would rewind it.
	held  sync.RWMutex
	byNum map[int32]*lease
}

func (ls *leases) assign(partitions []int32) {
	ls.held.Lock()
	defer ls.held.Unlock()
	for _, p := range partitions {
		ls.byNum[p] = newLease(p)
	}
}

func (ls *leases) revoke(partitions []int32) {
	ls.held.Lock()
	defer ls.held.Unlock()
	for _, p := range partitions {
		if l := ls.byNum[p]; l != nil {
			l.mu.Lock()
			l.revoked = true
			l.mu.Unlock()
			delete(ls.byNum, p)
		}
	}
}

func (ls *leases) get(partition int32) *lease {
	ls.held.RLock()
	defer ls.held.RUnlock()
	return ls.byNum[partition]
}

func (ls *leases) each(f func(*lease)) {
	ls.held.RLock()
	defer ls.held.RUnlock()
	for _, l := range ls.byNum {
		f(l)
	}
}

// commitTimeout bounds a commit, and so how long a rebalance waits for one.
const commitTimeout = 10 * time.Second

// due are the offsets that the broker does not have yet, and their notes. held is locked.
func (ls *leases) due() (offsets map[int32]kgo.EpochOffset, notes map[int32]string, err error) {
	offsets, notes = map[int32]kgo.EpochOffset{}, map[int32]string{}
	for p, l := range ls.byNum {
		l.mu.Lock()
		next, committed, id := l.next, l.committed, l.id
		l.mu.Unlock()
		if next.Offset <= committed {
			continue
		}
		note, err := json.Marshal(commitNote{Version: 1, TopicID: id})
		if err != nil {
			return nil, nil, err
		}
		offsets[p], notes[p] = next, string(note)
	}
	return offsets, notes, nil
}

// commit tells the broker how far the leases have come. What it does not accept is part of the next commit; records whose
// commit never gets through are read again and collapse.
func (ls *leases) commit(ctx context.Context, client *kgo.Client) error {
	ls.held.RLock()
	defer ls.held.RUnlock()
	offsets, notes, err := ls.due()
	if err != nil || len(offsets) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				p := &req.Topics[i].Partitions[j]
				if note, ok := notes[p.Partition]; ok {
					p.Metadata = &note
				}
			}
		}
		return nil
	})
	var failed error
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{ls.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				failed = err
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						failed = fmt.Errorf("partition %d: %w", p.Partition, err)
						continue
					}
					l := ls.byNum[p.Partition]
					l.mu.Lock()
					l.committed = offsets[p.Partition].Offset
					l.mu.Unlock()
				}
			}
		})
	return failed
}
