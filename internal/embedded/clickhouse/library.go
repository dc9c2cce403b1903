package clickhouse

import "unsafe"

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
