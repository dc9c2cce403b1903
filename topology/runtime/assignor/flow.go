package assignor

// Of a topic with more partitions than its readers share evenly, some readers get one more. Who, is a flow of least cost,
// from topics through members and instances to a sink:
//
//	topic -> member    one unit at most; costs a move where the member does not hold that one more already
//	member -> instance the n-th partition of a member costs n
//	instance -> sink   the n-th partition of an instance costs n
//
// Rising costs make the cheapest flow the most even one, and comparing costs by member first, then instance, then move
// makes the order of the invariants. It is found by successive shortest paths; each unit may push earlier ones aside.

// A cost is compared field by field.
type cost struct{ member, instance, move int }

func (c cost) plus(d cost) cost {
	return cost{c.member + d.member, c.instance + d.instance, c.move + d.move}
}

func (c cost) minus(d cost) cost {
	return cost{c.member - d.member, c.instance - d.instance, c.move - d.move}
}

func (c cost) less(d cost) bool {
	if c.member != d.member {
		return c.member < d.member
	}
	if c.instance != d.instance {
		return c.instance < d.instance
	}
	return c.move < d.move
}

// A flow's nodes are topics, members, instances and the sink, in this order.
type flow struct {
	g          *group
	extra      [][]bool // by topic and member
	reads      [][]bool // by topic and member
	perMember  []int    // partitions so far
	extras     []int    // of them, those that the flow gave
	perInst    []int
	ofInstance [][]int // members

	dist    []cost
	from    []int
	reached []bool
	queued  []bool
	queue   []int
}

// extras says, by topic and member, who gets one more than the topic's even share.
func (g *group) extras() [][]bool {
	n := len(g.topics) + len(g.members) + g.instances + 1
	f := &flow{
		g:         g,
		perMember: make([]int, len(g.members)), extras: make([]int, len(g.members)),
		perInst: make([]int, g.instances), ofInstance: make([][]int, g.instances),
		dist: make([]cost, n), from: make([]int, n), reached: make([]bool, n), queued: make([]bool, n),
	}
	for m := range g.members {
		i := g.members[m].instance
		f.ofInstance[i] = append(f.ofInstance[i], m)
	}
	for _, top := range g.topics {
		reads := make([]bool, len(g.members))
		for _, m := range top.readers {
			reads[m] = true
			f.perMember[m] += top.partitions / len(top.readers)
			f.perInst[g.members[m].instance] += top.partitions / len(top.readers)
		}
		f.reads = append(f.reads, reads)
		f.extra = append(f.extra, make([]bool, len(g.members)))
	}
	for t, top := range g.topics {
		if len(top.readers) > 0 {
			for range top.partitions % len(top.readers) {
				f.push(t)
			}
		}
	}
	return f.extra
}

// move is what it costs to give a member one more of a topic.
func (f *flow) move(t, m int) cost {
	top := &f.g.topics[t]
	if len(f.g.members[m].held[t]) > top.partitions/len(top.readers) {
		return cost{}
	}
	return cost{move: 1}
}

// push sends one unit from a topic to the sink by the cheapest way.
func (f *flow) push(t int) {
	topics, members := len(f.g.topics), len(f.g.members)
	sink := len(f.dist) - 1
	clear(f.reached)
	f.reached[t], f.dist[t] = true, cost{}
	f.queue = append(f.queue[:0], t)
	for head := 0; head < len(f.queue); head++ {
		n := f.queue[head]
		f.queued[n] = false
		switch {
		case n < topics:
			for m := range members {
				if f.reads[n][m] && !f.extra[n][m] {
					f.relax(n, topics+m, f.move(n, m))
				}
			}
		case n < topics+members:
			m := n - topics
			f.relax(n, topics+members+f.g.members[m].instance, cost{member: f.perMember[m] + 1})
			for back := range topics {
				if f.extra[back][m] {
					f.relax(n, back, cost{}.minus(f.move(back, m)))
				}
			}
		case n < sink:
			i := n - topics - members
			f.relax(n, sink, cost{instance: f.perInst[i] + 1})
			for _, m := range f.ofInstance[i] {
				if f.extras[m] > 0 {
					f.relax(n, topics+m, cost{member: -f.perMember[m]})
				}
			}
		}
	}
	for n := sink; n != t; n = f.from[n] {
		f.shift(f.from[n], n)
	}
}

func (f *flow) relax(from, to int, c cost) {
	d := f.dist[from].plus(c)
	if f.reached[to] && !d.less(f.dist[to]) {
		return
	}
	f.reached[to], f.dist[to], f.from[to] = true, d, from
	if !f.queued[to] {
		f.queued[to] = true
		f.queue = append(f.queue, to)
	}
}

// shift sends a unit over one edge, or back over it.
func (f *flow) shift(from, to int) {
	topics, members := len(f.g.topics), len(f.g.members)
	isMember := func(n int) bool { return n >= topics && n < topics+members }
	switch {
	case from < topics:
		f.extra[from][to-topics] = true
	case isMember(from) && to < topics:
		f.extra[to][from-topics] = false
	case isMember(from):
		f.perMember[from-topics]++
		f.extras[from-topics]++
	case isMember(to):
		f.perMember[to-topics]--
		f.extras[to-topics]--
	default:
		f.perInst[from-topics-members]++
	}
}
