package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CROSSDOCK_STORE_VICTIM"); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

// openDB is a DB that the test's end closes, with what it logs.
func openDB(t *testing.T, o Options) (*DB, *lockedBuffer) {
	t.Helper()
	said := &lockedBuffer{}
	o.Logger = slog.New(slog.NewTextHandler(said, nil))
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	db, err := Open("state", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return db, said
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func claim(end int64) Claim {
	return Claim{Store: "app-balances", Partition: 3, Changelog: topicA, End: end, Retention: 24 * time.Hour}
}

func lease(t *testing.T, db *DB, c Claim) *Partition {
	t.Helper()
	p, err := db.Lease(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventually waits for what a partition's owner sees when it is idle: it looks again when something is over that goes on
// beside the owner, or when a write is due.
func eventually(t testing.TB, p *Partition, what string, holds func() bool) {
	t.Helper()
	d := p.disk
	never := time.After(20 * time.Second)
	for {
		d.db.mu.Lock()
		stirred := d.db.eased
		d.db.mu.Unlock()
		p.Idle(false)
		if holds() {
			return
		}
		var scanned chan struct{}
		if d.build != nil {
			scanned = d.build.done
		}
		var due <-chan time.Time
		if d.batch == nil && (len(d.dirty) > 0 || d.ahead) {
			due = time.After(d.since.Add(d.db.opts.FlushInterval).Sub(d.db.opts.Clock()))
		}
		select {
		case <-stirred:
		case <-scanned:
		case <-due:
		case <-never:
			t.Fatalf("it never came: %s; fault: %v", what, p.Fault())
		}
	}
}

func put(p *Partition, n int, value string) {
	p.Savepoint(0)
	p.Put(keyed(nil, n), []byte(value))
}

// I2: a process that is killed at any moment leaves the state of one of its commits, with the offset of that commit.
func TestI2KilledWriterLeavesThePrefixThatItsMetaRecordTells(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	dir := t.TempDir()
	reached := int64(0)
	for round := range rounds {
		victim := startVictim(t, dir)
		victim.killAfter(t, time.Duration(20+60*round)*time.Millisecond)
		db, err := Open(dir, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		p := lease(t, db, claim(1<<60))
		if why := p.Dropped(); why != "" {
			t.Fatalf("round %d: the store was dropped: %s", round, why)
		}
		at := p.Position().Changelog
		got := contents(p)
		want := map[string]string{}
		for n := range at {
			applyNumbered(n, func(k, v []byte) {
				if v == nil {
					delete(want, string(k))
				} else {
					want[string(k)] = string(v)
				}
			})
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: at commit %d the disk has %d keys, want %d, or other values", round, at, len(got), len(want))
		}
		if at < reached {
			t.Fatalf("round %d: commit %d was on disk, now it is %d", round, reached, at)
		}
		reached = at
		p.Release()
		if err := db.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if reached == 0 {
		t.Error("nothing ever reached the disk")
	}
	t.Logf("%d kills, %d commits on disk", rounds, reached)
}

// applyNumbered makes the changes of commit n: a function of n alone.
func applyNumbered(n int64, f func(key, value []byte)) {
	for i := range 20 {
		x := uint64(n)*2654435761 + uint64(i)*97
		key := keyed(nil, int(x%5000))
		if x%11 == 0 {
			f(key, nil)
			continue
		}
		v := binary.LittleEndian.AppendUint64(bytes.Repeat([]byte{byte(x)}, int(x%200)), uint64(n))
		f(key, v)
	}
}

// writeUntilKilled is the child: commits as fast as it can, from where the disk stands.
func writeUntilKilled(dir string) {
	db, err := Open(dir, Options{CacheBytes: 1 << 20, DirtyBytes: 128 << 10, FlushInterval: time.Millisecond, Logger: quiet()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	p, err := db.Lease(context.Background(), claim(1<<60))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("writing")
	for n := p.Position().Changelog; ; n++ {
		p.Savepoint(0)
		applyNumbered(n, func(k, v []byte) {
			if v == nil {
				p.Delete(k)
			} else {
				p.Put(k, v)
			}
		})
		p.Commit(Position{Changelog: n + 1, Stamp: time.Now()})
		if err := p.Fault(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if err := db.Wait(context.Background(), p); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// I8: the next owner opens only after the earlier lease's batches are written, and one of an old lease is refused.
func TestI8BatchOfAnOldLeaseIsRefused(t *testing.T) {
	db, _ := openDB(t, Options{FlushInterval: time.Hour})
	old := lease(t, db, claim(100))
	put(old, 1, "first")
	old.Commit(Position{Changelog: 10})
	old.Release()
	if old.Fault() == nil {
		t.Error("a released partition may be used")
	}
	next := lease(t, db, claim(100))
	if next.Position().Changelog != 10 || string(next.Get(keyed(nil, 1))) != "first" {
		t.Fatalf("the next owner stands at %+v and does not have what was committed", next.Position())
	}
	// A zombie that was asleep while its partition moved.
	put(old, 1, "zombie")
	old.disk.fault = nil
	old.Commit(Position{Changelog: 99})
	old.cut()
	if db.Figures().Refused == 0 {
		t.Error("the batch of an old lease was taken")
	}
	put(next, 2, "second")
	next.Commit(Position{Changelog: 20})
	next.Release()
	last := lease(t, db, claim(100))
	defer last.Release()
	if got := contents(last); len(got) != 2 || got[string(keyed(nil, 1))] != "first" || last.Position().Changelog != 20 {
		t.Errorf("the disk has %q at %+v", got, last.Position())
	}
}

// I8: a lease waits for the one before it, and gives up with its context.
func TestI8OneLeaseAtATime(t *testing.T) {
	db, _ := openDB(t, Options{})
	p := lease(t, db, claim(0))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := db.Lease(ctx, claim(0)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second lease: %v", err)
	}
	got := make(chan *Partition, 1)
	go func() {
		p, _ := db.Lease(t.Context(), claim(0))
		got <- p
	}()
	p.Release()
	(<-got).Release()
}

// A lease that is dropped leaves what was on disk and nothing of its queue.
func TestDroppedLeaseLeavesAPrefix(t *testing.T) {
	db, _ := openDB(t, Options{FlushInterval: time.Hour})
	p := lease(t, db, claim(100))
	put(p, 1, "written")
	p.Commit(Position{Changelog: 1})
	p.cut()
	eventually(t, p, "the write", func() bool { return p.disk.batch == nil })
	put(p, 1, "not written")
	p.Commit(Position{Changelog: 2})
	p.Drop()
	p = lease(t, db, claim(100))
	defer p.Release()
	if v := p.Get(keyed(nil, 1)); string(v) != "written" || p.Position().Changelog != 1 {
		t.Errorf("%q at %+v", v, p.Position())
	}
	if f := db.Figures(); f.Dirty != 0 {
		t.Errorf("%d bytes count as dirty", f.Dirty)
	}
}

// A folder that cannot be caught up from its changelog is dropped, and the log says which and why.
func TestFolderThatCannotBeCaughtUpIsDropped(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		change func(c *Claim)
		age    time.Duration
		why    string
	}{
		"changelog made anew":       {func(c *Claim) { c.Changelog = [16]byte{0xb} }, 0, "made anew"},
		"beyond the end":            {func(c *Claim) { c.End = 9 }, 0, "beyond the changelog's end"},
		"before the start":          {func(c *Claim) { c.Start = 11 }, 0, "before the changelog's start"},
		"older than the tombstones": {func(*Claim) {}, 25 * time.Hour, "tombstones"},
		"kept":                      {func(*Claim) {}, 23 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			clock := atomic.Int64{}
			clock.Store(now.UnixNano())
			db, said := openDB(t, Options{Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
			p := lease(t, db, claim(10))
			put(p, 1, "state")
			p.Commit(Position{Changelog: 10, Stamp: now})
			p.Release()
			clock.Add(int64(c.age))
			next := claim(20)
			c.change(&next)
			p = lease(t, db, next)
			defer p.Release()
			if c.why == "" {
				if p.Dropped() != "" || p.Len() != 1 || p.Position().Changelog != 10 {
					t.Errorf("dropped: %q", p.Dropped())
				}
				return
			}
			if !strings.Contains(p.Dropped(), c.why) || p.Get(keyed(nil, 1)) != nil || p.Position().Changelog != next.Start {
				t.Errorf("dropped: %q, at %+v", p.Dropped(), p.Position())
			}
			if s := said.String(); !strings.Contains(s, "app-balances/3") || !strings.Contains(s, c.why) {
				t.Errorf("the log says %s", s)
			}
		})
	}
}

// An idle partition's stamp is renewed, so that a quiet store is not restored from the start after a day.
func TestStampIsRenewedWhileIdle(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	db, _ := openDB(t, Options{Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
	p := lease(t, db, claim(10))
	put(p, 1, "state")
	p.Commit(Position{Changelog: 10, Stamp: time.Unix(0, clock.Load())})
	for range 30 {
		clock.Add(int64(time.Hour))
		p.Idle(true)
		eventually(t, p, "the write", func() bool { return p.disk.batch == nil && !p.disk.ahead })
	}
	p.Drop()
	p = lease(t, db, claim(10))
	defer p.Release()
	if p.Dropped() != "" || p.Len() != 1 {
		t.Errorf("dropped: %s", p.Dropped())
	}
}

// Bytes that rot in a table are found out when they are read, are never taken for state, and cost that partition alone.
func TestRottenTableIsFoundAndOnlyItsFolderIsDropped(t *testing.T) {
	dir := t.TempDir()
	c, other := claim(10), claim(10)
	other.Partition = 4
	db, err := Open(dir, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Claim{c, other} {
		p := lease(t, db, c)
		for n := range 20_000 {
			put(p, n, fmt.Sprintf("value %d of a key that has one", n))
		}
		p.Commit(Position{Changelog: 10, Stamp: time.Now()})
		p.Release()
	}
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	flipped := 0
	tables, _ := filepath.Glob(filepath.Join(dir, c.Store, "3", "*.sst"))
	for _, path := range tables {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 200; i < len(b)*9/10; i += 997 {
			b[i] ^= 0x10
			flipped++
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if flipped == 0 {
		t.Fatal("there is no table")
	}
	said := &lockedBuffer{}
	db, err = Open(dir, Options{Logger: slog.New(slog.NewTextHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	p := lease(t, db, c)
	for n := 0; n < 20_000 && p.Fault() == nil; n++ {
		if v := p.Get(keyed(nil, n)); v != nil && string(v) != fmt.Sprintf("value %d of a key that has one", n) {
			t.Fatalf("key %d is %q", n, v)
		}
	}
	if p.Dropped() == "" {
		var rotten *CorruptError
		if !errors.As(p.Fault(), &rotten) || !strings.Contains(rotten.Error(), "app-balances/3") {
			t.Fatalf("the fault is %v", p.Fault())
		}
		p.Release()
		p = lease(t, db, c)
	}
	defer p.Release()
	if p.Dropped() == "" || p.Len() != 0 || p.Position().Changelog != 0 {
		t.Errorf("dropped: %q, %d keys at %+v", p.Dropped(), p.Len(), p.Position())
	}
	if !strings.Contains(said.String(), "app-balances/3") {
		t.Errorf("the log says %s", said)
	}
	q := lease(t, db, other)
	defer q.Release()
	if q.Dropped() != "" || string(q.Get(keyed(nil, 7))) != "value 7 of a key that has one" {
		t.Errorf("the other partition: %q", q.Dropped())
	}
}

// Whatever file of a folder is damaged or missing, the lease opens an empty partition or one that is right.
func TestEveryDamagedFileHeals(t *testing.T) {
	build := func(t *testing.T) string {
		dir := t.TempDir()
		db, err := Open(dir, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		p := lease(t, db, claim(10))
		put(p, 1, "state")
		p.Commit(Position{Changelog: 10, Stamp: time.Now()})
		p.Release()
		if err := db.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	files, err := os.ReadDir(filepath.Join(build(t), "app-balances", "3"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == "LOCK" {
			continue
		}
		for how, damage := range map[string]func(path string) error{
			"missing":   os.Remove,
			"empty":     func(path string) error { return os.Truncate(path, 0) },
			"cut":       func(path string) error { return os.Truncate(path, 20) },
			"scrambled": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("rot"), 300), 0o644) },
		} {
			t.Run(f.Name()+" "+how, func(t *testing.T) {
				dir := build(t)
				if err := damage(filepath.Join(dir, "app-balances", "3", f.Name())); err != nil {
					t.Fatal(err)
				}
				db, err := Open(dir, Options{Logger: quiet()})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = db.Close(t.Context()) }()
				for range 3 {
					p := lease(t, db, claim(10))
					v, fault := p.Get(keyed(nil, 1)), p.Fault()
					at := p.Position().Changelog
					p.Release()
					if fault != nil {
						continue // and is dropped
					}
					if at == 10 && string(v) == "state" || at == 0 && v == nil {
						return
					}
					t.Fatalf("at %d the key is %q", at, v)
				}
				t.Error("it does not heal")
			})
		}
	}
}

// A disk that is full holds the writes back. The owner waits at the bound, never loses a change, and goes on when there is
// room; when there is none for too long it is told by name.
func TestFullDiskHoldsBackAndLosesNothing(t *testing.T) {
	var full atomic.Bool
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpRemove && op.Kind != errorfs.OpFileClose {
			return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	db, said := openDB(t, Options{FS: fs, DirtyBytes: 64 << 10, FlushInterval: time.Millisecond, FullTimeout: 50 * time.Millisecond})
	p := lease(t, db, claim(1<<30))
	at := int64(0)
	commit := func() {
		for range 100 {
			put(p, int(at)%7000, fmt.Sprint("value of change ", at))
			at++
		}
		p.Commit(Position{Changelog: at, Stamp: time.Now()})
	}
	for range 20 {
		commit()
	}
	full.Store(true)
	for !db.Full() {
		commit()
	}
	var none *DiskFullError
	for err := error(nil); !errors.As(err, &none); {
		if err = db.Wait(t.Context(), p); err == nil {
			commit()
		}
	}
	if p.Fault() != nil || !strings.Contains(said.String(), "DISK_FULL") {
		t.Fatalf("the fault is %v, the log says %s", p.Fault(), said)
	}
	full.Store(false)
	if err := db.Wait(t.Context(), p); err != nil && !errors.As(err, &none) {
		t.Fatal(err)
	}
	eventually(t, p, "the writes", func() bool { return p.Stats().Dirty == 0 && p.disk.batch == nil })
	p.Release()
	p = lease(t, db, claim(1<<30))
	defer p.Release()
	if p.Dropped() != "" || p.Position().Changelog != at {
		t.Fatalf("dropped: %q, at %d instead of %d", p.Dropped(), p.Position().Changelog, at)
	}
	for n := at - 7000; n < at; n++ {
		if n >= 0 && string(p.Get(keyed(nil, int(n)%7000))) != fmt.Sprint("value of change ", n) {
			t.Fatalf("change %d is lost", n)
		}
	}
}

// A full disk does not hold up a stop: what was not written is read from the changelog.
func TestCloseOfAFullDiskGivesUp(t *testing.T) {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && (op.Kind == errorfs.OpFileWrite || op.Kind == errorfs.OpCreate) && !strings.Contains(op.Path, "MANIFEST") {
			return syscall.ENOSPC
		}
		return nil
	}))
	db, _ := openDB(t, Options{FS: fs})
	p := lease(t, db, claim(10))
	full.Store(true)
	put(p, 1, "v")
	p.Commit(Position{Changelog: 1})
	p.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := db.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
}

// I7: what is dirty is bounded by whoever waits, and memory by the cache's budget, however many keys there are.
func TestI7CacheAndDirtyBytesAreBounded(t *testing.T) {
	const budget, dirty = 4 << 20, 1 << 20
	db, _ := openDB(t, Options{CacheBytes: budget, DirtyBytes: dirty, FlushInterval: time.Hour})
	var parts []*Partition
	for n := range int32(3) {
		c := claim(1 << 40)
		c.Partition = n
		parts = append(parts, lease(t, db, c))
	}
	at := int64(0)
	value := string(bytes.Repeat([]byte("v"), 60))
	most, mostDirty := int64(0), int64(0)
	for round := range 300 {
		p := parts[0] // the first has most
		if round%10 == 9 {
			p = parts[1+round/10%2]
		}
		for range 1000 {
			put(p, int(at), value)
			at++
		}
		p.Commit(Position{Changelog: at})
		f := db.Figures()
		mostDirty = max(mostDirty, f.Dirty)
		if err := db.Wait(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts {
			p.Idle(false)
		}
		most = max(most, db.Figures().Memory)
	}
	if most > budget*5/4 || mostDirty > dirty+300<<10 {
		t.Errorf("memory came to %d of %d, dirty bytes to %d of %d", most, budget, mostDirty, dirty)
	}
	held := 0
	for _, p := range parts {
		held += p.cells.size()
		s := p.Stats()
		t.Logf("%d keys, %d cached, %d bytes", s.Keys, s.Cached, s.Bytes)
	}
	if held > budget*3/2 {
		t.Errorf("cells hold %d bytes", held)
	}
	for n := int64(0); n < at; n += 777 {
		there := 0
		for _, p := range parts {
			if string(p.Get(keyed(nil, int(n)))) == value {
				there++
			}
		}
		if there != 1 {
			t.Fatalf("key %d is in %d partitions", n, there)
		}
	}
	for _, p := range parts {
		p.Release()
	}
}

// Keys that do not exist are answered in memory, those that were deleted apart, and a filter that holds too many of them is
// made anew.
func TestKeyThatDoesNotExistAsksNoDisk(t *testing.T) {
	db, _ := openDB(t, Options{CacheBytes: 1 << 20, FlushInterval: time.Millisecond})
	p := lease(t, db, claim(1<<40))
	for n := range 50_000 {
		put(p, n, "a value that is there")
	}
	p.Commit(Position{Changelog: 1})
	p.Release()
	p = lease(t, db, claim(1<<40))
	defer p.Release()
	eventually(t, p, "the filter", func() bool { return p.disk.known })
	before := p.Stats().Reads
	for n := range 50_000 {
		if p.Get(keyed(nil, 1_000_000+n)) != nil {
			t.Fatal("a key that was never put is there")
		}
	}
	p.Abort()
	if reads := p.Stats().Reads - before; reads > 20 {
		t.Errorf("%d of 50000 look-ups of keys that do not exist asked the disk", reads)
	}
	for round := range 4 {
		for n := range 50_000 {
			put(p, 2_000_000+round*50_000+n, "comes and goes")
		}
		p.Commit(Position{Changelog: int64(2 + 2*round)})
		for n := range 50_000 {
			p.Delete(keyed(nil, 2_000_000+round*50_000+n))
		}
		p.Commit(Position{Changelog: int64(3 + 2*round)})
	}
	eventually(t, p, "a filter without those that went", func() bool { return p.disk.build == nil && p.disk.filter.n < 200_000 })
	for n := range 50_000 {
		if p.Get(keyed(nil, n)) == nil {
			t.Fatalf("key %d is lost", n)
		}
	}
	if p.Len() != 50_000 {
		t.Errorf("%d keys", p.Len())
	}
}
