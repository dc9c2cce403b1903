package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/committed"
	"crossdock/loadtest/tables"
)

// A Group is a consumer group of the pipeline and the topics that it must have read, as the brokers name them.
type Group struct {
	Name   string
	Topics []string
}

// Waiting says what must have come to an end before a run is verified.
type Waiting struct {
	Kafka    []kgo.Opt
	Groups   []Group        // in the order of the way: what a group writes, a later one reads
	Balances string         // the topic whose rows Tables must have; needed where Tables are given
	Tables   *tables.Tables // nil: not waited for
	Every    time.Duration  // between two looks; default 200 ms
	Progress func(missing Missing)
}

// A Missing is what a look found: nothing is missing where both are zero.
type Missing struct {
	Records int64    // of topics, that their groups have not committed, or whose rows are not there yet
	Where   []string // one line for each group and topic
}

// String is one line.
func (m Missing) String() string {
	if m.Records == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d records: %s", m.Records, strings.Join(m.Where, "; "))
}

// NotSettledError says what was still missing when the patience of the context was at its end.
type NotSettledError struct {
	Missing Missing
	Err     error // the last look's, or the context's cause
}

func (e *NotSettledError) Error() string {
	return fmt.Sprintf("the pipeline has not come to its end (%v); missing: %v", e.Err, e.Missing)
}

// Unwrap is Err.
func (e *NotSettledError) Unwrap() error { return e.Err }

// Settled waits until every group has committed all that stands on its topics and ClickHouse's tables have the rows of all
// balances. Nothing may be sent to the pipeline any more. What fails meanwhile (a broker away) is looked at again. The error is
// a *NotSettledError when ctx ends first.
//
// A look goes along the way: where a group has committed all, what it wrote stands on the next topics already, since offsets
// and outputs are one transaction.
func Settled(ctx context.Context, w Waiting) error {
	client, err := kgo.NewClient(w.Kafka...)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer client.Close()
	if w.Every <= 0 {
		w.Every = 200 * time.Millisecond
	}
	admin := kadm.NewClient(client)
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	var last Missing
	var failed error
	for {
		missing, err := w.look(ctx, admin)
		if err == nil {
			if last, failed = missing, nil; w.Progress != nil {
				w.Progress(missing)
			}
			if missing.Records == 0 {
				return nil
			}
		} else if ctx.Err() == nil {
			failed = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &NotSettledError{Missing: last, Err: errors.Join(context.Cause(ctx), failed)}
		}
	}
}

func (w *Waiting) look(ctx context.Context, admin *kadm.Client) (m Missing, err error) {
	for _, g := range w.Groups {
		at, err := admin.FetchOffsetsForTopics(ctx, g.Name, g.Topics...)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // which is a group that has committed nothing yet
			return m, fmt.Errorf("group %s: %w", g.Name, err)
		}
		for _, topic := range g.Topics {
			ends, err := admin.ListEndOffsets(ctx, topic)
			if err == nil {
				err = ends.Error()
			}
			if err != nil {
				return m, fmt.Errorf("topic %s: %w", topic, err)
			}
			behind := func(p int32) int64 {
				end, _ := ends.Lookup(topic, p)
				if o, ok := at.Lookup(topic, p); ok && o.At >= 0 {
					return end.Offset - o.At
				}
				return end.Offset
			}
			if w.sum(ends, topic, behind) == 0 {
				continue
			}
			// Markers of transactions may be all that is left: only now it is worth reading where the last records lie.
			last, err := committed.Last(ctx, w.Kafka, topic)
			if err != nil {
				return m, err
			}
			n := sumOf(last, func(p int32, offset int64) int64 {
				if o, ok := at.Lookup(topic, p); ok && o.At >= 0 {
					return offset + 1 - o.At
				}
				return offset + 1
			})
			m.add(n, "group "+g.Name+" on "+topic)
		}
	}
	if w.Tables == nil || m.Records > 0 {
		return m, nil
	}
	last, err := committed.Last(ctx, w.Kafka, w.Balances)
	if err != nil {
		return m, err
	}
	marks, err := w.Tables.Watermarks(ctx, w.Balances)
	if err != nil {
		return m, err
	}
	m.add(sumOf(last, func(p int32, offset int64) int64 {
		if mark, ok := marks[p]; ok {
			return offset - mark
		}
		return offset + 1
	}), "rows of "+w.Balances+" in ClickHouse")
	return m, nil
}

func (w *Waiting) sum(ends kadm.ListedOffsets, topic string, behind func(p int32) int64) (n int64) {
	for p := range ends[topic] {
		n += max(0, behind(p))
	}
	return n
}

func sumOf(last map[int32]int64, behind func(p int32, offset int64) int64) (n int64) {
	for p, offset := range last {
		n += max(0, behind(p, offset))
	}
	return n
}

func (m *Missing) add(records int64, where string) {
	if records > 0 {
		m.Records += records
		m.Where = append(m.Where, fmt.Sprintf("%d by %s", records, where))
		slices.Sort(m.Where)
	}
}
