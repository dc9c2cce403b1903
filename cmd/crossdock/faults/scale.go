package faults

import (
	"context"
	"fmt"
	"time"
)

func scaleOutAndIn() Fault {
	return Fault{
		Name: "scale out and in",
		Does: "an instance more starts, gets partitions, works 0 to 3 s and is asked to end (SIGTERM)",
		Must: "it ends with code 0, its transaction finished",
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
			return fmt.Sprintf("%s had partitions after %v", i.name, round(took)), i.terminate(ctx)
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
