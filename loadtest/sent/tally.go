// Package sent is the bookkeeping that both senders of a load share, send and documents: how many events were made and of
// what kind (Tally), when whoever takes them was away (Watch), what was late and whose fault it was (Backlog), and the form
// of a log in a file (Format). It knows what an event is counted as, and nothing of how any is sent.
package sent

import (
	"fmt"
	"time"

	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
)

// A Tally counts the events that were made, by what they are. One goroutine uses it.
type Tally struct {
	Copies    [scans.ReEnveloped + 1]int64 // by scans.Copy
	kinds     [256]int64                   // by scans.Kind
	poison    [256]int64                   // by scans.Poison
	offline   int64
	outOfTime int64
}

// A Made is an event, as far as it is counted.
type Made struct {
	Kind    scans.Kind
	Copy    scans.Copy
	Poison  scans.Poison
	Offline bool // a device kept it while it had no network
	// OutOfTime says of an original movement that it happened before it was due, though no device kept it.
	OutOfTime bool
}

// MadeOf is a scan, as far as it is counted.
func MadeOf(s *scans.Scan) Made {
	return Made{
		Kind: s.Kind, Copy: s.Copy, Poison: s.Poison, Offline: s.Offline,
		OutOfTime: !s.Offline && s.Kind.Movement() && s.Copy == scans.Original && s.Movement.Header.EventTime < s.At,
	}
}

// Count adds an event so many times; -1 takes it back.
func (t *Tally) Count(m Made, by int64) {
	t.Copies[m.Copy] += by
	t.kinds[m.Kind] += by
	t.poison[m.Poison] += by
	if m.Offline {
		t.offline += by
	}
	if m.OutOfTime {
		t.outOfTime += by
	}
}

// Tell puts the counts into a report.
func (t *Tally) Tell(s *report.Sent) {
	s.Offline, s.Late = t.offline, t.outOfTime
	s.Kinds, s.Copies, s.Poison = map[string]int64{}, map[string]int64{}, map[string]int64{}
	for k, n := range t.kinds {
		if n > 0 {
			s.Kinds[scans.Kind(k).String()] = n
		}
	}
	for p, n := range t.poison {
		if p := scans.Poison(p); n > 0 && p != scans.NotPoison {
			s.Poison[p.String()] = n
		}
	}
	for c, n := range t.Copies {
		if n > 0 {
			s.Copies[scans.Copy(c).String()] = n
		}
	}
}

// Counts are those of a Tally that are not in its fields, as the head of a saved log has them.
type Counts struct {
	Kinds     map[uint8]int64 `json:"kinds"`
	Poison    map[uint8]int64 `json:"poison"`
	Offline   int64           `json:"offline"`
	OutOfTime int64           `json:"out_of_time"`
}

// Counts are to be saved.
func (t *Tally) Counts() Counts {
	some := func(counts *[256]int64) map[uint8]int64 { // what did not occur is left out
		all := map[uint8]int64{}
		for i, n := range counts {
			if n != 0 {
				all[uint8(i)] = n
			}
		}
		return all
	}
	return Counts{Kinds: some(&t.kinds), Poison: some(&t.poison), Offline: t.offline, OutOfTime: t.outOfTime}
}

// Restore takes counts that were saved.
func (t *Tally) Restore(c Counts) {
	for k, n := range c.Kinds {
		t.kinds[k] = n
	}
	for p, n := range c.Poison {
		t.poison[p] = n
	}
	t.offline, t.outOfTime = c.Offline, c.OutOfTime
}

// LateAfter is from where on an event counts as late: the load test, not the pipeline, would be what is measured.
const LateAfter = 10 * time.Millisecond

// A Backlog is a stretch of a run in which every event leaves late. One goroutine uses it.
type Backlog struct {
	late   bool
	since  time.Duration // when its first event was due
	waited time.Duration // of the run, when the last event that was in time left
}

// Leave decides whether an event that leaves now is late, and whose fault it is. intended and elapsed count from the start
// of the run, and waited is how long the run has stood so far because nothing more could be in flight. It is the receiver's
// fault where at least half of the time since the backlog began went by like that; the load test's otherwise, since
// nothing but itself kept it from sending. What is late because the load test catches up after an outage is the receiver's
// by this rule, as long as catching up takes no longer than the outage did.
func (b *Backlog) Leave(intended, elapsed, waited time.Duration) (late, byReceiver bool) {
	if elapsed-intended <= LateAfter {
		b.late, b.waited = false, waited
		return false, false
	}
	if !b.late {
		b.late, b.since = true, intended
	}
	return true, 2*(waited-b.waited) >= elapsed-b.since
}

// Bottleneck says in words that the load test itself set the limit: more than one event in a hundred was late by it, the
// latest by most. room is what it had free meanwhile. Empty: it did not.
func Bottleneck(byTool, made int64, most time.Duration, room string) string {
	if byTool*100 <= made {
		return ""
	}
	return fmt.Sprintf("the load test did not keep its own pace: %d of %d events left more than %v late, up to %v, while it had %s; lower the rate, or give it a core of its own",
		byTool, made, LateAfter, most.Round(time.Millisecond), room)
}
