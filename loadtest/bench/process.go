package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	pollEvery = 50 * time.Millisecond
	tellEvery = 250 * time.Millisecond
	// stopWithin is how long a stage may take to leave after SIGTERM.
	stopWithin = 30 * time.Second
	// outputKept is how much of a stage's last output an error shows.
	outputKept = 8 << 10
)

// A process of the stage.
type process struct {
	cmd    *exec.Cmd
	watch  *watch
	output tail
	left   chan struct{}
	how    error // once left is closed
}

func (d *drain) start() (*process, error) {
	cmd, err := d.options.Command(d.env)
	if err != nil {
		return nil, fmt.Errorf("the stage's command: %w", err)
	}
	p := &process{cmd: cmd, left: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the stage: %w", err)
	}
	p.watch = d.watchStarted(cmd.Process.Pid)
	go func() {
		p.how = cmd.Wait()
		close(p.left)
	}()
	return p, nil
}

// ended adds to an error how the process stopped, and what it said last.
func (p *process) ended(err error) error {
	err = errors.Join(err, stop(p.cmd, p.left))
	if err != nil {
		err = fmt.Errorf("%w\nthe stage's last output:\n%s", err, p.output.String())
	}
	return err
}

// drain starts the stage, waits until its group has committed the whole backlog, and asks what it has allocated. Where a kill is
// asked for, the figures are those of the process that goes on after it.
func (d *drain) drain(ctx context.Context) (m Measure, err error) {
	from := int64(0)
	if d.options.Kill {
		if from, err = d.killHalfWay(ctx); err != nil {
			return m, err
		}
	}
	p, err := d.start()
	if err != nil {
		return m, err
	}
	profile := d.startProfile(ctx)
	defer func() {
		profile.stop()
		err = p.ended(err)
	}()
	if err := d.await(ctx, p, from, d.backlog.records); err != nil {
		return m, err
	}
	m = p.watch.measure(d.backlog.units - d.backlog.unitsOf(from))
	spent, err := askAllocated(ctx, d.env.Admin)
	if err != nil {
		return m, err
	}
	m.AllocatedBytesPerRecord = spent.bytes / float64(m.Records)
	m.AllocationsPerRecord = spent.objects / float64(m.Records)
	d.result.Profiled = profile.taken()
	return m, profile.wait()
}

var errLeft = errors.New("the stage left before it was done")

// await returns when the stage's group has committed so many records of the backlog, of which some were committed when the
// process started.
func (d *drain) await(ctx context.Context, p *process, from, to int64) error {
	var told time.Time
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			done, _ := d.committedBy(context.WithoutCancel(ctx), d.env.Group)
			return fmt.Errorf("%d of %d committed: %w", d.backlog.unitsOf(done), d.backlog.units, context.Cause(ctx))
		case <-p.left:
			how := p.how
			if how == nil {
				how = errors.New("exit status 0")
			}
			return fmt.Errorf("%w: %w", errLeft, how)
		case <-poll.C:
		}
		records, err := d.committedBy(ctx, d.env.Group)
		if err != nil {
			continue // the group does not exist yet, or its coordinator moves: ctx bounds it
		}
		done := d.backlog.unitsOf(records)
		p.watch.first(done - d.backlog.unitsOf(from))
		if now := time.Now(); now.Sub(told) >= tellEvery || records >= to {
			told = now
			d.progress(Drain, done, p.watch.began)
		}
		if records >= to {
			return nil
		}
	}
}

// committedBy is how many records of the backlog the group has passed. It holds no markers: nobody who fills it in is
// transactional.
func (d *drain) committedBy(ctx context.Context, group string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	offsets, err := d.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) {
		for _, topic := range d.backlog.topics {
			if o.Topic == topic && o.Err == nil {
				sum += max(0, o.At)
			}
		}
	})
	return sum, nil
}

// freePort is an address on this machine that nobody listens at now.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("a port for the stage's metrics: %w", err)
	}
	return l.Addr().String(), l.Close()
}

// stop ends a stage as an orchestrator does: SIGTERM, and SIGKILL where that is not enough. It returns once the process
// has left, how no longer matters: what counts is committed.
func stop(cmd *exec.Cmd, left <-chan struct{}) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); errors.Is(err, os.ErrProcessDone) {
		<-left
		return nil
	}
	timer := time.NewTimer(stopWithin)
	defer timer.Stop()
	select {
	case <-left:
		return nil
	case <-timer.C:
	}
	err := fmt.Errorf("the stage did not leave within %v of SIGTERM, and was killed", stopWithin)
	if kill := cmd.Process.Kill(); kill != nil && !errors.Is(kill, os.ErrProcessDone) {
		return errors.Join(err, kill)
	}
	<-left
	return err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - outputKept; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return "..." + string(t.buf)
	}
	return string(t.buf)
}
