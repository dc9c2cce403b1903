package faults

import (
	"context"
	"fmt"
	"time"
)

// moreWithin is how long a second and a third answer to lose are waited for.
const moreWithin = 15 * time.Second

func answersLost(what string, key int16) Fault {
	return Fault{
		Name: "answer lost: " + what,
		Does: "one to three times the broker does what an instance asked, and the connection is cut instead of its answer; requests that only a new session makes are provoked by a kill and a restart",
		Must: "the instance assumes neither that it was done nor that it was not",
		inject: func(ctx context.Context, f *Field, d Draw) (string, error) {
			i := f.victim(d)
			times := 1 + d.Broker%3
			for _, p := range i.paths {
				p.lose(key, times)
			}
			defer func() {
				for _, p := range i.paths {
					p.lose(key, 0)
				}
			}()
			if key == initProducerID || key == syncGroup {
				if err := i.kill9(); err != nil {
					return "", err
				}
				if err := i.start(i.name); err != nil {
					return "", err
				}
			}
			limit := time.NewTimer(f.o.Bound) // for the first
			defer limit.Stop()
			enough := time.NewTimer(moreWithin)
			defer enough.Stop()
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			lost := 0
			for waiting := true; waiting && lost < times; {
				select {
				case <-tick.C:
					lost = 0
					for _, p := range i.paths {
						lost += p.losses()
					}
				case <-enough.C:
					waiting = lost == 0
				case <-limit.C:
					waiting = false
				case <-ctx.Done():
					return "", context.Cause(ctx)
				}
			}
			if lost == 0 {
				return "", fmt.Errorf("instance %s asked for nothing of the kind (%s) in %v", i.name, what, f.o.Bound)
			}
			return fmt.Sprintf("%d of %s", lost, i.name), nil
		},
	}
}
