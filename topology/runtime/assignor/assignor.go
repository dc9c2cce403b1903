// Package assignor is Crossdock's group balancer: cooperative, sticky, even. It gives the partitions of a stage's topics
// to the stage's workers. It knows kgo's balancer contract and nothing of tasks.
//
// Invariants, in this order where they pull apart:
//
//   - Cooperative (KIP-429): a partition that a member still owns is given to another only after a rebalance in which the
//     owner gave it up. A claim of an older generation never counts as ownership against a newer one (KIP-792).
//   - Even per topic: of each topic, any two of its readers get counts that differ by at most one. (Topics carry very
//     different loads: an even total could still give one worker all of the busy topic.)
//   - Even in total: where all members read the same topics, totals differ by at most one too.
//   - Spread over instances first: which members get one more is chosen so that instances come out even.
//   - Sticky: of all such plans, one that moves the fewest partitions.
//   - State first: where the members tell what state they have (Keep), a partition goes to an instance whose state is not
//     there only where nobody has it. Until it is, the partition stays where it was, or goes to who has it, and the
//     instance warms up; evenness waits for that. Each rebalance after a warm-up is closer to even, and at rest it is.
//   - The plan depends on what the members said, and on nothing else.
package assignor

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Name is the protocol's name. It never changes: a group whose members share no protocol cannot form.
const Name = "crossdock-sticky"

// A Balancer is one worker's side of the protocol, and the plan where that worker is the group's leader.
type Balancer struct {
	instance string
	address  string
	keeper   Keeper // nil: the stage has no state
	options  Options
}

var _ kgo.GroupBalancer = (*Balancer)(nil)

// New makes the balancer of a worker of the instance (process) named.
func New(instance string) *Balancer { return &Balancer{instance: instance} }

// Advertising makes the balancer of a worker of an instance that answers queries of its state at an address (URL), which
// every member and Address can read of the group.
func Advertising(instance, address string) *Balancer {
	return &Balancer{instance: instance, address: address}
}

// Address is where a member answers queries, by the user data that it joined with; empty: nowhere, or it is of a version
// that does not tell.
func Address(userData []byte) string {
	u, err := parseUserData(userData)
	if err != nil {
		return ""
	}
	return u.address
}

// ProtocolName is Name.
func (*Balancer) ProtocolName() string { return Name }

// IsCooperative is true: members keep what they own during a rebalance.
func (*Balancer) IsCooperative() bool { return true }

// JoinGroupMetadata says what the worker reads and owns. The same state makes the same bytes: Kafka takes changed ones for
// a reason to rebalance, which is what a probing rebalance is made of.
func (b *Balancer) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	owned := make([]topicPartitions, 0, len(current))
	for topic, partitions := range current {
		partitions = slices.Clone(partitions)
		slices.Sort(partitions)
		owned = append(owned, topicPartitions{topic, partitions})
	}
	sortTopics(owned)

	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version = 3 // with Generation
	meta.Topics = slices.Sorted(slices.Values(interests))
	meta.Generation = generation
	for _, o := range owned {
		p := kmsg.NewConsumerMemberMetadataOwnedPartition()
		p.Topic, p.Partitions = o.topic, o.partitions
		meta.OwnedPartitions = append(meta.OwnedPartitions, p)
	}
	said := userData{instance: b.instance, generation: generation, held: owned, address: b.address}
	if b.keeper != nil {
		said.holds = b.keeper.Holds()
	}
	meta.UserData = said.encode()
	return meta.AppendTo(nil)
}

// ParseSyncAssignment reads what the leader gave, and passes its orders on.
func (b *Balancer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	b.heed(assignment)
	return kgo.ParseConsumerSyncAssignment(assignment)
}

// MemberBalancer reads what the members said. An error is a member whose metadata is not of the consumer protocol.
func (b *Balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	cb, err := kgo.NewConsumerBalancer(balance{b.options}, members)
	return cb, cb.MemberTopics(), err
}

type balance struct{ options Options }

// Balance makes the plan. topics has the partition count of each topic.
func (a balance) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	in := readGroup(b, topics)
	assignments, orders := in.plan(), map[string]Orders{}
	if s := in.stateful(a.options); s != nil {
		byInstance := s.replan(assignments)
		for m := range in.members {
			member, _ := b.MemberAt(in.members[m].at)
			orders[member.MemberID] = byInstance[in.members[m].instance]
		}
	}
	plan := b.NewPlan()
	for m, byTopic := range assignments {
		member, _ := b.MemberAt(in.members[m].at)
		for t, partitions := range byTopic {
			if len(partitions) > 0 {
				plan.AddPartitions(member, in.topics[t].name, partitions)
			}
		}
	}
	plan.AdjustCooperative(b)
	return planned{plan, orders}
}
