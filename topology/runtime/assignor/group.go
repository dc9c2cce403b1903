package assignor

import (
	"cmp"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A group is what the members said, in a fixed order, so that whoever leads makes the same plan.
type group struct {
	members   []member
	topics    []topic
	instances int
	said      []Holdings // the state of its instance, by member
}

type member struct {
	at       int // in the balancer's list
	instance int
	held     [][]int32 // by topic: what it holds and nobody holds by a newer generation
}

type topic struct {
	name       string
	partitions int
	readers    []int // members
}

func readGroup(b *kgo.ConsumerBalancer, counts map[string]int32) *group {
	type said struct {
		member
		id, static string
		name       string
		generation int32
		claims     []topicPartitions
		topics     []string
		state      Holdings
	}
	var all []said
	i := 0
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		s := said{member: member{at: i}, id: m.MemberID, generation: meta.Generation, topics: meta.Topics}
		i++
		if m.InstanceID != nil {
			s.static = *m.InstanceID
		}
		if u, err := parseUserData(meta.UserData); err == nil {
			s.name, s.generation, s.claims = u.instance, u.generation, u.held
			s.state = u.holds
		} else { // not one of ours, or broken: an instance of its own, and what it owns is what it holds
			s.name = "\x00" + m.MemberID
			for _, o := range meta.OwnedPartitions {
				s.claims = append(s.claims, topicPartitions{o.Topic, o.Partitions})
			}
		}
		all = append(all, s)
	})
	slices.SortFunc(all, func(a, b said) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.static, b.static), cmp.Compare(a.id, b.id))
	})

	g := &group{}
	numbers := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		numbers[name] = len(g.topics)
		g.topics = append(g.topics, topic{name: name, partitions: int(counts[name])})
	}
	for m := range all {
		s := &all[m]
		if m == 0 || s.name != all[m-1].name {
			g.instances++
		}
		s.instance = g.instances - 1
		s.held = make([][]int32, len(g.topics))
		for _, name := range slices.Compact(slices.Sorted(slices.Values(s.topics))) {
			if t, ok := numbers[name]; ok {
				g.topics[t].readers = append(g.topics[t].readers, m)
			}
		}
	}

	// The newest generation's claim holds; of two of one generation, the first member's.
	for t := range g.topics {
		top := &g.topics[t]
		holder := make([]int, top.partitions)
		for p := range holder {
			holder[p] = -1
		}
		for _, m := range top.readers {
			for _, c := range all[m].claims {
				if c.topic != top.name {
					continue
				}
				for _, p := range c.partitions {
					if p < 0 || int(p) >= top.partitions {
						continue // of a topic that was made again with fewer
					}
					if h := holder[p]; h < 0 || all[h].generation < all[m].generation {
						holder[p] = m
					}
				}
			}
		}
		for p, m := range holder {
			if m >= 0 {
				all[m].held[t] = append(all[m].held[t], int32(p))
			}
		}
	}
	for _, s := range all {
		g.members = append(g.members, s.member)
		g.said = append(g.said, s.state)
	}
	return g
}

// plan is by member and topic.
func (g *group) plan() [][][]int32 {
	extra := g.extras()
	plan := make([][][]int32, len(g.members))
	for m := range plan {
		plan[m] = make([][]int32, len(g.topics))
	}
	for t := range g.topics {
		top := &g.topics[t]
		if len(top.readers) == 0 {
			continue
		}
		quota := func(m int) int {
			q := top.partitions / len(top.readers)
			if extra[t][m] {
				q++
			}
			return q
		}
		given := make([]bool, top.partitions)
		for _, m := range top.readers {
			keep := g.members[m].held[t]
			keep = keep[:min(len(keep), quota(m))]
			plan[m][t] = append(plan[m][t], keep...)
			for _, p := range keep {
				given[p] = true
			}
		}
		next := 0
		for _, m := range top.readers {
			for len(plan[m][t]) < quota(m) {
				for given[next] {
					next++
				}
				given[next] = true
				plan[m][t] = append(plan[m][t], int32(next))
			}
		}
	}
	return plan
}
