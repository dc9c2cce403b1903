package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crossdock/internal/embedded/process"
)

// parentEnv makes the test binary a parent that starts a child, prints its process id and waits to be killed.
const parentEnv = "CROSSDOCK_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		p, err := process.Start(shell(dir, "exec sleep 600"))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.Pid())
		<-p.Done()
		return
	}
	goleak.VerifyTestMain(m)
}

func shell(dir, script string) process.Options {
	return process.Options{Name: "the child", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(dir, "log")}
}

func start(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(shell(t.TempDir(), script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func alive(pid int) bool {
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") Z ") {
		return false // dead, and nobody has asked for its exit code yet
	}
	return syscall.Kill(pid, 0) == nil
}

// eventually waits for a condition on another process, which has no event.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline.C:
			t.Fatal("not within 10 s: " + what)
		case <-tick.C:
		}
	}
}

func TestAChildDiesWithAParentThatIsKilled(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(child) {
		t.Fatal("the child did not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	eventually(t, "the child of a killed parent ends", func() bool { return !alive(child) })
}

func TestReadinessIsAwaitedByCondition(t *testing.T) {
	dir := t.TempDir()
	flag := filepath.Join(dir, "ready")
	p, err := process.Start(shell(dir, "touch "+flag+"; exec sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill() //nolint:errcheck // Stop tells
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Await(ctx, func(context.Context) error { _, err := os.Stat(flag); return err }); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAChildThatEndsEarlyIsReportedWithItsLastWords(t *testing.T) {
	p := start(t, "echo cannot open the vault >&2; exit 3")
	err := p.Await(t.Context(), func(context.Context) error { return errors.New("closed") })
	if err == nil || !strings.Contains(err.Error(), "cannot open the vault") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
}

func TestAChildThatWillNotStopIsKilledAndSaidSo(t *testing.T) {
	dir := t.TempDir()
	flag := filepath.Join(dir, "trapped")
	p, err := process.Start(shell(dir, "trap '' TERM; touch "+flag+"; while :; do sleep 0.1; done"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill() //nolint:errcheck // Stop tells
	if err := p.Await(t.Context(), func(context.Context) error { _, err := os.Stat(flag); return err }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if alive(p.Pid()) {
		t.Error("it lives")
	}
}

func TestAProgramThatIsNotThereIsNamed(t *testing.T) {
	_, err := process.Start(process.Options{Name: "Kafka", Path: "/nonexistent/java", Log: filepath.Join(t.TempDir(), "log")})
	if err == nil || !strings.Contains(err.Error(), "Kafka") || !strings.Contains(err.Error(), "/nonexistent/java") {
		t.Errorf("got %v", err)
	}
}

func TestFreePortsAreInARow(t *testing.T) {
	first, err := process.FreePorts(3)
	if err != nil || first < 20_000 || first+3 > 32_000 {
		t.Errorf("%d, %v", first, err)
	}
}
