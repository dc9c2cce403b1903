package runtime

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// An ending is how a transaction ended for its coordinator.
type ending uint8

const (
	endingUnknown ending = iota
	endedByCommit
	endedByAbort
)

func (e ending) String() string { return [...]string{"unknown", "commit", "abort"}[e] }

// errNoEnding says that a coordinator's log does not tell how a transaction ended.
var errNoEnding = errors.New("the transaction log does not say how it ended")

// States of a transaction in the transaction log (TransactionState of Kafka's transaction coordinator).
const (
	loggedEmpty         = 0
	loggedOngoing       = 1
	loggedPrepareCommit = 2
	loggedPrepareAbort  = 3
)

// bumpsEpochs is the first version of transactions in which every end raises the epoch (KIP-890, transaction.version 2).
const bumpsEpochs = 2

// judge finds in what a coordinator has logged of a transactional id, in order, how the transaction ended that hangs. A decision
// names the partitions that were to get its marker:
//
//   - since KIP-890 every transaction has an epoch of its own, and its end is logged with a later one: the first decision after
//     the epoch that names the partition is it;
//   - before, many have one epoch: it is the last that names the partition, since a later one would have ended it too.
//
// Where the log has all that happened since (a record before, one after) and no decision names the partition, the coordinator never
// knew that it was part of the transaction, as with a record that came late: nothing of it was ever committed.
//
// Compaction leaves of an id the last record of what it has cleaned and all later ones, so what follows the first record is whole.
func judge(log []kmsg.TxnMetadataValue, h *hanging) ending {
	found := endingUnknown
	since, over := false, false
	for i := range log {
		r := &log[i]
		if r.ProducerID != h.producer {
			over = over || since
			continue
		}
		since = since || r.ProducerEpoch <= h.epoch
		over = over || since && r.ProducerEpoch > h.epoch && r.State != loggedOngoing
		decided := r.State == loggedPrepareCommit || r.State == loggedPrepareAbort
		if !decided || !partOf(h.at, r.Topics) {
			continue
		}
		raised := r.ClientTransactionVersion >= bumpsEpochs
		switch {
		case raised && (r.ProducerEpoch <= h.epoch || r.ProducerEpoch > h.epoch+2 || found != endingUnknown):
			continue
		case !raised && r.ProducerEpoch != h.epoch && r.ProducerEpoch != h.epoch+1:
			continue
		}
		found = endedByAbort
		if r.State == loggedPrepareCommit {
			found = endedByCommit
		}
	}
	if found == endingUnknown && over {
		return endedByAbort
	}
	return found
}

func partOf(at input, all []kmsg.TxnMetadataValueTopic) bool {
	for _, t := range all {
		if t.Topic == at.topic && slices.Contains(t.Partitions, at.partition) {
			return true
		}
	}
	return false
}

// readAgo is how far back the transaction log is read at first: most of what hangs is found at once.
const readAgo = time.Hour

// endingOf reads the coordinator's log of a transactional id for how a transaction ended. It needs Read on __transaction_state. Opts reach the
// brokers.
func endingOf(ctx context.Context, client *kgo.Client, opts []kgo.Opt, h *hanging) (ending, error) {
	n, err := partitionCount(ctx, client, transactionsTopic)
	if err != nil {
		return endingUnknown, err
	}
	if n == 0 {
		return endingUnknown, fmt.Errorf("topic %s cannot be read: %w", transactionsTopic, errNoEnding)
	}
	p := among(h.id, n)
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, transactionsTopic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return endingUnknown, fmt.Errorf("the end of %s: %w", transactionsTopic, err)
	}
	end, _ := ends.Lookup(transactionsTopic, p)
	from := kgo.NewOffset().AtStart()
	if recent, err := admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-readAgo).UnixMilli(), transactionsTopic); err == nil {
		if o, ok := recent.Lookup(transactionsTopic, p); ok && o.Err == nil && o.Offset > 0 && o.Offset < end.Offset {
			from = kgo.NewOffset().At(o.Offset)
		}
	}
	log, err := readTransactions(ctx, opts, p, from, end.Offset, h.id)
	if err != nil {
		return endingUnknown, err
	}
	e := judge(log, h)
	if e == endingUnknown && from != kgo.NewOffset().AtStart() {
		if log, err = readTransactions(ctx, opts, p, kgo.NewOffset().AtStart(), end.Offset, h.id); err != nil {
			return endingUnknown, err
		}
		e = judge(log, h)
	}
	if e == endingUnknown {
		return e, errNoEnding
	}
	return e, nil
}

// readTransactions reads what a partition of the transaction log has of an id, up to an offset.
func readTransactions(ctx context.Context, opts []kgo.Opt, p int32, from kgo.Offset, end int64, id string) ([]kmsg.TxnMetadataValue, error) {
	reader, err := kgo.NewClient(append(append([]kgo.Opt(nil), opts...), kgo.WithContext(ctx), kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{transactionsTopic: {p: from}}))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	var log []kmsg.TxnMetadataValue
	for at := int64(0); at < end; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read %s/%d: %w", transactionsTopic, p, err)
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read %s/%d: %w", transactionsTopic, p, e.Err)
		}
		for _, r := range fetches.Records() {
			at = r.Offset + 1
			var key kmsg.TxnMetadataKey
			var value kmsg.TxnMetadataValue
			if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) != 0 || key.ReadFrom(r.Key) != nil || key.TransactionalID != id || r.Value == nil {
				continue
			}
			if err := value.ReadFrom(r.Value); err != nil {
				return nil, fmt.Errorf("%s/%d at offset %d is of a version that is not known here: %w", transactionsTopic, p, r.Offset, err)
			}
			log = append(log, value)
		}
	}
	return log, nil
}
