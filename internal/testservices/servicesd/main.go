// Command servicesd runs the services of the tests: real Kafka, the real ClickHouse engine, a real schema registry.
//
//	servicesd up [SERVICE...]   start them (kafka, clickhouse) and leave them running; write .services/env
//	servicesd status            say what runs
//	servicesd down              stop them and remove their data
//	servicesd run -- COMMAND    run a command with them up, and stop them afterwards unless somebody else uses them
//
// Tests start what they need by themselves and share it; "up" only saves them the wait and keeps it for people. The other
// two verbs, serve and clickhouse, are the daemon and the process of the engine, and are not for people.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/testservices/daemon"
)

const usage = "usage: servicesd up [kafka|clickhouse|registry]... | status | down | run -- COMMAND"

// linger is how long the daemon stays when the last test has let go: the next package is often still being compiled.
const linger = 30 * time.Second

func main() { os.Exit(status(os.Args[1:])) }

// status runs and gives the exit code.
func status(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, args)
	var failed exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed): // the command has said why
		return int(failed)
	}
	fmt.Fprintln(os.Stderr, "servicesd:", err)
	return 1
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch verb := args[0]; verb {
	case "up":
		return up(ctx, args[1:])
	case "status":
		return show(ctx)
	case "down":
		return down(ctx)
	case "run":
		return runWith(ctx, args[1:])
	case "clickhouse":
		return clickhouse.Main(ctx, args[1:])
	case "serve":
		if len(args) != 2 {
			return errors.New("usage: servicesd serve SOCKET")
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return daemon.Serve(ctx, daemon.Options{Socket: args[1], Linger: linger, Host: []string{self, "clickhouse"}})
	default:
		return fmt.Errorf("%q is unknown; %s", verb, usage)
	}
}
