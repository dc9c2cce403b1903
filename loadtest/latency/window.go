package latency

import "time"

// A Window looks back over the last while, for a line of progress. One goroutine uses it.
type Window struct {
	over      time.Duration
	recorders []*Recorder
	past      []look // the oldest first: the last of those that are older than over, and what came after
}

type look struct {
	at   time.Duration
	seen *Snapshot
}

// windowLooks bounds what a Window keeps: a look that follows the last one closer than over/windowLooks is not kept.
const windowLooks = 16

// NewWindow looks back over a while at recorders of the same Options, and never to before now.
func NewWindow(over, now time.Duration, recorders ...*Recorder) *Window {
	return &Window{over: over, recorders: recorders, past: []look{{now, Look(recorders...)}}}
}

// Look is what was seen between the last look that is at least as old as the window is long (the first one, where none
// is) and now, which only grows.
func (w *Window) Look(now time.Duration) *Snapshot {
	seen := Look(w.recorders...)
	for len(w.past) > 1 && now-w.past[1].at >= w.over {
		w.past = append(w.past[:0], w.past[1:]...)
	}
	since := seen.Since(w.past[0].seen)
	if now-w.past[len(w.past)-1].at >= w.over/windowLooks {
		w.past = append(w.past, look{now, seen})
	}
	return since
}
