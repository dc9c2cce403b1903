package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"crossdock/topology/topics"
)

const (
	pollEvery = 50 * time.Millisecond
	tellEvery = 250 * time.Millisecond
	// stopWithin is how long a stage may take to leave after SIGTERM.
	stopWithin = 30 * time.Second
	// outputKept is how much of a stage's last output an error shows.
	outputKept = 8 << 10
)

// drain starts the stage and waits until its group has committed the whole inbox.
func (b *benchmark) drain(ctx context.Context) (m Measure, err error) {
	cmd, err := b.options.Command(b.env)
	if err != nil {
		return m, fmt.Errorf("the stage's command: %w", err)
	}
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return m, fmt.Errorf("start the stage: %w", err)
	}
	w := b.watch(map[string]int{stage: cmd.Process.Pid})
	w.sinceStart(stage)
	left := make(chan struct{})
	var how error // once left is closed
	go func() {
		how = cmd.Wait()
		close(left)
	}()
	defer func() {
		err = errors.Join(err, stop(cmd, left))
		if err != nil {
			err = fmt.Errorf("%w\nthe stage's last output:\n%s", err, output.String())
		}
	}()
	var told time.Time
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			done, _ := b.committedBy(context.WithoutCancel(ctx), b.env.App)
			return m, fmt.Errorf("%d of %d committed: %w", done, b.options.Records, context.Cause(ctx))
		case <-left:
			if how == nil {
				how = errors.New("exit status 0")
			}
			return m, fmt.Errorf("the stage left before it was done: %w", how)
		case <-poll.C:
		}
		done, err := b.committedBy(ctx, b.env.App)
		if err != nil {
			continue // the group does not exist yet, or its coordinator moves: ctx bounds it
		}
		now := time.Now()
		if done > 0 {
			w.first(done)
		}
		if now.Sub(told) >= tellEvery || done >= b.options.Records {
			told = now
			b.progress(Drain, done, b.options.Records, began)
		}
		if done >= b.options.Records {
			return w.measure(done, time.Since(began)), nil
		}
	}
}

// committedBy is how far the group is in the inbox. It holds no markers: the sender is not transactional.
func (b *benchmark) committedBy(ctx context.Context, group string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	offsets, err := b.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	inbox := b.env.Naming.Topic(topics.InventoryInbox)
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == inbox && o.Err == nil {
			sum += max(0, o.At)
		}
	})
	return sum, nil
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
