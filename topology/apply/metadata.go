package apply

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A layout is what the brokers have of one topic.
type layout struct {
	partitions int
	leaders    int // partitions that have one
	copies     int // of the partition with the fewest
}

// layouts asks the brokers for topics, those that are there. It asks anew each time: kadm answers from the client's cache
// of up to MetadataMinAge, five seconds by default, which is too old for a plan and long to wait for.
func layouts(ctx context.Context, client *kgo.Client, names []string) (map[string]layout, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // nil would be all topics
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	have := map[string]layout{}
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition) || t.Topic == nil:
			continue
		case err != nil:
			return nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
		l := layout{partitions: len(t.Partitions)}
		for i, p := range t.Partitions {
			if p.ErrorCode == 0 && p.Leader >= 0 {
				l.leaders++
			}
			if n := len(p.Replicas); i == 0 || n < l.copies {
				l.copies = n
			}
		}
		have[*t.Topic] = l
	}
	return have, nil
}

// settings asks the brokers for the settings of topics that are there, by topic and name.
func settings(ctx context.Context, adm *kadm.Client, names []string) (map[string]map[string]string, error) {
	configs, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("apply: the brokers cannot be asked for topics' settings: %w", err)
	}
	shown := map[string]map[string]string{}
	for _, rc := range configs {
		if rc.Err != nil {
			return nil, fmt.Errorf("apply: the settings of topic %s: %w; DescribeConfigs is the permission that is needed", rc.Name, rc.Err)
		}
		values := map[string]string{}
		for _, v := range rc.Configs {
			values[v.Key] = v.MaybeValue()
		}
		shown[rc.Name] = values
	}
	return shown, nil
}
