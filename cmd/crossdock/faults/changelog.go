package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/embedded/process"
)

func changelogMadeAnew() Fault {
	return Fault{
		Name: "changelog made anew",
		Does: "all instances are asked to end; a changelog is deleted and made anew, empty; one instance starts; an operator then puts back what the changelog held, commits the group's offsets again as they are, and all start",
		Must: "who starts on the empty one ends with CHANGELOG_LOST; the remedy makes all as it was",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			for _, i := range f.running() {
				if err := i.terminate(ctx); err != nil {
					return "", err
				}
				if err := f.leave(ctx, i.name); err != nil {
					return "", err
				}
			}
			name, group, err := f.changelog(ctx, d)
			if err != nil {
				return "", err
			}
			held, err := f.held(ctx, name)
			if err != nil {
				return "", err
			}
			if err := f.anew(ctx, name); err != nil {
				return "", err
			}
			i := f.victim(d)
			if err := f.endsWith(ctx, i, "CHANGELOG_LOST"); err != nil {
				return "", err
			}
			if err := f.putBack(ctx, held); err != nil {
				return "", err
			}
			if err := f.commitAgain(ctx, group); err != nil {
				return "", err
			}
			for _, i := range f.running() {
				if err := i.start(i.name); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%s, %d records", name, len(held)), nil
		},
	}
}

// changelog picks one, and says whose it is.
func (f *Field) changelog(ctx context.Context, d Draw) (name, group string, err error) {
	all, err := f.admin.ListTopics(ctx)
	if err != nil {
		return "", "", err
	}
	var names []string
	for topic := range all {
		if strings.HasSuffix(topic, "-changelog") {
			names = append(names, topic)
		}
	}
	if len(names) == 0 {
		return "", "", errors.New("there is no changelog")
	}
	slices.Sort(names)
	name = names[d.Broker%len(names)]
	for _, part := range f.o.Parts {
		if strings.HasPrefix(name, f.group(part)+"-") {
			group = f.group(part)
		}
	}
	if group == "" {
		return "", "", fmt.Errorf("changelog %s is of no stage that runs", name)
	}
	return name, group, nil
}

// held reads what a topic has, up to its high watermarks.
func (f *Field) held(ctx context.Context, topic string) ([]*kgo.Record, error) {
	ctx, cancel := f.within(ctx)
	defer cancel()
	ends, err := f.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	ends.Each(func(e kadm.ListedOffset) {
		if e.Offset > 0 {
			left[e.Partition], from[e.Partition] = e.Offset, kgo.NewOffset().AtStart()
		}
	})
	if len(left) == 0 {
		return nil, nil
	}
	client, err := kgo.NewClient(append(f.kafka[:len(f.kafka):len(f.kafka)], kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s is not read to its end: %w", topic, context.Cause(ctx))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value})
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all, nil
}

// anew deletes a topic and makes it again as the program plans it.
func (f *Field) anew(ctx context.Context, topic string) error {
	ctx, cancel := f.within(ctx)
	defer cancel()
	deleted, err := f.admin.DeleteTopics(ctx, topic)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return err
	}
	err = f.until(ctx, func(ctx context.Context) (bool, error) { // on every broker
		all, err := f.admin.ListTopics(ctx, topic)
		return err == nil && errors.Is(all[topic].Err, kerr.UnknownTopicOrPartition), err
	})
	if err != nil {
		return fmt.Errorf("%s is not deleted: %w", topic, err)
	}
	plan, err := pipeline.PlanTopics(ctx, f.client, &f.config)
	if err != nil {
		return err
	}
	if err := plan.Apply(ctx, f.client, nil); err != nil {
		return err
	}
	return f.awaitReplicas(ctx)
}

// endsWith starts an instance and holds that it ends by itself and names a reason.
func (f *Field) endsWith(ctx context.Context, i *instance, reason string) error {
	if err := i.start(i.name); err != nil {
		return err
	}
	i.mayEnd(true)
	p := i.running()
	within, cancel := f.within(ctx)
	defer cancel()
	select {
	case <-p.Done():
	case <-within.Done():
		return fmt.Errorf("instance %s has not ended with %s: %w", i.name, reason, context.Cause(within))
	}
	i.take()
	text, err := os.ReadFile(p.Log())
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), reason) {
		return fmt.Errorf("instance %s has ended without saying %s: %w; the end of %s:\n%s", i.name, reason, p.Ending(), p.Log(), process.Tail(p.Log()))
	}
	return f.leave(ctx, i.name)
}

// putBack writes records to the partitions that they were in.
func (f *Field) putBack(ctx context.Context, records []*kgo.Record) error {
	client, err := kgo.NewClient(append(f.kafka[:len(f.kafka):len(f.kafka)], kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, records...).FirstErr()
}

// commitAgain commits a group's offsets as they are, as kafka-consumer-groups.sh --reset-offsets --to-current does: the group's
// metadata goes, which said what the changelogs held.
func (f *Field) commitAgain(ctx context.Context, group string) error {
	at, err := f.admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	again := kadm.Offsets{}
	at.Each(func(o kadm.OffsetResponse) { again.AddOffset(o.Topic, o.Partition, o.At, o.LeaderEpoch) })
	return f.admin.CommitAllOffsets(ctx, group, again)
}
