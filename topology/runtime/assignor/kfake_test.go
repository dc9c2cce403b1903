package assignor

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An ownership counts what kgo's callbacks say: who may work on which partition right now.
type ownership struct {
	t *testing.T

	mu      sync.Mutex
	owners  map[int32]string
	changed chan struct{}
}

func (o *ownership) assigned(id string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, p := range got["inbox"] {
			if other := o.owners[p]; other != "" {
				o.t.Errorf("partition %d is given to %s while %s has it", p, id, other)
			}
			o.owners[p] = id
		}
		o.tell()
	}
}

func (o *ownership) revoked(id string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, p := range lost["inbox"] {
			if o.owners[p] != id {
				o.t.Errorf("partition %d is revoked from %s, but %q has it", p, id, o.owners[p])
			}
			delete(o.owners, p)
		}
		o.tell()
	}
}

func (o *ownership) tell() {
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// await returns once the counts per owner, sorted, are those given.
func (o *ownership) await(ctx context.Context, want ...int) {
	o.t.Helper()
	for {
		o.mu.Lock()
		byOwner := map[string]int{}
		for _, id := range o.owners {
			byOwner[id]++
		}
		owners := fmt.Sprint(o.owners)
		o.mu.Unlock()
		var got []int
		for _, n := range byOwner {
			got = append(got, n)
		}
		slices.Sort(got)
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-o.changed:
		case <-ctx.Done():
			o.t.Fatalf("owners are %s, want counts %v", owners, want)
		}
	}
}

// Real clients of a broker's group: members come and go, each partition has one owner at any time, and what need not move
// stays.
func TestClientsShareAGroup(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(7, "inbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	o := &ownership{t: t, owners: map[int32]string{}, changed: make(chan struct{}, 1)}
	start := func(id string) *kgo.Client {
		cl, err := kgo.NewClient(
			kgo.SeedBrokers(cluster.ListenAddrs()...),
			kgo.ConsumerGroup("app"), kgo.ConsumeTopics("inbox"),
			kgo.Balancers(New(id)),
			kgo.HeartbeatInterval(50*time.Millisecond),
			kgo.OnPartitionsAssigned(o.assigned(id)),
			kgo.OnPartitionsRevoked(o.revoked(id)),
			kgo.OnPartitionsLost(o.revoked(id)),
		)
		if err != nil {
			t.Fatal(err)
		}
		return cl
	}
	a := start("a")
	defer a.Close()
	o.await(ctx, 7)
	b := start("b")
	o.await(ctx, 3, 4)
	c := start("c")
	defer c.Close()
	o.await(ctx, 2, 2, 3)
	b.Close()
	o.await(ctx, 3, 4)
}
