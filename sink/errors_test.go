package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

func TestRetryableErrorsAreThoseThatTimeCures(t *testing.T) {
	exception := func(code int32) error {
		return fmt.Errorf("sending: %w", &proto.Exception{Code: code, Message: "m"})
	}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"too many parts", exception(252), true},
		{"memory limit", exception(241), true},
		{"server timeout", exception(159), true},
		{"socket timeout", exception(209), true},
		{"network", exception(210), true},
		{"read-only replica", exception(242), true},
		{"no live replicas", exception(285), true},
		{"the same block still runs", exception(216), true},
		{"too many queries", exception(202), true},
		{"keeper", exception(999), true},
		{"disk full", exception(243), true},
		{"password in rotation", exception(516), true},
		{"client timeout", fmt.Errorf("x: %w", context.DeadlineExceeded), true},
		{"connection refused", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{"connection reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"broken pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, true},
		{"end of stream", io.EOF, true},
		{"cut stream", io.ErrUnexpectedEOF, true},
		{"no free connection", clickhouse.ErrAcquireConnTimeout, true},
		{"name service", &net.DNSError{Err: "no such host", IsTemporary: true}, true},
		{"unknown to us", errors.New("something else"), true},

		{"unknown table", exception(60), false},
		{"unknown column", exception(16), false},
		{"type mismatch", exception(53), false},
		{"constraint", exception(469), false},
		{"access denied", exception(497), false},
		{"syntax", exception(62), false},
		{"unknown setting", exception(115), false},
		{"a code of the future", exception(99_999), false},
		{"columns that differ", &fillError{"qty", errors.New("type")}, false},
		{"driver's block", &proto.BlockError{Op: "Encode", Err: errors.New("mismatched len of columns")}, false},
		{"driver's batch", clickhouse.ErrBatchInvalid, false},
	} {
		if got := retryable(c.err); got != c.want {
			t.Errorf("%s (%v): retryable is %v, want %v", c.name, c.err, got, c.want)
		}
	}
}

// The numbers are the engine's own: it is asked for the name of each.
func TestRetryableCodesAreNamedAsTheEngineNamesThem(t *testing.T) {
	f := newFixture(t)
	for code, want := range map[int32]string{
		3: "UNEXPECTED_END_OF_FILE", 23: "CANNOT_READ_FROM_ISTREAM", 32: "ATTEMPT_TO_READ_AFTER_EOF", 95: "CANNOT_READ_FROM_SOCKET",
		99: "UNKNOWN_PACKET_FROM_CLIENT", 101: "UNEXPECTED_PACKET_FROM_CLIENT", 159: "TIMEOUT_EXCEEDED", 160: "TOO_SLOW",
		173: "CANNOT_ALLOCATE_MEMORY", 198: "DNS_ERROR", 201: "QUOTA_EXCEEDED", 202: "TOO_MANY_SIMULTANEOUS_QUERIES",
		203: "NO_FREE_CONNECTION", 209: "SOCKET_TIMEOUT", 210: "NETWORK_ERROR", 216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
		225: "NO_ZOOKEEPER", 236: "ABORTED", 241: "MEMORY_LIMIT_EXCEEDED", 242: "TABLE_IS_READ_ONLY", 243: "NOT_ENOUGH_SPACE",
		244: "UNEXPECTED_ZOOKEEPER_ERROR", 252: "TOO_MANY_PARTS", 254: "NO_ACTIVE_REPLICAS", 265: "NO_AVAILABLE_REPLICA",
		279: "ALL_CONNECTION_TRIES_FAILED", 285: "TOO_FEW_LIVE_REPLICAS", 286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
		289: "REPLICA_IS_NOT_IN_QUORUM", 319: "UNKNOWN_STATUS_OF_INSERT", 364: "RECEIVED_ERROR_TOO_MANY_REQUESTS", 373: "SESSION_IS_LOCKED",
		394: "QUERY_WAS_CANCELLED", 415: "ALL_REPLICAS_LOST", 416: "REPLICA_STATUS_CHANGED", 425: "SYSTEM_ERROR",
		439: "CANNOT_SCHEDULE_TASK", 473: "DEADLOCK_AVOIDED", 499: "S3_ERROR", 516: "AUTHENTICATION_FAILED", 517: "CANNOT_ASSIGN_ALTER",
		529: "NOT_A_LEADER", 574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES", 659: "UNKNOWN_STATUS_OF_TRANSACTION", 692: "TOO_MANY_MUTATIONS",
		722: "ASYNC_LOAD_WAIT_FAILED", 733: "TABLE_IS_BEING_RESTARTED", 735: "QUERY_WAS_CANCELLED_BY_CLIENT", 745: "SERVER_OVERLOADED",
		749: "TCP_CONNECTION_LIMIT_REACHED", 999: "KEEPER_EXCEPTION", 1000: "POCO_EXCEPTION",
	} {
		got, err := f.texts(fmt.Sprintf("SELECT errorCodeToName(%d) AS name", code))
		if err != nil {
			t.Fatal(err)
		}
		if got[0][0] != want || !retryableCode(code) {
			t.Errorf("code %d is %s to the engine, %s here; retryable: %v", code, got[0][0], want, retryableCode(code))
		}
	}
}
