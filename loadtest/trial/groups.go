package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// A Group is a consumer group of the pipeline, and what it reads.
type Group struct {
	Stage  string // as crossdock run names it
	Name   string // of the group
	Topics []topics.ID
	Raw    []string // sources whose raw topics it reads too
	// Needed says that the load goes through it: without a member of it nothing would come out.
	Needed bool
	Sink   bool // it fills ClickHouse
}

// groups asks the brokers how far the pipeline's groups are.
type groups struct {
	naming topics.Naming
	all    []Group
	client *kgo.Client
	admin  *kadm.Client
}

func openGroups(kafka []kgo.Opt, naming topics.Naming, all []Group) (*groups, error) {
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		return nil, err
	}
	return &groups{naming: naming, all: all, client: client, admin: kadm.NewClient(client)}, nil
}

func (g *groups) close() { g.client.Close() }

// members counts those of each group, by stage, but for those of one instance.
func (g *groups) members(ctx context.Context, but string) (map[string]int, error) {
	names := make([]string, 0, len(g.all))
	for _, x := range g.all {
		names = append(names, x.Name)
	}
	described, err := g.admin.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, x := range g.all {
		d := described[x.Name]
		if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
			return nil, fmt.Errorf("group %s: %w", x.Name, d.Err)
		}
		for _, m := range d.Members {
			if m.InstanceID == nil || but == "" || !strings.Contains(*m.InstanceID, "/"+but+"/") {
				counts[x.Stage]++
			}
		}
	}
	return counts, nil
}

// waiting are the groups as verify waits for them.
func (g *groups) waiting() []verify.Group {
	all := make([]verify.Group, 0, len(g.all))
	for _, x := range g.all {
		w := verify.Group{Name: x.Name}
		for _, id := range x.Topics {
			w.Topics = append(w.Topics, g.naming.Topic(id))
		}
		for _, source := range x.Raw {
			w.Topics = append(w.Topics, g.naming.Raw(source))
		}
		all = append(all, w)
	}
	return all
}

// ends are where topics end as of now.
func (g *groups) ends(ctx context.Context, ids ...topics.ID) (map[string]map[int32]int64, error) {
	names := make([]string, 0, len(ids))
	for _, id := range ids {
		names = append(names, g.naming.Topic(id))
	}
	listed, err := g.admin.ListEndOffsets(ctx, names...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := map[string]map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if ends[o.Topic] == nil {
			ends[o.Topic] = map[int32]int64{}
		}
		ends[o.Topic][o.Partition] = o.Offset
	})
	return ends, nil
}
