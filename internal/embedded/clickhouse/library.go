package clickhouse

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

type pointer = unsafe.Pointer

// library is libchdb's C API, bound without cgo. Every text argument travels as (pointer, length), so that a statement may
// hold any byte.
type library struct {
	connect             func(argc int32, argv pointer) pointer // chdb_connection*, whose target is the handle
	closeConn           func(outer pointer)
	queryN              func(conn, q pointer, ql uintptr, f pointer, fl uintptr) pointer
	destroyQueryResult  func(result pointer)
	resultBuffer        func(result pointer) pointer
	resultLength        func(result pointer) uintptr
	resultError         func(result pointer) pointer
	resultRowsWritten   func(result pointer) uint64
	streamQueryN        func(conn, q pointer, ql uintptr, f pointer, fl uintptr) pointer
	streamFetchResult   func(conn, result pointer) pointer
	streamCancelQuery   func(conn, result pointer)
	streamInsertN       func(conn, q pointer, ql uintptr, f pointer, fl uintptr) pointer
	streamAppend        func(insert, data pointer, n uintptr) int32
	streamDone          func(insert pointer) pointer
	streamCancelInsert  func(insert pointer)
	streamInsertError   func(insert pointer) pointer
	destroyInsertStream func(insert pointer)
	setSignalHandlers   func(on int32)
}

// load binds the library at path. A process loads it once and never unloads it: it has threads of its own.
func load(path string) (l *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load the ClickHouse engine: %w", err)
	}
	l = new(library)
	for _, f := range []struct {
		name string
		fn   any
	}{
		{"chdb_connect", &l.connect}, {"chdb_close_conn", &l.closeConn}, {"chdb_query_n", &l.queryN},
		{"chdb_destroy_query_result", &l.destroyQueryResult}, {"chdb_result_buffer", &l.resultBuffer},
		{"chdb_result_length", &l.resultLength}, {"chdb_result_error", &l.resultError},
		{"chdb_result_rows_written", &l.resultRowsWritten}, {"chdb_stream_query_n", &l.streamQueryN},
		{"chdb_stream_fetch_result", &l.streamFetchResult}, {"chdb_stream_cancel_query", &l.streamCancelQuery},
		{"chdb_stream_insert_n", &l.streamInsertN}, {"chdb_stream_append", &l.streamAppend},
		{"chdb_stream_done", &l.streamDone}, {"chdb_stream_cancel_insert", &l.streamCancelInsert},
		{"chdb_stream_insert_error", &l.streamInsertError}, {"chdb_destroy_insert_stream", &l.destroyInsertStream},
		{"chdb_set_signal_handlers_enabled", &l.setSignalHandlers},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("%s is not the engine that this program was written for (version %s): %w", path, Version, err)
		}
		purego.RegisterFunc(f.fn, symbol)
	}
	l.setSignalHandlers(0) // Go owns the process's signals
	return l, nil
}

// text copies a C string.
func text(p pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
