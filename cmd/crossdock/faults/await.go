package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// pass lets time pass: how long a fault lasts.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// within bounds a wait for something that shows no progress before it is there: Options.Bound.
func (f *Field) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, f.o.Bound, fmt.Errorf("not within %v", f.o.Bound))
}

// moving is a context that ends when the pipeline stands still: a partition has had records for Options.Bound, and nothing of them was
// committed. However slow the machine is, work that goes on is not cut short.
func (f *Field) moving(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	from := time.Now()
	var looking sync.WaitGroup
	looking.Go(func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if why := f.progress.stuck(from, f.o.Bound); why != nil {
					cancel(why)
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() { cancel(context.Canceled); looking.Wait() }
}

// until asks again until ok, or ctx ends, or a process has ended that must not. What fails meanwhile is asked again.
func (f *Field) until(ctx context.Context, ok func(context.Context) (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		done, err := ok(ctx)
		if done {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if err := f.alive(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		}
	}
}

// alive says which process has ended by itself.
func (f *Field) alive() error {
	for _, i := range f.instances {
		if err := i.ended(); err != nil {
			return err
		}
	}
	return nil
}

// running are the instances that run at all times.
func (f *Field) running() []*instance { return f.instances[:f.o.Instances] }

// startSpare starts the one that comes and goes.
func (f *Field) startSpare() error { return f.spare().start("spare") }

// catchUp waits until everything that had come when it was called is committed.
func (f *Field) catchUp(ctx context.Context) error {
	from := time.Now()
	var ends map[part]int64
	var left int64
	ctx, stop := f.moving(ctx)
	defer stop()
	err := f.until(ctx, func(context.Context) (_ bool, err error) {
		if ends == nil {
			if ends, err = f.progress.ends(from); err != nil {
				return false, err
			}
		}
		left, _ = f.progress.behind(ends)
		return left == 0, nil
	})
	if err != nil {
		return fmt.Errorf("the pipeline does not catch up, %d records that had come are not committed: %w", left, err)
	}
	return nil
}

// awaitRebalance waits until a group is not stable, and says in which state it is then.
func (f *Field) awaitRebalance(ctx context.Context, group string) (state string, err error) {
	ctx, cancel := f.within(ctx)
	defer cancel()
	err = f.until(ctx, func(ctx context.Context) (bool, error) {
		all, err := f.admin.DescribeGroups(ctx, group)
		if err == nil {
			err = all.Error()
		}
		if err != nil {
			return false, err
		}
		state = all[group].State
		return strings.HasSuffix(state, "Rebalance"), nil
	})
	if err != nil {
		return "", fmt.Errorf("group %s does not rebalance: %w", group, err)
	}
	return state, nil
}

// awaitAssigned waits until an instance has partitions of every group, and says how long it took.
func (f *Field) awaitAssigned(ctx context.Context, name string) (took time.Duration, err error) {
	began := time.Now()
	var names []string
	for _, part := range f.o.Parts {
		names = append(names, f.group(part))
	}
	ctx, cancel := f.within(ctx)
	defer cancel()
	err = f.until(ctx, func(ctx context.Context) (bool, error) {
		all, err := f.admin.DescribeGroups(ctx, names...)
		if err == nil {
			err = all.Error()
		}
		if err != nil {
			return false, err
		}
		for _, group := range all {
			has := false
			for _, m := range group.Members {
				c, ok := m.Assigned.AsConsumer()
				has = has || m.InstanceID != nil && strings.HasPrefix(*m.InstanceID, group.Group+"/"+name+"/") && ok && len(c.Topics) > 0
			}
			if !has {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return 0, fmt.Errorf("instance %s gets no partitions: %w", name, err)
	}
	return time.Since(began), nil
}
