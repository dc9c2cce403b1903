package watch

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/internal/testservices"
)

const topic = "inbox"

type rig struct {
	t       *testing.T
	topic   string
	cluster *kfake.Cluster // nil: real Kafka
	kafka   []kgo.Opt
	plain   *kgo.Client
	admin   *kadm.Client
	txn     *kgo.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return newRigOn(t, topic, c, c.ListenAddrs()...)
}

func newRigOn(t *testing.T, topic string, c *kfake.Cluster, addrs ...string) *rig {
	t.Helper()
	r := &rig{t: t, topic: topic, cluster: c, kafka: []kgo.Opt{kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner())}}
	client := func(more ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(append([]kgo.Opt(nil), r.kafka...), more...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	r.plain, r.txn = client(), client(kgo.TransactionalID(topic))
	r.admin = kadm.NewClient(r.plain)
	return r
}

// transaction writes n records onto partition 0, and its marker behind them.
func (r *rig) transaction(how kgo.TransactionEndTry, n int) {
	r.t.Helper()
	if err := r.txn.BeginTransaction(); err != nil {
		r.t.Fatal(err)
	}
	r.produce(r.txn, 0, n)
	if err := r.txn.EndTransaction(r.t.Context(), how); err != nil {
		r.t.Fatal(err)
	}
	// Kafka answers before the marker stands in the log, and until then the log's stable end lies before its end.
	for {
		stable, err1 := r.admin.ListCommittedOffsets(r.t.Context(), r.topic)
		end, err2 := r.admin.ListEndOffsets(r.t.Context(), r.topic)
		if err := errors.Join(err1, err2); err != nil {
			r.t.Fatal(err)
		}
		s, _ := stable.Lookup(r.topic, 0)
		e, _ := end.Lookup(r.topic, 0)
		if s.Offset == e.Offset {
			return
		}
	}
}

func (r *rig) produce(c *kgo.Client, partition int32, n int) {
	r.t.Helper()
	for range n {
		if err := c.ProduceSync(r.t.Context(), &kgo.Record{Topic: r.topic, Partition: partition, Value: []byte("v")}).FirstErr(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) commit(group string, partition int32, offset int64) {
	r.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(r.topic, partition, offset, -1)
	if err := r.admin.CommitAllOffsets(r.t.Context(), group, offsets); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) watch(names ...string) *Watch {
	r.t.Helper()
	w, err := Start(r.t.Context(), Options{Kafka: r.kafka, Groups: names, Every: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { w.Stop(context.Background()) })
	return w
}

func (r *rig) lag(w *Watch) map[string]int64 {
	w.look(r.t.Context())
	behind, _ := w.Lag()
	return behind
}

func (r *rig) want(w *Watch, why string, want map[string]int64) {
	r.t.Helper()
	if got := r.lag(w); !reflect.DeepEqual(got, want) {
		r.t.Errorf("%s: %v, want %v", why, got, want)
	}
}

func TestAGroupThatDoesNotExistYetHasNoLag(t *testing.T) {
	r := newRig(t)
	r.produce(r.plain, 0, 5)
	r.produce(r.plain, 1, 3)
	w := r.watch("inventory", "sink")
	r.want(w, "nobody has committed", map[string]int64{})
	r.commit("inventory", 0, 4)
	r.want(w, "a partition that is not committed will be read from its start", map[string]int64{"inventory": 4})
	r.commit("inventory", 1, 3)
	r.commit("sink", 0, 5)
	r.want(w, "each for itself", map[string]int64{"inventory": 1, "sink": 3})
	if n := w.Notes(); len(n) != 0 {
		t.Errorf("%q", n)
	}
}

// A topic that is written in transactions ends with markers, which no group commits: a group that has read all is behind
// by nothing.
func TestMarkersAtTheEndAreNoLag(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		topic, inventory, other := c.Prefix+"inbox", c.Prefix+"inventory", c.Prefix+"other"
		r := newRigOn(t, topic, nil, c.Addr)
		if _, err := r.admin.CreateTopic(t.Context(), 2, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := r.admin.DeleteTopic(context.Background(), topic); err != nil {
				t.Error(err)
			}
		})
		r.transaction(kgo.TryCommit, 3) // 0 to 2, marker 3
		r.transaction(kgo.TryAbort, 2)  // 4 to 5, marker 6
		w := r.watch(inventory, other)
		r.commit(inventory, 0, 3)
		r.commit(other, 0, 1)
		r.want(w, "while it moves, offsets count", map[string]int64{inventory: 4, other: 6})
		r.want(w, "when it stands still, records count", map[string]int64{inventory: 0, other: 2})
		r.want(w, "as long as it does", map[string]int64{inventory: 0, other: 2})
		r.transaction(kgo.TryCommit, 1) // 7, marker 8
		r.want(w, "something new", map[string]int64{inventory: 6, other: 8})
		r.want(w, "is counted", map[string]int64{inventory: 1, other: 3})
		r.commit(inventory, 0, 8)
		r.lag(w)
		r.want(w, "it has come to the end", map[string]int64{inventory: 0, other: 3})
	})
}

func TestABrokerThatIsAwayIsAGap(t *testing.T) {
	r := newRig(t)
	r.produce(r.plain, 0, 5)
	r.commit("inventory", 0, 2)
	w := r.watch("inventory")
	r.want(w, "before", map[string]int64{"inventory": 3})
	var away atomic.Bool
	away.Store(true)
	for _, key := range []kmsg.Key{kmsg.OffsetFetch, kmsg.ListOffsets} {
		r.cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			return nil, errors.New("away"), away.Load()
		})
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("away"))
	defer cancel()
	if behind, err := w.groups.lag(ctx); len(behind) != 0 || err == nil {
		t.Errorf("%v, %v: what is not known is not zero", behind, err)
	}
	away.Store(false)
	r.want(w, "after", map[string]int64{"inventory": 3})
}

func TestFaultsOfGroupsAreNoted(t *testing.T) {
	r := newRig(t)
	w := r.watch("inventory")
	w.mu.Lock()
	w.failed("the consumer groups", errors.New("unable to dial"))
	w.mu.Unlock()
	if n := w.Notes(); len(n) != 1 || !strings.Contains(n[0], "the consumer groups could not be looked at 1 times") {
		t.Errorf("%q", n)
	}
}
