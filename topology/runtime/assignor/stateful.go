package assignor

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
)

// A stateful is a group that shares one topic whose partitions have state. Plans are by instance, since the workers of one
// have one state.
//
// The even plan says who shall have which partition in the end: its target. Who has it until then follows from the lags:
//
//   - the target, where its lag is small, or nobody's is much smaller;
//   - otherwise the owner, where that can be said of it;
//   - otherwise, of those of whom it can be said, the one with the least to do.
//
// Where it is not the target, the target warms up. A target is chosen among those that have the state, or are at it, before
// others, so that no warm-up is thrown away for another that is as good.
type stateful struct {
	group *group
	opts  Options
	topic int

	members [][]int // that read the topic, by instance
	readers []int   // instances that have any
	keeps   []bool  // instances that tell their lags, and so take orders
	owner   []int   // member, by partition; -1: nobody that is alive
	home    []int   // its instance, or -1
	lag     [][]int64
	follows [][]bool
	least   []int64 // lag, by partition
	share   []int   // partitions of the even plan, by member
	quota   []int   // the same, by instance
}

// unknown is the lag of who does not tell.
const unknown = math.MaxInt64 / 8

// stateful reads what the members said of state. Nil: the leader, or everybody else, keeps none.
func (g *group) stateful(o Options) *stateful {
	if o.MaxWarmups <= 0 {
		return nil
	}
	s := &stateful{group: g, opts: o, topic: -1}
	for m := range g.said {
		for t := range g.topics {
			if g.said[m].Topic == g.topics[t].name {
				s.topic = t
			}
		}
	}
	if s.topic < 0 || len(g.topics) != 1 {
		return nil
	}
	top := &g.topics[s.topic]
	s.members, s.keeps = make([][]int, g.instances), make([]bool, g.instances)
	s.lag, s.follows = make([][]int64, g.instances), make([][]bool, g.instances)
	for i := range g.instances {
		s.lag[i], s.follows[i] = make([]int64, top.partitions), make([]bool, top.partitions)
		for p := range s.lag[i] {
			s.lag[i][p] = unknown
		}
	}
	s.owner, s.home = make([]int, top.partitions), make([]int, top.partitions)
	for p := range s.owner {
		s.owner[p], s.home[p] = -1, -1
	}
	for _, m := range top.readers {
		i := g.members[m].instance
		if len(s.members[i]) == 0 {
			s.readers = append(s.readers, i)
		}
		s.members[i] = append(s.members[i], m)
		for _, p := range g.members[m].held[s.topic] {
			s.owner[p], s.home[p] = m, i
		}
		said := &g.said[m]
		if said.Topic != top.name {
			continue
		}
		s.keeps[i] = true
		for p, h := range said.Partitions {
			if p < top.partitions {
				if h.Lag >= 0 {
					s.lag[i][p] = min(s.lag[i][p], h.Lag)
				}
				s.follows[i][p] = s.follows[i][p] || h.Follows
			}
		}
	}
	s.least = make([]int64, top.partitions)
	for p := range s.least {
		if h := s.home[p]; h >= 0 && s.lag[h][p] == unknown {
			s.lag[h][p] = 0 // an owner that does not tell is taken to be at work
		}
		s.least[p] = unknown
		for _, i := range s.readers {
			s.least[p] = min(s.least[p], s.lag[i][p])
		}
	}
	return s
}

// current says whether an instance's state of a partition counts as being there.
func (s *stateful) current(p, i int) bool { return s.lag[i][p] <= s.opts.WarmupLag }

// fits says whether a partition loses little with an instance: its state is there, or what is left to read is not more than
// twice what the best has left. Where nobody has much of the state, it is read where it is to be in the end.
func (s *stateful) fits(p, i int) bool {
	return s.current(p, i) || s.lag[i][p] <= s.least[p]+max(s.opts.WarmupLag, s.least[p])
}

// replan changes an even plan, by member and topic, to one by state, and says what the instances are to follow.
func (s *stateful) replan(plan [][][]int32) []Orders {
	s.share, s.quota = make([]int, len(plan)), make([]int, s.group.instances)
	for m := range plan {
		s.share[m] = len(plan[m][s.topic])
		s.quota[s.group.members[m].instance] += s.share[m]
	}
	orders := make([]Orders, s.group.instances)
	for _, i := range s.readers {
		orders[i].Topic = s.group.topics[s.topic].name
	}
	to := s.settle(s.targets(), orders)
	s.replicate(to, orders)
	s.distribute(to, plan)
	for i := range orders {
		slices.Sort(orders[i].Standbys)
		slices.Sort(orders[i].Warmups)
	}
	return orders
}

// A choice is an instance that a partition could move to.
type choice struct {
	p, i     int
	rank     int // 0: the state is there, 1: it is on its way, 2: neither
	scarcity int // how many instances with room have the state
	left     int // order of magnitude of the lag
}

func (s *stateful) choice(p, i int) choice {
	c := choice{p: p, i: i, rank: 2, left: bits.Len64(uint64(s.lag[i][p]))}
	switch {
	case s.current(p, i):
		c.rank, c.left = 0, 0
	case s.follows[i][p]:
		c.rank = 1
	}
	return c
}

func (c choice) compare(d choice) int {
	return cmp.Or(cmp.Compare(c.rank, d.rank), cmp.Compare(c.scarcity, d.scarcity), cmp.Compare(c.left, d.left), cmp.Compare(c.p, d.p), cmp.Compare(c.i, d.i))
}

// targets are the instances that shall have the partitions in the end, as many each as in the even plan. Owners keep what they
// have as long as it is not too much.
func (s *stateful) targets() []int {
	target := slices.Clone(s.home)
	room := slices.Clone(s.quota) // negative: so many are to be given up
	for _, h := range s.home {
		if h >= 0 {
			room[h]--
		}
	}
	var all []choice
	for p, h := range s.home {
		if h >= 0 && room[h] >= 0 {
			continue
		}
		from, scarcity := len(all), 0
		for _, i := range s.readers {
			if room[i] > 0 {
				all = append(all, s.choice(p, i))
				if s.current(p, i) {
					scarcity++
				}
			}
		}
		for c := range all[from:] {
			all[from+c].scarcity = scarcity
		}
	}
	slices.SortFunc(all, choice.compare)
	moved := make([]bool, len(target))
	for _, c := range all {
		h := s.home[c.p]
		if moved[c.p] || room[c.i] <= 0 || h >= 0 && room[h] >= 0 {
			continue
		}
		moved[c.p], target[c.p] = true, c.i
		room[c.i]--
		if h >= 0 {
			room[h]++
		}
	}
	return target
}

// settle says who has each partition until its target has the state, and orders warm-ups.
func (s *stateful) settle(target []int, orders []Orders) []int {
	to, count := make([]int, len(target)), make([]int, s.group.instances)
	var open []int
	var waits []choice
	for p, i := range target {
		h := s.home[p]
		switch {
		case i < 0: // nobody reads the topic
			to[p] = -1
			continue
		case s.fits(p, i), !s.keeps[i]: // who takes no orders cannot warm up
			to[p] = i
		case h >= 0 && s.fits(p, h):
			to[p] = h
		default:
			open = append(open, p)
			continue
		}
		count[to[p]]++
	}
	for _, p := range open {
		best := -1
		for _, i := range s.readers {
			if s.fits(p, i) && (best < 0 || cmp.Or(cmp.Compare(count[i]-s.quota[i], count[best]-s.quota[best]), cmp.Compare(s.lag[i][p], s.lag[best][p])) < 0) {
				best = i
			}
		}
		to[p] = best // there is one: who has the least lag
		count[best]++
	}
	for p, i := range target {
		switch {
		case i < 0:
		case to[p] != i:
			if s.keeps[i] {
				waits = append(waits, s.choice(p, i))
			}
		case s.home[p] >= 0 && s.home[p] != i && s.keeps[i]:
			// Its owner has to give it up first: what the instance has of it must outlast the rebalance between.
			orders[i].Standbys = append(orders[i].Standbys, int32(p))
		}
	}
	slices.SortFunc(waits, choice.compare)
	for _, c := range waits[:min(len(waits), s.opts.MaxWarmups)] {
		orders[c.i].Warmups = append(orders[c.i].Warmups, int32(c.p))
	}
	return to
}

// replicate orders standbys: for each partition so many instances that are not its owner, those that follow it already before
// others, evenly. One that is to be replaced stays until the other has the state.
func (s *stateful) replicate(to []int, orders []Orders) {
	if s.opts.Standbys <= 0 {
		return
	}
	var keepers []int
	for _, i := range s.readers {
		if s.keeps[i] {
			keepers = append(keepers, i)
		}
	}
	load, active := make([]int, s.group.instances), make([]int, s.group.instances)
	wanted := make([]int, len(to))
	sum := 0
	for p, a := range to {
		if a < 0 {
			continue
		}
		active[a]++
		wanted[p] = min(s.opts.Standbys, len(keepers))
		if slices.Contains(keepers, a) {
			wanted[p] = min(s.opts.Standbys, len(keepers)-1)
		}
		sum += wanted[p]
	}
	if sum == 0 {
		return
	}
	most := (sum + len(keepers) - 1) / len(keepers)
	chosen := make([][]int, len(to))
	take := func(p, i int) {
		chosen[p] = append(chosen[p], i)
		load[i]++
	}
	candidates := func(p int) (all []int) {
		for _, i := range keepers {
			if i != to[p] && !slices.Contains(chosen[p], i) {
				all = append(all, i)
			}
		}
		return all
	}
	byLoad := func(a, b int) int {
		return cmp.Or(cmp.Compare(load[a], load[b]), cmp.Compare(active[a], active[b]), cmp.Compare(a, b))
	}
	for _, sticky := range []func(p, i int) bool{s.current, func(p, i int) bool { return s.follows[i][p] }} {
		for p := range to {
			all := slices.DeleteFunc(candidates(p), func(i int) bool { return !sticky(p, i) || s.lag[i][p] == unknown })
			slices.SortFunc(all, byLoad)
			for _, i := range all {
				if len(chosen[p]) < wanted[p] && load[i] < most {
					take(p, i)
				}
			}
		}
	}
	for p := range to {
		for len(chosen[p]) < wanted[p] {
			take(p, slices.MinFunc(candidates(p), byLoad))
		}
	}
	for s.even(to, keepers, chosen, load) {
	}
	for p := range to {
		ready := 0
		for _, i := range chosen[p] {
			s.order(orders, p, i)
			if s.current(p, i) {
				ready++
			}
		}
		for _, i := range candidates(p) {
			if ready < wanted[p] && s.current(p, i) && s.follows[i][p] {
				s.order(orders, p, i)
				ready++
			}
		}
	}
}

// even moves a standby from the instance that has most to the one that has fewest, and says whether it could. Of those that can be
// moved, one that has nothing yet goes first.
func (s *stateful) even(to, keepers []int, chosen [][]int, load []int) bool {
	byLoad := func(a, b int) int { return cmp.Or(cmp.Compare(load[a], load[b]), cmp.Compare(a, b)) }
	order := slices.SortedFunc(slices.Values(keepers), byLoad)
	for n := range order {
		few := order[n]
		for m := len(order) - 1; m > n && load[order[m]] > load[few]+1; m-- {
			many, best := order[m], -1
			for p := range to {
				if slices.Contains(chosen[p], many) && !slices.Contains(chosen[p], few) && to[p] != few && (best < 0 || s.current(best, many) && !s.current(p, many)) {
					best = p
				}
			}
			if best >= 0 {
				chosen[best][slices.Index(chosen[best], many)] = few
				load[many]--
				load[few]++
				return true
			}
		}
	}
	return false
}

// order makes an instance a standby of a partition, unless it follows it for another reason.
func (s *stateful) order(orders []Orders, p, i int) {
	o := &orders[i]
	if !slices.Contains(o.Standbys, int32(p)) && !slices.Contains(o.Warmups, int32(p)) {
		o.Standbys = append(o.Standbys, int32(p))
	}
}

// distribute gives the partitions of each instance to its workers: as many each as in the even plan, or evenly where the
// instance has more or less than that, and of these as many as it can to who has them.
func (s *stateful) distribute(to []int, plan [][][]int32) {
	byInstance := make([][]int32, s.group.instances)
	for p, i := range to {
		if i >= 0 {
			byInstance[i] = append(byInstance[i], int32(p))
		}
	}
	for i, parts := range byInstance {
		workers := s.members[i]
		if len(workers) == 0 {
			continue
		}
		quota := s.workerQuotas(workers, parts, len(parts) == s.quota[i])
		var left []int32
		for _, m := range workers {
			plan[m][s.topic] = nil
		}
		for _, p := range parts {
			m := s.owner[p]
			if m >= 0 && s.home[p] == i && len(plan[m][s.topic]) < quota[m] {
				plan[m][s.topic] = append(plan[m][s.topic], p)
			} else {
				left = append(left, p)
			}
		}
		for _, m := range workers {
			n := min(len(left), quota[m]-len(plan[m][s.topic]))
			plan[m][s.topic] = append(plan[m][s.topic], left[:n]...)
			left = left[n:]
		}
	}
}

// workerQuotas are how many of an instance's partitions each of its workers gets.
func (s *stateful) workerQuotas(workers []int, parts []int32, even bool) map[int]int {
	quota := map[int]int{}
	if even {
		for _, m := range workers {
			quota[m] = s.share[m]
		}
		return quota
	}
	held := map[int]int{}
	for _, p := range parts {
		held[s.owner[p]]++
	}
	order := slices.Clone(workers)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(held[b], held[a]) })
	for n, m := range order {
		quota[m] = len(parts) / len(workers)
		if n < len(parts)%len(workers) {
			quota[m]++
		}
	}
	return quota
}
