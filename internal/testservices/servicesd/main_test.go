package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/daemon"
)

// bareMachine leaves nothing on the path but Go and a shell, and an empty cache.
func bareMachine(t *testing.T) {
	t.Helper()
	bin := t.TempDir()
	for _, tool := range []string{"go", "sh"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	t.Setenv("CHDB_LIB", "")
	for name := range daemon.Variables([]daemon.Service{{Name: daemon.Kafka}, {Name: daemon.ClickHouse}, {Name: daemon.Registry}}) {
		t.Setenv(name, "") // of services that run around this test
	}
	t.Setenv(artifact.RootEnv, t.TempDir())
}

func TestACommandRunsWithoutTheServicesThatTheMachineCannotHaveAndItsExitCodeIsOurs(t *testing.T) {
	bareMachine(t)
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"run", "--", "sh", "-c", `test "$1" = -- && test -z "$CROSSDOCK_TEST_CLICKHOUSE_TCP"`, "sh", "--"}, 0},
		{[]string{"run", "sh", "-c", "exit 7"}, 7},
		{[]string{"run", "--", "no-such-program"}, 1},
		{[]string{"run"}, 1},
	} {
		if got := status(c.args); got != c.want {
			t.Errorf("%q: exit code %d, want %d", c.args, got, c.want)
		}
	}
	if got := status([]string{"status"}); got != 1 {
		t.Error("a daemon is left behind")
	}
}

func TestAServiceThatCannotBeHadFailsUp(t *testing.T) {
	bareMachine(t)
	if got := status([]string{"up", "clickhouse"}); got != 1 {
		t.Errorf("up: exit code %d", got)
	}
	// Not by "down": it would stop what a person has started in this checkout.
	_, c, err := locate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWrongVerbsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"start"}, {"serve"}, {"clickhouse", "--no-such-flag"}, {"clickhouse", "surplus"}} {
		if got := status(args); got != 1 {
			t.Errorf("%q: exit code %d", args, got)
		}
	}
}
