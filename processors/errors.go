package processors

import "fmt"

// A Cause is the stable code of why a record was rejected: it is searched, counted and alerted on, so it never changes.
type Cause string

// Causes that every stage and runner shares. A stage adds its own beside its rules.
const (
	Unclassified   Cause = "UNCLASSIFIED"    // an error without a cause: a bug in a stage
	Panicked       Cause = "PANIC"           // the processor panicked; the detail has the stack
	BadFraming     Cause = "BAD_FRAMING"     // not Confluent framing
	UnknownSchema  Cause = "UNKNOWN_SCHEMA"  // the registry does not know the schema id
	BadRecord      Cause = "BAD_RECORD"      // the bytes do not decode as their schema
	UnexpectedKind Cause = "UNEXPECTED_KIND" // an event that this topic does not carry
	TooLarge       Cause = "TOO_LARGE"       // what the record makes passes a bound of its own
	BadKey         Cause = "BAD_KEY"         // the key is not the one that the event's fields make
)

// A Rejection makes the record in hand a dead letter, in the same transaction; processing goes on with the next.
type Rejection struct {
	Cause    Cause
	Detail   string // what, where: a person reads it
	Position string // where in the record, if it is known: "segment 7 (W01), element 1", "byte 23"
	Remedy   string // what to do
}

func (r *Rejection) Error() string {
	s := string(r.Cause) + ": " + r.Detail
	if r.Position != "" {
		s += " at " + r.Position
	}
	if r.Remedy != "" {
		s += "; " + r.Remedy
	}
	return s
}

// Rejectf makes a Rejection.
func Rejectf(cause Cause, remedy, format string, args ...any) *Rejection {
	return &Rejection{Cause: cause, Remedy: remedy, Detail: fmt.Sprintf(format, args...)}
}

// A Fatal stops the worker: to go on would be wrong for every record, not for this one.
type Fatal struct {
	Reason string
	Err    error
}

func (f *Fatal) Error() string {
	if f.Err == nil {
		return f.Reason
	}
	return f.Reason + ": " + f.Err.Error()
}

func (f *Fatal) Unwrap() error { return f.Err }
