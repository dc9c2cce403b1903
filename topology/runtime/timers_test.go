package runtime

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/internal/testservices"
	"crossdock/processors"
	"crossdock/topology"
	"crossdock/topology/topics"
)

// alarms is a processor that sets a timer for each record, at the time that its value tells ("@" and microseconds), and posts when
// it comes. A record that says "work N" makes N postings, in continuations. Others are posted at once.
type alarms struct{}

func (alarms) Process(ctx processors.Context, r *processors.Record) error {
	var at, n int64
	if _, err := fmt.Sscanf(string(r.Value), "@%d", &at); err == nil {
		ctx.SetTimer("alarm", r.Key, at)
		return nil
	}
	if _, err := fmt.Sscanf(string(r.Value), "work %d", &n); err == nil {
		ctx.Store(0).Put(r.Key, fmt.Append(nil, n))
		ctx.SetTimer("work", r.Key, ctx.Now())
		return nil
	}
	ctx.EmitRaw(topics.Ledger, r.Key, r.Value, nil)
	return nil
}

func (alarms) OnTimer(ctx processors.Context, t processors.Timer, limit int) error {
	if t.Name == "alarm" {
		ctx.EmitRaw(topics.Ledger, t.Key, fmt.Appendf(nil, "@%d", t.At), nil)
		return nil
	}
	var left int
	if _, err := fmt.Sscan(string(ctx.Store(0).Get(t.Key)), &left); err != nil {
		return err
	}
	n := min(left, limit)
	for range n {
		ctx.EmitRaw(topics.Ledger, t.Key, []byte("part"), nil)
	}
	if left -= n; left == 0 {
		ctx.Store(0).Delete(t.Key)
		return nil
	}
	ctx.Store(0).Put(t.Key, fmt.Append(nil, left))
	ctx.SetTimer(t.Name, t.Key, ctx.Now())
	return nil
}

func alarmStage() topology.Stage {
	return topology.Stage{
		Name: "alarms", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Ledger},
		Stores: []topology.Store{{Name: "counts"}, {Name: "timers", Timers: true}}, New: func() processors.Processor { return alarms{} },
	}
}

// A hand is a clock that a test moves.
type hand struct{ micros atomic.Int64 }

func (h *hand) set(t time.Time) { h.micros.Store(t.UnixMicro()) }

func (h *hand) now() time.Time { return time.UnixMicro(h.micros.Load()) }

func (h *hand) deps(d *Deps) { d.Clock = h.now }

// noon is one that the machine's clock will not see.
var noon = time.Date(2126, 6, 1, 12, 0, 0, 0, time.UTC)

func (r *rig) alarm(key string, at time.Time) *kgo.Record {
	return &kgo.Record{Topic: r.input(), Key: []byte(key), Value: fmt.Appendf(nil, "@%d", at.UnixMicro())}
}

func (r *rig) ledger() []*kgo.Record { r.t.Helper(); return r.read(r.naming.Topic(topics.Ledger)) }

// Timers fire on the runtime's clock, whatever the machine's says, also those of a process before; and I5: their transaction
// commits the present offset again under the next number.
func TestI5TimersFireOnTheRuntimesClockAndCommitThePresentOffsetAgain(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), alarmStage(), 1)
	told := commits(c)
	var clock hand
	clock.set(noon)
	r.produce(r.alarm("late", noon.Add(2*time.Hour)), r.alarm("soon", noon.Add(time.Hour)))
	p := r.start(r.config("a"), clock.deps)
	r.drained()
	until(t, "both timers are counted", func() bool { return p.metric("crossdock_task_timers_count") == 2 })
	clock.set(noon.Add(time.Hour))
	until(t, "one has come", func() bool { return p.metric("crossdock_task_timers_fired_total") == 1 })
	if got := r.ledger(); len(got) != 1 || string(got[0].Key) != "soon" || !got[0].Timestamp.Equal(clock.now()) {
		t.Fatalf("the ledger has %d records", len(got))
	}
	p.close(t)
	clock.set(noon.Add(3 * time.Hour)) // it is over when the next process starts
	p = r.start(r.config("a"), clock.deps)
	until(t, "the other has come", func() bool { return p.metric("crossdock_task_timers_fired_total") == 1 })
	until(t, "none is left", func() bool {
		return p.metric("crossdock_task_timers_count") == 0 && p.metric("crossdock_task_timers_overdue_seconds") == 0
	})
	p.close(t)
	if n := len(r.ledger()); n != 2 {
		t.Errorf("the ledger has %d records", n)
	}
	all := told()
	for i, m := range all {
		if m.number != uint64(i+1) || m.offset > 2 || i >= len(all)-2 && m.offset != 2 {
			t.Errorf("commit %d is %+v", i, m)
		}
	}
}

// I5: a process that sleeps while another takes its partition over, and wakes with due timers and an empty inbox, commits nothing:
// it has no record whose offset the group could refuse, and its producer is not fenced here.
func TestI5ZombieWithDueTimersAndAnEmptyInboxCommitsNothing(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), alarmStage(), 1)
	due := noon.Add(time.Hour)
	var mine, others hand
	mine.set(noon)
	others.set(noon)
	r.produce(r.alarm("k", due))
	// Nobody fences: what keeps the zombie out is the generation of its offset commit alone.
	defer c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListTransactions}, Err: kerr.ClusterAuthorizationFailed, Count: -1}).Remove()
	cfg := r.config("a")
	zombie := r.start(cfg, mine.deps)
	r.drained()
	until(t, "its timer is set", func() bool { return zombie.metric("crossdock_task_timers_count") == 1 })
	asleep := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.CoordinatorNotAvailable, Count: -1}) // it hears of nothing
	r.remove(cfg)
	b := r.start(r.config("b"), others.deps)
	until(t, "another has the partition", func() bool { return b.Ready() && b.metric("crossdock_task_timers_count") == 1 })
	mine.set(due)
	until(t, "the zombie has tried", func() bool {
		return zombie.metric("crossdock_transaction_aborts_total")+zombie.metric("crossdock_worker_sessions_restarted_total")+zombie.metric("crossdock_task_timers_fired_total") > 0
	})
	mine.set(noon) // when it has found out, it is a member like others
	if n := len(r.ledger()); n != 0 {
		t.Errorf("a zombie has committed %d records", n)
	}
	asleep.Remove()
	mine.set(due)
	others.set(due)
	until(t, "the timer has come", func() bool { return len(r.ledger()) > 0 })
	until(t, "nothing is left to do", func() bool {
		return zombie.metric("crossdock_task_timers_count")+b.metric("crossdock_task_timers_count") == 0
	})
	b.close(t)
	zombie.close(t)
	if n := len(r.ledger()); n != 1 {
		t.Errorf("the timer came %d times", n)
	}
}

// Work that takes hundreds of transactions holds up nobody else: a record of another key is out after a small part of it, also
// where records keep coming.
func TestContinuationsHoldNobodyUp(t *testing.T) {
	continuations(t, fake(t).ListenAddrs(), 100_000)
}

func TestContinuationsOnKafkaHoldNobodyUp(t *testing.T) {
	continuations(t, []string{testservices.Kafka(t)}, 50_000)
}

func continuations(t *testing.T, brokers []string, work int) {
	const probes = 20
	r := newRig(t, brokers, alarmStage(), 1)
	p := r.start(r.config("a"))
	reader, err := kgo.NewClient(append(r.reach(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(10*time.Millisecond),
		kgo.ConsumeTopics(r.naming.Topic(topics.Ledger)))...)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	began := time.Now()
	r.produce(&kgo.Record{Topic: r.input(), Key: []byte("all"), Value: fmt.Appendf(nil, "work %d", work)})
	// A probe waits from when the inbox has it until it is out, both told as offsets of the ledger.
	var mu sync.Mutex
	waitsFrom, outAt := map[string]int64{}, map[string]int64{}
	send := func(key string) {
		r.produce(&kgo.Record{Topic: r.input(), Key: []byte(key), Value: []byte("probe")})
		ends, err := kadm.NewClient(r.client).ListEndOffsets(ctx, r.naming.Topic(topics.Ledger))
		if end, ok := ends.Lookup(r.naming.Topic(topics.Ledger), 0); err == nil && ok {
			mu.Lock()
			defer mu.Unlock()
			waitsFrom[key] = end.Offset
		}
	}
	parts, begun := 0, 0
	var sending sync.WaitGroup
	defer sending.Wait()
	for parts < work || len(outAt) < probes {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d parts and %d of %d probes are out", parts, work, len(outAt), probes)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if string(rec.Value) == "part" {
				parts++
			} else {
				outAt[string(rec.Key)] = rec.Offset
			}
		})
		if begun < probes && parts >= (begun+1)*work/(2*probes) {
			key := fmt.Sprint("probe", begun)
			begun++
			sending.Go(func() { send(key) })
		}
	}
	sending.Wait()
	worst := int64(0)
	for key, from := range waitsFrom {
		worst = max(worst, outAt[key]-from)
	}
	t.Logf("a record of another key was out after %d of %d records at most, all of them after %v", worst, work, time.Since(began).Round(time.Millisecond))
	if worst > 20*timersLimit || len(waitsFrom) < probes { // some transactions pass while it is fetched
		t.Errorf("a record of another key was held up by %d of %d records (%d probes)", worst, work, len(waitsFrom))
	}
	until(t, "all calls are counted", func() bool { return p.metric("crossdock_task_timers_fired_total") >= float64(work/timersLimit) })
	p.close(t)
	if n := len(r.read(r.changelog())); n < work/timersLimit {
		t.Errorf("where it stood was told %d times", n)
	}
}

// A failing timer stops the stage by name, with what to look at.
func TestTimerThatFailsStopsTheInstanceByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), alarmStage(), 1)
	r.produce(&kgo.Record{Topic: r.input(), Key: []byte("k"), Value: []byte("work 5")}, &kgo.Record{Topic: r.input(), Key: []byte("l"), Value: []byte("x")})
	r.stage.New = func() processors.Processor { return failing{} }
	p := r.start(r.config("a"))
	if err := p.exit(t); err == nil || !strings.Contains(err.Error(), string(StageFailed)) || !strings.Contains(err.Error(), `timer work of "k"`) {
		t.Errorf("stopped with %v", err)
	}
	if n := len(r.ledger()); n != 1 {
		t.Errorf("%d records are out: what the records made, and nothing of the timer", n)
	}
}

type failing struct{ alarms }

func (failing) OnTimer(ctx processors.Context, t processors.Timer, _ int) error {
	ctx.EmitRaw(topics.Ledger, t.Key, []byte("half"), nil)
	return fmt.Errorf("no")
}
