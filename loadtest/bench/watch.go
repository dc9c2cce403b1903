package bench

import (
	"os"
	"runtime/metrics"
	"time"

	"crossdock/loadtest/machine"
)

// A watch says what was spent between its start and its end, by the process that it is about, by the services, and by the
// machine. It may rest in between: what is spent then does not count.
type watch struct {
	pid, broker, engine int
	began               time.Time
	resumed             spending
	spent               spending
	firstAt             time.Time
	firstN              int64
	firstCPU            float64
}

// spending are CPU seconds, and what this process has allocated.
type spending struct {
	at                             time.Time
	wall                           time.Duration
	process, broker, engine, whole float64
	bytes, objects                 float64
}

// watchOwn watches this process.
func (d *drain) watchOwn() *watch { return d.watch(os.Getpid()) }

func (d *drain) watch(pid int) *watch {
	w := &watch{pid: pid, broker: d.options.BrokerPID, engine: d.options.ClickHouse.PID, began: time.Now()}
	w.resume()
	return w
}

// watchStarted watches a process that has just been started: all that it ever spent counts.
func (d *drain) watchStarted(pid int) *watch {
	w := d.watch(pid)
	w.resumed.process = 0
	return w
}

func (w *watch) now() spending {
	s := spending{at: time.Now(), whole: machine.BusySeconds()}
	s.process, _ = machine.CPUSeconds(w.pid)
	if w.broker > 0 {
		s.broker, _ = machine.CPUSeconds(w.broker)
	}
	if w.engine > 0 {
		s.engine, _ = machine.CPUSeconds(w.engine)
	}
	if w.pid == os.Getpid() {
		s.bytes, s.objects = allocated()
	}
	return s
}

func (w *watch) resume() { w.resumed = w.now() }

func (w *watch) rest() {
	from, to := &w.resumed, w.now()
	w.spent.wall += to.at.Sub(from.at)
	w.spent.process += to.process - from.process
	w.spent.broker += to.broker - from.broker
	w.spent.engine += to.engine - from.engine
	w.spent.whole += to.whole - from.whole
	w.spent.bytes += to.bytes - from.bytes
	w.spent.objects += to.objects - from.objects
}

// first marks the first commit that was seen, and how many units it and those before it had.
func (w *watch) first(n int64) {
	if w.firstAt.IsZero() && n > 0 {
		w.firstAt, w.firstN = time.Now(), n
		w.firstCPU, _ = machine.CPUSeconds(w.pid)
	}
}

// measure ends the watch after n units. The rate is that from the first commit seen to now, where less than half were done
// by then: it leaves out what a start costs, which is measured apart. Else it is that of the whole.
func (w *watch) measure(n int64) Measure {
	w.rest()
	m := w.measureResting(n)
	if !w.firstAt.IsZero() {
		m.FirstCommitSeconds = w.firstAt.Sub(w.began).Seconds()
		if took := time.Since(w.firstAt).Seconds(); w.firstN < n/2 && took > 0 {
			m.RecordsPerSecond = float64(n-w.firstN) / took
			if now, ok := machine.CPUSeconds(w.pid); ok {
				m.SteadyCPUSecondsPerMillion = (now - w.firstCPU) / float64(n-w.firstN) * 1e6
			}
		}
	}
	return m
}

// measureResting ends a watch that rests.
func (w *watch) measureResting(n int64) Measure {
	millions := float64(n) / 1e6
	return Measure{
		Records: n, WallSeconds: w.spent.wall.Seconds(), RecordsPerSecond: float64(n) / w.spent.wall.Seconds(),
		CPUSecondsPerMillion:        w.spent.process / millions,
		BrokerCPUSecondsPerMillion:  w.spent.broker / millions,
		EngineCPUSecondsPerMillion:  w.spent.engine / millions,
		MachineCPUSecondsPerMillion: w.spent.whole / millions,
		AllocatedBytesPerRecord:     w.spent.bytes / float64(n),
		AllocationsPerRecord:        w.spent.objects / float64(n),
		PeakBytes:                   machine.PeakBytes(w.pid),
	}
}

// allocated is what this process has allocated since its start.
func allocated() (bytes, objects float64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/allocs:objects"}}
	metrics.Read(samples)
	return float64(samples[0].Value.Uint64()), float64(samples[1].Value.Uint64())
}
