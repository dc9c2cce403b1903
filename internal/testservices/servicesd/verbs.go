package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/daemon"
)

const (
	downTimeout  = time.Minute      // bounds the stop of everything
	commandGrace = 20 * time.Second // for a command that was asked to end
)

func locate(ctx context.Context) (root string, c daemon.Client, err error) {
	if root, err = daemon.ModuleRoot("."); err != nil {
		return "", c, err
	}
	c, err = daemon.Locate(ctx, root)
	return root, c, err
}

func progress(s string) { fmt.Fprintln(os.Stderr, "servicesd:", s) }

// up starts services and leaves them running.
func up(ctx context.Context, names []string) error {
	root, c, err := locate(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = []string{daemon.Kafka, daemon.ClickHouse}
	}
	if old, ok := daemon.Recorded(root); ok && old.Socket != c.Socket {
		if err := stop(ctx, old); err != nil { // of older sources: nobody would find it any more
			return err
		}
	}
	if _, err := c.Pin(ctx); err != nil {
		return err
	}
	leases, err := use(ctx, c, names)
	defer release(leases)
	if err != nil {
		return err
	}
	s, err := c.State(ctx)
	if err != nil {
		return err
	}
	if err := daemon.WriteEnvFile(root, c.Socket, s); err != nil {
		return err
	}
	printState(s)
	fmt.Println("written to", daemon.EnvFile)
	return nil
}

// use holds a lease on each service.
func use(ctx context.Context, c daemon.Client, names []string) (leases []*daemon.Lease, err error) {
	for _, name := range names {
		l, err := c.Use(ctx, name, progress)
		if err != nil {
			return leases, err
		}
		leases = append(leases, l)
	}
	return leases, nil
}

func release(leases []*daemon.Lease) {
	for _, l := range leases {
		_ = l.Release() // the daemon sees the end of the connection in any case
	}
}

// show says what runs.
func show(ctx context.Context) error {
	_, c, err := locate(ctx)
	if err != nil {
		return err
	}
	s, err := c.State(ctx)
	if err != nil {
		return err
	}
	printState(s)
	return nil
}

func printState(s daemon.State) {
	kept := "ends when nobody uses it"
	if s.Pinned {
		kept = "stays until servicesd down"
	}
	fmt.Printf("daemon      pid %d, %d leases, %s, files in %s\n", s.Pid, s.Leases, kept, s.Dir)
	for _, service := range s.Services {
		var addresses []string
		for _, what := range []string{"kafka", "http", "tcp", "url"} {
			if a := service.Addresses[what]; a != "" {
				addresses = append(addresses, what+" "+a)
			}
		}
		fmt.Printf("%-11s pid %d, %s, started in %s\n", service.Name, service.Pid, strings.Join(addresses, ", "), service.StartedIn)
	}
}

// down stops the daemon that up recorded and the one that tests of these sources share.
func down(ctx context.Context) error {
	root, c, err := locate(ctx)
	if err != nil {
		return err
	}
	if old, ok := daemon.Recorded(root); ok && old.Socket != c.Socket {
		if err := stop(ctx, old); err != nil {
			return err
		}
	}
	if err := stop(ctx, c); err != nil {
		return err
	}
	fmt.Println("no service is running")
	return daemon.RemoveEnvFile(root)
}

// stop ends a daemon; one that is not running is none to stop.
func stop(ctx context.Context, c daemon.Client) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	if err := c.Stop(ctx); !errors.Is(err, daemon.ErrNotRunning) {
		return err
	}
	return nil
}

// exitError carries the exit code of the command that run ran.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("the command ended with exit code %d", int(e)) }

// runWith runs a command with the services up, and stops them afterwards unless somebody else uses them. A service that
// this machine cannot have is named and left out; the tests that need it say what they think of that.
func runWith(ctx context.Context, args []string) (err error) {
	if len(args) > 0 && args[0] == "--" { // a later one is the command's own
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("usage: servicesd run -- COMMAND [ARGUMENT]")
	}
	_, c, err := locate(ctx)
	if err != nil {
		return err
	}
	vars := os.Environ()
	var leases []*daemon.Lease
	for _, name := range []string{daemon.Kafka, daemon.ClickHouse} {
		l, err := c.Use(ctx, name, progress)
		var missing *artifact.Unavailable
		if errors.As(err, &missing) {
			progress(missing.Error())
			continue
		}
		if err != nil {
			release(leases)
			return err
		}
		leases = append(leases, l)
		for k, v := range daemon.Variables([]daemon.Service{l.Service}) {
			vars = append(vars, k+"="+v)
		}
	}
	defer func() { err = errors.Join(err, stopUnused(c, leases)) }()

	runtime.LockOSThread() // see diesWithParent: the thread is the parent
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	cmd.Env = vars
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = diesWithParent()
	err = cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) && failed.ExitCode() > 0 {
		return exitError(failed.ExitCode())
	}
	return err
}

// stopUnused stops the daemon when we were the last.
func stopUnused(c daemon.Client, leases []*daemon.Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	s, err := c.State(ctx)
	if err != nil {
		release(leases)
		return nil // it is gone already
	}
	last := !s.Pinned && s.Leases <= len(leases)
	release(leases)
	if !last {
		return nil
	}
	return stop(ctx, c)
}
