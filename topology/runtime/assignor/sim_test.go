package assignor

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// A worker is a member as kgo runs it: it owns what the last sync gave it, and says so when it joins.
type worker struct {
	id, instance string
	reads        []string
	owns         map[string][]int32
	generation   int32
	state        *stateOf // of its instance; nil: it is of a version that tells none, or the stage has none
}

func (w *worker) balancer() *Balancer {
	b := New(w.instance)
	if w.state != nil {
		b.Keep(w.state, w.state.options)
	}
	return b
}

func (w *worker) join() kmsg.JoinGroupResponseMember {
	m := kmsg.NewJoinGroupResponseMember()
	m.MemberID = w.id
	m.ProtocolMetadata = w.balancer().JoinGroupMetadata(slices.Clone(w.reads), w.owns, w.generation)
	return m
}

func (w *worker) total() (n int) {
	for _, p := range w.owns {
		n += len(p)
	}
	return n
}

func (w *worker) has(topic string, p int32) bool { return slices.Contains(w.owns[topic], p) }

// balanced asks a leader for the plan: what the workers would get by member id.
func balanced(t require, workers []*worker, topics map[string]int32) map[string]map[string][]int32 {
	var members []kmsg.JoinGroupResponseMember
	for _, w := range workers {
		members = append(members, w.join())
	}
	slices.SortFunc(members, func(a, b kmsg.JoinGroupResponseMember) int {
		if a.MemberID < b.MemberID {
			return -1
		}
		return 1
	})
	leader, byID := New("leader"), map[string]*worker{}
	for _, w := range workers {
		byID[w.id] = w
		if w.state != nil {
			leader.Keep(w.state, w.state.options)
		}
	}
	gb, _, err := leader.MemberBalancer(members)
	if err != nil {
		t.Fatal(err)
	}
	into, err := gb.(kgo.GroupMemberBalancerOrError).BalanceOrError(topics)
	if err != nil {
		t.Fatal(err)
	}
	plan := map[string]map[string][]int32{}
	for _, a := range into.IntoSyncAssignment() {
		got, err := byID[a.MemberID].balancer().ParseSyncAssignment(a.MemberAssignment)
		if err != nil {
			t.Fatal(err)
		}
		plan[a.MemberID] = got
	}
	return plan
}

type require interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A cluster is the group's coordinator: it runs rebalances until nobody has to give up anything.
type cluster struct {
	generation int32
	topics     map[string]int32
}

// rebalance is one join and sync of all workers. It fails where a partition is given to one while another that took part in
// the last generation still owns it, and says whether a worker has to revoke and so to join again.
func (c *cluster) rebalance(t require, workers []*worker) (again bool, moved int) {
	plan := balanced(t, workers, c.topics)
	for _, w := range workers {
		for topic, partitions := range plan[w.id] {
			for _, p := range partitions {
				if w.has(topic, p) && w.generation == c.generation {
					continue
				}
				moved++
				for _, other := range workers {
					if other != w && other.generation == c.generation && other.has(topic, p) {
						t.Fatalf("%s/%d is given to %s while %s owns it", topic, p, w.id, other.id)
					}
				}
			}
		}
	}
	c.generation++
	for _, w := range workers {
		for topic, partitions := range w.owns {
			for _, p := range partitions {
				if !slices.Contains(plan[w.id][topic], p) {
					again = true
				}
			}
		}
		w.owns, w.generation = plan[w.id], c.generation
	}
	return again, moved
}

func (c *cluster) settle(t require, workers []*worker) (moved int) {
	for round := 0; ; round++ {
		again, n := c.rebalance(t, workers)
		moved += n
		if !again {
			c.check(t, workers)
			return moved
		}
		if round == 3 {
			t.Fatalf("the group is not at rest after %d rebalances", round)
		}
	}
}

// check holds that each partition with a reader has one owner and that topics and totals are even.
func (c *cluster) check(t require, workers []*worker) {
	alike := true
	for _, w := range workers {
		alike = alike && slices.Equal(w.reads, workers[0].reads)
	}
	for topic, partitions := range c.topics {
		owners := map[int32]int{}
		var counts []int
		for _, w := range workers {
			for _, p := range w.owns[topic] {
				owners[p]++
				if !slices.Contains(w.reads, topic) {
					t.Fatalf("%s does not read %s", w.id, topic)
				}
			}
			if slices.Contains(w.reads, topic) {
				counts = append(counts, len(w.owns[topic]))
			}
		}
		if len(counts) == 0 {
			continue
		}
		if len(owners) != int(partitions) {
			t.Fatalf("of %d partitions of %s, %d have an owner", partitions, topic, len(owners))
		}
		for p, n := range owners {
			if n != 1 || p < 0 || p >= partitions {
				t.Fatalf("%s/%d has %d owners", topic, p, n)
			}
		}
		if slices.Max(counts)-slices.Min(counts) > 1 {
			t.Fatalf("%s is spread %v", topic, counts)
		}
	}
	if !alike {
		return
	}
	var totals []int
	perInstance, size := map[string]int{}, map[string]int{}
	for _, w := range workers {
		totals = append(totals, w.total())
		perInstance[w.instance] += w.total()
		size[w.instance]++
	}
	if slices.Max(totals)-slices.Min(totals) > 1 {
		t.Fatalf("totals are %v", totals)
	}
	sizes, sums := slices.Collect(maps.Values(size)), slices.Collect(maps.Values(perInstance))
	if slices.Max(sizes) == slices.Min(sizes) && slices.Max(sums)-slices.Min(sums) > 1 {
		t.Fatalf("instances of %d workers get %v", sizes[0], perInstance)
	}
}

// Workers join, leave, restart empty, sleep through a generation and come back with stale claims, topics grow: the group
// comes to rest even, and no partition ever has two owners.
func TestGroupSettlesEvenAndNeverSharesAPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{topics: map[string]int32{}}
		names := []string{"movements", "raw.a", "raw.b"}[:rapid.IntRange(1, 3).Draw(t, "topics")]
		for _, n := range names {
			c.topics[n] = int32(rapid.IntRange(1, 17).Draw(t, n))
		}
		var live, away []*worker
		serial := 0
		join := func() {
			serial++
			live = append(live, &worker{
				id:       fmt.Sprintf("m%02d", serial*37%100),
				instance: fmt.Sprintf("i%d", rapid.IntRange(0, 3).Draw(t, "instance")),
				reads:    names, generation: -1,
			})
		}
		for range rapid.IntRange(1, 6).Draw(t, "workers") {
			join()
		}
		c.settle(t, live)
		pick := func(from *[]*worker) *worker {
			if len(*from) == 0 {
				t.Skip("nobody")
			}
			i := rapid.IntRange(0, len(*from)-1).Draw(t, "who")
			w := (*from)[i]
			*from = slices.Delete(*from, i, i+1)
			return w
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(*rapid.T) {
				if len(live) < 12 {
					join()
				}
			},
			"leave": func(t *rapid.T) {
				if len(live) == 1 {
					t.Skip("the last one")
				}
				pick(&live)
			},
			"restart": func(*rapid.T) {
				w := pick(&live)
				live = append(live, &worker{id: w.id + "'", instance: w.instance, reads: names, generation: -1})
			},
			"fall asleep": func(t *rapid.T) {
				if len(live) == 1 {
					t.Skip("the last one")
				}
				away = append(away, pick(&live))
			},
			"wake up with stale claims": func(*rapid.T) { live = append(live, pick(&away)) },
			"grow": func(*rapid.T) {
				c.topics[rapid.SampledFrom(names).Draw(t, "topic")]++
			},
			"read less": func(*rapid.T) { // a rolling deploy that takes away a source
				w := rapid.SampledFrom(live).Draw(t, "who")
				w.reads = names[:rapid.IntRange(1, len(names)).Draw(t, "topics")]
			},
			"one round only": func(*rapid.T) { c.rebalance(t, live) },
			"settle": func(t *rapid.T) {
				c.settle(t, live)
				if n := c.settle(t, live); n != 0 {
					t.Fatalf("a rebalance without a cause moves %d partitions", n)
				}
			},
		})
		c.settle(t, live)
	})
}

// A newcomer takes what is its share and nobody else gets anything; a leaver's partitions go to others and nothing else
// moves.
func TestOneTopicMovesOnlyWhatItMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &cluster{topics: map[string]int32{"inbox": int32(rapid.IntRange(1, 96).Draw(t, "partitions"))}}
		var workers []*worker
		n := rapid.IntRange(1, 20).Draw(t, "workers")
		for i := range n {
			// An instance a worker: the even spread over instances asks for moves of its own.
			workers = append(workers, &worker{id: fmt.Sprintf("m%02d", i), instance: fmt.Sprint(i), reads: []string{"inbox"}, generation: -1})
		}
		c.settle(t, workers)

		newcomer := &worker{id: "m00a", instance: "new", reads: []string{"inbox"}, generation: -1}
		joined := append(slices.Clone(workers), newcomer)
		if moved := c.settle(t, joined); moved != newcomer.total() || moved > int(c.topics["inbox"])/len(joined)+1 {
			t.Fatalf("the newcomer has %d, moved are %d", newcomer.total(), moved)
		}

		i := rapid.IntRange(0, len(joined)-1).Draw(t, "leaver")
		left := joined[i].total()
		if moved := c.settle(t, slices.Delete(joined, i, i+1)); moved != left {
			t.Fatalf("the leaver had %d, moved are %d", left, moved)
		}
	})
}

// Whatever is claimed, no plan that is as even keeps more. Plans are tried out one by one.
func TestNoEvenPlanKeepsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topics := rapid.IntRange(1, 3).Draw(t, "topics")
		members := rapid.IntRange(1, 4).Draw(t, "members")
		g := &group{}
		for range members {
			i := rapid.IntRange(0, max(0, g.instances)).Draw(t, "instance")
			i = min(i, g.instances)
			g.instances = max(g.instances, i+1)
			g.members = append(g.members, member{instance: i, held: make([][]int32, topics)})
		}
		for i := range topics {
			top := topic{name: fmt.Sprint(i), partitions: rapid.IntRange(0, 7).Draw(t, "partitions")}
			for m := range members {
				top.readers = append(top.readers, m)
			}
			for p := range top.partitions {
				if h := rapid.IntRange(-1, members-1).Draw(t, "holder"); h >= 0 {
					g.members[h].held[i] = append(g.members[h].held[i], int32(p))
				}
			}
			g.topics = append(g.topics, top)
		}
		score := func(extra [][]bool) cost {
			var s cost
			total, inst := make([]int, members), make([]int, g.instances)
			for i, top := range g.topics {
				for m := range members {
					q := top.partitions / members
					if extra[i][m] {
						q++
					}
					total[m] += q
					inst[g.members[m].instance] += q
					s.move += max(0, q-len(g.members[m].held[i]))
				}
			}
			for _, n := range total {
				s.member += n * n
			}
			for _, n := range inst {
				s.instance += n * n
			}
			return s
		}
		var best *cost
		extra := make([][]bool, topics)
		var try func(i int)
		try = func(i int) {
			if i == topics {
				if s := score(extra); best == nil || s.less(*best) {
					best = &s
				}
				return
			}
			for set := range 1 << members {
				row, n := make([]bool, members), 0
				for m := range members {
					if row[m] = set>>m&1 == 1; row[m] {
						n++
					}
				}
				if n == g.topics[i].partitions%members {
					extra[i] = row
					try(i + 1)
				}
			}
		}
		try(0)
		if got := score(g.extras()); got != *best {
			t.Fatalf("the plan scores %+v, the best %+v", got, *best)
		}
	})
}
