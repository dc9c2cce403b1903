package pipeline

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// A UsageError is a configuration, or the name of a part, with which no process can start, whatever the services say.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

func usagef(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// An AwayError is a service that does not answer: the same may work in a moment.
type AwayError struct {
	Service string // what it is, where it was looked for, and what to do
	Err     error
}

func (e *AwayError) Error() string { return fmt.Sprintf("%s: %v", e.Service, e.Err) }
func (e *AwayError) Unwrap() error { return e.Err }

// Away makes an error of the network an AwayError and leaves others as they are; nil stays nil.
func Away(err error, service string) error {
	var request *url.Error
	var connection *net.OpError
	if errors.As(err, &request) || errors.As(err, &connection) {
		return &AwayError{Service: service, Err: err}
	}
	return err
}
