package faults

import (
	"context"
	"fmt"
	"time"
)

func killAndRestart() Fault {
	return Fault{
		Name: "kill",
		Does: "an instance is killed with -9, and starts again under its name after 0 to 2 s",
		Must: "its open transaction is aborted by its own restart, and its state is restored",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			if err := i.kill9(); err != nil {
				return "", err
			}
			away := d.between(0, 2*time.Second)
			if err := pass(ctx, away); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s, away for %v", i.name, round(away)), i.start(i.name)
		},
	}
}

func killInARebalance() Fault {
	return Fault{
		Name: "kill in a rebalance",
		Does: "an instance more starts; once the group rebalances another is killed with -9 and starts again under its name; the one more is asked to end",
		Must: "no partition is left to nobody",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			if err := f.startSpare(); err != nil {
				return "", err
			}
			group := f.group(f.o.Parts[d.Broker%len(f.o.Parts)])
			state, err := f.awaitRebalance(ctx, group)
			if err != nil {
				return "", err
			}
			i := f.victim(d)
			if err := i.kill9(); err != nil {
				return "", err
			}
			away := d.between(0, time.Second)
			if err := pass(ctx, away); err != nil {
				return "", err
			}
			if err := i.start(i.name); err != nil {
				return "", err
			}
			if err := f.catchUp(ctx); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s while %s was in %s", i.name, group, state), f.spare().terminate(ctx)
		},
	}
}

func killAndRename() Fault {
	return Fault{
		Name: "kill and rename",
		Does: "an instance is killed with -9, and another starts under a name that was never there",
		Must: "what it left open is aborted by others or by the brokers, and its partitions move after the session timeout",
		inject: func(_ context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			before := i.name
			if err := i.kill9(); err != nil {
				return "", err
			}
			if err := i.start(f.fresh()); err != nil {
				return "", err
			}
			return before + " comes back as " + i.name, nil
		},
	}
}

func killAll() Fault {
	return Fault{
		Name: "kill all",
		Does: "all instances are killed with -9 at once, and start again after 0 to 3 s",
		Must: "nothing of what was committed is lost with the processes",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			for _, i := range f.running() {
				if err := i.kill9(); err != nil {
					return "", err
				}
			}
			away := d.between(0, 3*time.Second)
			if err := pass(ctx, away); err != nil {
				return "", err
			}
			for _, i := range f.running() {
				if err := i.start(i.name); err != nil {
					return "", err
				}
			}
			return fmt.Sprintf("away for %v", round(away)), nil
		},
	}
}
