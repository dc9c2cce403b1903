package apply_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"crossdock/internal/testservices"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/apply"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a broker and a small pipeline whose names are this test's.
type rig struct {
	*testing.T
	ctx    context.Context
	client *kgo.Client
	adm    *kadm.Client
	want   []topology.GraphTopic
}

func newRig(t *testing.T, c testservices.Cluster) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	g, err := topology.NewGraph([]topology.Stage{{
		Name: "inventory", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances},
		Stores: []topology.Store{{Name: "stock"}}, New: func() processors.Processor { return nil },
	}}, topology.Params{Naming: topics.Naming{Prefix: c.Prefix}, AppPrefix: c.Prefix, Partitions: 3, Sources: []string{"acme"}})
	if err != nil {
		t.Fatal(err)
	}
	// Three of every kind are enough: real brokers take a while to make a topic.
	var want []topology.GraphTopic
	for _, topic := range g.Topics {
		switch strings.TrimPrefix(topic.Name, c.Prefix) {
		case "items", "inventory-inbox", "dead-letters", "raw.acme", "inventory-stock-changelog":
			want = append(want, topic)
		}
	}
	if len(want) != 5 {
		t.Fatalf("topics are %v", want)
	}
	r := &rig{T: t, ctx: ctx, client: client, adm: kadm.NewClient(client), want: want}
	t.Cleanup(func() { // the broker is shared
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, w := range want {
			_, _ = r.adm.DeleteTopics(ctx, w.Name)
		}
	})
	return r
}

func (r *rig) plan() *apply.Plan {
	r.Helper()
	p, err := apply.Compute(r.ctx, r.client, r.want, apply.Replication{Factor: 1, MinInsync: 1})
	if err != nil {
		r.Fatal(err)
	}
	return p
}

func (r *rig) apply(p *apply.Plan) {
	r.Helper()
	if err := p.Apply(r.ctx, r.client, nil); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) topic(suffix string) *topology.GraphTopic {
	r.Helper()
	for i := range r.want {
		if strings.HasSuffix(r.want[i].Name, suffix) {
			return &r.want[i]
		}
	}
	r.Fatalf("no topic %s", suffix)
	return nil
}

func (r *rig) produce(topic string) {
	r.Helper()
	record := &kgo.Record{Topic: topic, Partition: 1, Key: []byte("k"), Value: []byte("v")}
	if err := r.client.ProduceSync(r.ctx, record).FirstErr(); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) config(topic, name string) string {
	r.Helper()
	configs, err := r.adm.DescribeTopicConfigs(r.ctx, topic)
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range configs[0].Configs {
		if c.Key == name {
			return c.MaybeValue()
		}
	}
	return ""
}

func text(t *testing.T, p *apply.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Text(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFirstApplyMakesEverythingAndTheSecondNothing(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		p := r.plan()
		if len(p.Create) != 5 || p.Empty() {
			t.Fatal(text(t, p))
		}
		if again := r.plan(); !reflect.DeepEqual(p, again) {
			t.Errorf("making a plan has changed something:\n%s", text(t, again))
		}
		var steps []string
		if err := p.Apply(r.ctx, r.client, func(s string) { steps = append(steps, s) }); err != nil {
			t.Fatal(err)
		}
		if len(steps) != 5 || !strings.HasPrefix(steps[0], "create "+c.Prefix+"items: 4 partitions, 1 copies, cleanup.policy=compact") {
			t.Errorf("steps are %q", steps)
		}
		details, err := r.adm.ListTopics(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range r.want {
			if n := len(details[w.Name].Partitions); n != w.Partitions {
				t.Errorf("%s has %d partitions, wanted are %d", w.Name, n, w.Partitions)
			}
			for name, value := range w.Configs {
				if got := r.config(w.Name, name); got != value {
					t.Errorf("%s: %s is %q, wanted is %q", w.Name, name, got, value)
				}
			}
		}
		p = r.plan()
		if !p.Empty() || len(p.AsWanted) != 5 || text(t, p) != "Nothing to do: 5 topics are as wanted.\n" {
			t.Error(text(t, p))
		}
	})
}

func TestChangedSettingsAreSetAndForeignOnesStay(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		r.apply(r.plan())
		inbox := r.topic("inventory-inbox")
		foreign := "3600000"
		if _, err := r.adm.AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "segment.ms", Value: &foreign}}, inbox.Name); err != nil {
			t.Fatal(err)
		}
		inbox.Configs["retention.ms"] = "1209600000"
		p := r.plan()
		want := []apply.Change{{Topic: inbox.Name, Config: "retention.ms", From: "604800000", To: "1209600000"}}
		if !slices.Equal(p.Change, want) || len(p.AsWanted) != 4 {
			t.Fatal(text(t, p))
		}
		r.apply(p)
		if got := r.config(inbox.Name, "retention.ms"); got != "1209600000" {
			t.Errorf("retention.ms is %s", got)
		}
		if got := r.config(inbox.Name, "segment.ms"); got != foreign {
			t.Errorf("segment.ms is %s", got)
		}
		if p := r.plan(); !p.Empty() {
			t.Error(text(t, p))
		}
	})
}

// Keys of a topic that has had records would part from their state: the count is refused and nothing else is done.
func TestPartitionCountOfATopicWithRecordsIsRefused(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		r.apply(r.plan())
		inbox := r.topic("inventory-inbox")
		r.produce(inbox.Name)
		inbox.Partitions = 6
		r.topic("items").Configs["min.compaction.lag.ms"] = "7200000"
		p := r.plan()
		if len(p.Refused) != 1 || p.Refused[0].Topic != inbox.Name || len(p.Change) != 1 || len(p.Grow) != 0 {
			t.Fatal(text(t, p))
		}
		var refused *apply.RefusedError
		if err := p.Apply(r.ctx, r.client, nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), "3 partitions, 6 are wanted") {
			t.Fatalf("the error is %v", err)
		}
		if got := r.config(r.topic("items").Name, "min.compaction.lag.ms"); got != "3600000" {
			t.Errorf("a step of a plan with refusals was done: %s", got)
		}
		inbox.Partitions = 2
		if p := r.plan(); len(p.Refused) != 1 {
			t.Error(text(t, p))
		}
	})
}

func TestTopicWithoutRecordsGrowsUnlessItGetsSome(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		r.apply(r.plan())
		inbox := r.topic("inventory-inbox")
		inbox.Partitions = 5
		p := r.plan()
		if len(p.Grow) != 1 || p.Grow[0] != (apply.Grow{Topic: inbox.Name, From: 3, To: 5}) {
			t.Fatal(text(t, p))
		}
		r.apply(p)
		inbox.Partitions = 7
		p = r.plan()
		if len(p.Grow) != 1 {
			t.Fatal(text(t, p))
		}
		r.produce(inbox.Name)
		if err := p.Apply(r.ctx, r.client, nil); !errors.Is(err, apply.ErrChanged) {
			t.Errorf("the topic got a record since the plan was made; the error is %v", err)
		}
		inbox.Partitions = 5
		if p := r.plan(); !p.Empty() {
			t.Error(text(t, p))
		}
	})
}

// A shorter retention or another cleanup policy deletes what is there.
func TestNoSettingDeletesRecords(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		r.apply(r.plan())
		inbox, items := r.topic("inventory-inbox"), r.topic("items")
		inbox.Configs["retention.ms"] = "60000"
		items.Configs["cleanup.policy"] = "delete"
		if p := r.plan(); len(p.Refused) != 0 || len(p.Change) != 2 {
			t.Errorf("topics without records: %s", text(t, p))
		}
		r.produce(inbox.Name)
		r.produce(items.Name)
		p := r.plan()
		if len(p.Refused) != 2 || len(p.Change) != 0 {
			t.Error(text(t, p))
		}
		for _, want := range []string{"retention.ms is 604800000, 60000 is wanted", "cleanup.policy is compact, delete is wanted"} {
			if !strings.Contains(text(t, p), want) {
				t.Errorf("the plan does not say %q:\n%s", want, text(t, p))
			}
		}
	})
}

// The broker is asked while planning: a dry run tells what the real one would meet.
func TestDryRunTellsWhatTheBrokerWouldRefuse(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		p, err := apply.Compute(r.ctx, r.client, r.want, apply.Replication{Factor: 5, MinInsync: 3})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Refused) != 5 || !strings.Contains(text(t, p), "Start more brokers") {
			t.Error(text(t, p))
		}
	})
}

func TestTopicThatAppearedSinceThePlanIsToldApart(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		r := newRig(t, c)
		p := r.plan()
		r.apply(p)
		if err := p.Apply(r.ctx, r.client, nil); !errors.Is(err, apply.ErrChanged) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestTooFewCopiesAreRemarkedOnly(t *testing.T) {
	c := testservices.Cluster{Addr: testservices.Broker(t), Prefix: testservices.Prefix(t)}
	r := newRig(t, c)
	r.apply(r.plan())
	p, err := apply.Compute(r.ctx, r.client, r.want, apply.Replication{Factor: 3, MinInsync: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings) != 5 || len(p.Refused) != 0 || len(p.Change) != 5 {
		t.Error(text(t, p))
	}
	if _, err := apply.Compute(r.ctx, r.client, r.want, apply.Replication{Factor: 1, MinInsync: 2}); err == nil {
		t.Error("more copies in sync than there are pass")
	}
}

func TestPlanIsJSON(t *testing.T) {
	p := &apply.Plan{Create: []apply.Create{{Topic: "a", Partitions: 3, ReplicationFactor: 1, Configs: map[string]string{"x": "<y>"}}}, Change: []apply.Change{}}
	var b bytes.Buffer
	if err := p.JSON(&b); err != nil {
		t.Fatal(err)
	}
	var back apply.Plan
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, p) {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestBrokerThatIsAwayIsAnError(t *testing.T) {
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.RequestRetries(0), kgo.RetryTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = apply.Compute(context.Background(), client, []topology.GraphTopic{{Name: "x", Partitions: 1}}, apply.Replication{Factor: 1, MinInsync: 1})
	if err == nil || !strings.Contains(fmt.Sprint(err), "cannot be asked") {
		t.Errorf("the error is %v", err)
	}
}

// The controller acknowledges a setting before a broker has read it from the log: Apply waits for the broker.
func TestApplyReturnsWhenTheBrokerShowsTheSetting(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := newRig(t, testservices.Cluster{Addr: cluster.ListenAddrs()[0], Prefix: "late."})
	r.apply(r.plan())
	inbox := r.topic("inventory-inbox")
	before := inbox.Configs["retention.ms"]
	inbox.Configs["retention.ms"] = "1209600000"
	p := r.plan()
	late := 3
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if late == 0 {
			return nil, nil, false
		}
		late--
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		resource := kmsg.NewDescribeConfigsResponseResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, inbox.Name
		config := kmsg.NewDescribeConfigsResponseResourceConfig()
		config.Name, config.Value = "retention.ms", &before
		resource.Configs = append(resource.Configs, config)
		resp.Resources = append(resp.Resources, resource)
		return resp, nil, true
	})
	r.apply(p)
	if got := r.config(inbox.Name, "retention.ms"); got != "1209600000" || late != 0 {
		t.Errorf("after Apply the broker shows %s, and %d old answers are left", got, late)
	}
}
