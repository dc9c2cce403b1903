package runtime

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// An ownerWatch looks for input partitions that no member of the group has. A static member that dies between giving a
// partition up and joining again can leave one to nobody, and the group is content: nothing would ever process it.
type ownerWatch struct {
	unowned map[input]time.Time // since when
}

// watchOwners compares the group's assignments with the inputs until ctx ends, and forces a rebalance for a partition that
// has been nobody's for two rebalance timeouts.
func (i *Instance) watchOwners(ctx context.Context, admin *kadm.Client) error {
	watch := ownerWatch{unowned: map[input]time.Time{}}
	tick := time.NewTicker(i.cfg.RebalanceTimeout / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-i.directory.wanted:
		}
		i.directory.stale.Store(false) // what is seen from here on may not be in the answer
		group, err := i.describe(ctx, admin)
		if i.stage.Stateful() {
			i.learnOwners(group, err)
		}
		if err != nil {
			if ctx.Err() == nil {
				i.log.Warn("the group cannot be described just now", "error", err)
			}
			continue
		}
		due := watch.look(time.Now(), 2*i.cfg.RebalanceTimeout, i.topics.partitions(), group)
		i.metrics.unowned.Set(float64(len(watch.unowned)))
		if len(due) == 0 {
			continue
		}
		names := make([]string, 0, len(due))
		for _, at := range due {
			names = append(names, at.String())
		}
		i.log.Error("input partitions belong to no member of the group: a rebalance is forced", "partitions", names)
		for _, w := range i.workers {
			if client := w.client.Load(); client != nil {
				client.ForceRebalance() // the group takes it from its leader
			}
		}
	}
}

// look takes note of what is unowned in a group that is not rebalancing, and returns what has been for too long; it is
// counted anew then.
func (w *ownerWatch) look(now time.Time, limit time.Duration, inputs map[string]int32, group kadm.DescribedGroup) (due []input) {
	if group.State != "Stable" {
		return nil
	}
	owned := group.AssignedPartitions()
	for topic, n := range inputs {
		for p := range n {
			at := input{topic, p}
			if owned.Lookup(topic, p) {
				delete(w.unowned, at)
				continue
			}
			since, known := w.unowned[at]
			if !known {
				since = now
			}
			if now.Sub(since) >= limit {
				due = append(due, at)
				since = now
			}
			w.unowned[at] = since
		}
	}
	return due
}

// partitions are the partition counts of the inputs, those of raw topics that are found by their name aside.
func (s *topicSet) partitions() map[string]int32 {
	m := map[string]int32{}
	for _, name := range s.inputs {
		m[name] = s.counts[name]
	}
	return m
}
