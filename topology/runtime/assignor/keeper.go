package assignor

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Keeper is the part of an instance that has its state. All workers of an instance have the same.
type Keeper interface {
	// Holds is what state the instance has now, told to the group's leader whenever a worker joins. It must not wait.
	Holds() Holdings
	// Follow is what the leader wants the instance to follow, called after each rebalance with the whole of it, by each
	// worker. It must not wait.
	Follow(Orders)
}

// Holdings are the state that an instance has of a stage's input. The zero value is that of an instance that keeps none.
type Holdings struct {
	Topic string
	// Partitions are all of the topic's, by number.
	Partitions []Holding
}

// UnknownLag is the lag of state of which nothing is known.
const UnknownLag = -1

// A Holding is the state of one partition.
type Holding struct {
	// Lag is how many offsets of its changelogs are to be read until it is there: 0 for a task that runs, all of them where
	// there is no state. UnknownLag: it is not known.
	Lag int64
	// Follows says that the changelogs are being followed, or were until now.
	Follows bool
}

// Orders are what an instance is to follow beside what its workers have.
type Orders struct {
	Topic string
	// Standbys are replicas that stay, and partitions that are on their way to the instance.
	Standbys []int32
	// Warmups are partitions that move to the instance once their state is there.
	Warmups []int32
}

// Empty says that nothing is to be followed.
func (o Orders) Empty() bool { return len(o.Standbys)+len(o.Warmups) == 0 }

// Equal says whether two orders are the same.
func (o Orders) Equal(other Orders) bool {
	return o.Topic == other.Topic && slices.Equal(o.Standbys, other.Standbys) && slices.Equal(o.Warmups, other.Warmups)
}

// Options say how a leader gives out state.
type Options struct {
	// Standbys is how many replicas of each partition's state others than its owner keep.
	Standbys int
	// WarmupLag is the lag below which state counts as being there.
	WarmupLag int64
	// MaxWarmups is how many partitions warm up at a time, in the whole group.
	MaxWarmups int
}

// Keep gives the balancer the state of its instance, before a client uses it: moves are planned by who has which state then,
// where all that read a topic have a keeper.
func (b *Balancer) Keep(k Keeper, o Options) { b.keeper, b.options = k, o }

// HoldingsOf reads what a member that joined with some user data held then; nothing where it does not tell.
func HoldingsOf(userData []byte) Holdings {
	u, err := parseUserData(userData)
	if err != nil {
		return Holdings{}
	}
	return u.holds
}

// OrdersOf reads the orders in the user data of a member's assignment; none where there are none.
func OrdersOf(userData []byte) Orders {
	o, err := parseOrders(userData)
	if err != nil {
		return Orders{}
	}
	return o
}

// appendHoldings encodes holdings: the topic, empty where there are none, then the number of partitions and for each a
// uvarint: 0 where the lag is not known, else one more than the lag, twice, and 1 more where it is followed.
func appendHoldings(b []byte, h Holdings) []byte {
	b = appendString(b, h.Topic)
	b = binary.AppendUvarint(b, uint64(len(h.Partitions)))
	for _, p := range h.Partitions {
		v := uint64(0)
		if p.Lag >= 0 {
			v = uint64(p.Lag+1) << 1
		}
		if p.Follows {
			v |= 1
		}
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func (r *reader) holdings() (h Holdings) {
	h.Topic = r.string()
	for n := r.count(); n > 0 && !r.bad; n-- {
		v := r.uvarint()
		h.Partitions = append(h.Partitions, Holding{Lag: int64(v>>1) - 1, Follows: v&1 == 1})
	}
	return h
}

// Orders are the user data of an assignment:
//
//	byte     version, 1
//	string   topic
//	twice, standbys and then warm-ups: uvarint count, then that many uvarints: the first partition, then differences
//
// A later version only appends.
const ordersVersion = 1

var errOrders = errors.New("orders of another protocol or cut short")

func (o Orders) encode() []byte {
	b := appendString([]byte{ordersVersion}, o.Topic)
	return appendPartitions(appendPartitions(b, o.Standbys), o.Warmups)
}

func parseOrders(b []byte) (o Orders, err error) {
	if len(b) == 0 || b[0] == 0 {
		return o, errOrders
	}
	r := reader{b: b[1:]}
	o.Topic = r.string()
	o.Standbys = r.partitions()
	o.Warmups = r.partitions()
	if r.bad {
		return Orders{}, errOrders
	}
	return o, nil
}

func appendPartitions(b []byte, partitions []int32) []byte {
	b = binary.AppendUvarint(b, uint64(len(partitions)))
	last := int32(0)
	for _, p := range partitions {
		b = binary.AppendUvarint(b, uint64(p-last))
		last = p
	}
	return b
}

func (r *reader) partitions() (all []int32) {
	last := uint64(0)
	for n := r.count(); n > 0 && !r.bad; n-- {
		last += r.uvarint()
		if last > 1<<31-1 {
			r.bad = true
			return nil
		}
		all = append(all, int32(last))
	}
	return all
}

// heed passes on the orders in an assignment. An assignment without any, by a leader of a version that gives none, is an
// order to follow nothing.
func (b *Balancer) heed(assignment []byte) {
	if b.keeper == nil {
		return
	}
	var a kmsg.ConsumerMemberAssignment
	var o Orders
	if err := a.ReadFrom(assignment); err == nil && len(a.UserData) > 0 {
		o = OrdersOf(a.UserData)
	}
	b.keeper.Follow(o)
}

// A planned is a plan with the orders that go with it.
type planned struct {
	*kgo.BalancePlan
	orders map[string]Orders // by member
}

// IntoSyncAssignment adds the orders to what the consumer protocol has. The same plan makes the same bytes: a leader that
// was restarted compares them with what the group has.
func (p planned) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment {
	all := p.BalancePlan.IntoSyncAssignment()
	for i := range all {
		o, ok := p.orders[all[i].MemberID]
		if !ok || o.Empty() {
			continue
		}
		var a kmsg.ConsumerMemberAssignment
		if err := a.ReadFrom(all[i].MemberAssignment); err != nil {
			continue // of our own making: it reads
		}
		a.UserData = o.encode()
		all[i].MemberAssignment = a.AppendTo(nil)
	}
	slices.SortFunc(all, func(a, b kmsg.SyncGroupRequestGroupAssignment) int { return cmp.Compare(a.MemberID, b.MemberID) })
	return all
}
