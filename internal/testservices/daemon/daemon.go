package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"crossdock/internal/embedded/artifact"
)

// Bounds of a daemon.
const (
	requestTimeout = 10 * time.Second // for a client to say what it wants
	startTimeout   = 10 * time.Minute // of a service, the download of the first time included
	stopTimeout    = 20 * time.Second // of a service, before it is killed
)

// Options of a daemon.
type Options struct {
	Socket string
	Linger time.Duration // how long it stays without a lease
	// Host is the command that ends up in clickhouse.Main: see clickhouse.StartOptions.
	Host []string
}

// Daemon owns services and counts leases.
type daemon struct {
	o     Options
	dir   string
	stop  context.CancelFunc
	start map[string]starterFunc // by service

	mu       sync.Mutex // guards what follows
	leases   int
	pinned   bool
	idle     *time.Timer // fires when there has been no lease for o.Linger; running only while there is none
	services map[string]*entry
}

// entry is a service that was asked for; its mutex lets one client start it and the others wait.
type entry struct {
	mu      sync.Mutex
	running runningService // nil until started, and again when it has died
	info    Service
}

// runningService is what the daemon asks of each kind.
type runningService interface {
	Stop(ctx context.Context) error
	Done() <-chan struct{}
}

// Serve runs a daemon until ctx ends, it is told to stop, or nobody has needed it for o.Linger. Of two on one socket the
// second returns an error at once.
func Serve(ctx context.Context, o Options) error { return serve(ctx, o, starters(o.Host)) }

func serve(ctx context.Context, o Options, start map[string]starterFunc) (err error) {
	lock, err := artifact.TryAcquire(o.Socket + ".lock")
	if err != nil {
		return fmt.Errorf("another daemon serves %s: %w", o.Socket, err)
	}
	defer lock.Release()
	if err := os.Remove(o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) { // a killed daemon's
		return err
	}
	sweepWorkDirs(os.TempDir())
	dir, release, err := newWorkDir(os.TempDir())
	if err != nil {
		return err
	}
	defer release()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &daemon{o: o, dir: dir, stop: cancel, start: start, services: map[string]*entry{}}
	d.idle = time.AfterFunc(o.Linger, cancel)
	defer d.idle.Stop()

	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", o.Socket)
	if err != nil {
		return err
	}
	var clients sync.WaitGroup
	defer func() {
		cancel()
		clients.Wait()
		err = errors.Join(err, d.stopServices())
	}()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // it also removes the socket
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		clients.Go(func() {
			defer conn.Close()                                          //nolint:errcheck // nothing is buffered
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends the read that a lease is
			if err := d.client(ctx, conn); err != nil {
				fmt.Fprintln(os.Stderr, "client:", err)
			}
		})
	}
}

// client answers one connection.
func (d *daemon) client(ctx context.Context, conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	l, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	var req request
	if err := json.Unmarshal(l, &req); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	switch req.Op {
	case opUse:
		return d.hold(ctx, conn, in, req.Service)
	case opPin:
		d.pin()
	case opState:
	case opStop:
		defer d.stop()
	default:
		return answer(conn, response{Error: fmt.Sprintf("operation %q is unknown", req.Op)})
	}
	return answer(conn, response{State: d.state()})
}

// hold gives a client the service that it asked for until it lets go. A client that gets none holds none, from before it
// hears of it.
func (d *daemon) hold(ctx context.Context, conn net.Conn, in io.Reader, service string) error {
	d.lease(1)
	r := d.use(ctx, service, conn)
	if r.Service == nil {
		d.lease(-1)
		return answer(conn, r)
	}
	defer d.lease(-1)
	if err := answer(conn, r); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func answer(w io.Writer, r response) error {
	b, err := line(r)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

func (d *daemon) lease(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leases += n
	if d.leases > 0 || d.pinned {
		d.idle.Stop()
	} else {
		d.idle.Reset(d.o.Linger)
	}
}

func (d *daemon) pin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pinned = true
	d.idle.Stop()
}

func (d *daemon) entry(name string) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.services[name]
	if e == nil {
		e = &entry{}
		d.services[name] = e
	}
	return e
}

// use starts a service unless it runs, telling conn of slow steps.
func (d *daemon) use(ctx context.Context, name string, conn net.Conn) response {
	start := d.start[name]
	if start == nil {
		return response{Error: fmt.Sprintf("service %q is unknown", name)}
	}
	e := d.entry(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running != nil {
		select {
		case <-e.running.Done(): // it died: the log says why, and the next test gets a new one
			fmt.Fprintf(os.Stderr, "%s ended by itself; see %s\n", name, e.info.Log)
			e.running = nil
		default:
			info := e.info
			return response{Service: &info}
		}
	}
	dir, err := os.MkdirTemp(d.dir, name+"-")
	if err != nil {
		return response{Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	began := time.Now()
	progress := func(s string) {
		began = time.Now()
		_ = answer(conn, response{Progress: s}) // a client that has left is seen at the answer
	}
	running, info, err := start(ctx, dir, progress)
	var missing *artifact.Unavailable
	switch {
	case errors.As(err, &missing):
		return response{Unavailable: missing}
	case err != nil:
		return response{Error: err.Error()}
	}
	info.Name, info.StartedIn = name, time.Since(began).Round(time.Millisecond).String()
	e.running, e.info = running, info
	return response{Service: &info}
}

func (d *daemon) state() *State {
	d.mu.Lock()
	s := &State{Pid: os.Getpid(), Dir: d.dir, Pinned: d.pinned, Leases: d.leases}
	entries := make([]*entry, 0, len(d.services))
	for _, e := range d.services {
		entries = append(entries, e)
	}
	d.mu.Unlock()
	for _, e := range entries {
		if !e.mu.TryLock() { // it is starting
			continue
		}
		if e.running != nil {
			s.Services = append(s.Services, e.info)
		}
		e.mu.Unlock()
	}
	slices.SortFunc(s.Services, func(a, b Service) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// stopServices is called when no client is left.
func (d *daemon) stopServices() error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, e := range d.services {
		if e.running == nil {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			err := e.running.Stop(ctx)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// workDirPattern names the directories of daemons and of tests' own services below the system's temporary directory.
const workDirPattern = "crossdock-services-*"

// newWorkDir makes a directory that belongs to this process: it holds a lock in it as long as it lives.
func newWorkDir(parent string) (dir string, release func(), err error) {
	dir, err = os.MkdirTemp(parent, workDirPattern)
	if err != nil {
		return "", nil, err
	}
	lock, err := artifact.TryAcquire(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // what is left is swept by the next daemon
		lock.Release()
	}, nil
}

// sweepWorkDirs removes the directories of processes that were killed.
func sweepWorkDirs(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, workDirPattern))
	if err != nil {
		return // the pattern is a constant; a sweep is a courtesy
	}
	for _, dir := range dirs {
		lock, err := artifact.TryAcquire(filepath.Join(dir, "lock"))
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir) // another user's, perhaps
		lock.Release()
	}
}
