package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// smallDisk is the size of the disk that fills up: room for what the stores of a run are, and little more.
const smallDisk = 64 << 20

func diskFull() Fault {
	return Fault{
		Name:  "disk full",
		Does:  "an instance is killed with -9 and starts again on a small disk of its own; once it has caught up the disk is filled to the last byte, and stays full for 1 to 6 s after a write has found it so; half of the times it then has room again, else the instance is killed with -9; at the end it is back on its own disk",
		Must:  "what cannot be written waits, and nothing else does",
		needs: needsSmallDisk,
		inject: func(ctx context.Context, f *Field, d Draw) (_ string, err error) {
			i := f.victim(d)
			if err := i.kill9(); err != nil {
				return "", err
			}
			own := i.disk
			small := disk{name: i.name + "-small", bytes: smallDisk}
			if err := os.MkdirAll(f.state(small), 0o755); err != nil {
				return "", err
			}
			if err := i.startOn(i.name, small); err != nil {
				return "", err
			}
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			p := i.running()
			// The file system is in a namespace of the process's own.
			ballast := filepath.Join("/proc", fmt.Sprint(p.Pid()), "root", f.state(small), "ballast")
			if err := fill(ballast); err != nil {
				return "", err
			}
			if err := f.awaitFull(ctx, p.Log()); err != nil {
				return "", err
			}
			long := d.between(time.Second, 6*time.Second)
			if err := pass(ctx, long); err != nil {
				return "", err
			}
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			detail := fmt.Sprintf("%s for %v", i.name, round(long))
			if d.Twice {
				if err := i.kill9(); err != nil {
					return "", err
				}
				detail += ", and killed"
			} else {
				if err := os.Remove(ballast); err != nil {
					return "", err
				}
				if err := f.catchUp(ctx); err != nil {
					return "", err
				}
				if err := i.terminate(ctx); err != nil {
					return "", err
				}
			}
			return detail, i.startOn(i.name, own)
		},
	}
}

// fill writes to a file until the disk has no byte left.
func fill(path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		switch _, err := file.Write(block); {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return err
		}
	}
	return nil
}

// awaitFull waits until a process has met the full disk.
func (f *Field) awaitFull(ctx context.Context, log string) error {
	ctx, cancel := f.within(ctx)
	defer cancel()
	err := f.until(ctx, func(context.Context) (bool, error) {
		text, err := os.ReadFile(log)
		return bytes.Contains(text, []byte("reason=DISK_FULL")), err
	})
	if err != nil {
		return fmt.Errorf("nothing was written to the full disk: %w", err)
	}
	return nil
}

// mounted is a command that runs a program with a file system of its own at a folder, as whoever may make a namespace can
// (user_namespaces(7)). The process is the program's.
func (d disk) mounted(folder, program string, args []string) (string, []string) {
	script := `mount -t tmpfs -o size="$1" crossdock "$2" && shift 2 && exec "$@"`
	return "unshare", append([]string{"--map-root-user", "--mount", "sh", "-c", script, "sh", fmt.Sprint(d.bytes), folder, program}, args...)
}

// canMount says why no process can have a file system of its own; nil: it can.
func canMount(ctx context.Context, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path, args := disk{bytes: 1 << 20}.mounted(folder, "true", nil)
	if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
