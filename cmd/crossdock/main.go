// Crossdock keeps ERP, warehouse, transport, carrier and storefront systems in step over Kafka. This command knits the
// parts together: it is the one place that knows them all.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"crossdock/cmd/crossdock/pipeline"
)

// Exit codes, the same for every command.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotReady = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// execute runs one command line and says how the process ends.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(stdin, stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage *usageError
	var setting *pipeline.UsageError
	var notReady *notReadyError
	var away *pipeline.AwayError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage), errors.As(err, &setting):
		fmt.Fprintf(stderr, "crossdock: %v\n", err)
		return exitUsage
	case errors.As(err, &notReady), errors.As(err, &away):
		fmt.Fprintf(stderr, "crossdock: %v\n", err)
		return exitNotReady
	case errors.Is(err, errSaid):
		return exitFailed
	}
	fmt.Fprintf(stderr, "crossdock: %v\n", err)
	return exitFailed
}

// errSaid is a failure that the command has told about in full.
var errSaid = errors.New("failed")

// A usageError is a command line or configuration that cannot be meant.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// A notReadyError is a service that does not answer (yet): the same command may work in a moment.
type notReadyError struct{ err error }

func (e *notReadyError) Error() string { return e.err.Error() }
func (e *notReadyError) Unwrap() error { return e.err }
