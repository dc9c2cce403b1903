package trial

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"crossdock/loadtest/latency"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

const (
	// shortDrain bounds the wait where the run was interrupted: a person wants to go.
	shortDrain = 20 * time.Second
	// settling is how long the observers may still be reading once the groups have committed everything.
	settling = 5 * time.Second
)

// drain waits until what was sent of a load has come out: every group has committed all records before it, and the
// observers have seen what they await. It ends what watches the load. An interrupt makes the wait short.
func (t *trial) drain(ctx context.Context, l *load) {
	lasting := context.WithoutCancel(ctx)
	bound := t.o.Drain
	if ctx.Err() != nil {
		bound = min(bound, shortDrain)
	}
	waiting, cancel := context.WithTimeoutCause(lasting, bound, fmt.Errorf("not within %v", bound))
	defer cancel()
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(min(bound, shortDrain), cancel) })
	defer unhook()
	var missing atomic.Pointer[verify.Missing]
	settled := make(chan error, 1)
	go func() {
		settled <- verify.Settled(waiting, verify.Waiting{
			Kafka: t.o.Kafka, Groups: t.groups.waiting(), Balances: t.o.Naming.Topic(topics.Balances), Tables: t.o.Tables,
			Progress: func(m verify.Missing) { missing.Store(&m) },
		})
	}()
	err := t.tellUntil(l, settled, &missing)
	if err == nil {
		seen, cancel := context.WithTimeoutCause(lasting, settling, fmt.Errorf("%v after the last commit", settling))
		_ = l.observers.Drain(seen) // what it missed stands in the hops
		cancel()
	} else {
		l.notes = append(l.notes, fmt.Sprintf("Not everything had come out %v after the last event was sent: %v. What was missing then counts as lost.",
			time.Since(l.ended).Round(time.Second), err))
	}
	l.drained = err == nil
	l.ended = time.Now()
	l.notes = append(l.notes, l.observers.Notes()...)
	if err := t.countInbox(lasting, l); err != nil {
		l.notes = append(l.notes, fmt.Sprintf("How the inbox spread over its partitions is not known: %v", err))
	}
	l.close(lasting)
	l.notes = append(l.notes, l.watch.Notes()...)
}

// tellUntil tells of progress until the pipeline has settled, or has not in time.
func (t *trial) tellUntil(l *load, settled <-chan error, missing *atomic.Pointer[verify.Missing]) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	sums := l.log.totals()
	window, hop := latency.NewWindow(recent, time.Since(sums.began), l.recorders...), t.hop()
	for {
		select {
		case err := <-settled:
			return err
		case <-tick.C:
		}
		elapsed := time.Since(sums.began)
		quantiles, _ := window.Look(elapsed).Latency(hop)
		p := Progress{
			Phase: Draining, Part: l.part.Name, Elapsed: elapsed, Of: l.plan.Duration(), Made: sums.made, Planned: l.plan.Count(),
			Lag: l.lag(), P99: time.Duration(quantiles.P99) * time.Microsecond, Hop: hop.String(), Waiting: "the brokers' answer",
		}
		if m := missing.Load(); m != nil {
			p.Waiting = m.String()
			if m.Records == 0 {
				p.Waiting = ""
			}
		}
		t.o.Progress(p)
	}
}

// retract takes the load's master data back where it is not needed any more.
func (t *trial) retract(ctx context.Context, l *load) {
	if !l.drained {
		l.notes = append(l.notes, "The run's items and sites were left on their topics: events that are still on the way need them.")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := t.master.retract(ctx, l.part.Space, l.generator.Items(), l.generator.Sites()); err != nil {
		l.notes = append(l.notes, fmt.Sprintf("The run's items and sites could not be deleted from their topics: %v", err))
	}
}
