package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// ErrUsage says that the arguments of Main cannot be meant.
var ErrUsage = errors.New("wrong arguments")

// Main is the process that hosts the engine: it reads its own flags from args and serves until ctx ends or, with
// --follow-stdin, until its standard input does, so that it cannot outlive the process that holds the other end.
func Main(ctx context.Context, args []string) error {
	o := Options{}
	flags := flag.NewFlagSet("clickhouse", flag.ContinueOnError)
	flags.StringVar(&o.Library, "lib", os.Getenv(LibraryEnv), "`file` of libchdb (default $"+LibraryEnv+")")
	flags.StringVar(&o.Path, "path", "", "data `directory`")
	flags.StringVar(&o.Config, "config", "", "ClickHouse config.xml `file`")
	flags.StringVar(&o.HTTP, "http", "127.0.0.1:8123", "HTTP `address`, empty for none")
	flags.StringVar(&o.TCP, "tcp", "127.0.0.1:9000", "native TCP `address`, empty for none")
	flags.IntVar(&o.Sessions, "sessions", httpSessions, "statements of the HTTP port at once")
	flags.StringVar(&o.User, "user", "", "accept only this user and $"+PasswordEnv)
	verbose := flags.Bool("verbose", false, "log every statement")
	readyFile := flags.String("ready", "", "`file` to write addresses to, as JSON, when both ports answer")
	follow := flags.Bool("follow-stdin", false, "end when standard input ends")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", ErrUsage, flags.Arg(0))
	}
	o.Password = os.Getenv(PasswordEnv)
	if o.Library == "" {
		lib, err := Install(ctx, func(s string) { slog.Info(s) })
		if err != nil {
			return err
		}
		o.Library = lib
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if *readyFile != "" {
		o.Ready = func(r Ready) {
			if err := writeReady(*readyFile, r); err != nil {
				cancel(err)
			}
		}
	}
	if *follow {
		go func() { // ends with the process, which is what it is for
			_, err := io.Copy(io.Discard, os.Stdin)
			if err == nil {
				err = io.EOF
			}
			cancel(fmt.Errorf("standard input: %w", err))
		}()
	}
	return Serve(ctx, o)
}

// writeReady makes the file appear whole.
func writeReady(path string, r Ready) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(partial, b, 0o600); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

func processID() int { return os.Getpid() }
