package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"crossdock/topology/topics"
)

// limitTopic is where the limit's loop copies to.
func (b *benchmark) limitTopic() string { return b.env.Naming.Prefix + "limit" }

// createTopics makes those that the stage reads and writes, with the table's settings, and returns all names that the run
// uses, what could not be created included.
func (b *benchmark) createTopics(ctx context.Context) ([]string, error) {
	n := b.options.Partitions
	var names []string
	create := func(name string, partitions int32, configs map[string]*string) error {
		names = append(names, name)
		response, err := b.admin.CreateTopic(ctx, partitions, -1, configs, name)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("topic %s is there already: the benchmark deletes its topics, so it uses none that it did not create; delete it, or give another prefix", name)
		}
		if err != nil {
			return fmt.Errorf("create topic %s: %w %s", name, err, response.ErrMessage)
		}
		return nil
	}
	for _, t := range topics.All() {
		switch t.ID {
		case topics.InventoryInbox, topics.Balances, topics.Ledger, topics.Exceptions, topics.DeadLetters:
		default:
			continue
		}
		partitions := n
		if !t.Inbox {
			partitions = topics.FewPartitions
		}
		if err := create(b.env.Naming.Topic(t.ID), partitions, settings(&t)); err != nil {
			return names[:len(names)-1], err
		}
	}
	for _, store := range b.options.Stores {
		if err := create(b.env.Naming.Changelog(b.env.App, store), n, settings(&topics.Topic{Cleanup: topics.Compact})); err != nil {
			return names[:len(names)-1], err
		}
	}
	if err := create(b.limitTopic(), n, nil); err != nil {
		return names[:len(names)-1], err
	}
	return names, nil
}

// settings are a row's configuration in Kafka's own words.
func settings(t *topics.Topic) map[string]*string {
	s := map[string]*string{"cleanup.policy": kadm.StringPtr(string(t.Cleanup))}
	if t.Cleanup == topics.Compact {
		s["min.compaction.lag.ms"] = kadm.StringPtr(strconv.FormatInt(topics.MinCompactionLag.Milliseconds(), 10))
	} else {
		s["retention.ms"] = kadm.StringPtr(strconv.FormatInt(t.Retention.Milliseconds(), 10))
	}
	if t.MaxMessage > 0 {
		s["max.message.bytes"] = kadm.StringPtr(strconv.Itoa(t.MaxMessage))
	}
	return s
}

// deleteTopics leaves the broker as it was: the run's topics and groups.
func (b *benchmark) deleteTopics(ctx context.Context, names []string) error {
	var problems []error
	if len(names) > 0 {
		deleted, err := b.admin.DeleteTopics(ctx, names...)
		if err != nil {
			return fmt.Errorf("delete the run's topics %v: %w", names, err)
		}
		for _, d := range deleted.Sorted() {
			if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
				problems = append(problems, fmt.Errorf("delete topic %s: %w", d.Topic, d.Err))
			}
		}
	}
	groups, err := b.admin.DeleteGroups(ctx, b.env.App, b.limitGroup())
	if err != nil {
		return errors.Join(append(problems, fmt.Errorf("delete the run's groups: %w", err))...)
	}
	for _, g := range groups.Sorted() {
		// A static member that was killed holds its group until its session ends.
		if g.Err != nil && !errors.Is(g.Err, kerr.GroupIDNotFound) && !errors.Is(g.Err, kerr.NonEmptyGroup) {
			problems = append(problems, fmt.Errorf("delete group %s: %w", g.Group, g.Err))
		}
	}
	return errors.Join(problems...)
}

func (b *benchmark) brokerVersion(ctx context.Context) (string, error) {
	versions, err := b.admin.ApiVersions(ctx)
	if err != nil {
		return "", fmt.Errorf("bench: ask the brokers for their version: %w", err)
	}
	for _, v := range versions.Sorted() {
		if v.Err == nil {
			return v.VersionGuess(), nil
		}
		err = v.Err
	}
	return "", fmt.Errorf("bench: no broker tells its version: %w", err)
}
