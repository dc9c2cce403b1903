package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

var topicA = [16]byte{0xa}

// A change of the changelog that tests keep beside a partition.
type change struct {
	key, value string
	deleted    bool
}

// A subject is a partition with its changelog. It is in memory where there is no file system.
type subject struct {
	fs    *vfs.MemFS
	opts  Options
	db    *DB
	p     *Partition
	log   []change
	fatal func(format string, args ...any)
}

func (s *subject) open() {
	if s.fs == nil {
		s.p = New()
		s.restore(0)
		return
	}
	s.opts.FS, s.opts.Logger = s.fs, quiet()
	var err error
	if s.db, err = Open("state", s.opts); err != nil {
		s.fatal("open: %v", err)
	}
	s.lease()
}

// lease holds that what the disk has is the state after some commit, and reads the rest of the changelog.
func (s *subject) lease() {
	var err error
	s.p, err = s.db.Lease(context.Background(), Claim{Store: "app-balances", Partition: 7, Changelog: topicA, End: int64(len(s.log))})
	if err != nil {
		s.fatal("lease: %v", err)
	}
	if why := s.p.Dropped(); why != "" {
		s.fatal("the store was dropped: %s", why)
	}
	at := s.p.Position().Changelog
	if got, want := contents(s.p), stateAt(s.log, at); !maps.Equal(got, want) {
		s.fatal("I2: the disk says that it stands at %d, and has %d keys instead of %d, or other values", at, len(got), len(want))
	}
	s.restore(at)
}

func (s *subject) restore(from int64) {
	for i := from; i < int64(len(s.log)); i++ {
		c := s.log[i]
		v := []byte(c.value)
		if c.deleted {
			v = nil
		} else if v == nil {
			v = []byte{}
		}
		if err := s.p.Restore([]byte(c.key), v); err != nil {
			s.fatal("restore: %v", err)
		}
		if i%7 == 0 {
			s.p.Restored(i + 1)
		}
	}
	s.p.Restored(int64(len(s.log)))
}

func (s *subject) commit() {
	for c := range s.p.Changes() {
		s.log = append(s.log, change{string(c.Key), string(c.Value), c.Value == nil})
	}
	s.p.Commit(Position{Changelog: int64(len(s.log)), Stamp: time.Now()})
}

func (s *subject) close() {
	if s.db != nil {
		s.p.Release()
		if err := s.db.Close(context.Background()); err != nil {
			s.fatal("close: %v", err)
		}
	}
}

// crash takes what the disk has, as if the power had failed, and opens it again.
func (s *subject) crash(seed uint64, percent int) {
	if s.fs != nil {
		survivor := s.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
		s.p.Drop()
		if err := s.db.Close(context.Background()); err != nil {
			s.fatal("close: %v", err)
		}
		s.fs = survivor
	}
	s.open()
}

func contents(p *Partition) map[string]string {
	m := map[string]string{}
	p.Each(func(k, v []byte) bool { m[string(k)] = string(v); return true })
	return m
}

func stateAt(log []change, offset int64) map[string]string {
	m := map[string]string{}
	for _, c := range log[:offset] {
		if c.deleted {
			delete(m, c.key)
		} else {
			m[c.key] = c.value
		}
	}
	return m
}

// The same operations on a partition in memory, one with hardly any cache, one with enough and one that is written after
// every commit give the same results, whatever restarts and crashes come between.
func TestEveryKindOfDiskShowsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := map[string]*subject{
			"memory":     {},
			"tiny cache": {fs: vfs.NewCrashableMem(), opts: Options{CacheBytes: 1 << 10, DirtyBytes: 1 << 14, FlushInterval: time.Nanosecond}},
			"eager":      {fs: vfs.NewCrashableMem(), opts: Options{CacheBytes: 1 << 20, FlushInterval: time.Nanosecond}},
			"lazy":       {fs: vfs.NewCrashableMem(), opts: Options{CacheBytes: 1 << 20, DirtyBytes: 40 << 10, FlushInterval: time.Hour}},
		}
		m := newModel()
		for _, s := range kinds {
			s.fatal = t.Fatalf
			s.open()
		}
		defer func() {
			for _, s := range kinds {
				s.close()
			}
		}()
		each := func(f func(s *subject)) {
			for _, s := range kinds {
				f(s)
			}
		}
		keys := rapid.IntRange(2, 200).Draw(t, "keys")
		large := rapid.Bool().Draw(t, "large")
		key := func() string {
			n := rapid.IntRange(0, keys-1).Draw(t, "key")
			return strings.Repeat("k", n%9) + fmt.Sprint(n)
		}
		value := func() string {
			n := rapid.IntRange(0, 120).Draw(t, "size")
			if large {
				n *= 97
			}
			return strings.Repeat(string(rapid.ByteRange('a', 'z').Draw(t, "letter")), n)
		}
		end := func(commit bool) {
			each(func(s *subject) {
				if commit {
					s.commit()
				} else {
					s.p.Abort()
				}
			})
			m.end(commit)
		}
		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				k := key()
				want, ok := m.now[k]
				for name, s := range kinds {
					got := s.p.Get([]byte(k))
					if (got != nil) != ok || string(got) != want {
						t.Fatalf("%s: Get(%q) is %d bytes, want %d (there: %v)", name, k, len(got), len(want), ok)
					}
				}
			},
			"put": func(*rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "puts") {
					k, v := key(), value()
					each(func(s *subject) { s.p.Put([]byte(k), []byte(v)) })
					m.put(k, v)
				}
			},
			"delete": func(*rapid.T) {
				k := key()
				each(func(s *subject) { s.p.Delete([]byte(k)) })
				m.delete(k)
			},
			"savepoint": func(*rapid.T) { each(func(s *subject) { s.p.Savepoint(1) }); m.savepoint(1) },
			"rollback":  func(*rapid.T) { each(func(s *subject) { s.p.Rollback() }); m.rollback() },
			"commit":    func(*rapid.T) { end(true) },
			"abort":     func(*rapid.T) { end(false) },
			"idle":      func(*rapid.T) { end(true); each(func(s *subject) { s.p.Idle(true) }) },
			"restart": func(*rapid.T) {
				end(true)
				each(func(s *subject) { s.close(); s.open() })
			},
			"next owner": func(*rapid.T) {
				end(true)
				each(func(s *subject) {
					if s.db != nil {
						s.p.Release()
						s.lease()
					}
				})
			},
			"crash": func(*rapid.T) {
				seed, percent := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 100).Draw(t, "percent")
				end(true)
				each(func(s *subject) { s.crash(seed, percent) })
			},
			"": func(t *rapid.T) {
				for name, s := range kinds {
					if err := s.p.Fault(); err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if got := contents(s.p); !maps.Equal(got, m.now) {
						t.Fatalf("%s: Each shows %d keys, want %d, or other values", name, len(got), len(m.now))
					}
					if s.db == nil || s.p.disk.known { // until then what was restored is counted as if it had been there
						if s.p.Len() != len(m.now) {
							t.Fatalf("%s: Len is %d, want %d", name, s.p.Len(), len(m.now))
						}
					}
					checkMemory(t, s.p)
				}
			},
		})
	})
}
