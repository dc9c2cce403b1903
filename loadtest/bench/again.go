package bench

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A Restore is a start of the stage after its state was removed.
type Restore struct {
	Records          int64   `json:"records"`            // of the changelogs, markers included
	ReadySeconds     float64 `json:"ready_seconds"`      // from the process's start until it says that it is ready
	RecordsPerSecond float64 `json:"records_per_second"` // over that time: the start is part of it
	CPUSeconds       float64 `json:"cpu_seconds"`        // of the process, in that time
}

// killHalfWay kills the stage with -9 when it has committed half of the backlog, and returns how many records were committed.
func (d *drain) killHalfWay(ctx context.Context) (committed int64, err error) {
	p, err := d.start()
	if err != nil {
		return 0, err
	}
	if err := d.await(ctx, p, 0, d.backlog.records/2); err != nil {
		return 0, p.ended(err)
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, p.ended(err)
	}
	<-p.left
	// What the dead process has committed without hearing of it shows within the time that the next takes to start: that one
	// must be first to be counted.
	return d.committedBy(ctx, d.env.Group)
}

// restore removes the stage's state, starts the stage again, and waits until it is ready.
func (d *drain) restore(ctx context.Context) (err error) {
	if !d.options.Restore {
		return nil
	}
	ends, err := d.admin.ListEndOffsets(ctx, d.changelogs()...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("the changelogs' ends: %w", err)
	}
	r := &Restore{}
	ends.Each(func(o kadm.ListedOffset) { r.Records += o.Offset })
	if err := d.options.Wipe(d.env); err != nil {
		return err
	}
	p, err := d.start()
	if err != nil {
		return err
	}
	defer func() { err = p.ended(err) }()
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.left:
			cancel()
		case <-waiting.Done():
		}
	}()
	if err := ready(waiting, d.env.Admin); err != nil {
		return err
	}
	p.watch.rest()
	r.ReadySeconds, r.CPUSeconds = p.watch.spent.wall.Seconds(), p.watch.spent.process
	r.RecordsPerSecond = float64(r.Records) / r.ReadySeconds
	d.result.Restore = r
	return nil
}
