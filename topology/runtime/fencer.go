package runtime

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A fencer ends what workers left open that are gone. A worker that is killed in a transaction leaves it open, and everybody
// who reads committed records stands still behind it, the restorer of the next owner and every stage downstream, until
// the broker's timeout and its sweep have passed: 13 to 20 s. Its own restart would abort it; where another takes over, or a
// pod comes back under another name, the fencer does.
//
// It looks when partitions are assigned, when the group's membership changes, and when a restore stands before its end. It
// lists the open transactions of the application's transactional ids, and asks the group who lives:
//
//   - of one that is no member, the transaction is aborted by InitProducerId, at once;
//   - a member's is waited for, and aborted only when it has been seen open longer than its own timeout.
//
// Fencing is safe whenever it comes, because it can only abort. A commit that the broker has taken is past it (its state is
// PrepareCommit, and InitProducerId waits). A transaction with offsets pending holds back the stable offset fetch of the
// partitions' next owner, so nobody has gone on behind it; one without offsets has done nothing that its input does not do
// again. A worker that was fenced although it lives learns so by its next request, throws its session away and
// processes the batch again (I4). So a wrong guess costs time, never a record.
type fencer struct {
	app     string
	timeout time.Duration // of transactions, for the request that fences
	client  *kgo.Client
	admin   *kadm.Client
	log     *slog.Logger
	metrics *fencerMetrics
	stands  func() bool // a restore has not moved since the last call
	wake    chan struct{}

	opts       []kgo.Opt // that reach the brokers
	places     places    // what the application's transactions write
	changelogs []string  // of them, those that nobody else writes
	hangs      hangs
	probed     bool // it has found out whether it sees the ids of others

	mu     sync.Mutex
	asked  uint64        // looks asked for
	clear  uint64        // of them, those after which nothing of a departed worker was left open
	off    bool          // it lacks the rights
	change chan struct{} // closed when clear or off changes, and made anew
}

// prefix begins the transactional ids and group.instance.ids of an application's workers.
func prefix(app string) string { return app + "/" }

func newFencer(c *Config, log *slog.Logger, m *fencerMetrics, stands func() bool) *fencer {
	return &fencer{app: c.App, timeout: c.TransactionTimeout, opts: c.Client, log: log, metrics: m, stands: stands, wake: make(chan struct{}, 1), change: make(chan struct{})}
}

// connect gives it the client by which it asks, and what its application's transactions write, before it runs.
func (f *fencer) connect(client *kgo.Client, places places, changelogs []string) {
	f.client, f.admin, f.places, f.changelogs = client, kadm.NewClient(client), places, changelogs
}

// ask wants a look, for a reason that is there by now.
func (f *fencer) ask() {
	f.mu.Lock()
	f.asked++
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// settled waits until a look that was asked for before has found nothing left open by who is gone, or a time has passed.
func (f *fencer) settled(ctx context.Context, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	f.mu.Lock()
	want := f.asked
	for f.clear < want && !f.off {
		change := f.change
		f.mu.Unlock()
		select {
		case <-change:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
	}
	f.mu.Unlock()
}

// standingFor is how long a restore must have stood before its end.
const standingFor = 200 * time.Millisecond

// run looks whenever it is asked to, until ctx ends.
func (f *fencer) run(ctx context.Context) error {
	tick := time.NewTicker(standingFor)
	defer tick.Stop()
	for {
		stands, look := false, true
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-tick.C:
			stands = f.stands()
			look = stands
		}
		if look && !f.settle(ctx) {
			f.turnOff()
			<-ctx.Done()
			return nil
		}
		f.lookAtHangs(ctx, stands)
	}
}

// A sighting is an opening in the looks of one settling.
type sighting struct {
	opening
	since  time.Time // first seen
	fenced time.Time // last fenced; zero: never
}

// Pauses between looks, and of one look.
const (
	firstLookPause = 20 * time.Millisecond
	maxLookPause   = time.Second
	lookTimeout    = 5 * time.Second
	fenceAgain     = time.Second // an abort that has begun takes effect before this
	givenUp        = time.Minute // past the longest that brokers take by themselves; the next reason to look begins anew
)

// settle looks until nothing that it saw is open any more. False: it lacks the rights to.
func (f *fencer) settle(ctx context.Context) bool {
	seen := map[string]*sighting{}
	began := time.Now()
	pause := firstLookPause
	fresh := true // a reason to look has come since the last look
	for {
		f.mu.Lock()
		answers := f.asked
		f.mu.Unlock()
		left, err := f.look(ctx, seen, fresh)
		fresh = fresh && err != nil
		switch {
		case ctx.Err() != nil:
			return true
		case err != nil && f.refused(err):
			return false
		case err != nil:
			f.metrics.errors.Inc()
			f.log.Warn("open transactions cannot be looked for just now", "error", err, "backoff", pause.String())
			if time.Since(began) > givenUp {
				return true
			}
		default:
			if left.departed == 0 {
				f.clearedTo(answers)
			}
			if left.departed+left.living == 0 {
				return true
			}
			if time.Since(began) > givenUp {
				f.log.Error("a transaction stays open: readers of committed records wait behind it", "open", names(seen), "for", time.Since(began).String())
				return true
			}
		}
		select {
		case <-ctx.Done():
			return true
		case <-f.wake: // a new reason; what is followed already goes on
			fresh, pause = true, firstLookPause
		case <-time.After(pause):
			pause = min(2*pause, maxLookPause)
		}
	}
}

// remaining is what a look leaves to wait for.
type remaining struct{ departed, living int }

// look is one look at what is open. A member's transactions are followed if they are there at the look that a reason brings
// about: under load there is always another.
func (f *fencer) look(ctx context.Context, seen map[string]*sighting, fresh bool) (left remaining, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	f.metrics.looks.Inc()
	if !f.probed {
		if err := f.probe(ctx); err != nil {
			return left, err
		}
		f.probed = true
	}
	open, err := listOpenings(ctx, f.admin, prefix(f.app))
	if err != nil {
		return left, err
	}
	// The members after the transactions: who has joined in between is one, who has left is none any more.
	alive := map[string]bool{}
	if len(open) > 0 {
		if alive, err = members(ctx, f.admin, f.app, prefix(f.app)); err != nil {
			return left, err
		}
	}
	now := time.Now()
	for id, s := range seen {
		if !contains(open, s.opening) {
			delete(seen, id)
		}
	}
	for _, o := range open {
		s := seen[o.id]
		if s == nil {
			if alive[o.id] && !fresh {
				continue
			}
			s = &sighting{opening: o, since: now}
			seen[o.id] = s
		}
		s.opening = o
		why := ""
		switch {
		case !alive[o.id]:
			left.departed++
			why = fencedDeparted
		default:
			left.living++
			if now.Sub(s.since) > o.timeout {
				why = fencedOverdue
			}
		}
		if why == "" || o.ending || now.Sub(s.fenced) < fenceAgain {
			continue
		}
		s.fenced = now
		is, err := fence(ctx, f.client, o.id, o.producer, o.epoch, f.timeout)
		if err != nil {
			return left, err
		}
		if is == aborted {
			f.metrics.fenced.WithLabelValues(why).Inc()
			f.log.Warn("a transaction that was left open is aborted", "worker", o.id, "why", why, "producer", o.producer, "epoch", o.epoch,
				"open_for", now.Sub(time.UnixMilli(o.start)).Round(time.Millisecond).String())
		}
	}
	return left, nil
}

// same says whether two openings are one transaction. Fencing raises the epoch of one.
func (o *opening) same(other *opening) bool {
	return o.id == other.id && o.producer == other.producer && o.start == other.start
}

func contains(open []opening, o opening) bool {
	for n := range open {
		if open[n].same(&o) {
			return true
		}
	}
	return false
}

func names(seen map[string]*sighting) []string {
	var all []string
	for id := range seen {
		all = append(all, id)
	}
	return all
}

// clearedTo takes note that nothing was left open for the looks asked for so far.
func (f *fencer) clearedTo(asked uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clear = max(f.clear, asked)
	close(f.change)
	f.change = make(chan struct{})
}

// probe finds out whether this user may see the transactional ids of others. Who may not is shown a list without them, as if nothing
// were open. It asks for an id that nobody has: whether it may be seen is answered before whether it is there.
func (f *fencer) probe(ctx context.Context) error {
	_, err := f.admin.DescribeTransactions(ctx, prefix(f.app)+"?")
	if errors.Is(err, kerr.TransactionalIDAuthorizationFailed) {
		f.log.Warn("the fencer sees the transactional ids of this instance at most: what another's dead worker leaves open stands until the broker's timeout. Grant Describe and Write on "+
			"transactional ids that begin with "+prefix(f.app), "error", err)
		return nil
	}
	return err
}

func (f *fencer) turnOff() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
	close(f.change)
	f.change = make(chan struct{})
}

// refused says whether an error will return: the brokers do not let this user, or do not know how. It tells of it, once.
func (f *fencer) refused(err error) bool {
	switch {
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		f.log.Warn("the fencer is off: what a dead worker leaves open stands until the broker's timeout. Grant Describe and Write on transactional ids that begin with "+
			prefix(f.app)+", and Describe on group "+f.app, "error", err)
	case errors.Is(err, kerr.UnsupportedVersion):
		f.log.Warn("the fencer is off: what a dead worker leaves open stands until the broker's timeout. It needs ListTransactions, of Kafka 3.0 and later", "error", err)
	default:
		return false
	}
	return true
}

// Why a transaction was fenced: labels of a metric.
const (
	fencedDeparted = "departed" // its worker is no member of the group
	fencedOverdue  = "overdue"  // its worker is one, but it was open longer than its timeout
)

// fencerMetrics are an instance's.
type fencerMetrics struct {
	fenced        *prometheus.CounterVec
	looks, errors prometheus.Counter
	hanging       prometheus.Gauge
	markers       *prometheus.CounterVec
}

func newFencerMetrics() *fencerMetrics {
	return &fencerMetrics{
		fenced: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_fencer_fenced_total", Help: "Transactions of other workers aborted, by why."}, []string{"why"}),
		looks:  prometheus.NewCounter(prometheus.CounterOpts{Name: "crossdock_fencer_looks_total", Help: "Looks at the open transactions of the application."}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{Name: "crossdock_fencer_errors_total", Help: "Looks that failed and are tried again."}),
		hanging: prometheus.NewGauge(prometheus.GaugeOpts{Name: "crossdock_fencer_hanging_transactions_count",
			Help: "Transactions that are over for their coordinator and open in a partition: readers of committed records stand before them."}),
		markers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_fencer_markers_total", Help: "Hanging transactions that were ended as their coordinator had decided, by how."}, []string{"outcome"}),
	}
}

func (m *fencerMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.fenced, m.looks, m.errors, m.hanging, m.markers}
}
