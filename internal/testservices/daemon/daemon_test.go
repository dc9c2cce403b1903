package daemon

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crossdock/internal/embedded/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a service that costs nothing.
type fake struct{ done chan struct{} }

func (f fake) Stop(context.Context) error { return nil }
func (f fake) Done() <-chan struct{}      { return f.done }

// crash ends the fake service that was started last.
type crash struct{ last *fake }

func (c *crash) starters() map[string]starterFunc {
	return map[string]starterFunc{
		"fake": func(context.Context, string, func(string)) (runningService, Service, error) {
			c.last = &fake{make(chan struct{})}
			return c.last, Service{Addresses: map[string]string{"at": "here"}}, nil
		},
		"absent": func(context.Context, string, func(string)) (runningService, Service, error) {
			return nil, Service{}, &artifact.Unavailable{What: "it", Why: "no reason", Remedy: "Wait"}
		},
	}
}

// serveFakes runs a daemon in this process, with its files below the test's own directory; ended is closed when it has ended.
func serveFakes(t *testing.T, linger time.Duration) (c Client, ended chan error, services *crash) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c = Client{Socket: filepath.Join(tmp, "s")}
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	services = &crash{}
	go func() { ended <- serve(ctx, Options{Socket: c.Socket, Linger: linger}, services.starters()) }()
	t.Cleanup(func() {
		cancel()
		if left, _ := filepath.Glob(filepath.Join(tmp, workDirPattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	await(t, func() bool { conn, err := c.connect(ctx); return err == nil && conn.Close() == nil })
	return c, ended, services
}

// await waits for what has no event.
func await(t *testing.T, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatal("not within 10 s")
		case <-tick.C:
		}
	}
}

func ends(t *testing.T, ended chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the daemon did not end within 10 s")
	}
}

func TestWithoutALeaseTheDaemonEnds(t *testing.T) {
	c, ended, _ := serveFakes(t, 100*time.Millisecond)
	ends(t, ended)
	if _, err := c.State(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestALeaseKeepsTheDaemonAndEndsWithItsConnection(t *testing.T) {
	c, ended, _ := serveFakes(t, 300*time.Millisecond)
	l, err := c.Use(t.Context(), "fake", func(string) {})
	if err != nil || l.Service.Addresses["at"] != "here" {
		t.Fatalf("%+v, %v", l, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended under a lease: %v", err)
	case <-time.After(600 * time.Millisecond): // longer than it lingers
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestAPinnedDaemonStaysUntilItIsStopped(t *testing.T) {
	c, ended, _ := serveFakes(t, 200*time.Millisecond)
	s, err := c.Pin(t.Context())
	if err != nil || !s.Pinned || s.Pid != os.Getpid() {
		t.Fatalf("%+v, %v", s, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("ended though pinned: %v", err)
	case <-time.After(500 * time.Millisecond): // longer than it lingers
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestTwoDaemonsDoNotShareASocket(t *testing.T) {
	c, ended, _ := serveFakes(t, time.Minute)
	if err := Serve(t.Context(), Options{Socket: c.Socket, Linger: time.Minute}); !errors.Is(err, artifact.ErrHeld) {
		t.Errorf("the second: %v", err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestAServiceThatDiedIsStartedAgainForTheNext(t *testing.T) {
	c, ended, services := serveFakes(t, time.Minute)
	first, err := c.Use(t.Context(), "fake", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	old := services.last
	close(old.done)
	second, err := c.Use(t.Context(), "fake", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if services.last == old {
		t.Error("the dead one was handed out")
	}
	if err := errors.Join(first.Release(), second.Release(), c.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	ends(t, ended)
}

func TestWhoGetsNoServiceHoldsNoLease(t *testing.T) {
	c, ended, _ := serveFakes(t, time.Minute)
	var missing *artifact.Unavailable
	if _, err := c.Use(t.Context(), "absent", func(string) {}); !errors.As(err, &missing) || missing.Remedy != "Wait" {
		t.Errorf("got %v", err)
	}
	if s, err := c.State(t.Context()); err != nil || s.Leases != 0 {
		t.Errorf("%d leases, %v", s.Leases, err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	ends(t, ended)
}

func TestUnknownServicesAreRefused(t *testing.T) {
	c, ended, _ := serveFakes(t, time.Minute)
	if _, err := c.Use(t.Context(), "zookeeper", func(string) {}); err == nil || !strings.Contains(err.Error(), "zookeeper") {
		t.Errorf("got %v", err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestDirectoriesOfKilledDaemonsAreSweptAndThoseOfLivingOnesAreNot(t *testing.T) {
	tmp := t.TempDir()
	living, release, err := newWorkDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	killed := filepath.Join(tmp, "crossdock-services-killed")
	if err := os.MkdirAll(killed, 0o755); err != nil {
		t.Fatal(err)
	}
	sweepWorkDirs(tmp)
	if _, err := os.Stat(killed); err == nil {
		t.Error("the killed one's is there")
	}
	if _, err := os.Stat(living); err != nil {
		t.Error(err)
	}
}

func TestAddressesHaveTheNamesThatTestsRead(t *testing.T) {
	root := t.TempDir()
	s := State{Pid: 1, Dir: "/d", Services: []Service{
		{Name: Kafka, Addresses: map[string]string{"kafka": "127.0.0.1:1"}, Pid: 2},
		{Name: ClickHouse, Addresses: map[string]string{"http": "127.0.0.1:3", "tcp": "127.0.0.1:4"}, Pid: 5},
	}}
	if err := WriteEnvFile(root, "/run/socket", s); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, EnvFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CROSSDOCK_TEST_KAFKA=127.0.0.1:1\n", "CROSSDOCK_TEST_CLICKHOUSE_HTTP=127.0.0.1:3\n", "CROSSDOCK_TEST_CLICKHOUSE_TCP=127.0.0.1:4\n", "CROSSDOCK_SERVICES_KAFKA_PID=2\n"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%q is not in\n%s", want, b)
		}
	}
	if c, ok := Recorded(root); !ok || c.Socket != "/run/socket" {
		t.Errorf("recorded: %+v, %v", c, ok)
	}
	if err := errors.Join(RemoveEnvFile(root), RemoveEnvFile(root)); err != nil {
		t.Error(err)
	}
}

func TestTheSameSourcesMeetAtOneDaemon(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	a, errA := sourceKey(root)
	b, errB := sourceKey(root)
	t.Setenv(artifact.RootEnv, t.TempDir())
	other, errC := sourceKey(root)
	if err := errors.Join(errA, errB, errC); err != nil || a != b || a == other {
		t.Errorf("%s, %s, with another cache %s, %v", a, b, other, err)
	}
}

func TestTheProgramIsBuiltFromNoFolderThatTheKeyLeavesOut(t *testing.T) {
	root, err := ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", program)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		if folder, ours := strings.CutPrefix(pkg, "crossdock/"); ours && !slices.Contains(sources(), folder) {
			t.Errorf("%s is in the program and not among its sources", pkg)
		}
	}
}
