package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crossdock/internal/embedded/process"
)

// StartOptions say how a host is run as a child.
type StartOptions struct {
	// Command is the program, and the arguments before the host's own flags, that end up in Main: for the crossdock binary
	// its own path, "embedded", "clickhouse".
	Command  []string
	Dir      string       // of data (Dir/data) and log (Dir/clickhouse.log); must exist
	HTTP     string       // address; "": a free port of 127.0.0.1
	TCP      string       // native address; "": a free port of 127.0.0.1
	Config   string       // file: a ClickHouse config.xml; "": none
	User     string       // accept only this user and Password; "": anybody
	Password string       //
	Progress func(string) // told of slow steps; nil: nobody is
}

// A Server is a host in a child process, running or not. Its methods are for one goroutine.
type Server struct {
	o       StartOptions
	library string
	ready   Ready
	process *process.Process // nil while it is down
}

// Start installs the engine, once, and runs a host. It returns *artifact.Unavailable where the engine cannot be had.
func Start(ctx context.Context, o StartOptions) (*Server, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("the command that hosts the ClickHouse engine is not given")
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	library, err := Install(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	s := &Server{o: o, library: library}
	if o.HTTP == "" || o.TCP == "" {
		port, err := process.FreePorts(2)
		if err != nil {
			return nil, err
		}
		if o.HTTP == "" {
			s.o.HTTP = fmt.Sprintf("127.0.0.1:%d", port)
		}
		if o.TCP == "" {
			s.o.TCP = fmt.Sprintf("127.0.0.1:%d", port+1)
		}
	}
	return s, s.Start(ctx)
}

// Start runs a host that is down, on the addresses and data it had.
func (s *Server) Start(ctx context.Context) error {
	if s.process != nil {
		return fmt.Errorf("the ClickHouse engine at %s is running already, pid %d", s.HTTP(), s.Pid())
	}
	readyFile := filepath.Join(s.o.Dir, "ready.json")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	args := append(append([]string(nil), s.o.Command[1:]...),
		"--lib", s.library, "--path", filepath.Join(s.o.Dir, "data"), "--http", s.o.HTTP, "--tcp", s.o.TCP,
		"--ready", readyFile, "--follow-stdin", "--user", s.o.User, "--config", s.o.Config)
	p, err := process.Start(process.Options{
		Name: "the ClickHouse engine", Path: s.o.Command[0], Args: args, Log: filepath.Join(s.o.Dir, "clickhouse.log"),
		Env: []string{PasswordEnv + "=" + s.o.Password},
	})
	if err != nil {
		return err
	}
	var ready Ready
	err = p.Await(ctx, func(context.Context) error {
		b, err := os.ReadFile(readyFile)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &ready)
	})
	if err != nil {
		return errors.Join(err, p.Kill())
	}
	s.process, s.ready = p, ready
	return nil
}

// HTTP is the address of the HTTP port, host:port.
func (s *Server) HTTP() string { return s.ready.HTTP }

// TCP is the address of the native port, host:port.
func (s *Server) TCP() string { return s.ready.TCP }

// Version is ClickHouse's: "26.7.2.1".
func (s *Server) Version() string { return s.ready.Version }

// Pid is the host's process id; 0 while it is down.
func (s *Server) Pid() int {
	if s.process == nil {
		return 0
	}
	return s.process.Pid()
}

// Log is the host's log file.
func (s *Server) Log() string { return filepath.Join(s.o.Dir, "clickhouse.log") }

// Done is closed when the running host has ended, by itself or not; nil while it is down.
func (s *Server) Done() <-chan struct{} {
	if s.process == nil {
		return nil
	}
	return s.process.Done()
}

// Stop ends the host; it is killed when ctx ends first. It is a no-op on one that is down.
func (s *Server) Stop(ctx context.Context) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(ctx)
	s.process = nil
	return err
}

// Kill9 ends the host with SIGKILL; Start brings it back with what was on its disk.
func (s *Server) Kill9() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Kill()
	s.process = nil
	return err
}

// String says what runs where.
func (s *Server) String() string {
	return strings.TrimSpace(fmt.Sprintf("ClickHouse %s, http %s, native %s", s.Version(), s.HTTP(), s.TCP()))
}
