package send

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/serde"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/pace"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

func retailer(t testing.TB, segments ...pace.Segment) *scans.Generator {
	t.Helper()
	plan, err := pace.New(segments...)
	if err != nil {
		t.Fatal(err)
	}
	load := scans.DefaultLoad(5)
	load.SKUs, load.Sites, load.BusySites, load.Run, load.Pace = 500, 20, 4, "r1", plan
	load.Poison, load.Duplicates, load.Devices = 0.02, 0.05, 100
	load.Snapshots.Every = time.Second
	load.Start = time.Now()
	g, err := scans.NewRetailer(load)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var naming = topics.Naming{Prefix: "test."}

func retailBroker(t testing.TB) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	var names []string
	for _, row := range topics.All() {
		names = append(names, naming.Topic(row.ID))
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, names...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

// bytesOnTopics counts the records of each topic by key and value.
func bytesOnTopics(t *testing.T, kafka []kgo.Opt) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, row := range topics.All() {
		err := committed.Read(t.Context(), kafka, naming.Topic(row.ID), func(r *kgo.Record) error {
			found[row.Name+"\x00"+string(r.Key)+"\x00"+string(r.Value)]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// bytesReplayed is what bytesOnTopics must find.
func bytesReplayed(t *testing.T, l *Log) map[string]int {
	t.Helper()
	made, s := map[string]int{}, serde.Local()
	err := l.ReplayFrom(func(g *scans.Generator, scan *scans.Scan) error {
		made[scan.Topic.String()+"\x00"+string(g.AppendKey(nil))+"\x00"+string(g.AppendValue(nil, s))]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestEachEventGoesToItsTopicAsThePlanHasIt(t *testing.T) {
	_, kafka := retailBroker(t)
	g := retailer(t, pace.Segment{For: 500 * time.Millisecond, From: 0, To: 8000}, pace.Segment{For: 500 * time.Millisecond, From: 8000, To: 8000},
		pace.Segment{For: 200 * time.Millisecond}, pace.Segment{For: 100 * time.Millisecond, From: 20_000, To: 20_000})
	plan := g.Load().Pace
	var made []time.Time
	settled := map[int64]time.Time{}
	var early, unordered int
	l, err := Run(t.Context(), g, Options{
		Kafka: kafka, Serde: serde.Local(), Naming: naming, Paced: true,
		Made: func(s *scans.Scan, intended time.Time) {
			if s.Seq != int64(len(made)) {
				unordered++
			}
			if time.Now().Before(intended) {
				early++
			}
			made = append(made, intended)
		},
		Settled: func(seq int64, intended, at time.Time, err error) {
			if err != nil || at.Before(intended) || !settled[seq].IsZero() {
				t.Errorf("event %d settled at %v, intended for %v: %v", seq, at, intended, err)
			}
			settled[seq] = intended
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := plan.Count()
	if l.Made != n || l.Acknowledged() != n || l.Planned != n || int64(len(made)) != n || int64(len(settled)) != n || early > 0 || unordered > 0 {
		t.Errorf("planned %d: %d made, %d told, %d settled, %d before their time, %d out of order", n, l.Made, len(made), len(settled), early, unordered)
	}
	for seq, at := range made {
		want := l.Began.Add(plan.At(int64(seq)))
		if off := want.Sub(at).Abs(); off >= time.Microsecond || settled[int64(seq)] != at {
			t.Fatalf("event %d intended for %v, told as settled with %v, planned for %v", seq, at, settled[int64(seq)], want)
		}
	}
	if l.Ended.Sub(l.Began) < plan.At(n-1) {
		t.Errorf("the run took %v, and its last event is due after %v", l.Ended.Sub(l.Began), plan.At(n-1))
	}
	same(t, bytesReplayed(t, l), bytesOnTopics(t, kafka))
	sent := l.Sent()
	for _, kind := range []string{"pick", "milestone", "order", "item", "snapshot"} {
		if sent.Kinds[kind] == 0 {
			t.Errorf("no %s: %v", kind, sent.Kinds)
		}
	}
	total := func(counts map[string]int64) (sum int64) {
		for _, c := range counts {
			sum += c
		}
		return sum
	}
	if total(sent.Kinds) != n || total(sent.Copies) != n || len(sent.Poison) < 5 || sent.Planned != n || sent.Late == 0 {
		t.Errorf("sent %+v", sent)
	}
	var sum int64
	for _, counts := range l.partitions {
		for _, n := range counts {
			sum += n
		}
	}
	if sum != n || l.Topics()[0] != naming.Topic(topics.Movements) || len(l.Topics()) != 5 {
		t.Errorf("%d on topics %v", sum, l.Topics())
	}
}

func TestWhatIsUnknownIsLookedUpOnEveryTopic(t *testing.T) {
	cluster, kafka := retailBroker(t)
	givenUp := make(chan struct{})
	requests := 0
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if requests++; requests > 5 {
			cluster.SleepControl(func() { <-givenUp })
		}
		return nil, nil, false
	})
	g := retailer(t, pace.Segment{For: time.Second, From: 3000, To: 3000})
	l, err := Run(t.Context(), g, Options{
		Kafka: append(kafka, kgo.ProducerBatchMaxBytes(2048)), Serde: serde.Local(), Naming: naming, InFlight: 3000, Grace: 300 * time.Millisecond,
	})
	close(givenUp)
	if err == nil || l.Unknown() == 0 {
		t.Fatalf("%v, %d unknown", err, l.Unknown())
	}
	before := l.Acknowledged()
	var there map[string]int
	for was := -1; was != len(there) || l.Acknowledged() == before; { // the broker may still be at it
		was = len(there)
		there = bytesOnTopics(t, kafka)
		if err := l.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, bytesReplayed(t, l), there)
}

func TestLatenessIsPutDownToTheTool(t *testing.T) {
	_, kafka := broker(t)
	load := scans.DefaultLoad(3)
	load.SKUs, load.Rate = 1000, 50_000_000 // more than any core makes
	g, err := scans.NewEnriched(load)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	l, err := Run(t.Context(), g, Options{Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: n, Paced: true, InFlight: n})
	if err != nil {
		t.Fatal(err)
	}
	if l.LateByTool < n/10 || l.LateByBroker != 0 || l.LateByTool != l.Late || l.LateMostByTool != l.LateMost || !strings.Contains(l.Bottleneck(), "did not keep its own pace") {
		t.Errorf("late %d: %d by the tool, %d by the broker; bottleneck %q", l.Late, l.LateByTool, l.LateByBroker, l.Bottleneck())
	}
}

func TestLatenessIsPutDownToASlowBroker(t *testing.T) {
	cluster, kafka := broker(t)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		cluster.SleepControl(func() { <-time.After(20 * time.Millisecond) })
		return nil, nil, false
	})
	const n = 2000
	l, err := Run(t.Context(), generator(t, 20_000), Options{
		Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: n, Paced: true, InFlight: 50,
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.LateByBroker < n/2 || l.LateByTool > l.LateByBroker/5 { // a busy machine may hold up the tool too
		t.Errorf("late %d: %d by the tool, %d by the broker", l.Late, l.LateByTool, l.LateByBroker)
	}
	if len(l.Outages()) != 0 {
		t.Errorf("a slow broker is not away: %v", l.Outages())
	}
}

func TestARunToTopicsThatAreNotThereIsRefused(t *testing.T) {
	_, kafka := broker(t)
	g := retailer(t, pace.Segment{For: time.Second, From: 100, To: 100})
	l, err := Run(t.Context(), g, Options{Kafka: kafka, Serde: serde.Local(), Naming: naming, Paced: true})
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || l != nil {
		t.Fatalf("%v", err)
	}
	for _, id := range []topics.ID{topics.Movements, topics.ShipmentsInbox, topics.OrdersInbox, topics.Items, topics.InventoryInbox} {
		if !strings.Contains(err.Error(), naming.Topic(id)) {
			t.Errorf("%s is not named: %v", naming.Topic(id), err)
		}
	}
}

func TestCalibrateMeasuresAndMovesNothing(t *testing.T) {
	g := generator(t, 1000)
	rate, err := Calibrate(t.Context(), g, serde.Local(), 20*time.Millisecond)
	if err != nil || rate < 1000 {
		t.Errorf("%v a second, %v", rate, err)
	}
	if s := g.Next(); s.Seq != 0 {
		t.Errorf("the generator stands at %d", s.Seq)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Calibrate(ctx, g, serde.Local(), time.Hour); !errors.Is(err, stop) {
		t.Errorf("the error is %v", err)
	}
}
