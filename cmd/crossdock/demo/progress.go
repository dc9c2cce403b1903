package demo

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// A teller says how far the demo is: bars on a terminal, a line now and then elsewhere.
type teller struct {
	out      io.Writer
	terminal bool
	began    time.Time
}

const lineEvery = 5 * time.Second

func (t *teller) step(format string, args ...any) {
	fmt.Fprintf(t.out, "[%5.1fs] %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// A meter counts towards a total.
type meter struct {
	t     *teller
	name  string
	total int64
	began time.Time
	told  time.Time
	pool  *mpb.Progress
	bar   *mpb.Bar
}

func (t *teller) meter(name string, total int64) *meter {
	m := &meter{t: t, name: name, total: total, began: time.Now(), told: time.Now()}
	if t.terminal {
		m.pool = mpb.New(mpb.WithOutput(t.out), mpb.WithWidth(40))
		m.bar = m.pool.AddBar(total,
			mpb.PrependDecorators(decor.Name("         "+name, decor.WC{W: 30, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d "), decor.AverageSpeed(0, "%.0f/s "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return m
}

func (m *meter) set(done int64) {
	if m.bar != nil {
		m.bar.SetCurrent(done)
		return
	}
	if now := time.Now(); now.Sub(m.told) >= lineEvery {
		m.told = now
		rate := float64(done) / now.Sub(m.began).Seconds()
		left := ""
		if rate > 0 {
			left = fmt.Sprintf(", %s left", time.Duration(float64(m.total-done)/rate*float64(time.Second)).Round(time.Second))
		}
		m.t.step("  %s: %d of %d, %.0f a second%s", m.name, done, m.total, rate, left)
	}
}

// end takes the bar away from the terminal's last line, whatever it showed.
func (m *meter) end() {
	if m.bar != nil {
		if !m.bar.Completed() {
			m.bar.Abort(false)
		}
		m.pool.Wait()
	}
}
