package runtime

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A Reason is the name of why an instance stopped. It is stable: alerts and supervisors match it.
type Reason string

// Reasons to stop. Everything else is retried with a backoff.
const (
	MissingTopic       Reason = "MISSING_TOPIC"       // an input, an output or a changelog does not exist
	PartitionsMismatch Reason = "PARTITIONS_MISMATCH" // a changelog has fewer partitions than its input
	DataLoss           Reason = "DATA_LOSS"           // records between the committed offset and the log are gone
	ChangelogLost      Reason = "CHANGELOG_LOST"      // a changelog was truncated while it was read
	NameTaken          Reason = "NAME_TAKEN"          // another process has this instance's name
	NotAuthorized      Reason = "NOT_AUTHORIZED"      // the broker refuses a topic, the group or the transactional id
	ProduceRefused     Reason = "PRODUCE_REFUSED"     // the broker will never take what must be written
	PanicRate          Reason = "PANIC_RATE"          // the processor panics at more records than a few
	StageFailed        Reason = "STAGE_FAILED"        // the processor said that to go on would be wrong
	DiskFull           Reason = "DISK_FULL"           // committed state cannot be written for lack of room
	StateFailed        Reason = "STATE_FAILED"        // the disk of the state does not let itself be used
	GroupRefused       Reason = "GROUP_REFUSED"       // the group has members with another protocol or balancer
)

// An ExitError stops an instance: to go on would be wrong, or cannot be. Run returns it.
type ExitError struct {
	Reason Reason
	Detail string // what and where
	Remedy string // what to do
	Err    error  // may be nil
}

func (e *ExitError) Error() string {
	s := string(e.Reason) + ": " + e.Detail
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func (e *ExitError) Unwrap() error { return e.Err }

func exit(reason Reason, err error, remedy, format string, args ...any) *ExitError {
	return &ExitError{Reason: reason, Detail: fmt.Sprintf(format, args...), Remedy: remedy, Err: err}
}

// A sessionError ends a session: the client, its overlay and its tasks are thrown away and made anew, with a backoff.
type sessionError struct {
	what string
	err  error
}

func (e *sessionError) Error() string {
	if e.err == nil {
		return e.what
	}
	return e.what + ": " + e.err.Error()
}

func (e *sessionError) Unwrap() error { return e.err }

// asExit makes an error of a broker an ExitError if trying again cannot help, nil otherwise.
func asExit(err error, where string) *ExitError {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.As(err, &loss), errors.Is(err, kerr.OffsetOutOfRange):
		return exit(DataLoss, err, "Decide what to do about the lost records, then reset the application's offsets.", "%s", where)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed),
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.SaslAuthenticationFailed):
		return exit(NotAuthorized, err, "Grant the application's user the rights that docs name, or correct its credentials.", "%s", where)
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return exit(GroupRefused, err, "Stop the members of the group that use another balancer.", "%s", where)
	case errors.Is(err, kerr.InvalidTransactionTimeout):
		return exit(ProduceRefused, err, "Lower the transaction timeout, or raise the broker's transaction.max.timeout.ms.", "%s", where)
	}
	return nil
}

// returns says whether a produce error comes back however often the record is sent.
func returns(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge) ||
		errors.Is(err, kerr.InvalidRecord) || errors.Is(err, kerr.InvalidTimestamp) || errors.Is(err, kerr.CorruptMessage)
}

// fenced says whether another member of the group has taken this one's name.
func fenced(err error) bool { return errors.Is(err, kerr.FencedInstanceID) }
