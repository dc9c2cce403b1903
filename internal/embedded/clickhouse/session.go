package clickhouse

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"
)

// session is one session of the engine: its own settings and current database, one statement at a time.
type session struct {
	lib           *library
	outer, handle pointer
}

// openSession opens a session that reads statements as a server does: `1` alone is no SELECT.
func openSession(lib *library, args []string) (*session, error) {
	argv := make([]pointer, 0, len(args)+1)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, pointer(unsafe.StringData(a+"\x00")))
	}
	outer := lib.connect(int32(len(argv)), pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if outer == nil {
		return nil, fmt.Errorf("the ClickHouse engine opens no session with %q: its data may be in use by another process", args)
	}
	s := &session{lib: lib, outer: outer, handle: *(*pointer)(outer)}
	if _, err := s.query("SET implicit_select = 0", "Null"); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.lib.closeConn(s.outer) }

type statementFunc func(conn, q pointer, ql uintptr, f pointer, fl uintptr) pointer

func (s *session) call(fn statementFunc, q, format string) pointer {
	r := fn(s.handle, pointer(unsafe.StringData(q)), uintptr(len(q)), pointer(unsafe.StringData(format)), uintptr(len(format)))
	runtime.KeepAlive(q)
	runtime.KeepAlive(format)
	return r
}

// errNoResult is not expected: the engine always answers.
var errNoResult = errors.New("Code: 1001. DB::Exception: the engine gave no result. (STD_EXCEPTION)")

func (l *library) failure(result pointer) error {
	if result == nil {
		return errNoResult
	}
	if e := l.resultError(result); e != nil {
		return errors.New(text(e))
	}
	return nil
}

// bytes are the result's, valid until it is destroyed.
func (l *library) bytes(result pointer) []byte {
	n := l.resultLength(result)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(l.resultBuffer(result)), n)
}

// query runs one statement and returns the whole result.
func (s *session) query(q, format string) ([]byte, error) {
	r := s.call(s.lib.queryN, q, format)
	if r != nil {
		defer s.lib.destroyQueryResult(r)
	}
	if err := s.lib.failure(r); err != nil {
		return nil, err
	}
	return append([]byte(nil), s.lib.bytes(r)...), nil
}

// stream runs one statement and hands each chunk of its result to emit, which must not keep it; emit's error cancels the
// statement.
func (s *session) stream(q, format string, emit func(chunk []byte) error) error {
	r := s.call(s.lib.streamQueryN, q, format)
	if r != nil {
		defer s.lib.destroyQueryResult(r)
	}
	if err := s.lib.failure(r); err != nil {
		return err
	}
	for {
		chunk := s.lib.streamFetchResult(s.handle, r)
		if chunk == nil {
			return nil
		}
		more, err := s.emitChunk(chunk, emit)
		if err != nil || !more {
			if err != nil {
				s.lib.streamCancelQuery(s.handle, r)
			}
			return err
		}
	}
}

func (s *session) emitChunk(chunk pointer, emit func([]byte) error) (more bool, err error) {
	defer s.lib.destroyQueryResult(chunk)
	if err := s.lib.failure(chunk); err != nil {
		return false, err
	}
	b := s.lib.bytes(chunk)
	if len(b) == 0 {
		return false, nil
	}
	return true, emit(b)
}

// insertion is an INSERT whose rows arrive in pieces. It ends by commit, cancel or, after a failed Write, release.
type insertion struct {
	session *session
	lib     *library
	handle  pointer
}

func (s *session) insert(q, format string) (*insertion, error) {
	h := s.call(s.lib.streamInsertN, q, format)
	if h == nil {
		return nil, errNoResult
	}
	i := &insertion{s, s.lib, h}
	if e := s.lib.streamInsertError(h); e != nil {
		defer i.release()
		return nil, errors.New(text(e))
	}
	return i, nil
}

// Write appends rows in the statement's format.
func (i *insertion) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	rc := i.lib.streamAppend(i.handle, pointer(&p[0]), uintptr(len(p)))
	runtime.KeepAlive(p)
	if rc != 0 {
		return 0, errors.New(text(i.lib.streamInsertError(i.handle)))
	}
	return len(p), nil
}

// commit ends the rows and returns how many were written.
func (i *insertion) commit() (rows uint64, err error) {
	r := i.lib.streamDone(i.handle)
	err = i.lib.failure(r)
	if err == nil {
		rows = i.lib.resultRowsWritten(r)
	}
	if r != nil {
		i.lib.destroyQueryResult(r)
	}
	if err != nil {
		i.release()
		return 0, err
	}
	i.lib.destroyInsertStream(i.handle)
	return rows, nil
}

// cancel ends the INSERT; nothing of its open block is written.
func (i *insertion) cancel() {
	i.lib.streamCancelInsert(i.handle)
	i.release()
}

// release frees an insertion that failed. A session whose INSERT has failed holds the table until its next statement, and
// a DROP of the table waits for that; so there is one at once.
func (i *insertion) release() {
	i.lib.destroyInsertStream(i.handle)
	_, _ = i.session.query("SELECT 1", "Null") // it cannot fail, and nobody is waiting to hear of it
}

// setting is a name and its value, of a setting or of a query parameter.
type setting struct{ name, value string }

// with sets the settings and parameters of one statement and returns what puts the settings back.
func (s *session) with(settings, params []setting) (undo func(), err error) {
	var set, reset []string
	for _, p := range params {
		set = append(set, "param_"+identifier(p.name)+" = "+quote(p.value))
	}
	for _, kv := range settings {
		set = append(set, identifier(kv.name)+" = "+quote(kv.value))
		reset = append(reset, identifier(kv.name)+" = DEFAULT")
	}
	undo = func() {
		if len(reset) == 0 {
			return
		}
		// It fails where a name is no setting, and then there is nothing to put back.
		_, _ = s.query("SET "+strings.Join(reset, ", "), "Null")
	}
	if len(set) == 0 {
		return undo, nil
	}
	if _, err := s.query("SET "+strings.Join(set, ", "), "Null"); err != nil {
		undo()
		return func() {}, err
	}
	return undo, nil
}

// use makes database the session's current one.
func (s *session) use(database string) error {
	_, err := s.query("USE `"+strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(database)+"`", "Null")
	return err
}

// column is a column's name and type.
type column struct{ name, typ string }

// describe lists a table expression's columns.
func (s *session) describe(of string) ([]column, error) {
	out, err := s.query("DESCRIBE TABLE "+of+" SETTINGS print_pretty_type_names = 0", "TSVRaw")
	if err != nil {
		return nil, err
	}
	var columns []column
	for l := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(l, "\n"), "\t")
		if len(f) < 2 {
			return nil, fmt.Errorf("Code: 1001. DB::Exception: DESCRIBE gave %q. (STD_EXCEPTION)", l)
		}
		columns = append(columns, column{f[0], f[1]})
	}
	return columns, nil
}
