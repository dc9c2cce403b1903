package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/topology"
	"crossdock/topology/topics"
)

// A hanging transaction is over for its coordinator and open in a partition: no marker will ever come, and whoever reads committed
// records stands before it for ever. A broker makes one when it ends a transaction while one of the partitions has no leader:
// Kafka 4.1 to 4.4 take such a partition for a deleted one, write no marker, and note the end as complete (KAFKA-20734). A single
// broker that is killed and started again, or frozen for longer than its session, is enough; with three replicas all of a
// partition's must be away. It happens to commits as to aborts, so that aborting what hangs, as kafka-transactions.sh does, can lose what
// was committed: what the coordinator has decided is read in its log (ended.go), and that marker is written. Nothing is guessed.
type hanging struct {
	at          input
	producer    int64
	epoch       int16  // of the producer's last records there
	start       int64  // offset of the first
	coordinator int32  // epoch of the coordinator that wrote the partition's last marker; below 0: there is none
	id          string // transactional id; "" where no id that may be seen has the producer
	state       string // of the id
	now         int16  // the producer's epoch by the coordinator
}

// same says whether two are one transaction.
func (h *hanging) same(other *hanging) bool {
	return h.at == other.at && h.producer == other.producer && h.start == other.start
}

func (h *hanging) attributes() []any {
	return []any{"topic", h.at.topic, "partition", h.at.partition, "worker", h.id, "producer", h.producer, "epoch", h.epoch, "start_offset", h.start, "coordinator_says", h.state}
}

// marker is the epoch of a marker that ends it: the next one, as Kafka's own (KIP-890), unless the producer is still at its own.
func (h *hanging) marker() int16 {
	if h.now == h.epoch {
		return h.epoch
	}
	return h.epoch + 1
}

// Places are where a stage's transactions leave something.
type places map[string]int32 // partitions, by topic

// places are the topics of a stage's transactions: outputs, dead letters and changelogs.
func (s *topicSet) places(stage *topology.Stage) places {
	m := places{}
	for _, id := range append([]topics.ID{topics.DeadLetters}, stage.Outputs...) {
		m[s.names[id]] = s.counts[s.names[id]]
	}
	for _, name := range s.changelogs {
		m[name] = s.counts[name]
	}
	return m
}

const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
)

// among is the partition of an internal topic that has a name's records: a group's offsets, or a transactional id's states.
// It is Java's hash of the name, as Kafka takes it.
func among(name string, partitions int32) int32 {
	h := int32(0)
	for _, c := range name { // names of Kafka's are ASCII: one unit of UTF-16 each
		h = 31*h + c
	}
	if h == -1<<31 {
		return 0
	}
	return max(h, -h) % partitions
}

// An open transaction in a partition, and partitions that did not say: their leaders are away.
type opened struct {
	all    []hanging
	unseen []input
}

// listOpened asks the leaders of some partitions which transactions are open there (DescribeProducers, KIP-664). Partitions that this user
// may not read are left out.
func listOpened(ctx context.Context, client *kgo.Client, of places, group string) (opened, error) {
	var found opened
	req := kmsg.NewPtrDescribeProducersRequest()
	add := func(topic string, partitions ...int32) {
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
	}
	for topic, n := range of {
		all := make([]int32, 0, n)
		for p := range n {
			all = append(all, p)
		}
		add(topic, all...)
	}
	// Offsets that hang hold back the stable offset fetch as records hold back readers.
	if n, err := partitionCount(ctx, client, offsetsTopic); err == nil && n > 0 {
		add(offsetsTopic, among(group, n))
	}
	if len(req.Topics) == 0 {
		return found, nil
	}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			if ctx.Err() != nil || errors.Is(shard.Err, kerr.UnsupportedVersion) {
				return found, fmt.Errorf("describe producers: %w", shard.Err)
			}
			for _, t := range shard.Req.(*kmsg.DescribeProducersRequest).Topics {
				for _, p := range t.Partitions {
					found.unseen = append(found.unseen, input{t.Topic, p})
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.DescribeProducersResponse).Topics {
			for _, p := range t.Partitions {
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case errors.Is(err, kerr.TopicAuthorizationFailed):
				case err != nil:
					found.unseen = append(found.unseen, input{t.Topic, p.Partition})
				default:
					for _, a := range p.ActiveProducers {
						if a.CurrentTxnStartOffset >= 0 {
							found.all = append(found.all, hanging{at: input{t.Topic, p.Partition}, producer: a.ProducerID, epoch: int16(a.ProducerEpoch),
								start: a.CurrentTxnStartOffset, coordinator: a.CoordinatorEpoch})
						}
					}
				}
			}
		}
	}
	return found, nil
}

// partitionCount is 0 where a topic does not exist, or is not to be seen.
func partitionCount(ctx context.Context, client *kgo.Client, topic string) (int32, error) {
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return 0, err
	}
	if d := details[topic]; d.Err == nil {
		return int32(len(d.Partitions)), nil
	}
	return 0, nil
}

// listHanging finds what hangs in some places. It asks the partitions, then the coordinators, then the partitions again: a transaction
// that was open before its coordinator called everything of the producer's ended, and is open after, has been left out, since a
// coordinator says so only when all markers are written. Producers that belong to no id that this user may see are unknown.
func listHanging(ctx context.Context, client *kgo.Client, of places, group string) (hang, unknown []hanging, err error) {
	before, err := listOpened(ctx, client, of, group)
	if err != nil || len(before.all) == 0 {
		return nil, nil, err
	}
	admin := kadm.NewClient(client)
	var producers []int64
	for _, h := range before.all {
		producers = append(producers, h.producer)
	}
	listed, err := admin.ListTransactions(ctx, producers, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("list transactions: %w", err)
	}
	var ids []string
	ended := map[int64]kadm.DescribedTransaction{}
	if ids = listed.TransactionalIDs(); len(ids) > 0 {
		described, err := admin.DescribeTransactions(ctx, ids...)
		if err != nil {
			return nil, nil, fmt.Errorf("describe transactions: %w", err)
		}
		for _, d := range described {
			if d.Err == nil {
				ended[d.ProducerID] = d
			}
		}
	}
	after, err := listOpened(ctx, client, of, group)
	if err != nil {
		return nil, nil, err
	}
	for _, h := range after.all {
		was := false
		for n := range before.all {
			was = was || before.all[n].same(&h)
		}
		d, known := ended[h.producer]
		switch {
		case !was:
		case !known:
			unknown = append(unknown, h)
		case !isOpen(d.State):
			h.id, h.state, h.now = d.TxnID, d.State, d.ProducerEpoch
			hang = append(hang, h)
		}
	}
	return hang, unknown, nil
}

func isOpen(state string) bool {
	for _, s := range openStates() {
		if s == state {
			return true
		}
	}
	return false
}

// writeMarker ends what hangs in a partition, as its coordinator should have (WriteTxnMarkers, which needs Alter on the cluster).
func writeMarker(ctx context.Context, client *kgo.Client, h *hanging, commit bool) error {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	m := kmsg.NewWriteTxnMarkersRequestMarker()
	m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch = h.producer, h.marker(), commit, max(0, h.coordinator)
	t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	t.Topic, t.Partitions = h.at.topic, []int32{h.at.partition}
	m.Topics = append(m.Topics, t)
	req.Markers = append(req.Markers, m)
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return fmt.Errorf("write a marker to %v: %w", h.at, shard.Err)
		}
		for _, m := range shard.Resp.(*kmsg.WriteTxnMarkersResponse).Markers {
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						return fmt.Errorf("write a marker to %v: %w", h.at, err)
					}
				}
			}
		}
	}
	return nil
}
