//go:build !crossdock_static

package clickhouse

import (
	"fmt"

	"github.com/ebitengine/purego"
)

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
