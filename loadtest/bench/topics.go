package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"crossdock/topology/topics"
)

// createTopics makes those that the stage reads and writes, with the table's settings, and returns all names that the run
// uses, what could not be created included.
func (d *drain) createTopics(ctx context.Context) ([]string, error) {
	n := d.options.Partitions
	var names []string
	create := func(name string, partitions int32, configs map[string]*string) error {
		names = append(names, name)
		response, err := d.admin.CreateTopic(ctx, partitions, -1, configs, name)
		if errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("topic %s is there already: the benchmark deletes its topics, so it uses none that it did not create; delete it, or give another prefix", name)
		}
		if err != nil {
			return fmt.Errorf("create topic %s: %w %s", name, err, response.ErrMessage)
		}
		return nil
	}
	type wanted struct {
		name       string
		partitions int32
		row        topics.Topic
	}
	var all []wanted
	for _, id := range d.plan.topics {
		row, partitions := id.Lookup(), n
		if !row.Inbox {
			partitions = topics.FewPartitions
		}
		all = append(all, wanted{d.env.Naming.Topic(id), partitions, row})
	}
	for _, source := range d.plan.sources {
		all = append(all, wanted{d.env.Naming.Raw(source), n, topics.Topic{Cleanup: topics.Delete, Retention: topics.RawRetention}})
	}
	for _, changelog := range d.changelogs() {
		all = append(all, wanted{changelog, n, topics.Topic{Cleanup: topics.Compact}})
	}
	for i := range all {
		if err := create(all[i].name, all[i].partitions, settings(&all[i].row)); err != nil {
			return names[:len(names)-1], err
		}
	}
	if err := create(d.limitTopic(), n, nil); err != nil {
		return names[:len(names)-1], err
	}
	return names, d.topicsAreThere(ctx, names)
}

// changelogs are those of the stage's stores.
func (d *drain) changelogs() []string {
	var names []string
	for _, store := range d.options.Stores {
		names = append(names, d.env.Naming.Changelog(d.env.Group, store))
	}
	return names
}

// topicsAreThere waits until the brokers show the topics that they have created: a broker learns of them a moment later.
func (d *drain) topicsAreThere(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		found, err := d.admin.ListTopics(ctx, names...)
		if err == nil {
			err = found.Error()
		}
		if err == nil && len(found) == len(names) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the brokers do not show the topics that they have created: %w", errors.Join(err, context.Cause(ctx)))
		case <-again.C:
		}
	}
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
func (d *drain) deleteTopics(ctx context.Context, names []string) error {
	var problems []error
	if len(names) > 0 {
		deleted, err := d.admin.DeleteTopics(ctx, names...)
		if err != nil {
			return fmt.Errorf("delete the run's topics %v: %w", names, err)
		}
		for _, d := range deleted.Sorted() {
			if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
				problems = append(problems, fmt.Errorf("delete topic %s: %w", d.Topic, d.Err))
			}
		}
	}
	groups, err := d.admin.DeleteGroups(ctx, d.env.Group, d.limitGroup())
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

func brokerVersion(ctx context.Context, admin *kadm.Client) (string, error) {
	versions, err := admin.ApiVersions(ctx)
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
