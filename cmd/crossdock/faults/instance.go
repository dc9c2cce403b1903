package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"crossdock/internal/embedded/process"
)

// An instance is a place for one process of the program: its ways to the brokers, and the process that runs there now.
type instance struct {
	field *Field
	place int
	paths []*path // by broker

	mu       sync.Mutex // guards what is below: the watch reads it beside the run
	name     string
	disk     disk
	process  *process.Process // nil: none
	expected bool             // its end is no failure
	runs     int              // of the place so far: each has a log of its own
}

// start runs a process under a name, with the disk of that name.
func (i *instance) start(name string) error { return i.startOn(name, disk{name: name}) }

// startOn runs a process under a name with a disk of another: it stands for a process on another machine.
func (i *instance) startOn(name string, disk disk) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process != nil {
		return fmt.Errorf("instance %s is running already", i.name)
	}
	i.runs++
	p, err := i.field.spawn(name, disk, i.place, i.runs, i.brokers())
	if err != nil {
		return err
	}
	i.name, i.disk, i.process, i.expected = name, disk, p, false
	return nil
}

// brokers are where the process finds the brokers: at its paths.
func (i *instance) brokers() []string {
	var all []string
	for _, p := range i.paths {
		all = append(all, p.addr())
	}
	return all
}

// running is the process, nil if there is none.
func (i *instance) running() *process.Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// take is the process, which is none of the place's from now on.
func (i *instance) take() *process.Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.process
	i.process, i.expected = nil, true
	return p
}

// kill9 ends the process as a power cut would.
func (i *instance) kill9() error {
	if p := i.take(); p != nil {
		return p.Kill()
	}
	return nil
}

// terminate asks the process to end, and holds that it ends well.
func (i *instance) terminate(ctx context.Context) error {
	p := i.take()
	if p == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, i.field.o.Bound, fmt.Errorf("it was asked to end %v before", i.field.o.Bound))
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("instance %s was asked to end and did so with %w; the end of %s:\n%s", i.name, err, p.Log(), process.Tail(p.Log()))
	}
	return nil
}

// mayEnd says whether the process may end by itself for now.
func (i *instance) mayEnd(yes bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.expected = yes
}

// exitNotReady is how a process ends that finds no broker when it starts.
const exitNotReady = 3

// ended says how a process ended that nobody asked to; nil: it runs, or is not meant to. One that found no broker when it
// started is started again, as whoever supervises it does.
func (i *instance) ended() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.process == nil || i.expected {
		return nil
	}
	select {
	case <-i.process.Done():
		var exit *exec.ExitError
		if errors.As(i.process.Err(), &exit) && exit.ExitCode() == exitNotReady {
			i.runs++
			p, err := i.field.spawn(i.name, i.disk, i.place, i.runs, i.brokers())
			i.process = p
			return err
		}
		return fmt.Errorf("instance %s has ended by itself: %w; the end of %s:\n%s", i.name, i.process.Ending(), i.process.Log(), process.Tail(i.process.Log()))
	default:
		return nil
	}
}

// onPaths does something to all of the instance's ways, or to that to one broker.
func (i *instance) onPaths(d Draw, do func(*path)) (detail string) {
	if d.Twice && len(i.paths) > 1 {
		n := d.Broker % len(i.paths)
		do(i.paths[n])
		return fmt.Sprintf("%s to broker %d", i.name, n+1)
	}
	for _, p := range i.paths {
		do(p)
	}
	return i.name + " to every broker"
}

// spawn runs the program.
func (f *Field) spawn(name string, disk disk, place, run int, brokers []string) (*process.Process, error) {
	args := append([]string{"run"}, f.o.Parts...)
	set := func(key string, values ...string) { // a list is its key again and again
		for _, value := range values {
			if f.settings[key] {
				args = append(args, "--set", key+"="+value)
			}
		}
	}
	set("app", f.config.App)
	set("instance", name)
	set("kafka.prefix", f.config.Kafka.Prefix)
	set("kafka.brokers", brokers...)
	set("registry.url", f.config.Registry.URL)
	set("admin.listen", "")
	set("query.listen", "")
	set("runtime.workers", fmt.Sprint(f.o.Workers))
	set("runtime.session_timeout", f.config.Runtime.SessionTimeout.String())
	set("runtime.transaction_timeout", f.config.Runtime.TransactionTimeout.String())
	set("log.level", "info")
	set("log.format", "text")
	set("state.dir", f.state(disk))
	set(parkingLimit, parkedFor.String())
	path := f.o.Binary
	if disk.bytes > 0 {
		set("state.flush_interval", "500ms") // so that it is soon written to
		path, args = disk.mounted(f.state(disk), path, args)
	}
	return process.Start(process.Options{
		Name: "instance " + name, Path: path, Args: args, Dir: f.o.Dir,
		Log: filepath.Join(f.o.Dir, fmt.Sprintf("instance-%d-%03d-%s.log", place, run, name)),
	})
}

// A disk is where a process has its stores.
type disk struct {
	name  string // of its folder
	bytes int64  // of a file system of its own, which goes with the process; 0: it has none
}

// state is the folder of a disk.
func (f *Field) state(d disk) string { return filepath.Join(f.o.Dir, "state", d.name) }

func (f *Field) logs() string {
	found, err := filepath.Glob(filepath.Join(f.o.Dir, "*.log"))
	if err != nil || len(found) == 0 {
		return "no logs in " + f.o.Dir
	}
	return fmt.Sprintf("%d logs of processes in %s", len(found), f.o.Dir)
}

// discard removes what a run that held leaves.
func (f *Field) discard() error { return os.RemoveAll(f.o.Dir) }
