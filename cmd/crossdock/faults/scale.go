package faults

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

func scaleOutAndIn() Fault {
	return Fault{
		Name: "scale out and in",
		Does: "an instance more starts, gets partitions, works 0 to 3 s and is asked to end (SIGTERM); half of the times it then leaves its groups (crossdock leave)",
		Must: "it ends with code 0, its transaction finished; others take over, at once where it left",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			if err := f.startSpare(); err != nil {
				return "", err
			}
			i := f.spare()
			took, err := f.awaitAssigned(ctx, i.name)
			if err != nil {
				return "", err
			}
			if err := pass(ctx, d.between(0, 3*time.Second)); err != nil {
				return "", err
			}
			detail := fmt.Sprintf("%s had partitions after %v", i.name, round(took))
			if err := i.terminate(ctx); err != nil || !d.Twice {
				return detail, err
			}
			return detail + ", and left", f.leave(ctx, i.name)
		},
	}
}

func rollingRestart() Fault {
	return Fault{
		Name: "rolling restart",
		Does: "one instance after the other is asked to end (SIGTERM) and starts again under its name, the next once the first has caught up",
		Must: "each ends with code 0",
		inject: func(ctx context.Context, f *Field, _ Draw) (string, error) {
			all := f.running()
			for n, i := range all {
				if err := i.terminate(ctx); err != nil {
					return "", err
				}
				if err := i.start(i.name); err != nil {
					return "", err
				}
				if n == len(all)-1 {
					break
				}
				if err := f.catchUp(ctx); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("%d instances", len(all)), nil
		},
	}
}

// leave takes an instance out of its groups, as the hook of a scale-in does.
func (f *Field) leave(ctx context.Context, name string) error {
	args := []string{"leave", name, "--set", "app=" + f.config.App, "--set", "kafka.prefix=" + f.config.Kafka.Prefix}
	for _, b := range f.config.Kafka.Brokers {
		args = append(args, "--set", "kafka.brokers="+b)
	}
	for _, part := range f.o.Parts {
		args = append(args, "--stage", part)
	}
	c := exec.CommandContext(ctx, f.o.Binary, args...)
	c.Dir = f.o.Dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("crossdock leave %s: %w\n%s", name, err, out)
	}
	return nil
}
