package sent

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A lookout is a Watch, with a clock and the figures of a run that a test moves.
type lookout struct {
	*Watch
	began time.Time
	now   time.Time
	look  Look
}

func newLookout() *lookout {
	began := time.Date(2026, 11, 27, 6, 0, 0, 0, time.UTC)
	l := &lookout{Watch: NewWatch(Words{Silent: "nobody answers", Nothing: "nothing taken"}), began: began, now: began}
	l.Begin(began)
	return l
}

func (l *lookout) after(d time.Duration, change func(*Look)) {
	l.now = l.now.Add(d)
	change(&l.look)
	l.Look(l.now, l.look)
	l.look.Last = nil
}

func taken(l *Look)  { l.Settled++ }
func silent(*Look)   {}
func sends(l *Look)  { l.InFlight = true }
func idle(l *Look)   { l.InFlight = false }
func failed(l *Look) { l.Failures++; l.Last = errors.New("connection refused") }

func TestSilenceOfASecondWithSomethingInFlightIsAnOutage(t *testing.T) {
	l := newLookout()
	l.after(0, sends)
	l.after(900*time.Millisecond, silent)
	if l.Away(l.now) != "" {
		t.Error("away after 900 ms: ", l.Away(l.now))
	}
	l.after(200*time.Millisecond, silent)
	if away := l.Away(l.now); away != "nothing taken for 1.1s: nobody answers" {
		t.Error(away)
	}
	l.after(time.Second, taken)
	if l.Away(l.now) != "" {
		t.Error("still away: ", l.Away(l.now))
	}
	if all := l.Outages(); len(all) != 1 || all[0] != (Outage{l.began, l.began.Add(2100 * time.Millisecond), "nobody answers"}) {
		t.Errorf("%+v", all)
	}
}

func TestNothingInFlightIsNoOutageHoweverLong(t *testing.T) {
	l := newLookout()
	l.after(0, sends)
	l.after(100*time.Millisecond, taken)
	l.after(100*time.Millisecond, idle)
	l.after(time.Hour, silent)
	l.after(0, sends)
	l.after(500*time.Millisecond, silent)
	if all := l.Outages(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestAFailedAttemptIsAnOutageAtOnceAndIsNamed(t *testing.T) {
	l := newLookout()
	l.after(0, sends)
	l.after(100*time.Millisecond, taken)
	l.after(20*time.Millisecond, failed)
	if away := l.Away(l.now); away != "connection refused" {
		t.Error(away)
	}
	l.after(20*time.Millisecond, func(l *Look) { taken(l); failed(l) }) // one broker of several
	if l.Away(l.now) == "" {
		t.Error("over while attempts still fail")
	}
	l.after(20*time.Millisecond, taken)
	if l.Away(l.now) != "" {
		t.Error("still away: ", l.Away(l.now))
	}
}

func TestOutagesThatLieCloseTogetherAreOne(t *testing.T) {
	for apart, want := range map[time.Duration]int{500 * time.Millisecond: 1, 1500 * time.Millisecond: 2} {
		l := newLookout()
		l.after(0, sends)
		l.after(20*time.Millisecond, failed)
		l.after(20*time.Millisecond, taken)
		for left := apart; left > 0; left -= 100 * time.Millisecond {
			l.after(100*time.Millisecond, taken)
		}
		l.after(20*time.Millisecond, failed)
		l.End(l.now.Add(time.Second))
		all := l.Outages()
		if len(all) != want || all[len(all)-1].To != l.now.Add(time.Second) {
			t.Errorf("%v apart: %+v", apart, all)
		}
	}
}

func TestAnErrorFromLongBeforeAnOutageIsNotItsReason(t *testing.T) {
	l := newLookout()
	l.after(0, sends)
	l.after(time.Minute, taken)
	if since := l.Since(); since != l.now.Add(-between) {
		t.Errorf("errors since %v count", since)
	}
	again := NewWatch(Words{})
	again.Restore([]Outage{{What: "gone"}})
	if all := again.Outages(); len(all) != 1 || !strings.Contains(all[0].What, "gone") {
		t.Errorf("%+v", all)
	}
}
