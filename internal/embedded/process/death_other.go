//go:build unix && !linux

package process

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// guardChild runs a shell that reads from us until we are gone, then kills the child. Closing it retires it: it is killed
// before its input ends, so that it never signals a number that may belong to somebody else by then.
func guardChild(pid int) (io.Closer, error) {
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; kill -9 "$1"`, "guard", strconv.Itoa(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return guard{cmd, stdin}, nil
}

type guard struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func (g guard) Close() error {
	// The group is the shell's own: its cat is in it.
	_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
	_ = g.cmd.Wait()
	return g.stdin.Close()
}
