// Package apply makes a broker's topics what the pipeline wants them to be. It plans first: the plan can be read, and is
// what is then done, nothing else.
//
// Invariants:
//
//   - Nothing is deleted: no topic, and no record by a shorter retention or another cleanup policy.
//   - The partition count of a topic that has ever had a record is left alone: keys would part from their state.
//   - As long as anything is refused, nothing is done.
//   - Settings that the pipeline does not name are the operator's, and stay.
package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology"
)

// Replication is how many copies of every topic there are.
type Replication struct {
	Factor    int // replication.factor; 3 in production
	MinInsync int // copies that must have a record before it is acknowledged (min.insync.replicas); Factor-1 in production
}

// A Plan is the way from what a broker has to what the pipeline wants. Slices are in the order of the topics given.
type Plan struct {
	Create   []Create  `json:"create"`
	Change   []Change  `json:"change"`
	Grow     []Grow    `json:"grow"`
	Refused  []Refusal `json:"refused"`
	Warnings []Refusal `json:"warnings"` // what stays other than wanted, and does no harm
	AsWanted []string  `json:"as_wanted"`
}

// Create makes a topic.
type Create struct {
	Topic             string            `json:"topic"`
	Partitions        int               `json:"partitions"`
	ReplicationFactor int               `json:"replication_factor"`
	Configs           map[string]string `json:"configs"`
}

// Change sets one setting of a topic.
type Change struct {
	Topic  string `json:"topic"`
	Config string `json:"config"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// Grow adds partitions to a topic that has never had a record.
type Grow struct {
	Topic string `json:"topic"`
	From  int    `json:"from"`
	To    int    `json:"to"`
}

// A Refusal is what is not done, and what to do about it.
type Refusal struct {
	Topic  string `json:"topic"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`
}

// Empty says that there is nothing to do, and nothing that ought to be.
func (p *Plan) Empty() bool {
	return len(p.Create)+len(p.Change)+len(p.Grow)+len(p.Refused) == 0
}

// Compute compares a broker with the topics wanted; it changes nothing. What the broker itself would refuse to create
// (more copies than brokers, a setting out of range) is refused in the plan. An error is the broker's: not reached, or not
// allowed to look.
func Compute(ctx context.Context, client *kgo.Client, want []topology.GraphTopic, r Replication) (*Plan, error) {
	if r.Factor < 1 || r.MinInsync < 1 || r.MinInsync > r.Factor {
		return nil, fmt.Errorf("apply: min.insync.replicas is %d of a replication factor of %d: it lies between 1 and the factor", r.MinInsync, r.Factor)
	}
	c := &comparison{
		client: client, adm: kadm.NewClient(client), r: r,
		plan: &Plan{Create: []Create{}, Change: []Change{}, Grow: []Grow{}, Refused: []Refusal{}, Warnings: []Refusal{}, AsWanted: []string{}},
	}
	if err := c.look(ctx, want); err != nil {
		return nil, err
	}
	for _, t := range want {
		t.Configs = maps.Clone(t.Configs)
		if t.Configs == nil {
			t.Configs = map[string]string{}
		}
		t.Configs["min.insync.replicas"] = strconv.Itoa(r.MinInsync)
		if _, ok := c.have[t.Name]; !ok {
			if err := c.create(ctx, t); err != nil {
				return nil, err
			}
			continue
		}
		c.compare(t)
	}
	return c.plan, nil
}

// A comparison is a plan in the making, with what the broker has.
type comparison struct {
	client  *kgo.Client
	adm     *kadm.Client
	r       Replication
	plan    *Plan
	have    map[string]layout
	configs map[string]map[string]string
	written map[string]bool // has ever had a record
}

// look asks the broker for all that is there of the topics wanted.
func (c *comparison) look(ctx context.Context, want []topology.GraphTopic) error {
	if len(want) == 0 {
		return nil
	}
	names := make([]string, len(want))
	for i, t := range want {
		names[i] = t.Name
	}
	var err error
	if c.have, err = layouts(ctx, c.client, names); err != nil {
		return fmt.Errorf("apply: the brokers cannot be asked for their topics: %w", err)
	}
	c.written = map[string]bool{}
	there := slices.Sorted(maps.Keys(c.have))
	if len(there) == 0 {
		return nil
	}
	if c.configs, err = settings(ctx, c.adm, there); err != nil {
		return err
	}
	ends, err := c.adm.ListEndOffsets(ctx, there...)
	if err != nil {
		return fmt.Errorf("apply: the brokers cannot be asked where topics end: %w", err)
	}
	for _, name := range there {
		for p, o := range ends[name] {
			if o.Err != nil {
				return fmt.Errorf("apply: the end of topic %s, partition %d: %w", name, p, o.Err)
			}
			if o.Offset > 0 {
				c.written[name] = true
			}
		}
	}
	return nil
}

func (c *comparison) refuse(topic, remedy, format string, args ...any) {
	c.plan.Refused = append(c.plan.Refused, Refusal{Topic: topic, What: fmt.Sprintf(format, args...), Remedy: remedy})
}

func (c *comparison) create(ctx context.Context, t topology.GraphTopic) error {
	create := Create{Topic: t.Name, Partitions: t.Partitions, ReplicationFactor: c.r.Factor, Configs: t.Configs}
	answers, err := c.adm.ValidateCreateTopics(ctx, int32(create.Partitions), int16(create.ReplicationFactor), pointers(create.Configs), t.Name)
	if err != nil {
		return fmt.Errorf("apply: the brokers cannot be asked whether topic %s can be made: %w", t.Name, err)
	}
	if a, err := answers.On(t.Name, nil); err != nil {
		return fmt.Errorf("apply: the brokers did not answer whether topic %s can be made: %w", t.Name, err)
	} else if a.Err != nil {
		remedy := "Correct the topic's settings."
		switch {
		case errors.Is(a.Err, kerr.InvalidReplicationFactor):
			remedy = "Start more brokers, or lower kafka.replication_factor."
		case errors.Is(a.Err, kerr.TopicAuthorizationFailed), errors.Is(a.Err, kerr.ClusterAuthorizationFailed):
			remedy = "Allow this user to create topics."
		}
		c.refuse(t.Name, remedy, "cannot be made: %s", brokersWords(a.Err, a.ErrMessage))
		return nil
	}
	c.plan.Create = append(c.plan.Create, create)
	return nil
}

// brokersWords are the broker's explanation where it gave one.
func brokersWords(err error, message string) string {
	var code *kerr.Error
	if message != "" && errors.As(err, &code) {
		return code.Message + ": " + message
	}
	return err.Error()
}

func (c *comparison) compare(t topology.GraphTopic) {
	before := len(c.plan.Change) + len(c.plan.Grow) + len(c.plan.Refused)
	have, written := c.have[t.Name], c.written[t.Name]
	switch n := have.partitions; {
	case n == t.Partitions:
	case written:
		c.refuse(t.Name, fmt.Sprintf("Set the partition count to %d, or move to a new topic prefix and replay.", n),
			"it has %d partitions, %d are wanted, and it has had records: their keys would part from their state", n, t.Partitions)
	case n > t.Partitions:
		c.refuse(t.Name, "Kafka cannot take partitions away. It has never had a record: delete it by hand, then apply again.",
			"it has %d partitions, %d are wanted", n, t.Partitions)
	default:
		c.plan.Grow = append(c.plan.Grow, Grow{t.Name, n, t.Partitions})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		from, to := c.configs[t.Name][name], t.Configs[name]
		if from == to {
			continue
		}
		if why := loses(name, from, to); why != "" && written {
			c.refuse(t.Name, "If that is meant, set it by hand (kafka-configs.sh --alter --entity-type topics), then apply again.",
				"%s is %s, %s is wanted: %s", name, from, to, why)
			continue
		}
		c.plan.Change = append(c.plan.Change, Change{t.Name, name, from, to})
	}
	if have.copies != c.r.Factor {
		c.plan.Warnings = append(c.plan.Warnings, Refusal{t.Name, fmt.Sprintf("it has %d copies, %d are wanted", have.copies, c.r.Factor),
			"Reassign its partitions: kafka-reassign-partitions.sh."})
	}
	if before == len(c.plan.Change)+len(c.plan.Grow)+len(c.plan.Refused) {
		c.plan.AsWanted = append(c.plan.AsWanted, t.Name)
	}
}

// loses says what a change would make the broker delete, "" for nothing.
func loses(name, from, to string) string {
	switch name {
	case "cleanup.policy":
		switch {
		case !strings.Contains(from, "compact") && strings.Contains(to, "compact"):
			return "it would delete all but the newest record of each key"
		case !strings.Contains(from, "delete") && strings.Contains(to, "delete"):
			return "it would delete keys that have not changed within the retention"
		}
	case "retention.ms":
		have, err1 := strconv.ParseInt(from, 10, 64)
		want, err2 := strconv.ParseInt(to, 10, 64)
		if err1 == nil && err2 == nil && want >= 0 && (have < 0 || want < have) {
			return "it would delete records between the two ages"
		}
	}
	return ""
}

func pointers(configs map[string]string) map[string]*string {
	m := make(map[string]*string, len(configs))
	for k, v := range configs {
		m[k] = &v
	}
	return m
}
