package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groups looks at how far consumer groups are behind: the end of each partition that they have committed, less what they
// have committed. Where that stands still, it is looked at what is there: after the last record of a topic that is
// written in transactions stand markers, which no group ever commits, and which are nothing to be behind with.
type groups struct {
	kafka  []kgo.Opt
	client *kgo.Client
	admin  *kadm.Client
	names  []string
	before map[at]span  // at the last look
	tails  map[at]*tail // of those that stood still
}

// at is one partition as a group reads it.
type at struct {
	group, topic string
	partition    int32
}

// span is what a group is behind with.
type span struct{ committed, end int64 }

// tail is what is known of a span that stood still.
type tail struct {
	span
	records int64
}

const (
	lagWithin = 5 * time.Second
	// tailWithin bounds a look at what stands behind a group, and tailOffsets how much that may be.
	tailWithin  = 2 * time.Second
	tailOffsets = 1000
)

func newGroups(kafka []kgo.Opt, client *kgo.Client, names []string) *groups {
	return &groups{kafka: kafka, client: client, admin: kadm.NewClient(client), names: names, tails: make(map[at]*tail)}
}

func (g *groups) close() { g.client.Close() }

// lag is how many records each group is behind, by name. One that does not exist, or has committed nothing, is missing;
// one that the brokers did not tell of is missing too, with an error.
func (g *groups) lag(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, lagWithin)
	defer cancel()
	now, errs := g.spans(ctx)
	if stood := g.stoodStill(now); len(stood) > 0 {
		found, err := g.read(ctx, stood)
		if err != nil {
			errs = append(errs, err)
		}
		for where, records := range found {
			g.tails[where] = &tail{now[where], records}
		}
	}
	behind := make(map[string]int64)
	for where, s := range now {
		n := max(0, s.end-s.committed)
		if t := g.tails[where]; t != nil && t.span == s {
			n = t.records
		}
		behind[where.group] += n
	}
	g.before = now
	return behind, errors.Join(errs...)
}

// spans asks what the groups have committed, and then where the topics end: so nobody seems to be ahead.
func (g *groups) spans(ctx context.Context) (map[at]span, []error) {
	var errs []error
	committed := make(map[string]kadm.OffsetResponses) // by group
	topics := make(map[string]bool)
	for name, fetched := range g.admin.FetchManyOffsets(ctx, g.names...) {
		if errors.Is(fetched.Err, kerr.GroupIDNotFound) {
			continue
		}
		if fetched.Err != nil {
			errs = append(errs, fmt.Errorf("group %s: %w", name, fetched.Err))
			continue
		}
		committed[name] = fetched.Fetched
		for topic := range fetched.Fetched {
			topics[topic] = true
		}
	}
	if len(topics) == 0 {
		return nil, errs
	}
	names := make([]string, 0, len(topics))
	for topic := range topics {
		names = append(names, topic)
	}
	ends, err := g.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, append(errs, err)
	}
	starts, err := g.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, append(errs, err)
	}
	spans := make(map[at]span)
	for name, offsets := range committed {
		whole := true
		mine := make(map[at]span)
		for topic := range offsets {
			for p, end := range ends[topic] {
				if end.Err != nil {
					errs, whole = append(errs, fmt.Errorf("end of %s/%d: %w", topic, p, end.Err)), false
					break
				}
				// A partition without a commit will be read from its start.
				s := span{starts[topic][p].Offset, end.Offset}
				if c, ok := offsets.Lookup(topic, p); ok && c.Err == nil && c.At >= 0 {
					s.committed = c.At
				}
				mine[at{name, topic, p}] = s
			}
		}
		if !whole {
			continue // a part of a lag is no lag
		}
		for where, s := range mine {
			spans[where] = s
		}
	}
	return spans, errs
}

// stoodStill are the partitions that are behind by a little, and by the same at the last look, and not read yet.
func (g *groups) stoodStill(now map[at]span) map[at]span {
	stood := make(map[at]span)
	for where, s := range now {
		if t := g.tails[where]; t != nil && t.span == s {
			continue
		}
		delete(g.tails, where)
		if before, ok := g.before[where]; ok && before == s && s.committed < s.end && s.end-s.committed <= tailOffsets {
			stood[where] = s
		}
	}
	return stood
}

// read counts the committed records that stand in spans. Those that it did not come to the end of are missing.
func (g *groups) read(ctx context.Context, spans map[at]span) (map[at]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, tailWithin)
	defer cancel()
	// Several groups may stand at different offsets of one partition: one reader starts where the last of them is.
	from := make(map[string]map[int32]kgo.Offset)
	lowest := make(map[at]int64)
	for where, s := range spans {
		where.group = ""
		if first, ok := lowest[where]; !ok || s.committed < first {
			lowest[where] = s.committed
		}
	}
	for where, first := range lowest {
		if from[where.topic] == nil {
			from[where.topic] = make(map[int32]kgo.Offset)
		}
		from[where.topic][where.partition] = kgo.NewOffset().At(first)
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), g.kafka...),
		kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return nil, err
	}
	defer client.CloseAllowingRebalance()
	counted, found := make(map[at]int64), make(map[at]int64)
	for len(found) < len(spans) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return found, nil // a transaction is open in one of them: it is looked at again
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			for where, s := range spans {
				if where.topic != r.Topic || where.partition != r.Partition || r.Offset < s.committed || r.Offset >= s.end {
					continue
				}
				if !r.Attrs.IsControl() {
					counted[where]++
				}
				if r.Offset == s.end-1 {
					found[where] = counted[where]
				}
			}
		}
	}
	return found, nil
}
