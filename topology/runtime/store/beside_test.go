package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process that has a folder open and does not end holds its successor up for no longer than LockTimeout: a folder beside is used,
// the log names who holds the other, and what that one does when it wakes touches nothing of its successor's.
func TestFolderOfAFrozenProcessIsLeftToIt(t *testing.T) {
	dir := t.TempDir()
	victim := startVictim(t, dir)
	t.Cleanup(func() { _ = victim.cmd.Process.Kill() })
	victim.signal(t, syscall.SIGSTOP)
	said := &lockedBuffer{}
	open := func() *DB {
		db, err := Open(dir, Options{Logger: slog.New(slog.NewTextHandler(said, nil)), LockTimeout: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	p := lease(t, db, claim(1<<60))
	if p.Position().Changelog != 0 || p.Len() != 0 {
		t.Fatalf("it has another's state: %d keys at %+v", p.Len(), p.Position())
	}
	if s := said.String(); !strings.Contains(s, "does not end") || !strings.Contains(s, fmt.Sprintf("process=%d", victim.pid())) {
		t.Errorf("the log says %s", s)
	}
	p.Savepoint(0)
	p.Put([]byte("successor"), []byte("state"))
	p.Commit(Position{Changelog: 1 << 40, Stamp: time.Now()})
	victim.signal(t, syscall.SIGCONT) // it writes on, into its own folder
	p.Release()
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	// While the other is there its place is not waited for again.
	db = open()
	began := time.Now()
	p = lease(t, db, claim(1<<60))
	if p.Position().Changelog != 1<<40 || string(p.Get([]byte("successor"))) != "state" || p.Len() != 1 {
		t.Errorf("%d keys at %+v after %v", p.Len(), p.Position(), time.Since(began))
	}
	p.Release()
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	// When it has gone, the further of the two takes the place.
	victim.killAfter(t, 0)
	db = open()
	defer func() { _ = db.Close(context.Background()) }()
	p = lease(t, db, claim(1<<60))
	defer p.Release()
	if p.Position().Changelog != 1<<40 || string(p.Get([]byte("successor"))) != "state" || p.Dropped() != "" {
		t.Errorf("at %+v, dropped %q", p.Position(), p.Dropped())
	}
	if p.disk.folder.path != p.disk.folder.home {
		t.Error("it is still beside")
	}
	if _, err := os.Stat(p.disk.folder.home + beside); err == nil {
		t.Error("there are two folders")
	}
}

// Where what was used beside is behind, it is removed.
func TestFolderThatIsFurtherKeepsItsPlace(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	p := lease(t, first, claim(100))
	second, err := Open(dir, Options{Logger: quiet(), LockTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	q := lease(t, second, claim(100))
	put(q, 1, "behind")
	q.Commit(Position{Changelog: 5, Stamp: time.Now()})
	q.Release()
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(p, 1, "further")
	p.Commit(Position{Changelog: 7, Stamp: time.Now()})
	p.Release()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	third, err := Open(dir, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = third.Close(context.Background()) }()
	p = lease(t, third, claim(100))
	defer p.Release()
	if v := p.Get(keyed(nil, 1)); string(v) != "further" || p.Position().Changelog != 7 {
		t.Errorf("%q at %+v", v, p.Position())
	}
	if _, err := os.Stat(p.disk.folder.home + beside); err == nil {
		t.Error("what is behind is still there")
	}
}

// signal sends the child a signal.
func (v *victim) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := v.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (v *victim) pid() int { return v.cmd.Process.Pid }
