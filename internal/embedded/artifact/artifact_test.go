package artifact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crossdock/internal/embedded/artifact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), []byte("whole"), 0o644) }

func TestOfManyCallersOneFillsAndAllSeeTheWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := artifact.Once(t.Context(), dir, func(_ context.Context, staging string) error {
				fills.Add(1)
				return write(staging)
			})
			if b, readErr := os.ReadFile(filepath.Join(dir, "file")); err != nil || readErr != nil || string(b) != "whole" {
				t.Errorf("%v, %v, %q", err, readErr, b)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times", n)
	}
}

func TestAFailedFillLeavesNothingAndIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	broken := errors.New("connection reset")
	err := artifact.Once(t.Context(), dir, func(_ context.Context, staging string) error { return errors.Join(write(staging), broken) })
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("half a directory stands as a whole one")
	}
	if err := artifact.Once(t.Context(), dir, func(_ context.Context, staging string) error { return write(staging) }); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAKilledFillLeftIsThrownAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	if err := os.MkdirAll(dir+".partial/old", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := artifact.Once(t.Context(), dir, func(_ context.Context, staging string) error { return write(staging) }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "old")); err == nil {
		t.Error("a killed fill's file is in the directory")
	}
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	held, err := artifact.TryAcquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.TryAcquire(path); !errors.Is(err, artifact.ErrHeld) {
		t.Errorf("a second holder: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := artifact.Acquire(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	held.Release()
	again, err := artifact.Acquire(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}

func TestTheCacheIsWhereTheEnvironmentSays(t *testing.T) {
	t.Setenv(artifact.RootEnv, "/somewhere")
	if got, err := artifact.Root(); err != nil || got != "/somewhere" {
		t.Errorf("%q, %v", got, err)
	}
	t.Setenv(artifact.RootEnv, "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	if got, err := artifact.Root(); err != nil || !strings.HasSuffix(got, "crossdock") {
		t.Errorf("%q, %v", got, err)
	}
}
