package runtime

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An opening is a transaction that holds back readers of committed records: one that is not ended, or whose markers are
// still being written.
type opening struct {
	id       string // transactional id, which is the group.instance.id of its worker
	producer int64
	epoch    int16
	start    int64 // milliseconds, by the broker's clock
	timeout  time.Duration
	ending   bool // the broker is writing its markers: nothing can be done, or need be
}

// Transaction states (KIP-664) in which readers wait.
const stateOngoing = "Ongoing"

func openStates() []string {
	return []string{stateOngoing, "PrepareCommit", "PrepareAbort", "PrepareEpochFence"}
}

// listOpenings lists the openings of transactional ids with a prefix. DescribeProducers of a changelog would miss those that
// block outputs alone: the changelog is written last.
func listOpenings(ctx context.Context, admin *kadm.Client, prefix string) ([]opening, error) {
	// Brokers before 4.1 ignore the pattern, those before 3.0 know no such request.
	listed, err := admin.ListTransactionsByTxPattern(ctx, nil, openStates(), "^"+regexp.QuoteMeta(prefix)+".*")
	if err != nil {
		return nil, fmt.Errorf("list transactions: %w", err)
	}
	var ids []string
	for id := range listed {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	described, err := admin.DescribeTransactions(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("describe transactions: %w", err)
	}
	var open []opening
	for _, d := range described.Sorted() {
		switch {
		case errors.Is(d.Err, kerr.TransactionalIDNotFound):
			continue
		case d.Err != nil:
			return nil, fmt.Errorf("describe transaction %s: %w", d.TxnID, d.Err)
		}
		for _, state := range openStates() {
			if d.State == state {
				open = append(open, opening{id: d.TxnID, producer: d.ProducerID, epoch: d.ProducerEpoch, start: d.StartTimestamp,
					timeout: time.Duration(d.TimeoutMillis) * time.Millisecond, ending: state != stateOngoing})
			}
		}
	}
	return open, nil
}

// members are the group.instance.ids of a group's members with a prefix.
func members(ctx context.Context, admin *kadm.Client, group, prefix string) (map[string]bool, error) {
	groups, err := admin.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if errors.Is(err, kerr.GroupIDNotFound) {
		return map[string]bool{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("describe group %s: %w", group, err)
	}
	all := map[string]bool{}
	for _, m := range groups[group].Members {
		if m.InstanceID != nil && strings.HasPrefix(*m.InstanceID, prefix) {
			all[*m.InstanceID] = true
		}
	}
	return all, nil
}

// A fate is what a request to fence found.
type fate uint8

const (
	aborted   fate = iota // its transaction is being aborted
	succeeded             // a later producer has the id: what was open is over
)

// fence makes the broker abort what a producer left open, and refuse the producer from then on. It names the producer that
// it means (KIP-360), so that one that has taken the id since keeps it, unless it has begun a transaction too. A negative
// producer means whoever has the id.
func fence(ctx context.Context, client *kgo.Client, id string, producer int64, epoch int16, timeout time.Duration) (fate, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID = &id
	req.TransactionTimeoutMillis = int32(timeout.Milliseconds())
	req.ProducerID, req.ProducerEpoch = producer, epoch
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case err == nil:
		return aborted, nil
	case errors.Is(err, kerr.ConcurrentTransactions):
		// Kafka's answer when it has begun to abort. It asks for another request, which would raise the epoch once more: whoever
		// takes the id next does that.
		return aborted, nil
	case producerLost(err):
		return succeeded, nil
	}
	return 0, fmt.Errorf("fence %s: %w", id, err)
}
