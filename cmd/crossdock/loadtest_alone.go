package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"crossdock/internal/config"
	"crossdock/internal/embedded/artifact"
)

// loadInstance names the processes that --start runs, within their application. It is the same each time: whoever was
// killed leaves members behind for a session timeout, and the next run takes their places. It has the machine's name, so
// that a run on another machine sees that the stages run already.
func loadInstance() string {
	host, err := os.Hostname()
	if err != nil {
		return "loadtest"
	}
	return "loadtest-" + host
}

// alone keeps a second load test from starting the stages of an application on this machine beside the first: both would
// run them under one name, and each would fence the other's. The lock ends with the process, however it ends.
func (s *loadServices) alone(c *config.Config) error {
	name := c.App + " " + strings.Join(slices.Sorted(slices.Values(c.Kafka.Brokers)), ",")
	path := filepath.Join(os.TempDir(), fmt.Sprintf("crossdock-loadtest-%d-%016x.lock", os.Getuid(), xxhash.Sum64String(name)))
	lock, err := artifact.TryAcquire(path)
	switch {
	case errors.Is(err, artifact.ErrHeld):
		return &notReadyError{fmt.Errorf("another load test runs the stages of application %s on this machine: wait until it has ended, or stop it; "+
			"to drive a second load through the same stages, leave out --start", c.App)}
	case err != nil:
		return fmt.Errorf("load tests of one application take turns by a lock: %w", err)
	}
	s.stops = append(s.stops, func(context.Context) error { lock.Release(); return nil })
	return nil
}
