package assignor

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// stateOf is the state of a simulated instance: how much of each changelog it has.
type stateOf struct {
	options Options
	logs    *[]int64 // what the changelogs hold
	has     []int64
	follows []bool
	orders  Orders
	told    int // how often orders came
}

func (s *stateOf) lag(p int) int64 { return (*s.logs)[p] - s.has[p] }

func (s *stateOf) Holds() Holdings {
	h := Holdings{Topic: "inbox"}
	for p := range s.has {
		h.Partitions = append(h.Partitions, Holding{Lag: s.lag(p), Follows: s.follows[p]})
	}
	return h
}

func (s *stateOf) Follow(o Orders) {
	s.orders = o
	s.told++
	clear(s.follows)
	for _, p := range slices.Concat(o.Standbys, o.Warmups) {
		s.follows[p] = true
	}
}

// A stateGroup is a group with state: instances of some workers each, and what they have.
type stateGroup struct {
	cluster
	t       require
	options Options
	logs    []int64
	workers []*worker
	states  map[string]*stateOf // of all instances that ever were
	serial  int
}

func newStateGroup(t require, partitions int, size int64, o Options) *stateGroup {
	g := &stateGroup{cluster: cluster{topics: map[string]int32{"inbox": int32(partitions)}}, t: t, options: o, states: map[string]*stateOf{}}
	for range partitions {
		g.logs = append(g.logs, size)
	}
	return g
}

// join lets an instance of some workers in. One that has been there has what it had.
func (g *stateGroup) join(instance string, workers int) {
	s := g.states[instance]
	if s == nil {
		s = &stateOf{options: g.options, logs: &g.logs, has: make([]int64, len(g.logs)), follows: make([]bool, len(g.logs))}
		g.states[instance] = s
	}
	clear(s.follows)
	for range workers {
		g.serial++
		g.workers = append(g.workers, &worker{id: fmt.Sprintf("m%03d", g.serial*37%1000), instance: instance, reads: []string{"inbox"}, generation: -1, state: s})
	}
}

func (g *stateGroup) leave(instance string) {
	g.workers = slices.DeleteFunc(g.workers, func(w *worker) bool { return w.instance == instance })
}

// live are the instances that tell their state.
func (g *stateGroup) live() (names []string) {
	for _, w := range g.workers {
		if w.state != nil && !slices.Contains(names, w.instance) {
			names = append(names, w.instance)
		}
	}
	slices.Sort(names)
	return names
}

// owner is the worker that has a partition, nil if nobody does.
func (g *stateGroup) owner(p int) *worker {
	for _, w := range g.workers {
		if w.has("inbox", int32(p)) && w.generation == g.generation {
			return w
		}
	}
	return nil
}

// write lets the owners that have all of their state write to the changelogs.
func (g *stateGroup) write(p int, n int64) {
	w := g.owner(p)
	if w == nil || w.state == nil || w.state.lag(p) > 0 {
		return
	}
	g.logs[p] += n
	w.state.has[p] += n
}

// read lets owners and followers read so much of each changelog.
func (g *stateGroup) read(n int64) {
	for _, name := range g.live() {
		s := g.states[name]
		for p := range s.has {
			if w := g.owner(p); s.follows[p] || w != nil && w.instance == name {
				s.has[p] += min(n, s.lag(p))
			}
		}
	}
}

// round is a rebalance, in which no partition may go to who has no state while somebody has it.
func (g *stateGroup) round() (again bool) {
	before := map[int]*worker{}
	least := map[int]int64{}
	for p := range g.logs {
		before[p] = g.owner(p)
		least[p] = 1 << 60
		for _, w := range g.workers {
			if w.state != nil {
				least[p] = min(least[p], w.state.lag(p))
			}
		}
	}
	again, _ = g.rebalance(g.t, g.workers)
	warm := 0
	for _, name := range g.live() {
		warm += len(g.states[name].orders.Warmups)
	}
	if warm > g.options.MaxWarmups {
		g.t.Fatalf("%d warm-ups at a time", warm)
	}
	for p := range g.logs {
		w := g.owner(p)
		if w == nil || w == before[p] || w.state == nil || before[p] != nil && before[p].instance == w.instance {
			continue
		}
		if lag := w.state.lag(p); lag > 2*g.options.WarmupLag && least[p] <= g.options.WarmupLag {
			g.t.Fatalf("partition %d goes to %s, which has %d to read, while somebody has its state", p, w.instance, lag)
		}
	}
	if !again {
		for p := range g.logs {
			if g.owner(p) == nil {
				g.t.Fatalf("partition %d is left to nobody", p)
			}
		}
	}
	return again
}

// rest runs rebalances as clients and probes ask for them, until nothing asks for one. It must come to an even group, whatever
// there was.
func (g *stateGroup) rest() (rebalances int) {
	for {
		for range 4 {
			rebalances++
			if !g.round() {
				break
			}
		}
		g.read(1 << 60)
		probe := false
		for _, name := range g.live() {
			probe = probe || len(g.states[name].orders.Warmups) > 0
		}
		if !probe {
			break
		}
		if rebalances > 4*len(g.logs)+8 {
			g.t.Fatalf("the group is not at rest after %d rebalances", rebalances)
		}
	}
	g.check(g.t, g.workers)
	return rebalances
}

// standbys holds that each partition has as many as there can be, none at its owner.
func (g *stateGroup) standbys() {
	loads := map[string]int{}
	for p := range g.logs {
		n := 0
		for _, name := range g.live() {
			if s := g.states[name]; slices.Contains(s.orders.Standbys, int32(p)) {
				n++
				loads[name]++
				if g.owner(p).instance == name {
					g.t.Fatalf("partition %d has a standby at its owner", p)
				}
			}
		}
		want := min(g.options.Standbys, len(g.live())-1)
		if g.owner(p).state == nil {
			want = min(g.options.Standbys, len(g.live()))
		}
		if n < want || n > want+1 {
			g.t.Fatalf("partition %d has %d standbys, not %d", p, n, want)
		}
	}
}

// Instances come, are killed, come back with what they had or without, fall behind: no partition goes to who has no state while
// somebody has it, none is left to nobody, and in the end the group is even and nobody asks for another rebalance.
func TestNoPartitionGoesToWhoHasNoStateWhileSomebodyHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{Standbys: rapid.IntRange(0, 2).Draw(t, "standbys"), WarmupLag: 100, MaxWarmups: rapid.IntRange(1, 5).Draw(t, "warm-ups")}
		g := newStateGroup(t, rapid.IntRange(1, 17).Draw(t, "partitions"), rapid.SampledFrom([]int64{0, 50, 10_000}).Draw(t, "size"), o)
		names := []string{"a", "b", "c", "d"}
		per := rapid.IntRange(1, 3).Draw(t, "workers")
		g.join("a", per)
		g.rest()
		away := func() (all []string) {
			for _, n := range names {
				if !slices.Contains(g.live(), n) {
					all = append(all, n)
				}
			}
			return all
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				if len(away()) == 0 {
					t.Skip("all are there")
				}
				g.join(rapid.SampledFrom(away()).Draw(t, "who"), per)
			},
			"die": func(t *rapid.T) {
				if len(g.live()) == 1 {
					t.Skip("the last one")
				}
				g.leave(rapid.SampledFrom(g.live()).Draw(t, "who"))
			},
			"lose the disk": func(t *rapid.T) {
				if len(away()) == 0 {
					t.Skip("all are there")
				}
				delete(g.states, rapid.SampledFrom(away()).Draw(t, "who"))
			},
			"restart without state": func(t *rapid.T) {
				name := rapid.SampledFrom(g.live()).Draw(t, "who")
				g.leave(name)
				delete(g.states, name)
				g.join(name, per)
			},
			"a member of the version before comes": func(*rapid.T) {
				if len(g.workers) < 20 {
					g.serial++
					g.workers = append(g.workers, &worker{id: fmt.Sprintf("old%d", g.serial), instance: "old", reads: []string{"inbox"}, generation: -1})
				}
			},
			"the members of the version before go": func(*rapid.T) { g.leave("old") },
			"write": func(t *rapid.T) {
				g.write(rapid.IntRange(0, len(g.logs)-1).Draw(t, "p"), rapid.Int64Range(1, 5000).Draw(t, "n"))
			},
			"read":      func(t *rapid.T) { g.read(rapid.Int64Range(1, 5000).Draw(t, "n")) },
			"rebalance": func(*rapid.T) { g.round() },
			"rest": func(*rapid.T) {
				g.rest()
				g.standbys()
			},
		})
		g.leave("old")
		g.rest()
		g.standbys()
		owners := map[int]*worker{}
		for p := range g.logs {
			owners[p] = g.owner(p)
		}
		if n := g.rest(); n != 1 {
			t.Fatalf("a rebalance without a cause is followed by %d more", n-1)
		}
		for p := range g.logs {
			if g.owner(p) != owners[p] {
				t.Fatalf("a rebalance without a cause moves partition %d", p)
			}
		}
	})
}

// An added instance gets nothing until it has the state, and then its share, a few partitions at a time; the owner works on.
func TestAddedInstanceWarmsUpFirst(t *testing.T) {
	g := newStateGroup(t, 8, 1_000_000, Options{WarmupLag: 10_000, MaxWarmups: 2})
	g.join("a", 2)
	g.rest()
	g.join("b", 2)
	for g.round() {
	}
	b := g.states["b"]
	if owned := g.workers[2].total() + g.workers[3].total(); owned != 0 || len(b.orders.Warmups) != 2 || len(b.orders.Standbys) != 0 {
		t.Fatalf("b has %d partitions and is told to follow %+v", owned, b.orders)
	}
	first := slices.Clone(b.orders.Warmups)
	g.read(500_000)
	g.round()
	if !slices.Equal(b.orders.Warmups, first) {
		t.Errorf("warm-ups %v are thrown away for %v", first, b.orders.Warmups)
	}
	g.read(495_000) // within the lag
	for g.round() {
	}
	for _, p := range first {
		if w := g.owner(int(p)); w.instance != "b" {
			t.Errorf("partition %d has warmed up and is still with %s", p, w.instance)
		}
	}
	if len(b.orders.Warmups) != 2 || slices.Equal(b.orders.Warmups, first) {
		t.Errorf("the next to warm up are %v", b.orders.Warmups)
	}
	g.rest()
	if n := g.workers[2].total() + g.workers[3].total(); n != 4 {
		t.Errorf("b has %d partitions in the end", n)
	}
}

// The partitions of an instance that died go to their standbys, all of them to one if it has them all, and even out later.
func TestStandbyTakesOverAndEvennessWaits(t *testing.T) {
	g := newStateGroup(t, 6, 1_000_000, Options{WarmupLag: 10_000, MaxWarmups: 8})
	g.join("a", 1)
	g.rest()
	g.join("b", 1)
	g.rest()
	g.join("c", 1)
	b := g.states["b"]
	b.has = slices.Clone(g.logs) // b happens to have everything
	g.leave("a")
	for g.round() {
	}
	for p := range g.logs {
		if w := g.owner(p); w == nil || w.instance != "b" {
			t.Fatalf("partition %d is not where its state is", p)
		}
	}
	if c := g.states["c"]; len(c.orders.Warmups) != 3 {
		t.Errorf("c is told to follow %+v", c.orders)
	}
	g.rest()
}

// An owner that has lost its state gives way to the standbys, and gets its share back when it has read it again.
func TestOwnerThatLostItsStateGivesWay(t *testing.T) {
	g := newStateGroup(t, 6, 1_000_000, Options{Standbys: 1, WarmupLag: 10_000, MaxWarmups: 8})
	g.join("a", 1)
	g.join("b", 1)
	g.rest()
	g.rest()
	clear(g.states["a"].has)
	for g.round() {
	}
	for p := range g.logs {
		if w := g.owner(p); w.instance != "b" {
			t.Errorf("partition %d is with %s, which has nothing of it", p, w.instance)
		}
	}
	g.rest()
	if n := g.workers[0].total(); n != 3 {
		t.Errorf("a has %d partitions in the end", n)
	}
}

// While nobody has much of the state, an instance that comes gets its share at once: two that read half each are faster than one
// that reads all.
func TestPartitionsAreSharedOutAtOnceWhileNobodyHasTheState(t *testing.T) {
	g := newStateGroup(t, 8, 1_000_000, Options{WarmupLag: 10_000, MaxWarmups: 2})
	g.join("a", 1)
	for g.round() {
	}
	g.read(100_000)
	g.join("b", 1)
	for g.round() {
	}
	if n := g.workers[1].total(); n != 4 {
		t.Errorf("b has %d partitions", n)
	}
}

// A group that was down starts with who has what on disk, whoever joins first.
func TestPartitionsGoBackToWhereTheirStateIs(t *testing.T) {
	g := newStateGroup(t, 12, 1_000_000, Options{WarmupLag: 10_000, MaxWarmups: 2})
	for _, name := range []string{"a", "b", "c"} {
		g.join(name, 2)
	}
	g.rest()
	owners := map[int]string{}
	for p := range g.logs {
		owners[p] = g.owner(p).instance
	}
	g.leave("a")
	g.leave("b")
	g.leave("c")
	for _, name := range []string{"c", "b", "a"} {
		g.join(name, 2)
	}
	for g.round() {
	}
	for p, name := range owners {
		if w := g.owner(p); w.instance != name {
			t.Errorf("partition %d was with %s, which has its state, and is with %s", p, name, w.instance)
		}
	}
}

// Standbys are spread, stay where they are, and one that has to move stays until the other is there.
func TestStandbysAreSpreadAndStay(t *testing.T) {
	g := newStateGroup(t, 12, 1_000_000, Options{Standbys: 1, WarmupLag: 10_000, MaxWarmups: 4})
	g.join("a", 1)
	g.join("b", 1)
	g.join("c", 1)
	g.rest()
	g.rest()
	g.standbys()
	before := map[string][]int32{}
	for name, s := range g.states {
		before[name] = s.orders.Standbys
		if len(s.orders.Standbys) != 4 {
			t.Errorf("%s has standbys %v", name, s.orders.Standbys)
		}
	}
	g.rest()
	for name, s := range g.states {
		if !slices.Equal(s.orders.Standbys, before[name]) {
			t.Errorf("standbys of %s were %v and are %v", name, before[name], s.orders.Standbys)
		}
	}
	g.leave("c")
	g.round()
	for p := range g.logs {
		if g.owner(p) == nil || g.owner(p).state.lag(p) > 10_000 {
			t.Errorf("partition %d has no owner with its state", p)
		}
	}
}

// Members of the version before this one take no orders: what they get, they get at once, and no partition waits for them.
func TestMembersThatTellNoStateGetTheirShareAtOnce(t *testing.T) {
	g := newStateGroup(t, 6, 1_000_000, Options{Standbys: 1, WarmupLag: 10_000, MaxWarmups: 2})
	g.join("a", 1)
	g.rest()
	old := &worker{id: "old", instance: "b", reads: []string{"inbox"}, generation: -1}
	g.workers = append(g.workers, old)
	for range 4 {
		if again, _ := g.rebalance(t, g.workers); !again {
			break
		}
	}
	g.check(t, g.workers)
	if s := g.states["a"]; len(s.orders.Warmups) != 0 {
		t.Errorf("a is told to follow %+v", s.orders)
	}
}

// The same members make the same plan and the same orders in whatever order the broker lists them.
func TestPlanByStateDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "partitions")
		g := newStateGroup(t, n, 1000, Options{Standbys: rapid.IntRange(0, 2).Draw(t, "standbys"), WarmupLag: 100, MaxWarmups: 2})
		for i := range rapid.IntRange(1, 3).Draw(t, "instances") {
			g.join(fmt.Sprint(i), 2)
		}
		for _, s := range g.states {
			for p := range s.has {
				s.has[p] = rapid.SampledFrom([]int64{0, 500, 950, 1000}).Draw(t, "has")
				s.follows[p] = rapid.Bool().Draw(t, "follows")
			}
		}
		for p := range n {
			if i := rapid.IntRange(-1, len(g.workers)-1).Draw(t, "owner"); i >= 0 {
				w := g.workers[i]
				if w.owns == nil {
					w.owns = map[string][]int32{}
				}
				w.generation = 0
				w.owns["inbox"] = append(w.owns["inbox"], int32(p))
			}
		}
		plan := func() (map[string]map[string][]int32, map[string]Orders) {
			orders := map[string]Orders{}
			follows := map[string][]bool{}
			for name, s := range g.states {
				follows[name] = slices.Clone(s.follows)
			}
			got := balanced(t, g.workers, g.topics)
			for name, s := range g.states {
				orders[name] = s.orders
				copy(s.follows, follows[name])
			}
			return got, orders
		}
		first, orders := plan()
		rand.Shuffle(len(g.workers), func(i, j int) { g.workers[i], g.workers[j] = g.workers[j], g.workers[i] })
		if again, same := plan(); !reflect.DeepEqual(first, again) || !reflect.DeepEqual(orders, same) {
			t.Fatalf("%v %v\nand\n%v %v", first, orders, again, same)
		}
	})
}

// A leader that was restarted compares its plan with the bytes that the group has: the same plan is the same bytes.
func TestSamePlanIsTheSameBytes(t *testing.T) {
	g := newStateGroup(t, 4, 1_000_000, Options{Standbys: 1, WarmupLag: 100, MaxWarmups: 2})
	g.join("a", 1)
	g.rest()
	g.join("b", 1)
	var members []kmsg.JoinGroupResponseMember
	for _, w := range g.workers {
		members = append(members, w.join())
	}
	encoded := func() (all []byte) {
		gb, _, err := g.workers[0].balancer().MemberBalancer(members)
		if err != nil {
			t.Fatal(err)
		}
		into, err := gb.(kgo.GroupMemberBalancerOrError).BalanceOrError(g.topics)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range into.IntoSyncAssignment() {
			all = append(append(all, a.MemberID...), a.MemberAssignment...)
		}
		return all
	}
	first := encoded()
	if !bytes.Contains(first, []byte("inbox\x00")) && len(first) < 60 {
		t.Errorf("no orders are in %q", first)
	}
	for range 20 {
		if got := encoded(); !bytes.Equal(got, first) {
			t.Fatalf("%q and %q", got, first)
		}
	}
}

func TestHoldingsAndOrdersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := userData{instance: "a", holds: Holdings{Topic: rapid.String().Draw(t, "topic")}}
		for range rapid.IntRange(0, 5).Draw(t, "partitions") {
			u.holds.Partitions = append(u.holds.Partitions, Holding{Lag: rapid.Int64Range(UnknownLag, 1<<61).Draw(t, "lag"), Follows: rapid.Bool().Draw(t, "follows")})
		}
		if got := HoldingsOf(u.encode()); !reflect.DeepEqual(got, u.holds) {
			t.Fatalf("%+v is read as %+v", u.holds, got)
		}
		o := Orders{Topic: rapid.String().Draw(t, "topic")}
		for _, list := range []*[]int32{&o.Standbys, &o.Warmups} {
			last := int32(0)
			for range rapid.IntRange(0, 4).Draw(t, "partitions") {
				last += rapid.Int32Range(0, 500).Draw(t, "step")
				*list = append(*list, last)
			}
		}
		b := o.encode()
		if got := OrdersOf(append(slices.Clone(b), rapid.SliceOf(rapid.Byte()).Draw(t, "what a later version appends")...)); !got.Equal(o) {
			t.Fatalf("%+v is read as %+v", o, got)
		}
		for cut := range b {
			if _, err := parseOrders(b[:cut]); err == nil {
				t.Fatalf("orders cut to %d of %d bytes pass", cut, len(b))
			}
		}
	})
}

// An assignment by a leader that gives no orders is an order to follow nothing; a broken one too.
func TestAssignmentWithoutOrdersEndsThem(t *testing.T) {
	logs := []int64{0, 0}
	s := &stateOf{logs: &logs, has: make([]int64, 2), follows: make([]bool, 2)}
	b := New("a")
	b.Keep(s, Options{})
	for _, data := range [][]byte{nil, {0}, {1, 200}, []byte("\x01\x05inb")} {
		s.orders = Orders{Topic: "inbox", Standbys: []int32{1}}
		a := kmsg.NewConsumerMemberAssignment()
		a.UserData = data
		if _, err := b.ParseSyncAssignment(a.AppendTo(nil)); err != nil || !s.orders.Empty() {
			t.Errorf("after %q it follows %+v, %v", data, s.orders, err)
		}
	}
}

// A large group with state is planned in a small part of the rebalance timeout.
func TestLargeGroupWithStateIsPlannedInTime(t *testing.T) {
	g := newStateGroup(t, 512, 1_000_000, Options{Standbys: 1, WarmupLag: 100, MaxWarmups: 8})
	for i := range 24 {
		g.join(fmt.Sprintf("i%02d", i), 4)
	}
	var took []time.Duration
	for range 3 { // the machine may be at other work
		start := time.Now()
		balanced(t, g.workers, g.topics)
		took = append(took, time.Since(start))
		if took[len(took)-1] <= 2*time.Second {
			t.Logf("24 instances of 4 workers, 512 partitions: %v", took)
			return
		}
	}
	t.Errorf("it took %v", took)
}
