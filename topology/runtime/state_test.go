package runtime

import (
	"bytes"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"crossdock/topology/runtime/store"
)

// said is a log that a test reads.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// logging gives an instance a log of its own.
func (s *said) logging(d *Deps) {
	d.Logger = slog.New(slog.NewTextHandler(s, nil))
}

// restored sums an attribute of the lines that say that a task is restored.
func (s *said) restored(attribute string) (tasks int, sum int64) {
	for line := range strings.Lines(s.String()) {
		if m := regexp.MustCompile(` ` + attribute + `=(\d+)`).FindStringSubmatch(line); m != nil && strings.Contains(line, "task restored") {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			tasks, sum = tasks+1, sum+n
		}
	}
	return tasks, sum
}

// A stop writes what was committed, so that the next start reads no record of the changelogs, whatever they hold.
func TestRestartAfterAStopReadsNoChangelogRecord(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	for life := range 3 {
		r.send(2000, 300)
		log := &said{}
		p := r.start(r.config("a"), log.logging)
		r.drained()
		p.close(t)
		if tasks, records := log.restored("records"); tasks != 4 || life > 0 && records != 0 {
			t.Errorf("life %d: %d tasks were restored from %d records", life, tasks, records)
		}
		if _, keys := log.restored("keys"); life > 0 && keys == 0 {
			t.Errorf("life %d: the tasks began without state", life)
		}
	}
	r.verify()
}

// I2: a crash leaves a prefix on disk, and the restart reads what is missing from the changelog's tail.
func TestI2CrashReadsTheTailThatTheDiskDoesNotHave(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	disk := vfs.NewCrashableMem()
	on := func(fs vfs.FS) func(d *Deps) {
		o := r.diskOptions(discardLog())
		o.FS = fs
		db, err := store.Open("state", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close(t.Context()) })
		return func(d *Deps) { d.State = db }
	}
	r.send(3000, 300)
	p := r.start(r.config("a"), on(disk))
	r.drained()
	crashed := disk.CrashClone(vfs.CrashCloneCfg{})
	r.send(1000, 300)
	r.drained()
	p.close(t)
	log := &said{}
	p = r.start(r.config("a"), on(crashed), log.logging)
	r.send(1000, 300)
	r.drained()
	p.close(t)
	r.verify()
	if _, records := log.restored("records"); records == 0 {
		t.Error("nothing was read from the changelogs")
	}
}

// A store whose files rot is restored from its changelog; the others are read from the disk.
func TestDamagedStoreIsRestoredAlone(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 4)
	r.send(4000, 300)
	p := r.start(r.config("a"))
	r.drained()
	p.close(t)
	flipped := 0
	err := filepath.WalkDir(filepath.Join(r.folder("a"), r.app, "counts", "2"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		b, err := os.ReadFile(path)
		for i := 40; i < len(b)*9/10; i += 61 {
			b[i] ^= 1
			flipped++
		}
		if err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		return err
	})
	if err != nil || flipped == 0 {
		t.Fatal(flipped, err)
	}
	r.send(4000, 300)
	log := &said{}
	r.start(r.config("a"), log.logging)
	r.drained()
	r.verify()
	text := log.String()
	name := r.app + "/counts/"
	if !strings.Contains(text, name+"2") || !strings.Contains(text, "dropped") {
		t.Errorf("the log does not name the store:\n%.3000s", text)
	}
	for _, other := range []string{"0", "1", "3"} {
		if strings.Contains(text, "store="+name+other) {
			t.Errorf("partition %s was touched too", other)
		}
	}
}

// A disk that stays full stops the instance by name. Nothing is lost: what was not written is in the changelogs.
func TestFullDiskStopsByName(t *testing.T) {
	c := fake(t)
	r := newRig(t, c.ListenAddrs(), countingStage(nil), 2)
	var full atomic.Bool
	o := r.diskOptions(discardLog())
	o.FullTimeout, o.DirtyBytes = 50*time.Millisecond, 1<<10
	o.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, err := store.Open("state", o)
	if err != nil {
		t.Fatal(err)
	}
	r.send(1000, 300)
	p := r.start(r.config("a"), func(d *Deps) { d.State = db })
	r.drained()
	full.Store(true)
	r.send(1000, 300)
	reason := make(chan Reason, 1)
	go func() { reason <- p.exitReason(t) }()
	for waiting := true; waiting; {
		select {
		case got := <-reason:
			if got != DiskFull {
				t.Fatalf("the instance stopped with %s", got)
			}
			waiting = false
		case <-time.After(50 * time.Millisecond):
			r.send(100, 300)
		}
	}
	full.Store(false)
	_ = db.Close(t.Context())
	r.start(r.config("a"))
	r.drained()
	r.verify()
}
