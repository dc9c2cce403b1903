// Package stages runs parts of the pipeline as processes of this machine, one each, for as long as a load test lasts. They
// never outlive this process.
package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"crossdock/internal/embedded/process"
)

// Options say what is started.
type Options struct {
	Binary string   // the crossdock program
	Parts  []string // as crossdock run names them; one process each
	// Args are more arguments of crossdock run, the same for all: the configuration.
	Args     []string
	Progress func(string) // told of each process that is ready; may be nil
}

// A Process is one that runs.
type Process struct {
	Name  string
	PID   int
	Admin string // URL of its probes and metrics
	Query string // URL where it answers queries of stock, if it is the inventory stage
}

// Stages are the processes of a load test. One goroutine uses them.
type Stages struct {
	dir     string // of their logs
	running []running
}

type running struct {
	Process
	p *process.Process
}

// readyWithin bounds the wait for one process: it joins its group and reads master data.
const readyWithin = time.Minute

// Start starts all and waits until each is ready. Where one fails, those that run already are stopped; the error has the
// end of its log.
func Start(ctx context.Context, o Options) (_ *Stages, err error) {
	s := &Stages{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "crossdock-stages-"); err != nil {
		return nil, err
	}
	first, err := process.FreePorts(2 * len(o.Parts))
	if err != nil {
		return nil, err
	}
	for i, name := range o.Parts {
		admin := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+2*i))
		query := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+2*i+1))
		args := append([]string{"run", name}, o.Args...)
		p, err := process.Start(process.Options{
			Name: "stage " + name, Path: o.Binary, Args: append(args, "--set", "admin.listen="+admin, "--set", "query.listen="+query), Log: filepath.Join(s.dir, name+".log"),
		})
		if err != nil {
			return nil, err
		}
		s.running = append(s.running, running{Process{name, p.Pid(), "http://" + admin, "http://" + query}, p})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %v", readyWithin))
	defer cancel()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, r := range s.running {
		if err := r.p.Await(ctx, func(ctx context.Context) error { return ready(ctx, client, r.Admin) }); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(fmt.Sprintf("%s: process %d, %s/metrics", r.Name, r.PID, r.Admin))
		}
	}
	return s, nil
}

// ready asks /readyz.
func ready(ctx context.Context, client *http.Client, admin string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// All are the processes, in the order of their start.
func (s *Stages) All() []Process {
	all := make([]Process, 0, len(s.running))
	for _, r := range s.running {
		all = append(all, r.Process)
	}
	return all
}

// Ended says which process has ended by itself, with the end of its log; nil: all run.
func (s *Stages) Ended() error {
	for _, r := range s.running {
		select {
		case <-r.p.Done():
			return fmt.Errorf("stage %s has ended by itself; the end of its log:\n%s", r.Name, process.Tail(r.p.Log()))
		default:
		}
	}
	return nil
}

// stopWithin is how long a process may take to finish its transaction and leave.
const stopWithin = 30 * time.Second

// Stop asks all to leave, the last started first, and takes their logs away.
func (s *Stages) Stop(ctx context.Context) error {
	var err error
	for i := len(s.running) - 1; i >= 0; i-- {
		stopping, cancel := context.WithTimeoutCause(ctx, stopWithin, fmt.Errorf("not within %v", stopWithin))
		err = errors.Join(err, s.running[i].p.Stop(stopping))
		cancel()
	}
	s.running = nil
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
		s.dir = ""
	}
	return err
}
