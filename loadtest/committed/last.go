package committed

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tail is how many offsets of a partition are looked through at first for its last record: markers of transactions are what
// lies there else.
const tail = 64

// Last tells, by partition, the offset of a topic's last committed record as of now: what whoever has read the topic has
// passed. A topic's end says less, since markers lie before it. Partitions without a record are left out. It waits for open
// transactions as Read does.
func Last(ctx context.Context, opts []kgo.Opt, topic string) (map[int32]int64, error) {
	starts, ends, err := bounds(ctx, opts, topic)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", topic, err)
	}
	last := make(map[int32]int64, len(ends))
	for span := int64(tail); len(ends) > 0; span *= 8 {
		from := make(map[int32]int64, len(ends))
		for p, end := range ends {
			from[p] = max(starts[p], end-span)
		}
		found := make(map[int32]int64, len(ends))
		err := readRange(ctx, opts, topic, from, ends, func(r *kgo.Record) error {
			found[r.Partition] = r.Offset
			return nil
		})
		if err != nil {
			return nil, err
		}
		for p := range ends {
			offset, ok := found[p]
			if ok {
				last[p] = offset
			}
			if ok || from[p] == starts[p] {
				delete(ends, p)
			}
		}
	}
	return last, nil
}
