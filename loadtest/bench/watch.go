package bench

import (
	"os"
	"time"

	"crossdock/loadtest/machine"
)

// The processes that a benchmark watches, by what they are to it.
const (
	own     = "own"   // the benchmark itself
	stage   = "stage" // the process under test
	brokers = "broker"
	whole   = "machine" // all processes of the machine together
)

// A watch says what processes spend from its start on.
type watch struct {
	pids    map[string]int
	before  map[string]float64 // CPU seconds
	firstAt time.Time
	firstN  int64
	began   time.Time
}

func (b *benchmark) watch(pids map[string]int) *watch {
	w := &watch{pids: pids, before: make(map[string]float64), began: time.Now()}
	if b.options.BrokerPID > 0 {
		w.pids[brokers] = b.options.BrokerPID
	}
	for name, pid := range w.pids {
		w.before[name], _ = machine.CPUSeconds(pid)
	}
	w.before[whole] = machine.BusySeconds()
	return w
}

// sinceStart counts a process from its own start, not from the watch's.
func (w *watch) sinceStart(name string) { w.before[name] = 0 }

// first marks the first commit that was seen, and how many records it and those before it had.
func (w *watch) first(n int64) {
	if w.firstAt.IsZero() {
		w.firstAt, w.firstN = time.Now(), n
	}
}

// measure ends the watch after n records. The rate is that from the first commit seen to now, where there was one: it
// leaves out what a start costs, which is measured apart.
func (w *watch) measure(n int64, wall time.Duration) Measure {
	m := Measure{Records: n, WallSeconds: wall.Seconds(), RecordsPerSecond: float64(n) / wall.Seconds()}
	if !w.firstAt.IsZero() {
		m.FirstCommitSeconds = w.firstAt.Sub(w.began).Seconds()
		if took := time.Since(w.firstAt).Seconds(); n > w.firstN && took > 0 {
			m.RecordsPerSecond = float64(n-w.firstN) / took
		}
	}
	perMillion := func(name string, now float64) float64 { return (now - w.before[name]) / float64(n) * 1e6 }
	for name, pid := range w.pids {
		now, ok := machine.CPUSeconds(pid)
		if !ok {
			continue
		}
		switch name {
		case own, stage:
			m.CPUSecondsPerMillion = perMillion(name, now)
			m.PeakBytes = machine.PeakBytes(pid)
		case brokers:
			m.BrokerCPUSecondsPerMillion = perMillion(name, now)
		}
	}
	if now := machine.BusySeconds(); now > 0 {
		m.MachineCPUSecondsPerMillion = perMillion(whole, now)
	}
	return m
}

func selfPID() int { return os.Getpid() }
