// Package committed reads what stands on a topic: every committed record up to the end that the topic had when the reading
// began. It knows no event.
package committed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sort"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Read hands every committed record of a topic to f, each partition in its order, from its start to its end as of now. It
// waits for transactions that are open within that range, as long as ctx lets it. A record is f's to keep; an error of f
// ends the reading and is returned. opts say how the brokers are reached.
//
// The end is the high watermark, and control records are read too: what a transaction that is still open has written
// counts once it commits, and a topic may end with nothing but markers.
func Read(ctx context.Context, opts []kgo.Opt, topic string, f func(*kgo.Record) error) error {
	return ReadFrom(ctx, opts, topic, nil, f)
}

// A GoneError says that records were removed before they were read.
type GoneError struct {
	Topic     string
	Partition int32
	From      int64 // wanted
	Start     int64 // where the partition starts now
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("read %s: partition %d starts at offset %d, and %d was to be read: the topic's retention has removed what lies between", e.Topic, e.Partition, e.Start, e.From)
}

// ReadFrom is Read from an offset of each partition on; one that is not in from is read from its start. Where
// a topic starts later than that by now, the error is a *GoneError.
func ReadFrom(ctx context.Context, opts []kgo.Opt, topic string, from map[int32]int64, f func(*kgo.Record) error) error {
	starts, left, err := bounds(ctx, opts, topic)
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	begin := make(map[int32]int64, len(left))
	for p, end := range left {
		begin[p] = starts[p]
		if wanted, ok := from[p]; ok {
			if wanted < starts[p] {
				return &GoneError{Topic: topic, Partition: p, From: wanted, Start: starts[p]}
			}
			if begin[p] = wanted; wanted >= end {
				delete(left, p)
			}
		}
	}
	return readRange(ctx, opts, topic, begin, left, f)
}

// readRange reads the partitions of end, each from begin to before end.
func readRange(ctx context.Context, opts []kgo.Opt, topic string, begin, end map[int32]int64, f func(*kgo.Record) error) error {
	if len(end) == 0 {
		return nil
	}
	left := maps.Clone(end)
	start := make(map[int32]kgo.Offset, len(left))
	for p := range left {
		start[p] = kgo.NewOffset().At(begin[p])
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt(nil), opts...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: start}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		// What is gone while it is read must not be jumped over in silence.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	defer client.CloseAllowingRebalance()
	for len(left) > 0 {
		fetches := client.PollRecords(ctx, 10_000)
		if ctx.Err() != nil {
			return fmt.Errorf("read %s: %s not reached: %w", topic, describe(left), context.Cause(ctx))
		}
		if err := failure(fetches); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			end, open := left[r.Partition]
			if !open {
				continue
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				if err := f(r); err != nil {
					return err
				}
			}
			if r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

// bounds are the offsets at which each partition that holds something starts and ends.
func bounds(ctx context.Context, opts []kgo.Opt, topic string) (start, end map[int32]int64, err error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return nil, nil, err
	}
	start, end = make(map[int32]int64), make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if first, ok := starts.Lookup(topic, o.Partition); ok && first.Offset < o.Offset {
			start[o.Partition] = first.Offset
			end[o.Partition] = o.Offset
		}
	})
	return start, end, nil
}

// failure is the first error of the fetches that the client will not heal by itself.
func failure(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		return fmt.Errorf("partition %d: %w", e.Partition, e.Err)
	}
	return nil
}

func describe(left map[int32]int64) string {
	partitions := make([]int, 0, len(left))
	for p := range left {
		partitions = append(partitions, int(p))
	}
	sort.Ints(partitions)
	return fmt.Sprintf("the end of partitions %v", partitions)
}
