package main

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/config"
	"crossdock/internal/telemetry"
)

// logger writes to standard error, so that results can be piped.
func (a *app) logger(c *config.Config) *slog.Logger {
	if f, ok := a.stderr.(*os.File); ok {
		return telemetry.NewLogger(f, c.Log.Level, c.Log.Format)
	}
	return slog.New(slog.NewTextHandler(a.stderr, nil))
}

// pingTimeout is how long a command waits for the first answer of a broker.
const pingTimeout = 5 * time.Second

func ping(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return client.Ping(ctx)
}

// version is what the build recorded.
func version() string { return "crossdock " + revision() + " " + runtime.Version() }

// revision is the source's, with a "+" where it was changed since; "unreleased" where the build did not record it.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unreleased"
	}
	revision, changed := "unreleased", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				changed = "+"
			}
		}
	}
	return revision + changed
}
