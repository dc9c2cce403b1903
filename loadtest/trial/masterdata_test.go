package trial

import (
	"context"
	"errors"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A desk stands for the enrich stage: it sends each movement on as its rule says.
type desk struct {
	m    *master
	rule func(m *event.InventoryMovement) (pass, waited bool)
	// Of each kind that went by.
	direct, late map[string]int
}

func newDesk(t *testing.T, partitions int32) *desk {
	t.Helper()
	d := &desk{
		m:      &master{kafka: []kgo.Opt{kgo.SeedBrokers(testservices.Broker(t))}, serde: serde.Local(), naming: topics.Naming{Prefix: "x."}},
		direct: map[string]int{}, late: map[string]int{},
	}
	client, err := kgo.NewClient(d.m.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, id := range []topics.ID{topics.Items, topics.Sites, topics.Movements, topics.InventoryInbox} {
		if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, nil, d.m.naming.Topic(id)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// run works until stop is called, or the test ends.
func (d *desk) run(t *testing.T) (stop func()) {
	t.Helper()
	client, err := kgo.NewClient(append(d.m.kafka, kgo.ConsumeTopics(d.m.naming.Topic(topics.Movements)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				var m event.InventoryMovement
				if err := d.m.serde.Decode(r.Value, &m); err != nil {
					t.Error(err)
					return
				}
				pass, waited := d.rule(&m)
				if !pass {
					return
				}
				way := m.Header.EventID[:strings.LastIndexByte(m.Header.EventID, ' ')]
				if waited {
					d.late[way]++
					m.Header.RawRef = event.Some("x.movements/0/1")
				} else {
					d.direct[way]++
				}
				client.Produce(ctx, &kgo.Record{Topic: d.m.naming.Topic(topics.InventoryInbox), Value: d.m.serde.Append(nil, &m)}, nil)
			})
		}
	})
	stop = func() { cancel(); working.Wait(); client.Close() }
	t.Cleanup(stop)
	return stop
}

// A movement that waited for its item came out because somebody else knew the item later: the task that sent it to wait did
// not.
func TestMasterDataIsKnownOnceEveryTaskResolvesItAtOnce(t *testing.T) {
	d := newDesk(t, 2)
	d.rule = func(m *event.InventoryMovement) (pass, waited bool) {
		if m.QtySrc != 0 || m.QtyDelta != 0 {
			t.Errorf("a canary moves %v", m.QtySrc)
		}
		return true, strings.HasSuffix(m.Header.EventID, " 0") // the first round comes before the tables do
	}
	stop := d.run(t)
	if err := d.m.publish(t.Context(), "RUN-00", some(3), someSites(2)); err != nil {
		t.Fatal(err)
	}
	if err := d.m.known(t.Context(), "RUN-00", byTopic{}); err != nil {
		t.Fatal(err)
	}
	stop()
	if len(d.late) != 4 || len(d.direct) != 4 { // 2 tasks, 2 canaries each
		t.Errorf("%v waited and %v came at once, want each way of each", d.late, d.direct)
	}
}

func TestStagesThatDoNotWorkWithTheMasterDataAreNamed(t *testing.T) {
	d := newDesk(t, 2)
	d.rule = func(m *event.InventoryMovement) (pass, waited bool) {
		return m.SKU == canary("RUN-00", 0), false // the table lacks a partition
	}
	d.run(t)
	if err := d.m.publish(t.Context(), "RUN-00", some(3), someSites(2)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errors.New("not within half a second"))
	defer cancel()
	err := d.m.known(ctx, "RUN-00", byTopic{})
	var unknown *masterDataError
	if !errors.As(err, &unknown) || unknown.arrived != 2 || unknown.sent != 4 || !strings.Contains(err.Error(), "2 of 4 trial movements") || !strings.Contains(err.Error(), "crossdock run enrich") {
		t.Errorf("%v", err)
	}
}

func TestMasterDataThatIsTakenBackLeavesNothing(t *testing.T) {
	d := newDesk(t, 3)
	if err := d.m.publish(t.Context(), "RUN-00", some(20), someSites(2)); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		kept := map[string]bool{}
		for _, id := range []topics.ID{topics.Items, topics.Sites} {
			err := committed.Read(t.Context(), d.m.kafka, d.m.naming.Topic(id), func(r *kgo.Record) error {
				kept[id.String()+string(r.Key)] = r.Value != nil
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		maps.DeleteFunc(kept, func(_ string, there bool) bool { return !there })
		return len(kept)
	}
	if n := left(); n != 20+2+3+3 {
		t.Errorf("%d records stand, want items, sites and a canary for each partition", n)
	}
	if err := d.m.retract(t.Context(), "RUN-00", some(20), someSites(2)); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d records stand", n)
	}
}

func some(n int) iter.Seq[*event.ItemMaster] {
	return func(yield func(*event.ItemMaster) bool) {
		for i := range n {
			if !yield(&event.ItemMaster{SKU: "RUN-00-" + string(rune('A'+i)), BaseUOM: "EA"}) {
				return
			}
		}
	}
}

func someSites(n int) iter.Seq[*event.SiteMaster] {
	return func(yield func(*event.SiteMaster) bool) {
		for i := range n {
			if !yield(&event.SiteMaster{Site: "RUN-00-" + string(rune('A'+i))}) {
				return
			}
		}
	}
}

// A stage whose tables lag parks canaries. They are no events of the load, so none of them is an event that came out where
// it must not.
func TestACanaryThatWaitedIsNoEventOfTheLoad(t *testing.T) {
	const space = "MWUV1Y1U-00"
	f := &flock{master: &master{serde: serde.Local()}, space: space, items: 2, sites: 3, open: map[flight]bool{{0, 0}: true, {1, 1}: true, {1, 2}: true}}
	check := oracle.New(oracle.Options{Runs: []string{space}}).Elsewhere(oracle.Parked, 0)
	for _, c := range f.canaries(0) {
		check.Parked(&event.ParkedEvent{
			EventID: c.movement.Header.EventID, Missing: event.MissingKindItem, Code: c.movement.SKU, Event: f.serde.Append(nil, c.movement),
		})
	}
	if found := check.Finding(); !found.OK() || found.Foreign != 3 {
		t.Errorf("%d of 3 are of no run: %v", found.Foreign, found.Differences)
	}
}
