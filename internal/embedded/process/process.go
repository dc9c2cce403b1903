// Package process runs a server as a child: its log goes to a file, its readiness is awaited, and it never outlives this
// process, not even when this one is killed.
//
// Invariants:
//
//   - A child ends with its parent. Linux tells the child's kernel side (PR_SET_PDEATHSIG); elsewhere a watching shell
//     does it. A child of ours may watch its standard input as well, which reaches its end when the parent is gone.
//   - A child is stopped by the handle of its own process, never by a name or by a number read from somewhere.
//   - Every Start is answered by exactly one goroutine, which ends with the child.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// readyPoll is how often Await asks: another process's readiness has no event to wait for.
const readyPoll = 20 * time.Millisecond

// logTail bounds what of a log is quoted in an error, in bytes.
const logTail = 4 << 10

// Options describe a child.
type Options struct {
	Name string   // what people call it: "Kafka"
	Path string   // the program
	Args []string // without the program's name
	Env  []string // added to this process's environment
	Dir  string   // working directory; "": this process's
	Log  string   // file that standard output and error are appended to
}

// A Process is a running or ended child.
type Process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	guard io.Closer     // what ends the child with us where the kernel does not
	done  chan struct{} // closed when the child has ended
	err   error         // set before done is closed
}

// Start runs the child. It is running when Start returns nil, but perhaps not ready: see Await.
func Start(o Options) (*Process, error) {
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: log: %w", o.Name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor

	// It ends by Stop or Kill, or with this process; a context would be a third way, and a race with the others.
	cmd := exec.Command(o.Path, o.Args...) //nolint:noctx // see above
	cmd.Env = append(os.Environ(), o.Env...)
	cmd.Dir = o.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()
	if _, err := cmd.StdinPipe(); err != nil { // open until the child has ended; nothing is ever written
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	p := &Process{name: o.Name, log: o.Log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s (%s): %w", o.Name, o.Path, err)
	}
	return p, nil
}

// run starts the child and waits for it on one thread that nothing else uses: PR_SET_PDEATHSIG fires when the thread that
// forked ends, not when the process does.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	guard, err := guardChild(p.cmd.Process.Pid)
	if err != nil {
		err = errors.Join(err, p.cmd.Process.Kill(), p.cmd.Wait())
		started <- err
		return
	}
	p.guard = guard
	started <- nil
	p.err = p.cmd.Wait()
	if p.guard != nil {
		_ = p.guard.Close() // the guard has nobody left to watch
	}
	close(p.done)
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is the file with the child's output.
func (p *Process) Log() string { return p.log }

// Await returns nil when ready does. It asks again until then; it fails when the child ends or ctx does, with the end of
// the child's log. Each question is bounded by ctx alone, so ready must bound itself.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		notYet := ready(ctx)
		if notYet == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready (%w); the end of %s:\n%s", p.name, p.Ending(), p.log, Tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (last: %w); the end of %s:\n%s", p.name, context.Cause(ctx), notYet, p.log, Tail(p.log))
		case <-tick.C:
		}
	}
}

// errClean stands for the exit of a child that had nothing to complain of.
var errClean = errors.New("exit status 0")

// Err is how the child ended: nil where it had nothing to complain of, or still runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Ending is how an ended child ended, for a message: never nil.
func (p *Process) Ending() error {
	if p.err == nil {
		return errClean
	}
	return p.err
}

// Stop asks the child to end (SIGTERM) and waits. When ctx ends first it is killed, and that is an error.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not stop and was killed: %w", p.name, context.Cause(ctx)), p.Kill())
	}
}

// Kill ends the child with SIGKILL and waits until it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Freeze stops the child without ending it (SIGSTOP): it answers nobody and keeps its connections open. Stop and Kill work
// on a frozen child too, Stop once it is thawed.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen child go on where it was (SIGCONT).
func (p *Process) Thaw() error { return p.signal(syscall.SIGCONT) }

// signal is a no-op on a child that has ended.
func (p *Process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %v: %w", p.name, s, err)
	}
	return nil
}

// Tail is the end of a log, for an error.
func Tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err == nil && info.Size() > logTail {
		if _, err := f.Seek(-logTail, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
