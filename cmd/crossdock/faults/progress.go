package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// progress looks several times a second how far each partition of the pipeline's inputs is.
type progress struct {
	admin  *kadm.Client
	groups map[string][]string // their topics, by group

	mu    sync.Mutex
	at    time.Time // when the last look that succeeded began
	err   error     // of the last look
	parts map[part]*standing
	stood time.Duration // the longest time in which a partition with records did not move, since it was asked for
}

// A part is a partition as a group reads it.
type part struct {
	group, topic string
	partition    int32
}

// standing is where a part stands.
type standing struct {
	committed, end int64
	moved          time.Time // when it was seen to move last, or to have nothing to move for
}

const (
	lookEvery  = 100 * time.Millisecond
	lookWithin = 5 * time.Second
	// tail is what may lie behind the last record of a partition and is never committed: markers of transactions, and
	// records of those that were aborted.
	tail = 20
)

func newProgress(client *kgo.Client, groups map[string][]string) *progress {
	return &progress{admin: kadm.NewClient(client), groups: groups, parts: map[part]*standing{}}
}

// run looks until ctx ends. Looks that fail, because brokers are away, count for nothing.
func (p *progress) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			at := time.Now()
			seen, err := p.look(ctx)
			p.saw(at, seen, err)
		case <-ctx.Done():
			return
		}
	}
}

func (p *progress) look(ctx context.Context) (map[part]standing, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	seen := map[part]standing{}
	for group, names := range p.groups {
		at, err := p.admin.FetchOffsets(ctx, group)
		if err != nil {
			return nil, err
		}
		ends, err := p.admin.ListEndOffsets(ctx, names...)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			return nil, err
		}
		ends.Each(func(end kadm.ListedOffset) {
			o, _ := at.Lookup(end.Topic, end.Partition)
			seen[part{group, end.Topic, end.Partition}] = standing{committed: max(0, o.At), end: end.Offset}
		})
	}
	return seen, nil
}

func (p *progress) saw(at time.Time, seen map[part]standing, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err = err; err != nil {
		return
	}
	p.at = at
	for which, s := range seen {
		before := p.parts[which]
		if before == nil || s.committed != before.committed || before.end-before.committed <= tail {
			s.moved = at
		} else {
			s.moved = before.moved
			p.stood = max(p.stood, at.Sub(s.moved))
		}
		p.parts[which] = &s
	}
}

// ends is where every partition ended at a look that began after a time. The error says that there was none yet.
func (p *progress) ends(after time.Time) (map[part]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.After(after) {
		return nil, fmt.Errorf("the brokers do not say how far the groups are: %w", errors.Join(errNoLook, p.err))
	}
	ends := map[part]int64{}
	for which, s := range p.parts {
		ends[which] = s.end
	}
	return ends, nil
}

// stuck says which partition has had records for a time and did not move; nil: none. Nothing counts that lies before from. Brokers
// that have said nothing for as long are an answer too.
func (p *progress) stuck(from time.Time, within time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if heard := later(p.at, from); time.Since(heard) > within {
		return fmt.Errorf("the brokers have not said for %v how far the groups are: %w", within, errors.Join(errNoLook, p.err))
	}
	for which, s := range p.parts {
		if s.end-s.committed > tail && p.at.Sub(later(s.moved, from)) > within {
			return fmt.Errorf("group %s has committed nothing of %s/%d for %v: it stands at %d, and the log ends at %d", which.group, which.topic, which.partition, within, s.committed, s.end)
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errNoLook says that no look has ended since.
var errNoLook = errors.New("no answer yet")

// behind is how many offsets before the ends are not committed, markers left out; and how many are in all.
func (p *progress) behind(ends map[part]int64) (n, committed int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for which, end := range ends {
		if d := end - p.parts[which].committed; d > tail {
			n += d
		}
		committed += p.parts[which].committed
	}
	return n, committed
}

// standing is the longest time in which a partition that had records did not move, since it was asked for last.
func (p *progress) standing() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.stood
	p.stood = 0
	for _, s := range p.parts {
		s.moved = p.at
	}
	return d
}
