package store

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A victim is a process that writes a store until it is killed.
type victim struct{ cmd *exec.Cmd }

func startVictim(t *testing.T, dir string) *victim {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CROSSDOCK_STORE_VICTIM="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "writing\n" {
		t.Fatalf("the child says %q: %v", line, err)
	}
	return &victim{cmd}
}

// killAfter kills it with -9, after a while that decides where in its writes it dies.
func (v *victim) killAfter(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	<-timer.C
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = v.cmd.Wait()
}
