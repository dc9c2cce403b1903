package runtime

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Ready says whether every assigned task runs: the state of each is restored.
func (i *Instance) Ready() bool {
	ok, _ := i.Readiness()
	return ok
}

// namedRestores is how many restores a Readiness names; the rest are counted.
const namedRestores = 5

// Readiness is Ready, and otherwise what it waits for: the workers that have not joined the group, and the partitions whose
// state is being restored, with how far each is and the time that it will take, those that need longest first.
func (i *Instance) Readiness() (ok bool, waitsFor string) {
	if !i.up.Load() {
		return false, "it is starting: topics or master data are not there yet"
	}
	var workers []string
	ok = true
	for _, w := range i.workers {
		if w.ready.Load() {
			continue
		}
		ok = false
		if !w.joined.Load() {
			workers = append(workers, fmt.Sprint(w.index))
		}
	}
	if ok {
		return true, ""
	}
	var waits []string
	if len(workers) > 0 {
		waits = append(waits, "joining the group: worker "+strings.Join(workers, ", "))
	}
	if restoring := i.restoringText(); restoring != "" {
		waits = append(waits, restoring)
	}
	if len(waits) == 0 {
		return false, "assigned tasks are being opened"
	}
	return false, strings.Join(waits, "; ")
}

// restoringText names the restores that are not over; empty: there are none.
func (i *Instance) restoringText() string {
	all := i.homes.restoring()
	left := func(j *restore) int64 { return max(0, j.span.end-j.position.Load()) }
	slices.SortFunc(all, func(a, b *restore) int { return int(min(1, max(-1, left(b)-left(a)))) })
	var parts []string
	for n, j := range all {
		if n == namedRestores {
			parts = append(parts, fmt.Sprintf("%d more", len(all)-n))
			break
		}
		parts = append(parts, j.progressText(time.Now()))
	}
	if len(parts) == 0 {
		return ""
	}
	return "restoring " + strings.Join(parts, ", ")
}

func (j *restore) progressText(now time.Time) string {
	total, done := max(1, j.span.end-j.span.start), j.position.Load()-j.span.start
	s := fmt.Sprintf("%v %d %%", j.at, max(0, min(100, done*100/total)))
	if took := now.Sub(j.began); done > 0 && took > 0 {
		s += fmt.Sprintf(" (%v left)", (time.Duration(float64(took) / float64(done) * float64(max(0, total-done)))).Round(100*time.Millisecond))
	}
	return s
}
