package runtime

import (
	"context"
	"slices"
	"strconv"
	"time"

	"crossdock/topology/runtime/assignor"
)

// ends are what the changelogs held at some time: partitions by store.
type ends struct {
	at    time.Time
	ids   [][16]byte
	spans [][]span
}

// Looks at the changelogs' ends.
const (
	firstLook = 2 * time.Second  // bounds the one before the first worker joins
	lookSoon  = time.Second      // while something is on its way
	lookLate  = 10 * time.Second // otherwise
	lookLimit = 5 * time.Second  // bounds one
	// nearPast is how old the look before the last may be for this to hold: who has what there was then is there, whatever
	// has come since. Under load nobody who reads committed records is ever within some thousand of the end.
	nearPast = 3 * time.Second
	tellLag  = time.Minute // how often the log is told of a replica that is behind
	// probeAgain is how soon the group is asked again after a rebalance that has not given this instance what is ready, since its
	// worker was joining just then for instance; twice that the next time, up to the probing interval.
	probeAgain = 2 * time.Second
)

// look reads what the changelogs hold.
func (k *keeper) look(ctx context.Context) error {
	began := time.Now()
	e := &ends{at: began}
	details, err := k.admin.ListTopics(ctx, k.topics.changelogs...)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return err
	}
	starts, err := k.admin.ListStartOffsets(ctx, k.topics.changelogs...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return err
	}
	listed, err := k.admin.ListEndOffsets(ctx, k.topics.changelogs...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return err
	}
	partitions := int(k.topics.counts[k.topics.inputs[0]])
	for _, changelog := range k.topics.changelogs {
		e.ids = append(e.ids, details[changelog].ID)
		var spans []span
		for p := range int32(partitions) {
			start, ok1 := starts.Lookup(changelog, p)
			end, ok2 := listed.Lookup(changelog, p)
			if !ok1 || !ok2 {
				break
			}
			spans = append(spans, span{start.Offset, end.Offset})
		}
		e.spans = append(e.spans, spans)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now == nil || began.Sub(k.now.at) >= lookSoon/2 {
		k.past = k.now
	}
	k.now = e
	for s, r := range k.replicas {
		if int(s.partition) < len(e.spans[s.store]) && r.position.Load() >= e.spans[s.store][s.partition].end {
			r.atEnd.Store(began.UnixNano())
		}
	}
	return nil
}

// lag is how many offsets of its changelogs a partition's state here is behind. The caller holds mu.
func (k *keeper) lag(p int32) (h assignor.Holding) {
	for n := range k.stage.Stores {
		s := slot{n, p}
		task, rep := k.tasks[s], k.replicas[s]
		h.Follows = h.Follows || rep != nil
		if task != nil {
			if over, err := task.finished(); over && err == nil {
				continue // it runs: what it does not have is its own to write
			}
		}
		if k.now == nil || int(p) >= len(k.now.spans[n]) {
			return assignor.Holding{Lag: assignor.UnknownLag, Follows: h.Follows}
		}
		holds := k.now.spans[n][p]
		at := holds.start
		switch {
		case task != nil:
			at = task.position.Load()
		case rep != nil:
			at = rep.position.Load()
		default:
			at = max(at, k.left[s])
		}
		if rep != nil && k.past != nil && int(p) < len(k.past.spans[n]) && k.now.at.Sub(k.past.at) <= nearPast && time.Since(k.now.at) <= nearPast && at >= k.past.spans[n][p].end {
			continue
		}
		h.Lag += max(0, holds.end-at)
	}
	return h
}

// Holds is for assignor.Keeper.
func (k *keeper) Holds() assignor.Holdings {
	k.mu.Lock()
	defer k.mu.Unlock()
	input := k.topics.inputs[0]
	h := assignor.Holdings{Topic: input}
	for p := range k.topics.counts[input] {
		h.Partitions = append(h.Partitions, k.lag(p))
	}
	return h
}

// run follows what is ordered until ctx ends.
func (k *keeper) run(ctx context.Context) error {
	defer k.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.wake:
		case <-timer.C:
		}
		looked := false
		if k.unopened() || k.lookDue() {
			looking, cancel := context.WithTimeout(ctx, lookLimit)
			err := k.look(looking)
			cancel()
			looked = err == nil
			if err != nil && ctx.Err() == nil {
				k.log.Warn("the ends of the changelogs cannot be read just now", "error", err)
			}
		}
		k.reconcile(looked)
		k.tell()
		k.probe(ctx)
		timer.Reset(k.pause())
	}
}

// busy says whether something is on its way: warm-ups, replicas that are not there, tasks that are being restored. The caller
// holds mu.
func (k *keeper) busy() bool {
	if len(k.orders.Warmups) > 0 {
		return true
	}
	for _, r := range k.replicas {
		if !r.there || !r.until.IsZero() {
			return true
		}
	}
	for _, j := range k.tasks {
		if over, _ := j.finished(); !over {
			return true
		}
	}
	return false
}

func (k *keeper) pause() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy() {
		return lookSoon
	}
	return lookLate
}

func (k *keeper) lookDue() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	every := lookLate
	if k.busy() {
		every = lookSoon
	}
	return k.now == nil || time.Since(k.now.at) >= every*9/10
}

// tell tells the log of replicas: when one is there, and now and then of one that is behind.
func (k *keeper) tell() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for s, r := range k.replicas {
		h := k.lag(s.partition)
		small := h.Lag >= 0 && h.Lag <= k.cfg.WarmupLag
		switch {
		case small && !r.there:
			r.there = true
			if r.until.IsZero() {
				k.log.Info("standby has caught up", "changelog", r.at.String(), "lag", h.Lag, "records", r.records.Load(), "took", time.Since(r.began).Round(time.Millisecond).String())
			}
		case !small && time.Since(r.told) >= tellLag:
			if !r.told.IsZero() {
				k.log.Info("standby is behind", "changelog", r.at.String(), "lag", h.Lag, "records", r.records.Load())
			}
			r.told = time.Now()
		}
	}
}

// probe forces a rebalance where one is worth it: the leader gives out anew by what the members hold by then. Every one is
// bounded, since it stops commits for the time of a join.
//
//   - All warm-ups are there: at once, and for the same ones again later and later.
//   - Some are, and the probing interval has passed since the last rebalance.
//   - A task of this instance has much to read, and another instance has not: once for each task.
func (k *keeper) probe(ctx context.Context) {
	k.mu.Lock()
	why := k.probeDue(time.Now())
	var far map[int32]int64
	if why == "" {
		far = k.farBehind()
	}
	k.mu.Unlock()
	if why == "" && len(far) > 0 && k.othersHave(ctx, far) {
		why = "another instance has the state of a partition that would be long in restoring here"
	}
	if why == "" || ctx.Err() != nil {
		return
	}
	for _, w := range k.workers {
		if client := w.client.Load(); client != nil {
			k.mu.Lock()
			k.forced = time.Now()
			switch {
			case far != nil:
			case k.orders.Equal(k.probed):
				k.tries++
			default:
				k.probed, k.tries = k.orders, 1
			}
			for s, j := range k.tasks {
				if _, ok := far[s.partition]; ok {
					k.astray[j] = true
				}
			}
			k.mu.Unlock()
			k.log.Info("a rebalance is forced", "why", why)
			k.metrics.probes.Inc()
			client.ForceRebalance() // its metadata has changed, which the coordinator takes for a reason
			return
		}
	}
}

// probeDue says why warm-ups ask for a rebalance, "" if they do not. The caller holds mu.
func (k *keeper) probeDue(now time.Time) string {
	ready := 0
	for _, p := range k.orders.Warmups {
		if h := k.lag(p); h.Lag >= 0 && h.Lag <= k.cfg.WarmupLag {
			ready++
		}
	}
	last := k.planned
	if k.forced.After(last) {
		last = k.forced
	}
	switch {
	case ready == 0:
	case now.Sub(last) >= k.cfg.ProbingInterval:
		return "some warm-ups have caught up, and the probing interval has passed"
	case ready == len(k.orders.Warmups) && (!k.orders.Equal(k.probed) || now.Sub(last) >= probeAgain<<min(k.tries-1, 10)):
		return "all warm-ups have caught up"
	}
	return ""
}

// farBehind are the partitions of tasks that are being restored and have much to read, with how much. The caller holds mu.
func (k *keeper) farBehind() map[int32]int64 {
	var far map[int32]int64
	for s, j := range k.tasks {
		if over, _ := j.finished(); over || k.astray[j] || time.Since(j.began) < lookSoon {
			continue
		}
		if h := k.lag(s.partition); h.Lag > k.cfg.WarmupLag {
			if far == nil {
				far = map[int32]int64{}
			}
			far[s.partition] = h.Lag
		}
	}
	return far
}

// othersHave says whether another instance is to follow one of some partitions, or had less to read of one by half when it
// last joined.
func (k *keeper) othersHave(ctx context.Context, far map[int32]int64) bool {
	asking, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	group, err := k.describe(asking, k.admin)
	if err != nil || group.State != "Stable" {
		return false
	}
	for m := range group.Members {
		join, ok := group.Members[m].Join.AsConsumer()
		if !ok || k.instanceOf(&group.Members[m]) == k.cfg.Instance {
			continue
		}
		held := assignor.HoldingsOf(join.UserData)
		var ordered assignor.Orders
		if assigned, ok := group.Members[m].Assigned.AsConsumer(); ok {
			ordered = assignor.OrdersOf(assigned.UserData)
		}
		for p, lag := range far {
			if ordered.Topic == k.topics.inputs[0] && (slices.Contains(ordered.Standbys, p) || slices.Contains(ordered.Warmups, p)) {
				return true // how far it is will be told
			}
			if held.Topic == k.topics.inputs[0] && int(p) < len(held.Partitions) {
				if h := held.Partitions[p]; h.Lag >= 0 && h.Follows && lag > h.Lag+max(k.cfg.WarmupLag, h.Lag) {
					return true
				}
			}
		}
	}
	return false
}

// A standing is a replica in figures.
type standing struct {
	kind, partition string
	lag             int64
}

// standbys are the partitions that are followed, for metrics.
func (k *keeper) standbys() (all []standing) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := map[int32]bool{}
	for s := range k.replicas {
		if seen[s.partition] {
			continue
		}
		seen[s.partition] = true
		kind := "spare"
		switch {
		case slices.Contains(k.orders.Warmups, s.partition):
			kind = "warmup"
		case slices.Contains(k.orders.Standbys, s.partition):
			kind = "standby"
		}
		if h := k.lag(s.partition); h.Lag >= 0 {
			all = append(all, standing{kind, strconv.Itoa(int(s.partition)), h.Lag})
		}
	}
	return all
}
