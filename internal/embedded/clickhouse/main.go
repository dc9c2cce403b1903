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

// arguments are what Main's flags set.
type arguments struct {
	Options
	ready                string
	verbose, followStdin bool
}

func (a *arguments) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("clickhouse", flag.ContinueOnError)
	flags.StringVar(&a.Library, "lib", os.Getenv(LibraryEnv), "`file` of libchdb (default $"+LibraryEnv+", else fetched from npm)")
	flags.StringVar(&a.Path, "path", "", "data `directory`")
	flags.StringVar(&a.Config, "config", "", "ClickHouse config.xml `file`")
	flags.StringVar(&a.HTTP, "http", "127.0.0.1:8123", "HTTP `address`, empty for none")
	flags.StringVar(&a.TCP, "tcp", "127.0.0.1:9000", "native TCP `address`, empty for none")
	flags.IntVar(&a.Sessions, "sessions", httpSessions, "statements of the HTTP port at once")
	flags.StringVar(&a.User, "user", "", "accept only this user and $"+PasswordEnv)
	flags.BoolVar(&a.verbose, "verbose", false, "log every statement")
	flags.StringVar(&a.ready, "ready", "", "`file` to write addresses to, as JSON, when both ports answer")
	flags.BoolVar(&a.followStdin, "follow-stdin", false, "end when standard input ends")
	return flags
}

// PrintFlags writes what Main's flags are, for a help text.
func PrintFlags(w io.Writer) {
	var a arguments
	flags := a.flags()
	flags.SetOutput(w)
	flags.PrintDefaults()
}

// Main is the process that hosts the engine: it reads its own flags from args and serves until ctx ends or, with
// --follow-stdin, until its standard input does, so that it cannot outlive the process that holds the other end.
func Main(ctx context.Context, args []string) error {
	var a arguments
	flags := a.flags()
	flags.SetOutput(io.Discard) // the error says it
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	o := a.Options
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
	if a.verbose {
		level = slog.LevelDebug
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if a.ready != "" {
		o.Ready = func(r Ready) {
			if err := writeReady(a.ready, r); err != nil {
				cancel(err)
			}
		}
	}
	if a.followStdin {
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
