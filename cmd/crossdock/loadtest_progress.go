package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"crossdock/loadtest/trial"
)

// A loadTeller says how far a load test is: a bar on a terminal, a line now and then elsewhere. One goroutine uses it.
type loadTeller struct {
	out      io.Writer
	terminal bool
	began    time.Time
	every    time.Duration // between two lines

	key    string // phase and part that the bar, or the last line, is of
	told   time.Time
	away   string
	latest atomic.Pointer[trial.Progress] // for the bar's own goroutine
	pool   *mpb.Progress
	bar    *mpb.Bar
}

func newLoadTeller(out io.Writer, terminal bool) *loadTeller {
	return &loadTeller{out: out, terminal: terminal, began: time.Now(), every: progressEvery}
}

// step tells of something that happened.
func (t *loadTeller) step(text string) {
	t.end()
	t.key = ""
	fmt.Fprintf(t.out, "[%6.1fs] %s\n", time.Since(t.began).Seconds(), text)
}

// tell shows how far it is.
func (t *loadTeller) tell(p trial.Progress) {
	key := string(p.Phase) + " " + p.Part
	if key != t.key {
		t.step(headline(&p))
		t.key, t.told = key, time.Now()
	}
	t.latest.Store(&p)
	if (p.Away == "") != (t.away == "") {
		t.turn(&p)
	}
	if t.terminal {
		t.draw(&p)
		return
	}
	if now := time.Now(); now.Sub(t.told) >= t.every {
		t.told = now
		fmt.Fprintf(t.out, "[%6.1fs]   %s\n", time.Since(t.began).Seconds(), strings.Join(figures(&p), ", "))
	}
}

// turn says that brokers have gone, or are back: a bar would show it too shortly, and a line too late.
func (t *loadTeller) turn(p *trial.Progress) {
	t.away = p.Away
	text := "the broker is back: the run goes on"
	if p.Away != "" {
		text = "the broker is away, the run waits for it: " + p.Away
	}
	key := t.key
	t.step(text)
	t.key = key
}

func headline(p *trial.Progress) string {
	switch p.Phase {
	case trial.Preparing:
		return p.Part + ": master data goes to the stages"
	case trial.Sending:
		return fmt.Sprintf("%s: %s events in %v", p.Part, grouped(p.Planned), p.Of.Round(time.Second/10))
	case trial.Draining:
		return p.Part + ": all is sent; waiting until it has come out"
	case trial.Verifying:
		return "recounting every balance from what was sent"
	}
	return p.Part
}

// figures are what a line or a bar tells.
func figures(p *trial.Progress) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if p.Phase == trial.Sending {
		add("%s of %s", grouped(p.Made), grouped(p.Planned))
		add("%s/s made, %s/s due", grouped(int64(p.MadeRate+0.5)), grouped(int64(p.Rate+0.5)))
		if p.Behind >= 10*time.Millisecond {
			add("%s late", trial.Told(p.Behind))
		}
	}
	if p.Phase == trial.Sending || p.Phase == trial.Draining {
		if p.P99 > 0 {
			add("%s p99 %s", p.Hop, trial.Told(p.P99))
		}
		if p.Lag >= 0 {
			add("lag %s", grouped(p.Lag))
		}
	}
	if p.Waiting != "" {
		add("waiting for %s", p.Waiting)
	}
	if p.Phase == trial.Sending {
		if left := p.Of - p.Elapsed; left > 0 {
			add("%s left", left.Round(time.Second))
		}
	}
	if p.Away != "" {
		add("the broker is away")
	}
	return all
}

// draw moves the bar, or begins one.
func (t *loadTeller) draw(p *trial.Progress) {
	if p.Phase != trial.Sending && p.Phase != trial.Draining {
		return
	}
	if t.bar == nil {
		t.pool = mpb.New(mpb.WithOutput(t.out), mpb.WithWidth(30), mpb.WithRefreshRate(200*time.Millisecond))
		t.bar = t.pool.AddBar(max(1, p.Planned),
			mpb.PrependDecorators(decor.Name("          ")),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + strings.Join(figures(t.latest.Load()), ", ") })))
	}
	t.bar.SetCurrent(min(p.Made, p.Planned-1)) // a bar that is complete cannot be drawn again
}

// end takes the bar from the terminal's last line, as it stands.
func (t *loadTeller) end() {
	if t.bar != nil {
		t.bar.Abort(false)
		t.pool.Wait()
		t.bar, t.pool = nil, nil
	}
}

// grouped is 24,000.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
