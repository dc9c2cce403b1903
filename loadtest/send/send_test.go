package send

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/scans"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "inventory-inbox"

func broker(t testing.TB) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

func generator(t testing.TB, rate int) *scans.Generator {
	t.Helper()
	l := scans.DefaultLoad(7)
	l.SKUs, l.Rate, l.Duplicates = 1000, rate, 0.1
	g, err := scans.NewEnriched(l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// onTopic counts the event ids that a topic holds.
func onTopic(t *testing.T, kafka []kgo.Opt) map[string]int {
	t.Helper()
	ids := map[string]int{}
	s := serde.Local()
	err := committed.Read(t.Context(), kafka, topic, func(r *kgo.Record) error {
		var m event.InventoryMovement
		if err := s.Decode(r.Value, &m); err != nil {
			return err
		}
		ids[m.Header.EventID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// replayed counts the event ids that a log says the broker has.
func replayed(t *testing.T, l *Log) map[string]int {
	t.Helper()
	ids := map[string]int{}
	err := l.Replay(func(s *scans.Scan) error {
		ids[string([]byte(s.Movement.Header.EventID))]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func same(t *testing.T, log, topic map[string]int) {
	t.Helper()
	for id, n := range topic {
		if log[id] != n {
			t.Fatalf("event %q is %d times on the topic, and %d times in the log", id, n, log[id])
		}
	}
	if len(log) != len(topic) {
		t.Fatalf("%d events in the log, %d on the topic", len(log), len(topic))
	}
}

func TestTheLogHoldsWhatTheTopicHolds(t *testing.T) {
	_, kafka := broker(t)
	const n = 30_000
	var last Progress
	l, err := Run(t.Context(), generator(t, 1000), Options{
		Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: n, InFlight: 1000,
		Progress: func(p Progress) { last = p },
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Made != n || l.Acknowledged() != n || l.Unknown() != 0 || last.Acknowledged != n || last.Count != n {
		t.Errorf("%d made, %d acknowledged, %d unknown, told %+v", l.Made, l.Acknowledged(), l.Unknown(), last)
	}
	if sum := l.Copies[scans.Original] + l.Copies[scans.Exact] + l.Copies[scans.ReEnveloped]; sum != n || l.Copies[scans.Exact] == 0 {
		t.Errorf("copies %v of %d", l.Copies, n)
	}
	var sum int64
	for _, p := range l.Partitions() {
		sum += p
	}
	if sum != n || len(l.Partitions()) != 4 {
		t.Errorf("partitions %v of %d", l.Partitions(), n)
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

func TestAPacedRunKeepsItsPace(t *testing.T) {
	_, kafka := broker(t)
	const n, rate = 3000, 5000
	l, err := Run(t.Context(), generator(t, rate), Options{Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: n, Paced: true})
	if err != nil {
		t.Fatal(err)
	}
	// The last movement is due 0.6 s after the first: never earlier, whatever the machine does.
	if took := l.Ended.Sub(l.Began); took < (n-1)*time.Second/rate {
		t.Errorf("%d movements at %d/s took %v", n, rate, took)
	}
	first, lastAt := time.Time{}, time.Time{}
	err = committed.Read(t.Context(), kafka, topic, func(r *kgo.Record) error {
		if first.IsZero() || r.Timestamp.Before(first) {
			first = r.Timestamp
		}
		if r.Timestamp.After(lastAt) {
			lastAt = r.Timestamp
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Records carry the times at which they were due, not those at which the tool came to them.
	if span := lastAt.Sub(first); span < 598*time.Millisecond || span > 601*time.Millisecond {
		t.Errorf("the records' times span %v, not 600 ms", span)
	}
}

func TestAStoppedRunSaysWhatTheBrokerHas(t *testing.T) {
	_, kafka := broker(t)
	ctx, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	l, err := Run(ctx, generator(t, 2000), Options{
		Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: 1_000_000, Paced: true,
		Progress: func(p Progress) {
			if p.Made > 500 {
				stop(enough)
			}
		},
	})
	if !errors.Is(err, enough) {
		t.Errorf("the error is %v", err)
	}
	if l.Made == 1_000_000 || l.Unknown() != 0 {
		t.Errorf("%d made, %d unknown", l.Made, l.Unknown())
	}
	same(t, replayed(t, l), onTopic(t, kafka))
}

// The run gives up on a broker that is too slow to answer; what it writes all the same is found on the topic.
func TestWhatIsUnknownIsLookedUpOnTheTopic(t *testing.T) {
	cluster, kafka := broker(t)
	const n = 2000
	givenUp := make(chan struct{})
	var requests atomic.Int64
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if requests.Add(1) > 5 {
			cluster.SleepControl(func() { <-givenUp })
		}
		return nil, nil, false
	})
	l, err := Run(t.Context(), generator(t, 1000), Options{
		Kafka: append(kafka, kgo.ProducerBatchMaxBytes(4096)),
		Serde: serde.Local(), Topic: topic, Count: n, InFlight: n, Grace: 500 * time.Millisecond,
	})
	close(givenUp)
	acknowledged := l.Acknowledged()
	if err == nil || acknowledged == 0 || l.Unknown() == 0 {
		t.Fatalf("%v; %d acknowledged, %d unknown", err, acknowledged, l.Unknown())
	}
	var there map[string]int
	total := func() (sum int64) {
		there = onTopic(t, kafka)
		for _, n := range there {
			sum += int64(n)
		}
		return sum
	}
	for deadline := time.Now().Add(10 * time.Second); total() <= acknowledged; {
		if time.Now().After(deadline) {
			t.Fatal("the broker wrote nothing of what was unknown")
		}
	}
	for was := int64(-1); was != total(); { // the broker may still be at it
		was = total()
		if err := l.Resolve(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if l.Acknowledged() <= acknowledged || l.Unknown() == 0 {
		t.Errorf("%d acknowledged before, %d after, %d unknown", acknowledged, l.Acknowledged(), l.Unknown())
	}
	same(t, replayed(t, l), there)
}

func TestARefusedMovementEndsTheRunByName(t *testing.T) {
	cluster, kafka := broker(t)
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		in := req.(*kmsg.ProduceRequest)
		out := in.ResponseKind().(*kmsg.ProduceResponse)
		for _, tp := range in.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = tp.Topic, tp.TopicID
			for _, p := range tp.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			out.Topics = append(out.Topics, rt)
		}
		return out, nil, true
	})
	l, err := Run(t.Context(), generator(t, 1000), Options{Kafka: kafka, Serde: serde.Local(), Topic: topic, Count: 1_000_000, InFlight: 500, Grace: time.Second})
	if !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("the error is %v", err)
	}
	if l.Acknowledged() != 0 || l.Made == 1_000_000 {
		t.Errorf("%d acknowledged of %d", l.Acknowledged(), l.Made)
	}
}

func TestARunOfNothingIsRefused(t *testing.T) {
	if _, err := Run(t.Context(), generator(t, 1), Options{Topic: topic}); err == nil {
		t.Error("no error")
	}
}
