package store

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// space waits for room on a disk that is full. Pebble would try a failed flush again at once and without end, and has no way
// on from a manifest that it cannot write: so its writes wait here, and never see that the disk is full.
type space struct {
	life  context.Context
	fs    vfs.FS
	probe string
	log   *slog.Logger
	clock func() time.Time
	full  atomic.Int64 // since when, in nanoseconds; 0: it is not
}

func newSpace(life context.Context, fs vfs.FS, dir string, log *slog.Logger, clock func() time.Time) *space {
	return &space{life: life, fs: fs, probe: fs.PathJoin(dir, "room"), log: log, clock: clock}
}

// probeBytes must be there before writes go on.
const probeBytes = 1 << 20

// wait is for vfs.OnDiskFull: every write of the file system waits until it returns, and is tried again. It returns too
// when the DB ends.
func (s *space) wait() {
	s.full.Store(s.clock().UnixNano())
	defer s.full.Store(0)
	s.log.Error("the disk of the state is full: writes wait until there is room", "reason", "DISK_FULL", "probe", s.probe)
	for wait := 10 * time.Millisecond; !s.room(); wait = min(2*wait, time.Second) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.life.Done():
			timer.Stop()
			return
		}
	}
	s.log.Warn("the disk of the state has room again")
}

// room says whether some bytes can be written.
func (s *space) room() bool {
	file, err := s.fs.Create(s.probe, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false
	}
	_, err = file.Write(make([]byte, probeBytes))
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if e := s.fs.Remove(s.probe); err == nil {
		err = e
	}
	return err == nil
}

func (s *space) fullSince() time.Duration {
	since := s.full.Load()
	if since == 0 {
		return 0
	}
	return s.clock().Sub(time.Unix(0, since))
}
