package runtime

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
)

// A keeper has the state of an instance that no task has: replicas, which follow the changelogs of partitions that others own
// or that are on their way. Tasks get their stores from it, and give them back to it.
//
// What it follows is what the group's leader orders (package assignor): standbys, and warm-ups of partitions that are to move
// to this instance. In turn it tells the leader, whenever a worker joins, how far the state of every partition is behind here.
// When warm-ups are done it makes a worker join again, which is the probing rebalance of KIP-441.
//
// A replica's store is the store that a task goes on with: a folder with its lease, or memory. So there is one owner of it at
// any time (I8): the restorer as long as it follows, the task from when its restore is done.
type keeper struct {
	*Instance
	log   *slog.Logger
	admin *kadm.Client
	wake  chan struct{} // holds one

	mu        sync.Mutex
	orders    assignor.Orders
	planned   time.Time       // when a rebalance last brought orders
	probed    assignor.Orders // orders whose warm-ups were all there when a rebalance was last forced for them
	tries     int             // how often it was
	forced    time.Time       // when a rebalance was last forced
	replicas  map[slot]*replica
	tasks     map[slot]*restore // of tasks, those that run included
	astray    map[*restore]bool // of tasks, those that a rebalance was forced for
	left      map[slot]int64    // offsets at which folders were left that nobody has now
	retry     map[slot]time.Time
	now, past *ends // what the changelogs hold: at the last look, and at the one before
	closing   bool
}

// A slot is one partition of one store.
type slot struct {
	store     int
	partition int32
}

// A replica is a follower that the keeper has.
type replica struct {
	*restore
	until time.Time // when it is given up, unless it is ordered; zero: it is
	there bool      // its lag was once small
	told  time.Time // when the log was last told of its lag
}

// keepFor is how long a store is followed that nothing orders: its partition may come back, to this worker whose session is made
// anew or to another, or it was found on disk and the first assignment is on its way.
const keepFor = 15 * time.Second

// retryAfter is how soon a replica is tried again that has failed.
const retryAfter = 5 * time.Second

var _ assignor.Keeper = (*keeper)(nil)

func newKeeper(i *Instance) *keeper {
	return &keeper{
		Instance: i, log: i.log, wake: make(chan struct{}, 1), replicas: map[slot]*replica{}, tasks: map[slot]*restore{},
		astray: map[*restore]bool{}, left: map[slot]int64{}, retry: map[slot]time.Time{},
	}
}

// changelog is the topic of a slot.
func (k *keeper) changelog(s slot) string { return k.topics.changelogs[s.store] }

// claim is what a slot's store is leased with: a changelog's topic id and what it holds.
func (i *Instance) claim(s slot, id [16]byte, holds span) store.Claim {
	return store.Claim{
		Store: i.storeName(s.store), Partition: s.partition, Changelog: id,
		Start: holds.start, End: holds.end, Retention: i.topics.retention[i.topics.changelogs[s.store]],
	}
}

func (i *Instance) storeName(number int) string { return i.cfg.App + "/" + i.stage.Stores[number].Name }

// poke makes the keeper's loop look.
func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// open begins a task's restore: with a replica's store where there is one, which is not read again.
func (k *keeper) open(s slot, claim store.Claim, notify func()) *restore {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.left, s)
	delete(k.retry, s)
	var j *restore
	switch r := k.replicas[s]; {
	case r != nil:
		delete(k.replicas, s)
		j = k.restorer.promote(r.restore, claim, notify)
		k.metrics.promotions.Inc()
	case k.disk != nil:
		j = k.restorer.lease(k.changelog(s), k.disk, claim, notify)
	default:
		j = k.restorer.restore(k.changelog(s), claim, store.New(), notify)
	}
	k.tasks[s] = j
	return j
}

// close takes a task's store back, which its worker must not use any more. It is followed from where it stands, for a while or
// as long as that is ordered, unless another worker of the instance waits for it, or the instance stops.
func (k *keeper) close(s slot, j *restore) {
	over, err := j.finished()
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.astray, j)
	next, closing := k.tasks[s], k.closing || k.life.Err() != nil
	if next == j {
		delete(k.tasks, s)
		next = nil
	}
	keep := !closing && next == nil && k.replicas[s] == nil
	switch {
	case !over && keep:
		k.adopt(s, k.restorer.demote(j, k.poke))
	case !over:
		k.restorer.cancel(j)
	case j.store == nil: // it could not be opened
	case err == nil && j.store.Fault() == nil && keep:
		j.store.Abort()
		k.adopt(s, k.restorer.goOn(j, k.poke))
	case err == nil && j.disk == nil && next != nil && !closing:
		j.store.Abort()
		k.restorer.handOver(j, next)
	default:
		if j.disk != nil && err == nil && j.store.Fault() == nil {
			k.left[s] = j.store.Position().Changelog
		}
		j.store.Release()
	}
}

// adopt makes a follower a replica for a while. The caller holds mu.
func (k *keeper) adopt(s slot, f *restore) {
	k.replicas[s] = &replica{restore: f, until: time.Now().Add(keepFor)}
	k.poke()
}

// adoptWait bounds how long the first workers wait for the folders of an instance that the group does not know, so that it
// joins with what it has.
const adoptWait = 500 * time.Millisecond

// start looks at the changelogs, and begins to follow with what the disk has, before the first worker joins.
func (k *keeper) start(ctx context.Context, client *kgo.Client) {
	k.admin = kadm.NewClient(client)
	looking, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	if err := k.look(looking); err != nil {
		k.log.Warn("the ends of the changelogs are not known: the instance joins without telling what state it has", "error", err)
		return
	}
	if k.disk == nil {
		return
	}
	if found := k.adoptStored(); len(found) > 0 {
		if there, err := members(looking, k.admin, k.cfg.App, MemberPrefix(k.cfg.App, k.cfg.Instance)); err == nil && len(there) > 0 {
			return // a restart: the group gives it what it had
		}
		limit := time.NewTimer(adoptWait)
		defer limit.Stop()
		for _, f := range found {
			select {
			case <-f.leased:
			case <-limit.C:
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

// adoptStored follows with every folder that there is, until orders and assignments say which are wanted.
func (k *keeper) adoptStored() (found []*restore) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := range k.stage.Stores {
		stored, err := k.disk.Stored(k.storeName(n))
		if err != nil {
			k.log.Warn("the folders of the state cannot be listed", "error", err)
		}
		for _, p := range stored {
			if s := (slot{n, p}); int(p) < len(k.now.spans[n]) {
				f := k.restorer.followOnDisk(k.changelog(s), k.disk, k.claim(s, k.now.ids[n], k.now.spans[n][p]), k.poke)
				k.adopt(s, f)
				found = append(found, f)
			}
		}
	}
	return found
}

// Follow is for assignor.Keeper.
func (k *keeper) Follow(o assignor.Orders) {
	if o.Topic != k.topics.inputs[0] {
		o = assignor.Orders{}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !o.Equal(k.orders) {
		k.log.Info("told to follow", "standbys", o.Standbys, "warmups", o.Warmups)
	}
	k.orders, k.planned = o, time.Now()
	k.poke()
}

// reconcile opens what is ordered and not there, and gives up what is there and not wanted. It comes right after a look: what a
// store stands at must lie before the ends that it is leased with.
func (k *keeper) reconcile(looked bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	ordered := map[int32]bool{}
	for _, p := range k.orders.Standbys {
		ordered[p] = true
	}
	for _, p := range k.orders.Warmups {
		ordered[p] = true
	}
	for s, r := range k.replicas {
		over, err := r.finished()
		switch {
		case over:
			delete(k.replicas, s)
			k.retry[s] = now.Add(retryAfter)
			if err != nil && !k.closing {
				k.log.Warn("a standby has failed: it is opened again if it is still wanted", "changelog", r.at.String(), "error", err, "backoff", retryAfter.String())
			}
		case ordered[s.partition]:
			r.until = time.Time{}
		case r.until.IsZero():
			r.until = now.Add(keepFor)
		case now.After(r.until):
			delete(k.replicas, s)
			if r.disk != nil {
				k.left[s] = r.position.Load()
			}
			k.restorer.cancel(r.restore)
			k.log.Info("standby given up", "changelog", r.at.String(), "offset", r.position.Load())
		}
	}
	if !looked || k.closing {
		return
	}
	for p := range ordered {
		for n := range k.stage.Stores {
			s := slot{n, p}
			if k.replicas[s] != nil || k.tasks[s] != nil || now.Before(k.retry[s]) || int(p) >= len(k.now.spans[n]) {
				continue
			}
			delete(k.retry, s)
			claim := k.claim(s, k.now.ids[n], k.now.spans[n][p])
			var f *restore
			if k.disk != nil {
				f = k.restorer.followOnDisk(k.changelog(s), k.disk, claim, k.poke)
			} else {
				f = k.restorer.follow(k.changelog(s), claim, store.New(), k.poke)
			}
			k.replicas[s] = &replica{restore: f}
			k.log.Info("standby opened", "changelog", f.at.String(), "end", claim.End)
		}
	}
}

// unopened says whether something is ordered that is not there.
func (k *keeper) unopened() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, parts := range [][]int32{k.orders.Standbys, k.orders.Warmups} {
		for _, p := range parts {
			for n := range k.stage.Stores {
				if s := (slot{n, p}); k.replicas[s] == nil && k.tasks[s] == nil {
					return true
				}
			}
		}
	}
	return false
}

// end lets nothing be followed any more: tasks that end from here on release their stores.
func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closing = true
}

// keeperMetrics are the lags of an instance's replicas, computed when they are read.
type keeperMetrics struct {
	keeper *keeper
	lag    *prometheus.Desc
}

func newKeeperMetrics(k *keeper) *keeperMetrics {
	return &keeperMetrics{keeper: k, lag: prometheus.NewDesc("crossdock_standby_lag_records", "Offsets of its changelogs that a partition's replica here has not read yet, by why it is kept: standby, warmup, or spare for a while after its task.", append([]string{"kind"}, taskLabels...), nil)}
}

// Describe is for prometheus.Collector.
func (m *keeperMetrics) Describe(c chan<- *prometheus.Desc) { c <- m.lag }

// Collect is for prometheus.Collector.
func (m *keeperMetrics) Collect(c chan<- prometheus.Metric) {
	for _, s := range m.keeper.standbys() {
		c <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, float64(s.lag), s.kind, m.keeper.topics.inputs[0], s.partition)
	}
}
