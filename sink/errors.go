package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// A StoppedError says that the server refuses a table's block for a reason that waiting does not cure. The table stands
// still, the others go on, nothing is lost: the block is read again when the sink starts after the reason is removed.
type StoppedError struct {
	Table  string
	Reason string // what the server said, and what to do
	Err    error
}

func (e *StoppedError) Error() string {
	return fmt.Sprintf("sink: table %s is stopped: %s", e.Table, e.Reason)
}

func (e *StoppedError) Unwrap() error { return e.Err }

// retryable says whether a refused insert may go in unchanged later. What comes from the network, from another server's
// answer than ClickHouse's own, or with one of the codes below is; a ClickHouse exception with any other code is not, for
// repeating an insert that can never go in would hide the fault.
func retryable(err error) bool {
	if exception := (*proto.Exception)(nil); errors.As(err, &exception) {
		return retryableCode(exception.Code)
	}
	var fill *fillError
	var block *proto.BlockError
	if errors.As(err, &fill) || errors.As(err, &block) || errors.Is(err, clickhouse.ErrBatchInvalid) {
		return false
	}
	return true
}

// A fillError is a block that does not fit the columns that the server has: a migration is missing.
type fillError struct {
	column string
	err    error
}

func (e *fillError) Error() string { return fmt.Sprintf("column %s: %v", e.column, e.err) }
func (e *fillError) Unwrap() error { return e.err }

// retryableCode tells ClickHouse's error codes (src/Common/ErrorCodes.cpp) that describe a state of the server, not of the
// block.
func retryableCode(code int32) bool {
	switch code {
	case 3, // UNEXPECTED_END_OF_FILE: the connection broke within a block
		23,        // CANNOT_READ_FROM_ISTREAM
		32,        // ATTEMPT_TO_READ_AFTER_EOF: the same
		95,        // CANNOT_READ_FROM_SOCKET
		99,        // UNKNOWN_PACKET_FROM_CLIENT: a connection that another request left out of step
		101,       // UNEXPECTED_PACKET_FROM_CLIENT
		159,       // TIMEOUT_EXCEEDED
		160,       // TOO_SLOW
		173,       // CANNOT_ALLOCATE_MEMORY
		198,       // DNS_ERROR
		201,       // QUOTA_EXCEEDED
		202,       // TOO_MANY_SIMULTANEOUS_QUERIES
		203,       // NO_FREE_CONNECTION
		209,       // SOCKET_TIMEOUT
		210,       // NETWORK_ERROR
		216,       // QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING: an earlier try of this block still runs
		225,       // NO_ZOOKEEPER
		236,       // ABORTED
		241,       // MEMORY_LIMIT_EXCEEDED
		242,       // TABLE_IS_READ_ONLY: the replica has lost its keeper
		243,       // NOT_ENOUGH_SPACE
		244,       // UNEXPECTED_ZOOKEEPER_ERROR
		252,       // TOO_MANY_PARTS
		254,       // NO_ACTIVE_REPLICAS
		265,       // NO_AVAILABLE_REPLICA
		279,       // ALL_CONNECTION_TRIES_FAILED
		285,       // TOO_FEW_LIVE_REPLICAS
		286,       // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
		289,       // REPLICA_IS_NOT_IN_QUORUM
		319,       // UNKNOWN_STATUS_OF_INSERT
		364,       // RECEIVED_ERROR_TOO_MANY_REQUESTS
		373,       // SESSION_IS_LOCKED
		394,       // QUERY_WAS_CANCELLED
		415,       // ALL_REPLICAS_LOST
		416,       // REPLICA_STATUS_CHANGED
		425,       // SYSTEM_ERROR
		439,       // CANNOT_SCHEDULE_TASK
		473,       // DEADLOCK_AVOIDED
		499,       // S3_ERROR
		516,       // AUTHENTICATION_FAILED: a password is being rotated; no block is at fault
		517,       // CANNOT_ASSIGN_ALTER
		529,       // NOT_A_LEADER
		574,       // DISTRIBUTED_TOO_MANY_PENDING_BYTES
		659,       // UNKNOWN_STATUS_OF_TRANSACTION
		692,       // TOO_MANY_MUTATIONS
		722,       // ASYNC_LOAD_WAIT_FAILED: the server is starting
		733,       // TABLE_IS_BEING_RESTARTED
		735,       // QUERY_WAS_CANCELLED_BY_CLIENT
		745,       // SERVER_OVERLOADED
		749,       // TCP_CONNECTION_LIMIT_REACHED
		999, 1000: // KEEPER_EXCEPTION, POCO_EXCEPTION (its network layer)
		return true
	}
	return false
}

// errorLabel names an error in metrics: the code that ClickHouse gave, or what broke on the way.
func errorLabel(err error) string {
	if exception := (*proto.Exception)(nil); errors.As(err, &exception) {
		return fmt.Sprint(exception.Code)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, clickhouse.ErrAcquireConnTimeout):
		return "no_connection"
	}
	return "connection"
}

// remedy says what to do about the codes that stop a table.
func remedy(err error) string {
	exception := (*proto.Exception)(nil)
	if !errors.As(err, &exception) {
		return "the table's columns differ from those of this program: run `crossdock sink migrate`, or the program that made them"
	}
	switch exception.Code {
	case 60, 81: // UNKNOWN_TABLE, UNKNOWN_DATABASE
		return "run `crossdock sink migrate`, then start the sink again"
	case 10, 16, 47, 50, 53: // NOT_FOUND_COLUMN_IN_BLOCK, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER, UNKNOWN_TYPE, TYPE_MISMATCH
		return "the table differs from the migrations: compare it with `crossdock sink status`, undo what was changed by hand, then start the sink again"
	case 164, 497: // READONLY, ACCESS_DENIED
		return "grant the user INSERT on the database, then start the sink again"
	case 115: // UNKNOWN_SETTING
		return "the server is too old for a setting that every insert pins; ClickHouse 24.3 or later is needed"
	case 469: // VIOLATED_CONSTRAINT
		return "drop the constraint, or repair what makes such rows, then start the sink again"
	}
	return "remove the reason, then start the sink again; the block is read again from Kafka"
}
