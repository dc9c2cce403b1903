package daemon

import (
	"context"
	"errors"
	"net"
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

// serve runs a daemon in this process, with its files below the test's own directory; ended is closed when it has ended.
func serve(t *testing.T, linger time.Duration) (c Client, ended chan error) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	c = Client{Socket: filepath.Join(tmp, "s")}
	ctx, cancel := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- Serve(ctx, Options{Socket: c.Socket, Linger: linger}) }()
	t.Cleanup(func() {
		cancel()
		if left, _ := filepath.Glob(filepath.Join(tmp, workDirPattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	await(t, func() bool { conn, err := c.connect(ctx); return err == nil && conn.Close() == nil })
	return c, ended
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

// hold opens a lease on a service that is not started, by hand.
func hold(t *testing.T, c Client) net.Conn {
	t.Helper()
	conn, err := c.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := line(request{Op: opUse, Service: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { s, err := c.State(t.Context()); return err == nil && s.Leases > 0 })
	return conn
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
	c, ended := serve(t, 100*time.Millisecond)
	ends(t, ended)
	if _, err := c.State(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestALeaseKeepsTheDaemonAndEndsWithItsConnection(t *testing.T) {
	c, ended := serve(t, 300*time.Millisecond)
	conn := hold(t, c)
	select {
	case err := <-ended:
		t.Fatalf("ended under a lease: %v", err)
	case <-time.After(600 * time.Millisecond): // longer than it lingers
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestAPinnedDaemonStaysUntilItIsStopped(t *testing.T) {
	c, ended := serve(t, 200*time.Millisecond)
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
	c, ended := serve(t, time.Minute)
	if err := Serve(t.Context(), Options{Socket: c.Socket, Linger: time.Minute}); !errors.Is(err, artifact.ErrHeld) {
		t.Errorf("the second: %v", err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends(t, ended)
}

func TestUnknownServicesAreRefused(t *testing.T) {
	c, ended := serve(t, time.Minute)
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
	if err := WriteEnvFile(root, s); err != nil {
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
