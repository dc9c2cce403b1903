// Package machine says where and with what something was measured, and what a process of this machine has spent. What the
// system does not tell is zero: outside Linux most of it.
package machine

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// A Machine is where something ran.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	System      string `json:"system"`
}

// Versions are those of what ran.
type Versions struct {
	Revision string `json:"revision"` // of the source; "+" where it was changed since
	Go       string `json:"go"`
	Broker   string `json:"broker"`
	Client   string `json:"client"` // of franz-go
}

// Here is this machine.
func Here() Machine {
	m := Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.MemoryBytes = kib(string(text), "MemTotal:")
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(release))
	}
	return m
}

// VersionsOf are those of this program; revision is that of the source, for a build that does not carry it (go build
// -buildvcs=false). The broker's is asked of the broker.
func VersionsOf(revision string) Versions {
	v := Versions{Go: runtime.Version(), Revision: revision}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified {
		v.Revision += "+"
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/twmb/franz-go" {
			v.Client = "franz-go " + d.Version
		}
	}
	return v
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
