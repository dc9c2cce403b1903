// Package committed reads what stands on a topic: every committed record up to the end that the topic had when the reading
// began. It knows no event.
package committed

import (
	"context"
	"errors"
	"fmt"
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
	start, left, err := bounds(ctx, opts, topic)
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	if len(left) == 0 {
		return nil
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
func bounds(ctx context.Context, opts []kgo.Opt, topic string) (start map[int32]kgo.Offset, end map[int32]int64, err error) {
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
	start, end = make(map[int32]kgo.Offset), make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if first, ok := starts.Lookup(topic, o.Partition); ok && first.Offset < o.Offset {
			start[o.Partition] = kgo.NewOffset().At(first.Offset)
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
