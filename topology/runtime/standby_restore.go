package runtime

import (
	"math"
	"time"

	"crossdock/topology/runtime/store"
)

// follow begins to follow a changelog with a store in memory that stands somewhere, or is empty: claim.Start then.
func (r *restorer) follow(changelog string, claim store.Claim, s *store.Partition, notify func()) *restore {
	j := newFollower(changelog, claim, notify)
	j.store = s
	j.begin(max(claim.Start, s.Position().Changelog))
	r.start(j)
	return j
}

// followOnDisk begins to open a store on disk, and to follow its changelog.
func (r *restorer) followOnDisk(changelog string, disk *store.DB, claim store.Claim, notify func()) *restore {
	j := newFollower(changelog, claim, notify)
	j.disk = disk
	r.openStore(j)
	return j
}

// goOn begins to follow a changelog with the store of a task that has ended, from where that stands.
func (r *restorer) goOn(task *restore, notify func()) *restore {
	j := newFollower(task.at.topic, task.claim, notify)
	j.disk, j.store, j.stop = task.disk, task.store, task.stop
	j.begin(max(task.claim.Start, task.store.Position().Changelog))
	r.start(j)
	return j
}

// handOver gives the store in memory of a task that has ended to another worker's, unless that is restored already.
func (r *restorer) handOver(task, to *restore) {
	j := newFollower(task.at.topic, task.claim, func() {})
	j.store, j.gives = task.store, to
	j.begin(max(task.claim.Start, task.store.Position().Changelog))
	r.start(j)
}

func newFollower(changelog string, claim store.Claim, notify func()) *restore {
	j := newRestore(changelog, claim.Partition, span{claim.Start, math.MaxInt64}, notify)
	j.claim, j.follower = claim, true
	return j
}

// promote makes the restore of a task of a follower, up to the claim's end: what the follower has is not read again.
func (r *restorer) promote(f *restore, claim store.Claim, notify func()) *restore {
	j := newRestore(f.at.topic, claim.Partition, span{claim.Start, claim.End}, notify)
	j.claim, j.disk = claim, f.disk
	j.begin(f.position.Load())
	r.succeed(f, j)
	return j
}

// demote makes a follower of a task's restore that is not over.
func (r *restorer) demote(task *restore, notify func()) *restore {
	j := newFollower(task.at.topic, task.claim, notify)
	j.disk = task.disk
	j.begin(task.position.Load())
	r.succeed(task, j)
	return j
}

// succeed lets j go on with the store of another restore, which must not be used any more.
func (r *restorer) succeed(old, j *restore) {
	r.mu.Lock()
	over, _ := old.finished()
	switch {
	case r.closed:
		r.mu.Unlock()
		old.cancelled.Store(true)
		if old.opened {
			old.abandon()
		}
		j.end(r.life.Err())
		return
	case over && !old.opened: // it could not be opened
		r.mu.Unlock()
		r.reopen(j)
		return
	case !old.opened:
		j.stop, old.heir = old.stop, j
		r.mu.Unlock()
		return
	}
	j.stop, j.takes, j.opened = old.stop, old, true
	r.asked = append(r.asked, j)
	r.mu.Unlock()
	r.wake.wake()
}

// bequeath gives a store that was just leased to who goes on with it.
func (r *restorer) bequeath(old, j *restore) {
	if why := old.unfit(j); why != "" {
		r.dropped(old, why)
		r.reopen(j)
		return
	}
	j.store = old.store
	j.begin(old.position.Load())
	r.start(j)
}

// inherit lets j go on in the loop with the store of another restore.
func (r *restorer) inherit(active map[input]*restore, j *restore) {
	old := j.takes
	j.takes = nil
	reads := active[j.at] == old
	if !reads {
		if waits := len(r.displaced); waits > 0 {
			r.displaced = without(r.displaced, old)
			reads = len(r.displaced) < waits
		}
		over, err := old.finished()
		switch {
		case reads: // it waited for another
			reads = false
		case over && err == nil && !old.follower:
			// It was over just when it was given up.
		default: // it has failed
			if !old.follower {
				old.abandon()
			}
			if j.follower {
				j.end(err)
				return
			}
			r.reopen(j)
			return
		}
	}
	if j.cancelled.Load() {
		if reads {
			r.remove(active, j.at)
		}
		old.abandon()
		j.left.Do(func() {})
		return
	}
	if why := old.unfit(j); why != "" {
		if reads {
			r.remove(active, j.at)
		}
		r.dropped(old, why)
		r.reopen(j)
		return
	}
	j.store = old.store
	j.begin(old.position.Load())
	j.inherited.Store(old.records.Load() + old.inherited.Load())
	switch over := j.position.Load() >= j.span.end; {
	case over:
		if reads {
			r.remove(active, j.at)
		}
		j.caughtUp()
		j.end(nil)
	case reads:
		active[j.at] = j // the client goes on where it is
	case active[j.at] != nil:
		r.displaced = append(r.displaced, j)
	default:
		r.begin(active, j)
	}
}

// give lets a task's restore go on with a store that another worker of the instance had, where that stands further on.
func (r *restorer) give(active map[input]*restore, j *restore) {
	to := j.gives
	if active[to.at] != to || to.cancelled.Load() || j.position.Load() <= to.position.Load() || j.unfit(to) != "" {
		j.end(nil)
		return
	}
	r.remove(active, to.at)
	to.store = j.store
	to.begin(j.position.Load())
	j.end(nil)
	if to.position.Load() >= to.span.end {
		to.caughtUp()
		to.end(nil)
		return
	}
	r.begin(active, to)
}

// unfit says why the store of a restore cannot be caught up under the claim of another; "" if it can. A follower goes on
// under the claim that there was. It may stand beyond the end of a claim: markers come in the time that asking takes.
func (j *restore) unfit(to *restore) string {
	switch {
	case to.follower:
		return ""
	case j.disk != nil:
		claim := to.claim
		claim.End = max(claim.End, j.position.Load())
		return j.store.Unfit(&claim)
	case j.claim.Changelog != to.claim.Changelog:
		return "its changelog was made anew"
	case j.position.Load() < to.claim.Start:
		return "it stands before the changelog's start"
	}
	return ""
}

func (r *restorer) dropped(j *restore, why string) {
	r.log.Warn("a standby is dropped and restored from its changelog", "changelog", j.at.String(), "why", why)
	j.left.Do(j.store.Drop)
}

// reopen begins a restore again, without what it should have gone on with.
func (r *restorer) reopen(j *restore) {
	if j.disk != nil {
		r.mu.Lock()
		j.opened = false
		r.mu.Unlock()
		r.openStore(j)
		return
	}
	j.store = store.New()
	j.begin(j.claim.Start)
	r.start(j)
}

func without(all []*restore, j *restore) []*restore {
	kept := all[:0]
	for _, other := range all {
		if other != j {
			kept = append(kept, other)
		}
	}
	return kept
}

// Looks after followers: what a disk has to be told while nothing comes.
const (
	tendEvery = time.Second
	freshEnd  = 15 * time.Second // how long a follower that was known to be at its end counts as there, for its stamp
)

// tend looks after the followers, and says how long the loop may wait.
func (r *restorer) tend(active map[input]*restore) time.Duration {
	wait := tellEvery
	for _, j := range active {
		if !j.follower || j.disk == nil {
			continue
		}
		wait = tendEvery
		if time.Since(j.told) < tendEvery {
			continue
		}
		j.told = time.Now()
		j.store.Idle(time.Since(time.Unix(0, j.atEnd.Load())) < freshEnd)
		if err := j.store.Fault(); err != nil {
			r.finish(active, j, storeFailed(err))
		}
	}
	return wait
}
