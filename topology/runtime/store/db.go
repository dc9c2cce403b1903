package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say how a DB uses memory and disk. The zero value of a field is its default.
type Options struct {
	// CacheBytes bounds the memory of state at rest over all partitions: cells and their index. What the disk does not have
	// yet is part of it; the filters of keys (6 to 11 bytes a key on disk) and the buffers of writes come on top. Default
	// 256 MiB.
	CacheBytes int64
	// BlockBytes is Pebble's cache of blocks, for keys that are not in memory. Default an eighth of CacheBytes, 8 MiB at
	// least.
	BlockBytes int64
	// DirtyBytes bounds what the disk does not have yet, over all partitions: whoever commits beyond it must Wait. A
	// partition is written when it has half of its share of it. Default a quarter of CacheBytes, 128 MiB at most.
	DirtyBytes int64
	// FlushInterval is the age at which changes are written, however few they are: what a killed process has to read from
	// the changelogs again. Every write is a table more to compact, so a short one costs CPU at low rates; at high ones
	// DirtyBytes decides. Default 5 s.
	FlushInterval time.Duration
	// StampInterval is how often an idle partition's stamp is renewed on disk. Default 10 min.
	StampInterval time.Duration
	// FullTimeout is how long Wait waits for room on a disk that is full before it is a *DiskFullError. Default 30 s.
	FullTimeout time.Duration
	// LockTimeout is how long a folder that another process has open is waited for. A process that is being stopped takes a second,
	// and one that is frozen any time: a folder beside it is used then. Default 15 s.
	LockTimeout time.Duration
	// Compactions is how many run at a time. Default 1, more on more than 4 CPUs.
	Compactions int
	// FS is the file system. Default the operating system's.
	FS vfs.FS
	// Logger; nil: slog.Default.
	Logger *slog.Logger
	// Clock; nil: time.Now.
	Clock func() time.Time
}

func (o *Options) ensureDefaults() {
	def(&o.CacheBytes, 256<<20)
	def(&o.BlockBytes, max(8<<20, o.CacheBytes/8))
	def(&o.DirtyBytes, min(128<<20, o.CacheBytes/4))
	def(&o.FlushInterval, 5*time.Second)
	def(&o.StampInterval, 10*time.Minute)
	def(&o.FullTimeout, 30*time.Second)
	def(&o.LockTimeout, 15*time.Second)
	def(&o.Compactions, max(1, runtime.GOMAXPROCS(0)/4))
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A DB is the disk of all stores of a process: a folder with a Pebble of its own for each partition, a budget of memory, and
// the goroutines that write. Its methods may be called from any goroutine.
type DB struct {
	dir    string
	opts   Options
	fs     vfs.FS
	log    *slog.Logger
	blocks *pebble.Cache
	files  *pebble.FileCache
	turns  *compactions
	space  *space
	scans  chan struct{} // held by who builds a filter

	leased  atomic.Int64 // partitions
	memory  atomic.Int64 // bytes of their state at rest
	dirty   atomic.Int64 // bytes that the disk does not have yet
	written atomic.Uint64
	reads   atomic.Uint64
	refused atomic.Uint64

	life    context.Context // of the goroutines
	end     context.CancelFunc
	working sync.WaitGroup

	mu      sync.Mutex
	folders map[string]*folder
	queue   []*folder     // with a batch to write
	queued  sync.Cond     // of mu
	eased   chan struct{} // closed and made anew when a batch is over
	closing bool
}

// Open makes a DB in a folder, which is made where it is missing. Nothing is read before a partition is leased.
func Open(dir string, o Options) (*DB, error) {
	o.ensureDefaults()
	if err := o.FS.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the state's folder %s cannot be made: %w", dir, err)
	}
	db := &DB{
		dir: dir, opts: o, log: o.Logger, blocks: pebble.NewCache(o.BlockBytes), files: pebble.NewFileCache(2, 512),
		turns: &compactions{limit: o.Compactions}, scans: make(chan struct{}, 1), folders: map[string]*folder{}, eased: make(chan struct{}),
	}
	db.queued.L = &db.mu
	db.life, db.end = context.WithCancel(context.Background())
	db.space = newSpace(db.life, o.FS, dir, o.Logger, o.Clock)
	db.fs = vfs.OnDiskFull(o.FS, db.space.wait)
	for range writers {
		db.working.Go(db.write)
	}
	return db, nil
}

// writers is how many partitions are written at a time.
const writers = 2

// Close writes what is left of partitions that were released, and stops. Those that are still leased are dropped as a crash
// would drop them. An error says that the writes did not end before ctx: what was not written is read from the changelogs.
func (db *DB) Close(ctx context.Context) error {
	err := db.settle(ctx)
	db.mu.Lock()
	if db.closing {
		db.mu.Unlock()
		return err
	}
	db.closing = true
	folders := make([]*folder, 0, len(db.folders))
	for _, f := range db.folders {
		folders = append(folders, f)
	}
	db.queued.Broadcast()
	db.mu.Unlock()
	db.end() // writes that wait for room give up
	for _, f := range folders {
		f.abandon()
	}
	db.working.Wait()
	db.files.Unref()
	db.blocks.Unref()
	return err
}

// settle waits until every released folder is written and shut.
func (db *DB) settle(ctx context.Context) error {
	for {
		db.mu.Lock()
		var busy chan struct{}
		for _, f := range db.folders {
			if f.leaving {
				busy = f.free
			}
		}
		db.mu.Unlock()
		if busy == nil {
			return nil
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return fmt.Errorf("state is not written to the end: %w", context.Cause(ctx))
		}
	}
}

// A DiskFullError says that changes cannot be written for lack of room.
type DiskFullError struct {
	Dir   string
	Since time.Duration
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("the disk of %s has been full for %v", e.Dir, e.Since.Round(time.Second))
}

// ErrClosed is of a DB that was closed.
var ErrClosed = errors.New("the state's disk is closed")

// Full says whether as much is dirty as may be: whoever changes state must Wait.
func (db *DB) Full() bool { return db.dirty.Load() > db.opts.DirtyBytes }

// Wait waits until less is dirty than may be (I7). The partitions are the caller's own, in no transaction: what they have is
// written meanwhile. An error is a *DiskFullError, ErrClosed or that of ctx.
func (db *DB) Wait(ctx context.Context, own ...*Partition) error {
	for db.Full() {
		for _, p := range own {
			p.Idle(false)
		}
		db.mu.Lock()
		eased, closing := db.eased, db.closing
		db.mu.Unlock()
		if closing {
			return ErrClosed
		}
		if !db.Full() {
			return nil
		}
		if since := db.space.fullSince(); since > db.opts.FullTimeout {
			return &DiskFullError{Dir: db.dir, Since: since}
		}
		timer := time.NewTimer(100 * time.Millisecond) // the disk may have become full
		select {
		case <-eased:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		timer.Stop()
	}
	return nil
}

// FullSince says for how long the disk has been full, 0 if it is not.
func (db *DB) FullSince() time.Duration { return db.space.fullSince() }

func (db *DB) ease(bytes int64) {
	db.dirty.Add(-bytes)
	db.mu.Lock()
	defer db.mu.Unlock()
	db.stir()
}

// stir tells who waits that a batch is over. The caller holds db.mu.
func (db *DB) stir() {
	close(db.eased)
	db.eased = make(chan struct{})
}

// share is a partition's part of a budget.
func (db *DB) share(budget int64) int64 { return budget / max(1, db.leased.Load()) }

// Figures are a DB's, for metrics.
type Figures struct {
	Partitions int    // leased
	Memory     int64  // bytes of state at rest in memory
	Dirty      int64  // bytes that the disk does not have yet
	Disk       int64  // bytes of the partitions' tables
	Written    uint64 // keys written since the start
	Reads      uint64 // look-ups that asked the disk
	Refused    uint64 // batches of leases that had ended
	Full       time.Duration
}

// Figures reads them.
func (db *DB) Figures() Figures {
	f := Figures{
		Partitions: int(db.leased.Load()), Memory: db.memory.Load(), Dirty: db.dirty.Load(),
		Written: db.written.Load(), Reads: db.reads.Load(), Refused: db.refused.Load(), Full: db.space.fullSince(),
	}
	db.mu.Lock()
	folders := make([]*folder, 0, len(db.folders))
	for _, folder := range db.folders {
		folders = append(folders, folder)
	}
	db.mu.Unlock()
	for _, folder := range folders {
		f.Disk += folder.size()
	}
	return f
}

// path is a partition's folder.
func (db *DB) path(store string, partition int32) string {
	return filepath.Join(db.dir, store, fmt.Sprint(partition))
}
