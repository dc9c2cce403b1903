package runtime

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/serde"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
)

// stateful is the configuration of an instance with the product's assignor, and a lag that tests pass.
func (r *rig) stateful(instance string, standbys int) Config {
	c := r.config(instance)
	c.Balancer, c.StandbyReplicas, c.WarmupLag = assignor.New(instance), standbys, 50
	return c
}

// onDiskAndInMemory runs a test for both kinds of stores.
func onDiskAndInMemory(t *testing.T, f func(t *testing.T, r *rig)) {
	for _, memory := range []bool{false, true} {
		name := "on disk"
		if memory {
			name = "in memory"
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
			r.memory = memory
			f(t, r)
		})
	}
}

// settled waits until instances have so many partitions each, and nobody is told to warm up.
func (r *rig) settled(want map[*process]int) {
	r.t.Helper()
	until(r.t, "the group is even and at rest", func() bool {
		for p, n := range want {
			p.keeper.mu.Lock()
			warm := len(p.keeper.orders.Warmups)
			p.keeper.mu.Unlock()
			if len(r.partitionsOf(p.cfg.Instance)) != n || warm > 0 || !p.Ready() {
				return false
			}
		}
		return true
	})
}

// replicated waits until an instance follows so many partitions as standbys, and has nearly caught up with each.
func (p *process) replicated(t testing.TB, n int) {
	t.Helper()
	until(t, "its standbys are there", func() bool {
		p.keeper.mu.Lock()
		defer p.keeper.mu.Unlock()
		there := 0
		for _, at := range p.keeper.orders.Standbys {
			if h := p.keeper.lag(at); h.Follows && h.Lag >= 0 && h.Lag <= p.cfg.WarmupLag {
				there++
			}
		}
		return there == n
	})
}

// A taken is a line of a log that says that a task is restored.
type taken struct {
	records, followed int64 // read by the instance, and of these before the partition was its own
	took              time.Duration
}

var takenLine = regexp.MustCompile(`msg="task restored".* records=(\d+) followed=(\d+) took=(\S+)`)

func takenIn(log string) (all []taken) {
	for line := range strings.Lines(log) {
		if m := takenLine.FindStringSubmatch(line); m != nil {
			records, _ := strconv.ParseInt(m[1], 10, 64)
			followed, _ := strconv.ParseInt(m[2], 10, 64)
			took, _ := time.ParseDuration(m[3])
			all = append(all, taken{records, followed, took})
		}
	}
	return all
}

func (s *said) taken() []taken { return takenIn(s.String()) }

// feedSlowly sends some movements every few milliseconds until the test says halt.
func (r *rig) feedSlowly() (halt func()) {
	ctx, stop := context.WithCancel(r.t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			r.send(10, 2000)
			<-pace.C
		}
	}()
	return func() { stop(); <-over }
}

// An added instance gets its share only after it has read the state; the owner works on until then, and no partition waits for
// a restore.
func TestPartitionsMoveToAnAddedInstanceWhenTheirStateIsThere(t *testing.T) {
	onDiskAndInMemory(t, func(t *testing.T, r *rig) {
		r.send(6000, 2000)
		a := r.start(r.stateful("a", 0))
		r.drained()
		halt := r.feedSlowly()
		log := &said{}
		b := r.start(r.stateful("b", 0), log.logging)
		r.settled(map[*process]int{a: 2, b: 2})
		halt()
		r.drained()
		moved := log.taken()
		if len(moved) < 2 {
			t.Errorf("%d tasks were opened\n%s", len(moved), log)
		}
		for _, m := range moved {
			if m.followed < 500 || m.records-m.followed > 300 {
				t.Errorf("a partition moved when %d of %d records were read", m.followed, m.records)
			}
		}
		if n := a.metric("crossdock_group_probing_rebalances_total") + b.metric("crossdock_group_probing_rebalances_total"); n < 1 || n > 4 {
			t.Errorf("%v rebalances were forced", n)
		}
		if n := b.metric("crossdock_standby_promotions_total"); n < 2 {
			t.Errorf("%v replicas were promoted", n)
		}
		r.verify()
	})
}

// Where nobody has much state there is nothing to warm up: an instance that is added to a group without state gets its share at
// once, and nobody forces a rebalance.
func TestGroupWithoutStateIsSharedOutAtOnce(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	a := r.start(r.stateful("a", 0))
	b := r.start(r.stateful("b", 0))
	r.settled(map[*process]int{a: 2, b: 2})
	r.send(1000, 200)
	r.drained()
	if n := a.metric("crossdock_group_probing_rebalances_total") + b.metric("crossdock_group_probing_rebalances_total"); n != 0 {
		t.Errorf("%v rebalances were forced", n)
	}
	r.verify()
}

// The partitions of an instance that has gone are taken over by their standbys, which do not read their changelogs again.
func TestStandbyTakesOverWithoutReadingAgain(t *testing.T) {
	onDiskAndInMemory(t, func(t *testing.T, r *rig) {
		r.send(6000, 2000)
		log := &said{}
		a := r.start(r.stateful("a", 1), log.logging)
		b := r.start(r.stateful("b", 1))
		r.settled(map[*process]int{a: 2, b: 2})
		r.drained()
		a.replicated(t, 2)
		b.replicated(t, 2)
		if n := a.metric("crossdock_standby_lag_records", "kind=standby"); n > 50 {
			t.Errorf("the standbys are %v behind", n)
		}
		before := len(log.taken())
		halt := r.feedSlowly()
		b.close(t)
		if _, err := Leave(t.Context(), r.client, r.app, MemberPrefix(r.app, "b")); err != nil {
			t.Fatal(err)
		}
		r.settled(map[*process]int{a: 4})
		halt()
		r.drained()
		taken := log.taken()[before:]
		if len(taken) != 2 {
			t.Errorf("%d tasks were opened", len(taken))
		}
		for _, m := range taken {
			if m.records-m.followed > 200 || m.followed == 0 {
				t.Errorf("%d records were read after the standby was promoted, %d before", m.records-m.followed, m.followed)
			}
		}
		r.verify()
	})
}

// A worker that makes its session anew gets back the stores that it had, in memory too.
func TestSessionMadeAnewReadsNothingAgain(t *testing.T) {
	onDiskAndInMemory(t, func(t *testing.T, r *rig) {
		r.send(6000, 2000)
		log := &said{}
		p := r.start(r.stateful("a", 0), log.logging)
		r.drained()
		if _, err := fence(t.Context(), r.client, prefix(r.app)+"a/0", -1, -1, 4*time.Second); err != nil {
			t.Fatal(err)
		}
		r.send(1000, 2000)
		until(t, "the session is made anew", func() bool { return p.metric("crossdock_worker_sessions_restarted_total") > 0 })
		r.drained()
		again := log.taken()[4:]
		if len(again) != 4 {
			t.Errorf("%d tasks were opened again", len(again))
		}
		for _, m := range again {
			if m.records > 500 {
				t.Errorf("%d records were read again", m.records)
			}
		}
		r.verify()
	})
}

// A dam holds back what an instance reads of changelogs.
type dam struct {
	topic string
	open  chan struct{}
}

// OnFetchRecordBuffered is for kgo.HookFetchRecordBuffered.
func (d *dam) OnFetchRecordBuffered(r *kgo.Record) {
	if r.Topic == d.topic {
		<-d.open
	}
}

// An instance that comes back without its state keeps nobody waiting: its standbys work until it has it again.
func TestInstanceThatLostItsStateGivesWayToItsStandbys(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	r.send(6000, 2000)
	a := r.start(r.stateful("a", 1))
	b := r.start(r.stateful("b", 1))
	r.settled(map[*process]int{a: 2, b: 2})
	r.drained()
	a.replicated(t, 2)
	b.replicated(t, 2)
	a.close(t)
	if err := os.RemoveAll(r.folder("a")); err != nil {
		t.Fatal(err)
	}
	d := &dam{topic: r.changelog(), open: make(chan struct{})}
	cfg := r.stateful("a", 1)
	cfg.Client = append(cfg.Client, kgo.WithHooks(d))
	log := &said{}
	a = r.start(cfg, log.logging)
	r.send(1000, 2000)
	r.drained() // while a can read nothing
	if parts := r.partitionsOf("b"); len(parts) != 4 {
		t.Errorf("the standby has partitions %v", parts)
	}
	close(d.open)
	r.settled(map[*process]int{a: 2, b: 2})
	for _, m := range log.taken() {
		if m.records-m.followed > 300 {
			t.Errorf("a partition came back when %d of %d records were read", m.followed, m.records)
		}
	}
	r.verify()
}

// Standbys keep an instance from being ready as little as from working.
func TestReadinessDoesNotWaitForStandbys(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	r.send(6000, 2000)
	a := r.start(r.stateful("a", 0))
	r.drained()
	d := &dam{topic: r.changelog(), open: make(chan struct{})}
	cfg := r.stateful("b", 1)
	cfg.Client = append(cfg.Client, kgo.WithHooks(d))
	b := r.start(cfg)
	until(t, "it is told to warm up", func() bool {
		b.keeper.mu.Lock()
		defer b.keeper.mu.Unlock()
		return len(b.keeper.orders.Warmups) > 0
	})
	until(t, "it is ready", b.Ready)
	if n := len(r.partitionsOf("a")); n != 4 {
		t.Errorf("a has %d partitions while b has no state", n)
	}
	close(d.open)
	r.settled(map[*process]int{a: 2, b: 2})
}

// A group that was down as a whole reads the tails that its disks do not have, whoever joins first.
func TestGroupThatWasDownReadsNothingAgain(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	r.send(6000, 2000)
	a := r.start(r.stateful("a", 1))
	b := r.start(r.stateful("b", 1))
	r.settled(map[*process]int{a: 2, b: 2})
	r.drained()
	a.replicated(t, 2)
	b.replicated(t, 2)
	a.close(t)
	b.close(t)
	for _, name := range []string{"a", "b"} {
		if _, err := Leave(t.Context(), r.client, r.app, MemberPrefix(r.app, name)); err != nil {
			t.Fatal(err)
		}
	}
	log := &said{}
	b = r.start(r.stateful("b", 1), log.logging)
	a = r.start(r.stateful("a", 1), log.logging)
	r.settled(map[*process]int{a: 2, b: 2})
	for _, m := range log.taken() {
		if m.records > 100 {
			t.Errorf("%d records were read again", m.records)
		}
	}
	r.verify()
}

// A restored is a restorer at work.
type restored struct {
	*restorer
	t *testing.T
	r *rig
}

func startRestorer(t *testing.T, r *rig) *restored {
	cfg := r.config("a")
	s, err := newRestorer(&cfg, discardLog())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- s.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		s.opening.Wait()
	})
	return &restored{s, t, r}
}

// claim is of partition 0 of the changelog as it is now.
func (s *restored) claim() store.Claim {
	s.t.Helper()
	admin := kadm.NewClient(s.r.client)
	ends, err := admin.ListEndOffsets(s.t.Context(), s.r.changelog())
	if err != nil {
		s.t.Fatal(err)
	}
	topics, err := admin.ListTopics(s.t.Context(), s.r.changelog())
	if err != nil {
		s.t.Fatal(err)
	}
	end, _ := ends.Lookup(s.r.changelog(), 0)
	return store.Claim{Store: "app/counts", Changelog: topics[s.r.changelog()].ID, End: end.Offset}
}

// disks runs a test with stores of both kinds; disk is nil for memory.
func disks(t *testing.T, f func(t *testing.T, s *restored, disk *store.DB)) {
	onDiskAndInMemory(t, func(t *testing.T, r *rig) {
		if r.memory {
			f(t, startRestorer(t, r), nil)
			return
		}
		db, err := store.Open(r.folder("a"), r.diskOptions(discardLog()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close(context.Background()) })
		f(t, startRestorer(t, r), db)
	})
}

func (s *restored) startFollower(disk *store.DB) *restore {
	if disk == nil {
		return s.follow(s.r.changelog(), s.claim(), store.New(), func() {})
	}
	return s.followOnDisk(s.r.changelog(), disk, s.claim(), func() {})
}

func (s *restored) await(j *restore, keys int) {
	s.t.Helper()
	until(s.t, "it is restored", func() bool { over, _ := j.finished(); return over })
	if j.err != nil {
		s.t.Fatal(j.err)
	}
	if n := j.store.Len(); n != keys {
		s.t.Errorf("%d keys are restored, not %d", n, keys)
	}
}

// I3: a follower that is promoted goes on to the changelog's end as of the assignment, from where it stands.
func TestI3PromotedFollowerReadsToTheEndAndNothingTwice(t *testing.T) {
	disks(t, func(t *testing.T, s *restored, disk *store.DB) {
		s.r.produce(s.r.state("k", 0, 1, 1), s.r.state("l", 0, 1, 1))
		f := s.startFollower(disk)
		until(t, "it has followed", func() bool { return f.records.Load() == 2 })
		claim := s.claim()
		claim.End++ // the update of a transaction whose markers are being written
		j := s.promote(f, claim, func() {})
		s.r.produce(s.r.state("m", 0, 1, 1))
		s.await(j, 3)
		if read := j.records.Load() + j.inherited.Load(); read != 3 {
			t.Errorf("%d records were read", read)
		}
		j.store.Release()
	})
}

// A restore that is given up before its end is followed on, and goes on from there when the partition comes back.
func TestRestoreThatIsGivenUpIsFollowedOn(t *testing.T) {
	disks(t, func(t *testing.T, s *restored, disk *store.DB) {
		s.r.produce(s.r.state("k", 0, 1, 1))
		f := s.startFollower(disk)
		until(t, "it has followed", func() bool { return f.records.Load() == 1 })
		beyond := s.claim()
		beyond.End++
		j := s.promote(f, beyond, func() {})
		f = s.demote(j, func() {})
		s.r.produce(s.r.state("l", 0, 1, 1))
		until(t, "it is followed on", func() bool { return f.position.Load() == 2 })
		j = s.promote(f, s.claim(), func() {})
		s.await(j, 2)
		j.store.Release()
	})
}

// A task's store is followed on from where it stands when its partition goes.
func TestStoreOfATaskThatEndedIsFollowedOn(t *testing.T) {
	disks(t, func(t *testing.T, s *restored, disk *store.DB) {
		s.r.produce(s.r.state("k", 0, 1, 1))
		j := s.promote(s.startFollower(disk), s.claim(), func() {})
		s.await(j, 1)
		s.r.produce(s.r.state("l", 0, 1, 1), s.r.state("k", 0, 2, 2)) // by the next owner
		f := s.goOn(j, func() {})
		until(t, "it has followed", func() bool { return f.position.Load() == 3 })
		if n := f.records.Load(); n != 2 {
			t.Errorf("%d records were read", n)
		}
		j = s.promote(f, s.claim(), func() {})
		s.await(j, 2)
		j.store.Release()
	})
}

// A follower whose changelog was made anew, or is shorter than what it has, is dropped, and the task begins at the start.
func TestFollowerThatCannotBeCaughtUpIsDropped(t *testing.T) {
	disks(t, func(t *testing.T, s *restored, disk *store.DB) {
		s.r.produce(s.r.state("k", 0, 1, 1))
		f := s.startFollower(disk)
		until(t, "it has followed", func() bool { return f.records.Load() == 1 })
		other := s.claim()
		other.Changelog[0]++
		j := s.promote(f, other, func() {})
		s.await(j, 1)
		if n := j.inherited.Load(); n != 0 {
			t.Errorf("%d records of another changelog are part of it", n)
		}
		j.store.Release()
	})
}

// A replica that waits for its folder is the task's before it is open: the partition may come before the last owner in the
// process has written.
func TestFollowerIsPromotedBeforeItIsOpen(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	disks := r.folder("a")
	db, err := store.Open(disks, r.diskOptions(discardLog()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.Background()) }()
	s := startRestorer(t, r)
	r.produce(r.state("k", 0, 1, 1))
	before, err := db.Lease(t.Context(), s.claim())
	if err != nil {
		t.Fatal(err)
	}
	f := s.startFollower(db)
	j := s.promote(f, s.claim(), func() {})
	if over, _ := j.finished(); over {
		t.Error("it is restored while another has its folder")
	}
	before.Release()
	s.await(j, 1)
	j.store.Release()
}

// In memory too, another worker of the instance gets the store that the first one had.
func TestStoreInMemoryIsHandedToTheOtherWorker(t *testing.T) {
	r := newRig(t, fake(t).ListenAddrs(), countingStage(nil), 4)
	s := startRestorer(t, r)
	r.produce(r.state("k", 0, 1, 1), r.state("l", 0, 1, 1))
	had := s.restore(r.changelog(), s.claim(), store.New(), func() {})
	s.await(had, 2)
	late := s.claim()
	late.End++ // it does not come before the store is handed over
	next := s.restore(r.changelog(), late, store.New(), func() {})
	until(t, "it has begun", func() bool { return next.position.Load() == 2 })
	r.produce(r.state("m", 0, 1, 1))
	s.handOver(had, next)
	s.await(next, 3)
}

// A partition that goes from one worker of an instance to another, which may open it before the first has closed it, is there at
// once, and its folder is never waited for by who would have to give it up (I8).
func TestI8OtherWorkerOfTheInstanceGetsTheStore(t *testing.T) {
	disks(t, func(t *testing.T, s *restored, disk *store.DB) {
		i, err := New(s.r.stateful("a", 0), s.r.stage, Deps{Serde: serde.Local(), State: disk, Logger: discardLog()})
		if err != nil {
			t.Fatal(err)
		}
		i.restorer, i.life = s.restorer, t.Context()
		k, at := i.keeper, slot{}
		s.r.produce(s.r.state("k", 0, 1, 1))
		first := k.open(at, s.claim(), func() {})
		s.await(first, 1)
		second := k.open(at, s.claim(), func() {})
		k.close(at, first)
		s.await(second, 1)
		k.close(at, second)
		if k.replicas[at] == nil {
			t.Error("a store that nobody waits for is not followed on")
		}
		third := k.open(at, s.claim(), func() {})
		s.await(third, 1)
		if third.records.Load() != 0 {
			t.Error("it was read again")
		}
		k.end()
		k.close(at, third)
		if k.replicas[at] != nil {
			t.Error("an instance that ends follows on")
		}
	})
}
