package runtime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A worker leaves within a second of being told to stop, whatever it waits for. The transaction at hand may end for
// stopGrace; one that does not, since a rebalance or a broker does not either, is given up, its client is closed in the
// middle of what it does, and the two things that others would wait for are undone through the instance's own client:
// the open transaction is aborted, and the member that is in a rebalance leaves the group.
const (
	stopGrace   = 500 * time.Millisecond // for the transaction at hand
	leaveGrace  = 100 * time.Millisecond // for a rebalance that ends by itself
	forcedGrace = 200 * time.Millisecond // for the requests of the instance's own client
)

// giveUp tells the brokers that a worker has gone which could not tell them by its own client: in a rebalance its client waits
// for the other members, of which one may be dead.
//
// A static member that closes within a rebalance leaves the group, unlike one that closes at other times. The group could
// give it partitions in that rebalance that nobody would claim until the session timeout, and what it gave up in the one
// before belongs to nobody until it joins.
func (w *worker) giveUp() {
	if !w.pending && !w.txn.unsettled {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.life), forcedGrace)
	defer cancel()
	if w.pending {
		if err := leave(ctx, w.fencer.admin, w.cfg.App, "stopped within a rebalance", w.name); err != nil {
			w.log.Warn("the group could not be left: its partitions wait for a restart or the session timeout", "error", err)
		}
	}
	if w.txn.unsettled {
		if _, err := fence(ctx, w.fencer.client, w.name, -1, -1, w.cfg.TransactionTimeout); err != nil {
			w.log.Warn("a transaction is left open: a restart, or another instance's fencer, aborts it", "error", err)
			return
		}
		w.log.Info("the transaction at hand did not end in time: it was aborted, its records are processed again", "within", stopGrace.String())
	}
}

// RejoinAfter is how long a worker stays out of a group from which it was removed.
const RejoinAfter = 5 * time.Second

// removed says whether somebody has removed this worker from the group, as Leave does, while it was in good standing: the
// coordinator does not know it, or its transaction was fenced and it is no member, although its heartbeats went on. A worker
// that was away, a process that was stopped for instance, was given up by the group and joins again at once.
func (w *worker) removed(ctx context.Context, s *session, err error) bool {
	if s == nil || !s.contact.steady() {
		return false
	}
	if errors.Is(err, kerr.UnknownMemberID) {
		return true
	}
	if !producerLost(err) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	there, err := members(ctx, w.fencer.admin, w.cfg.App, w.name)
	return err == nil && !there[w.name]
}

// stayOut keeps a worker that was removed out of the group for RejoinAfter: a stop follows if the instance leaves for good. Its
// client may have joined again by itself before it was closed.
func (w *worker) stayOut(ctx context.Context) {
	w.log.Warn("somebody removed this worker from the group, as crossdock leave does: it joins again unless the process stops", "in", RejoinAfter.String())
	leaving, cancel := context.WithTimeout(ctx, lookTimeout)
	if err := leave(leaving, w.fencer.admin, w.cfg.App, "removed, and joined again by itself", w.name); err != nil {
		w.log.Warn("the group could not be left", "error", err)
	}
	cancel()
	select {
	case <-ctx.Done():
	case <-time.After(RejoinAfter):
	}
}

// A contact tells whether a session's heartbeats have gone on without a gap in which the group could have given it up.
type contact struct {
	window time.Duration // the session timeout

	mu   sync.Mutex
	last time.Time // of the last heartbeat's answer, whatever it was
	gap  time.Time // when the last long gap ended
}

// OnBrokerE2E is for kgo.HookBrokerE2E.
func (c *contact) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if kmsg.Key(key) != kmsg.Heartbeat || e.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.last.IsZero() && now.Sub(c.last) > c.window/2 {
		c.gap = now
	}
	c.last = now
}

// steady says that there was no such gap of late, and that there is none now.
func (c *contact) steady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero() && time.Since(c.last) < c.window && time.Since(c.gap) > c.window
}
