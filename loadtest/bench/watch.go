package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The processes that a benchmark watches, by what they are to it.
const (
	own     = "own"   // the benchmark itself
	stage   = "stage" // the process under test
	brokers = "broker"
	machine = "machine" // all processes of the machine together
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
		w.before[name], _ = cpuSeconds(pid)
	}
	w.before[machine] = machineSeconds()
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
		now, ok := cpuSeconds(pid)
		if !ok {
			continue
		}
		switch name {
		case own, stage:
			m.CPUSecondsPerMillion = perMillion(name, now)
			m.PeakBytes = peakBytes(pid)
		case brokers:
			m.BrokerCPUSecondsPerMillion = perMillion(name, now)
		}
	}
	if now := machineSeconds(); now > 0 {
		m.MachineCPUSecondsPerMillion = perMillion(machine, now)
	}
	return m
}

func selfPID() int { return os.Getpid() }

// ticksPerSecond is USER_HZ, which Linux has fixed at 100 for what it shows (proc(5)).
const ticksPerSecond = 100

// cpuSeconds is what a process spent since its start, user and system. ok is false where the system does not tell.
func cpuSeconds(pid int) (seconds float64, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name, in brackets, may hold anything: fields count from behind it. utime and stime are fields 14 and 15.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, err1 == nil && err2 == nil
}

// machineSeconds is what all processors spent at work since the machine's start; 0 where the system does not tell.
func machineSeconds() float64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	busy := 0.0
	for i, field := range fields[min(1, len(fields)):min(9, len(fields))] {
		if ticks, err := strconv.ParseFloat(field, 64); err == nil && i != 3 && i != 4 { // idle, iowait
			busy += ticks
		}
	}
	return busy / ticksPerSecond
}

// peakBytes is the most memory that a process ever held; 0 where the system does not tell.
func peakBytes(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return kib(string(status), "VmHWM:")
}

// kib reads a line such as "VmHWM:  1234 kB".
func kib(text, name string) int64 {
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fields := strings.Fields(rest)
			if len(fields) == 0 {
				return 0
			}
			n, err := strconv.ParseInt(fields[0], 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

func loadAverage() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}
