package machine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, which Linux has fixed at 100 for what it shows (proc(5)).
const ticksPerSecond = 100

// CPUSeconds is what a process spent since its start, user and system. ok is false where the system does not tell.
func CPUSeconds(pid int) (seconds float64, ok bool) {
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

// BusySeconds is what all processors spent at work since the machine's start; 0 where the system does not tell.
func BusySeconds() float64 {
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

// PeakBytes is the most memory that a process ever held; 0 where the system does not tell.
func PeakBytes(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return kib(string(status), "VmHWM:")
}

// ResidentBytes is the memory that a process holds now; 0 where the system does not tell.
func ResidentBytes(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return kib(string(status), "VmRSS:")
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

// LoadAverage is the number of processes that ran or waited in the last minute; 0 where the system does not tell.
func LoadAverage() float64 {
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
