package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// stopGrace bounds how long a statement in progress may hold up the end of Serve.
const stopGrace = 5 * time.Second

// httpSessions is how many statements of the HTTP port run at once unless set.
const httpSessions = 4

// Options of a host.
type Options struct {
	Library  string // file of libchdb, see Install
	Path     string // data directory, made if need be
	HTTP     string // address, "127.0.0.1:8123"; "": none
	TCP      string // native address, "127.0.0.1:9000"; "": none
	Config   string // file: a ClickHouse config.xml (zookeeper, users_config, pools); "": none
	User     string // accept only this user and Password; "": anybody
	Password string
	Sessions int          // statements of the HTTP port at once; 0: 4
	Log      *slog.Logger // statements at debug level; nil: slog.Default
	Ready    func(Ready)  // called once when both ports answer; nil: nobody is told
}

// Ready says where a host answers.
type Ready struct {
	Version string `json:"version"` // of ClickHouse: "26.7.2.1"
	HTTP    string `json:"http"`    // host:port; "": none
	TCP     string `json:"tcp"`
	Pid     int    `json:"pid"`
}

// validate reports every problem at once.
func (o *Options) validate() error {
	var errs []error
	if o.Library == "" {
		errs = append(errs, errors.New("the engine's library is not named (--lib)"))
	}
	if o.Path == "" {
		errs = append(errs, errors.New("the data directory is not named (--path)"))
	}
	if o.HTTP == "" && o.TCP == "" {
		errs = append(errs, errors.New("neither an HTTP (--http) nor a native (--tcp) address is given"))
	}
	if o.Sessions < 0 {
		errs = append(errs, fmt.Errorf("%d sessions make no sense (--sessions)", o.Sessions))
	}
	return errors.Join(errs...)
}

// version is a ClickHouse server's: major, minor, patch, build.
type version [4]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d.%d", v[0], v[1], v[2], v[3]) }

// engine is one data directory with its two ports.
type engine struct {
	lib            *library
	args           []string // the engine's own: every session opens with the same ones
	user, password string
	version        version
	pool           sessionPool // of the HTTP port
	log            *slog.Logger
}

func (e *engine) authentic(user, password string) bool {
	return e.user == "" || user == e.user && password == e.password
}

// sessionPool holds idle sessions.
type sessionPool chan *session

func (p sessionPool) take(ctx context.Context) (*session, error) {
	select {
	case s := <-p:
		return s, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p sessionPool) put(s *session) { p <- s }

// Serve hosts the engine in this process until ctx ends. A process calls it once.
func Serve(ctx context.Context, o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Sessions == 0 {
		o.Sessions = httpSessions
	}
	e, err := newEngine(o)
	if err != nil {
		return err
	}
	return e.serve(ctx, o)
}

func newEngine(o Options) (*engine, error) {
	lib, err := load(o.Library)
	if err != nil {
		return nil, err
	}
	e := &engine{
		lib: lib, args: []string{"--path=" + o.Path}, user: o.User, password: o.Password,
		pool: make(sessionPool, o.Sessions), log: o.Log,
	}
	if o.Config != "" {
		e.args = append(e.args, "--config-file="+o.Config)
	}
	for range o.Sessions {
		s, err := openSession(lib, e.args)
		if err != nil {
			return nil, err
		}
		e.pool.put(s)
	}
	s := <-e.pool
	defer e.pool.put(s)
	out, err := s.query("SELECT version()", "TSVRaw")
	if err != nil {
		return nil, err
	}
	v := &e.version
	if _, err := fmt.Sscanf(strings.TrimSpace(string(out)), "%d.%d.%d.%d", &v[0], &v[1], &v[2], &v[3]); err != nil {
		return nil, fmt.Errorf("the engine's version %q cannot be read: %w", out, err)
	}
	return e, nil
}

// serve opens the ports and runs until ctx ends or a port fails; then it closes them, and the sessions.
func (e *engine) serve(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web, native, err := listen(ctx, o)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	running := 0
	ready := Ready{Version: e.version.String(), Pid: processID()}
	if web != nil {
		running++
		ready.HTTP = web.Addr().String()
		go func() { ended <- e.serveHTTP(ctx, web) }()
	}
	if native != nil {
		running++
		ready.TCP = native.Addr().String()
		go func() { ended <- e.serveTCP(ctx, native) }()
	}
	e.log.Info("ClickHouse engine is up", "version", ready.Version, "http", ready.HTTP, "tcp", ready.TCP, "path", o.Path)
	if o.Ready != nil {
		o.Ready(ready)
	}
	var errs []error
	var grace <-chan time.Time
	stopping := ctx.Done()
	for running > 0 {
		select {
		case err := <-ended:
			running--
			errs = append(errs, err)
			cancel() // one port does not go on without the other
		case <-stopping:
			stopping = nil
			timer := time.NewTimer(stopGrace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			return errors.Join(append(errs, fmt.Errorf("a statement still ran %s after the stop", stopGrace))...)
		}
	}
	for range cap(e.pool) {
		(<-e.pool).close()
	}
	return errors.Join(errs...)
}

func listen(ctx context.Context, o Options) (web, native net.Listener, err error) {
	var lc net.ListenConfig
	if o.HTTP != "" {
		if web, err = lc.Listen(ctx, "tcp", o.HTTP); err != nil {
			return nil, nil, fmt.Errorf("HTTP port: %w", err)
		}
	}
	if o.TCP != "" {
		if native, err = lc.Listen(ctx, "tcp", o.TCP); err != nil {
			if web != nil {
				err = errors.Join(err, web.Close())
			}
			return nil, nil, fmt.Errorf("native port: %w", err)
		}
	}
	return web, native, nil
}

// serveHTTP answers until ctx ends; statements in progress lose their connection.
func (e *engine) serveHTTP(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	err := server.Close()
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
