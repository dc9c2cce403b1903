package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"crossdock/internal/embedded/process"
)

func freeze() Fault {
	return Fault{
		Name: "freeze",
		Does: "an instance is frozen (SIGSTOP), half of the times for longer than the session timeout, and goes on (SIGCONT)",
		Must: "one that was given up comes back as a zombie: its transaction is refused, and it joins anew",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			p := i.running()
			long := d.between(time.Second, sessionTimeout-time.Second)
			if d.Twice {
				long = d.between(sessionTimeout+time.Second, 2*sessionTimeout)
			}
			if err := p.Freeze(); err != nil {
				return "", err
			}
			if err := pass(ctx, long); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s for %v", i.name, round(long)), p.Thaw()
		},
	}
}

func twin() Fault {
	return Fault{
		Name: "twin",
		Does: "an instance is frozen, another process starts under its name, on a disk of its own, and works, and the frozen one goes on",
		Must: "never both: who loses the name ends and says NAME_TAKEN",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			old := i.take()
			if err := old.Freeze(); err != nil {
				return "", err
			}
			defer func() { _ = old.Kill() }() // a no-op on one that has ended
			// On the disk of the frozen one it would wait for that one to end.
			if err := i.startOn(i.name, disk{name: i.disk.name + "-twin"}); err != nil {
				return "", err
			}
			i.mayEnd(true)
			defer i.mayEnd(false)
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			if err := pass(ctx, d.between(0, sessionTimeout)); err != nil {
				return "", err
			}
			if err := old.Thaw(); err != nil {
				return "", err
			}
			young := i.running()
			limit := time.NewTimer(f.o.Bound)
			defer limit.Stop()
			select {
			case <-old.Done():
			case <-young.Done():
			case <-limit.C:
				return "", fmt.Errorf("two processes of the name %s have run beside each other for %v", i.name, f.o.Bound)
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
			if !ended(young) {
				if err := f.catchUp(ctx); err != nil {
					return "", err
				}
			}
			who := "the older"
			for _, p := range []*process.Process{old, young} {
				if !ended(p) {
					continue
				}
				if p == young {
					who = "the younger"
				}
				text, err := os.ReadFile(p.Log())
				if err != nil {
					return "", err
				}
				if !strings.Contains(string(text), "NAME_TAKEN") {
					return "", fmt.Errorf("a process of a name that is taken ended without saying NAME_TAKEN: %w; the end of %s:\n%s", p.Ending(), p.Log(), process.Tail(p.Log()))
				}
			}
			detail := fmt.Sprintf("%s: %s left", i.name, who)
			if !ended(young) {
				return detail, nil
			}
			i.take()
			if err := old.Kill(); err != nil {
				return "", err
			}
			return detail, i.start(i.name)
		},
	}
}

func ended(p *process.Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}
