package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// hangs are the hanging transactions that a fencer follows. Its loop's alone.
type hangs struct {
	next   time.Time // when it looks again
	seen   []*followed
	hidden []*followed // of producers that no visible id has, in changelogs
	off    bool        // the brokers know no such question
}

// A followed transaction has been seen to hang.
type followed struct {
	hanging
	since time.Time
	tried time.Time // when its end was tried last; zero: never
	told  bool
}

const (
	hangsEvery     = time.Minute // between looks where nothing is followed and nothing stands
	hangsOften     = time.Second // and else
	endAgain       = 10 * time.Second
	readLogTimeout = 30 * time.Second
)

// hangRemedy says what must be done where the fencer cannot.
const hangRemedy = "Grant Read on topic " + transactionsTopic + " and Alter on the cluster, and it is ended as its coordinator decided. By hand " +
	"kafka-transactions.sh abort ends it, which loses what was committed if it was: look for the worker's id with kafka-dump-log.sh " +
	"--transaction-log-decoder first"

// lookAtHangs looks for transactions that hang, follows them, and ends those of the application that have hung for longer than a
// transaction may take. A client of an own session does not wait: see (*fencer).own.
func (f *fencer) lookAtHangs(ctx context.Context, stands bool) {
	h := &f.hangs
	now := time.Now()
	busy := stands || len(h.seen) > 0 || len(h.hidden) > 0
	if h.off || now.Before(h.next) && (!busy || now.Before(h.next.Add(hangsOften-hangsEvery))) {
		return
	}
	h.next = now.Add(hangsEvery)
	looking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	hang, unknown, err := listHanging(looking, f.client, f.places, f.app)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, kerr.UnsupportedVersion):
		h.off = true
		f.log.Warn("hanging transactions are not looked for: it needs DescribeProducers, of Kafka 2.8 and later", "error", err)
		return
	case err != nil:
		f.log.Warn("hanging transactions cannot be looked for just now", "error", err)
		f.metrics.errors.Inc()
		return
	}
	own := func(t hanging) bool { return strings.HasPrefix(t.id, prefix(f.app)) }
	theirs := func(t hanging) bool { return !own(t) }
	hidden := func(t hanging) bool { return !slices.Contains(f.changelogs, t.at.topic) }
	h.seen = follow(h.seen, slices.DeleteFunc(hang, theirs), now)
	h.hidden = follow(h.hidden, slices.DeleteFunc(unknown, hidden), now)
	f.metrics.hanging.Set(float64(len(h.seen) + len(h.hidden)))
	for _, t := range h.hidden {
		if !t.told && now.Sub(t.since) > f.timeout {
			t.told = true
			f.log.Error("readers of a changelog stand behind a transaction whose transactional id is not to be seen: grant Describe and Write on transactional ids that begin with "+
				prefix(f.app)+". If they are granted its coordinator has forgotten it: kafka-transactions.sh abort ends it", "topic", t.at.topic, "partition", t.at.partition,
				"producer", t.producer, "epoch", t.epoch, "start_offset", t.start)
		}
	}
	for _, t := range h.seen {
		if !t.told {
			t.told = true
			f.log.Error("a transaction is over for its coordinator and open in a partition: whoever reads committed records stands before it until it is ended",
				append(t.attributes(), "ended_in", f.timeout.String())...)
		}
		if now.Sub(t.since) <= f.timeout || now.Sub(t.tried) < endAgain {
			continue
		}
		t.tried = now
		if err := f.end(ctx, &t.hanging); err != nil && ctx.Err() == nil {
			f.log.Error("a hanging transaction cannot be ended. "+hangRemedy, append(t.attributes(), "error", err)...)
		}
	}
}

// follow keeps of what was seen what still is, and takes up what is new.
func follow(seen []*followed, now []hanging, at time.Time) []*followed {
	var all []*followed
	for _, t := range now {
		f := &followed{hanging: t, since: at}
		for _, old := range seen {
			if old.same(&t) && old.epoch == t.epoch {
				f.since, f.tried, f.told = old.since, old.tried, old.told
			}
		}
		all = append(all, f)
	}
	return all
}

// end writes the marker that a hanging transaction lacks: the one that its coordinator decided on.
func (f *fencer) end(ctx context.Context, t *hanging) error {
	ctx, cancel := context.WithTimeout(ctx, readLogTimeout)
	defer cancel()
	how, err := endingOf(ctx, f.client, f.opts, t)
	if err != nil {
		return err
	}
	if err := writeMarker(ctx, f.client, t, how == endedByCommit); err != nil {
		return err
	}
	f.metrics.markers.WithLabelValues(how.String()).Inc()
	f.log.Warn("a hanging transaction is ended as its coordinator decided", append(t.attributes(), "by", how.String())...)
	return nil
}

// ownTimeout bounds how long a new session looks for what an earlier one of its id left hanging.
const ownTimeout = 5 * time.Second

// own ends what hangs of a transactional id whose producer id was just loaded, so that everything before is over for the coordinator.
// A producer that went on would add to what hangs, and decide on both with its next end: aborted records would be committed, or
// committed ones aborted. So a session does not begin before nothing of its producer is open anywhere.
func (f *fencer) own(ctx context.Context, id string, producer int64, epoch int16) error {
	ctx, cancel := context.WithTimeout(ctx, ownTimeout)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		found, err := listOpened(ctx, f.client, f.places, f.app)
		if errors.Is(err, kerr.UnsupportedVersion) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("what an earlier session left open cannot be looked for: %w", err)
		}
		left := slices.DeleteFunc(found.all, func(t hanging) bool { return t.producer != producer || t.epoch >= epoch })
		if len(left) == 0 && len(found.unseen) == 0 {
			return nil
		}
		for i := range left {
			t := &left[i]
			t.id, t.state, t.now = id, "Empty", epoch
			f.log.Error("a transaction of an earlier session of this worker is over for its coordinator and open in a partition", t.attributes()...)
			if err := f.end(ctx, t); err != nil {
				f.log.Error("a hanging transaction cannot be ended, and this worker waits for its end. "+hangRemedy, append(t.attributes(), "error", err)...)
				return fmt.Errorf("a transaction of an earlier session hangs in %v: %w", t.at, err)
			}
		}
		select {
		case <-ctx.Done():
			if len(left) > 0 {
				return fmt.Errorf("a transaction of an earlier session hangs in %v: %w", left[0].at, ctx.Err())
			}
			return fmt.Errorf("whether an earlier session left something open in %v is not known, its leader is away: %w", found.unseen[0], ctx.Err())
		case <-time.After(pause):
		}
	}
}
