package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/embedded/process"
)

// connectPoll is how often a new daemon's socket is tried: its appearance has no event to wait for.
const connectPoll = 20 * time.Millisecond

// appearTimeout bounds the time from a daemon's start to its socket.
const appearTimeout = 30 * time.Second

// A Client finds the daemon of a program, or starts it.
type Client struct {
	Program string   // the program that serves a daemon, and
	Args    []string // its arguments; the socket's path is added
	Socket  string
}

// SocketFor is where the daemon of a program with this key lives: daemons of different sources do not meet, and a path
// must stay short (104 bytes on macOS).
func SocketFor(key string) (string, error) {
	dir := filepath.Join(os.TempDir(), "crossdock-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Join(dir, key), nil
}

// A Lease keeps a service running until it is released or its process ends. It has no goroutine.
type Lease struct {
	Service Service
	conn    net.Conn
}

// Release lets the service go.
func (l *Lease) Release() error { return l.conn.Close() }

// Use starts the daemon and the service unless they run, and holds a lease. progress is told of slow steps. It returns
// *artifact.Unavailable where the service cannot be had on this machine.
func (c Client) Use(ctx context.Context, service string, progress func(string)) (*Lease, error) {
	conn, err := c.connectOrStart(ctx)
	if err != nil {
		return nil, err
	}
	r, err := exchange(ctx, conn, request{Op: opUse, Service: service}, progress)
	switch {
	case err != nil:
	case r.Unavailable != nil:
		err = r.Unavailable
	case r.Service == nil:
		err = fmt.Errorf("the daemon at %s answered nothing for %s", c.Socket, service)
	default:
		return &Lease{Service: *r.Service, conn: conn}, nil
	}
	return nil, errors.Join(err, conn.Close())
}

// Pin starts the daemon unless it runs and makes it stay without leases.
func (c Client) Pin(ctx context.Context) (State, error) {
	conn, err := c.connectOrStart(ctx)
	if err != nil {
		return State{}, err
	}
	return ask(ctx, conn, opPin)
}

// ErrNotRunning says that there is no daemon.
var ErrNotRunning = errors.New("no daemon is running")

// State says what a daemon does; ErrNotRunning where there is none.
func (c Client) State(ctx context.Context) (State, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return State{}, ErrNotRunning
	}
	return ask(ctx, conn, opState)
}

// Stop ends the daemon and its services and returns when they are gone; ErrNotRunning where there is none.
func (c Client) Stop(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return ErrNotRunning
	}
	if _, err := ask(ctx, conn, opStop); err != nil {
		return err
	}
	// The daemon holds this lock until its last service has ended.
	lock, err := artifact.Acquire(ctx, c.Socket+".lock")
	if err != nil {
		return err
	}
	lock.Release()
	return nil
}

func ask(ctx context.Context, conn net.Conn, op string) (State, error) {
	r, err := exchange(ctx, conn, request{Op: op}, func(string) {})
	if err == nil && r.State == nil {
		err = errors.New("the daemon answered without its state")
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		return State{}, err
	}
	return *r.State, nil
}

// exchange sends a request and waits for its answer until ctx ends.
func exchange(ctx context.Context, conn net.Conn, req request, progress func(string)) (response, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // it ends the read in progress
	defer stop()
	b, err := line(req)
	if err != nil {
		return response{}, err
	}
	if _, err := conn.Write(b); err != nil {
		return response{}, err
	}
	for in := bufio.NewReader(conn); ; {
		l, err := in.ReadBytes('\n')
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return response{}, fmt.Errorf("waiting for the daemon of the test services: %w", err)
		}
		var r response
		if err := json.Unmarshal(l, &r); err != nil {
			return r, err
		}
		switch {
		case r.Progress != "":
			progress(r.Progress)
		case r.Error != "":
			return r, errors.New(r.Error)
		default:
			return r, nil
		}
	}
}

func (c Client) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.Socket)
}

// connectOrStart connects to the daemon; of several processes that find none, one starts it.
func (c Client) connectOrStart(ctx context.Context) (net.Conn, error) {
	if conn, err := c.connect(ctx); err == nil {
		return conn, nil
	}
	lock, err := artifact.Acquire(ctx, c.Socket+".start")
	if err != nil {
		return nil, err
	}
	defer lock.Release()
	if conn, err := c.connect(ctx); err == nil {
		return conn, nil
	}
	// A daemon that is on its way out still holds its lock; a new one would refuse to start.
	out, err := artifact.Acquire(ctx, c.Socket+".lock")
	if err != nil {
		return nil, err
	}
	out.Release()
	log := c.Socket + ".log"
	if err := c.spawn(log); err != nil {
		return nil, fmt.Errorf("start the daemon of the test services: %w", err)
	}
	deadline := time.NewTimer(appearTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(connectPoll)
	defer tick.Stop()
	for {
		conn, err := c.connect(ctx)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-deadline.C:
			return nil, fmt.Errorf("the daemon of the test services did not appear in %s; its log %s:\n%s", appearTimeout, log, process.Tail(log))
		case <-tick.C:
		}
	}
}

// spawn starts the daemon in a session of its own and lets it go: it outlives this process and its terminal, and ends by
// itself when it has no lease.
func (c Client) spawn(log string) error {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()                                                                       //nolint:errcheck // the daemon has its own descriptor
	cmd := exec.Command(c.Program, append(append([]string(nil), c.Args...), c.Socket)...) //nolint:noctx // it outlives every context of ours
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
