// Package testservices gives tests the services that Crossdock works with, the real ones where the machine can have them:
// Kafka (a JVM), the ClickHouse engine (a library from npm), a schema registry, and the embedded broker.
//
//	addr := testservices.Kafka(t)                       // real, shared by all tests of the machine
//	db := testservices.ClickHouse(t).Database(t)        // real, shared, a database for this test alone
//	addr := testservices.Broker(t)                      // embedded, for this test alone
//	testservices.Brokers(t, func(t *testing.T, b testservices.Cluster) { ... }) // both, as subtests
//	broker := testservices.OwnKafka(t)                  // real, for this test alone: stop, kill -9, start
//
// Shared services hold the data of others: names of topics, groups and transactional ids begin with Prefix(t).
//
// A machine without Java, Maven or npm skips with a message that says what is missing; where CROSSDOCK_REQUIRE_SERVICES=1
// the test fails instead. -short skips every real service. The first use fetches (43, 178 and 90 MB, into the cache of
// package artifact) and says so.
//
// The shared services run in a process of their own, see package daemon: it is started by the first test binary that needs
// one, serves all, and ends by itself. "servicesd up" keeps it running between test runs. Nothing of it is held in this
// process but a connection: no goroutine leaks.
package testservices

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/daemon"
)

// RequireEnv makes a missing service a failure when it is 1: continuous integration sets it.
const RequireEnv = "CROSSDOCK_REQUIRE_SERVICES"

// startTimeout bounds the wait for a service, the download of the first time included.
const startTimeout = 8 * time.Minute

// Require decides what becomes of a test whose service could not be had: err nil goes on; *artifact.Unavailable skips, or
// fails where CROSSDOCK_REQUIRE_SERVICES=1; every other error fails.
func Require(t testing.TB, err error) {
	t.Helper()
	var missing *artifact.Unavailable
	switch {
	case err == nil:
	case errors.As(err, &missing) && os.Getenv(RequireEnv) != "1":
		t.Skipf("skipped: %v", missing)
	case errors.As(err, &missing):
		t.Fatalf("%v (%s=1 makes this a failure)", missing, RequireEnv)
	default:
		t.Fatal(err)
	}
}

// skipShort leaves real services out of short runs.
func skipShort(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("%s is left out with -short", what)
	}
}

// Root is the module's directory.
func Root(t testing.TB) string {
	t.Helper()
	root, err := daemon.ModuleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Samples is the directory of real documents beside the module. They are not the project's own and are never copied; a
// checkout without them skips, in continuous integration too.
func Samples(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(t), "..", "shared", "samples")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("skipped: the folder of sample documents is not there: %v", err)
	}
	return dir
}

// Prefix is a name that no other test, process or earlier run uses: of letters, digits, dots and hyphens, at most 60 bytes.
func Prefix(t testing.TB) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	if len(name) > 40 {
		name = name[:40]
	}
	return name + "." + unique() + "."
}

func unique() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // it never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// use holds a shared service until the test's end.
func use(t testing.TB, name string) daemon.Service {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := daemon.Locate(ctx, Root(t))
	if err != nil {
		t.Fatal(err)
	}
	l, err := c.Use(ctx, name, func(s string) { t.Log(s) })
	Require(t, err)
	t.Cleanup(func() {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
	return l.Service
}

// program is the daemon's program, for a child of this test.
func program(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := daemon.Locate(ctx, Root(t))
	if err != nil {
		t.Fatal(err)
	}
	return c.Program
}
