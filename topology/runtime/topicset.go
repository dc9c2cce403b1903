package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology"
	"crossdock/topology/runtime/task"
	"crossdock/topology/topics"
)

// A topicSet is what a stage reads and writes, as the broker names it.
type topicSet struct {
	inputs        []string // none of the raw topics if inputRegex
	inputRegex    bool
	inputPatterns []string
	names         [topics.Count]string // of outputs, by id
	ids           map[string]topics.ID
	changelogs    []string // by store

	counts    map[string]int32         // partitions, read once
	retention map[string]time.Duration // of a changelog's tombstones, read once where stores are on disk
}

func newTopicSet(c *Config, stage *topology.Stage) *topicSet {
	s := &topicSet{ids: map[string]topics.ID{}, counts: map[string]int32{}}
	for _, id := range stage.Inputs {
		s.inputs = append(s.inputs, c.Naming.Topic(id))
	}
	if stage.Raw {
		for _, source := range c.Sources {
			s.inputs = append(s.inputs, c.Naming.Raw(source))
		}
		if s.inputRegex = len(c.Sources) == 0; s.inputRegex {
			for _, name := range s.inputs {
				s.inputPatterns = append(s.inputPatterns, exactly(name))
			}
			raw := exactly(c.Naming.Raw(""))
			s.inputPatterns = append(s.inputPatterns, raw[:len(raw)-1]+".+$")
		}
	}
	for _, t := range topics.All() {
		s.names[t.ID] = c.Naming.Topic(t.ID)
		s.ids[s.names[t.ID]] = t.ID
	}
	for _, store := range stage.Stores {
		s.changelogs = append(s.changelogs, c.Naming.Changelog(c.App, store.Name))
	}
	return s
}

// createTopics is the remedy of a missing topic.
const createTopics = "Create it: crossdock topology apply shows what is missing and does it with --yes."

// check reads partition counts and says which topic is missing or does not fit.
func (s *topicSet) check(ctx context.Context, client *kgo.Client, stage *topology.Stage) error {
	names := append([]string(nil), s.inputs...)
	for _, id := range stage.Outputs {
		names = append(names, s.names[id])
	}
	names = append(names, s.names[topics.DeadLetters])
	names = append(names, s.changelogs...)
	var details kadm.TopicDetails
	err := retry(ctx, func() (err error) {
		if details, err = kadm.NewClient(client).ListTopics(ctx, names...); err != nil {
			return err
		}
		for _, d := range details {
			if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
				return fmt.Errorf("topic %s: %w", d.Topic, d.Err)
			}
		}
		return nil
	})
	if err != nil {
		if e := asExit(err, "the topics of stage "+stage.Name); e != nil {
			return e
		}
		return err
	}
	for _, name := range names {
		d, ok := details[name]
		if !ok || d.Err != nil || len(d.Partitions) == 0 {
			return exit(MissingTopic, nil, createTopics, "stage %s needs topic %s", stage.Name, name)
		}
		s.counts[name] = int32(len(d.Partitions))
	}
	for _, changelog := range s.changelogs {
		for _, in := range s.inputs {
			if s.counts[changelog] < s.counts[in] {
				return exit(PartitionsMismatch, nil, "Give the changelog as many partitions as its input has.",
					"changelog %s has %d partitions, input %s has %d", changelog, s.counts[changelog], in, s.counts[in])
			}
		}
	}
	return nil
}

// alike says whether records of an input that keep their key keep their partition on an output topic.
func (s *topicSet) alike(in string, out topics.ID) bool {
	n, ok := s.counts[in]
	return ok && n == s.counts[s.names[out]]
}

// batchBytes bounds a produced batch as the topic table bounds a message.
func (s *topicSet) batchBytes(topic string) int32 {
	if id, ok := s.ids[topic]; ok {
		return int32(task.MaxMessageBytes(id))
	}
	return 1 << 20
}

// anyPartition is the partition of a record that its key decides.
const anyPartition = -1

// partitioner takes the partition that the worker has set, or hashes the key as Java's default does (murmur2).
type partitioner struct{}

// ForTopic is for kgo.Partitioner.
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

// RequiresConsistency is true: a record waits for its partition, since order is kept by key.
func (topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

// Partition is for kgo.TopicPartitioner.
func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition) // beyond n: the client fails the record, and the batch is aborted
	}
	if r.Key == nil {
		return 0
	}
	return p.byKey.Partition(r, n)
}
