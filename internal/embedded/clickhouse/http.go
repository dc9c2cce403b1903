package clickhouse

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Bounds of the HTTP port.
const (
	holdBack     = 1 << 20   // bytes of an answer kept until it cannot fail before its first byte any more
	insertStride = 1 << 20   // bytes of rows handed to the engine at once
	maxStatement = 256 << 20 // bytes of a statement that is the body
)

// isSetting says whether a URL parameter is a setting of the engine rather than of the exchange itself.
func isSetting(parameter string) bool {
	switch parameter {
	case "query", "database", "default_format", "client_protocol_version", "compress", "decompress",
		"session_id", "session_timeout", "session_check", "query_id", "user", "password", "quota_key", "role",
		"wait_end_of_query", "buffer_size", "network_compression_method", "network_zstd_compression_level",
		"send_progress_in_http_headers", "enable_http_compression":
		return false
	}
	return true
}

// ServeHTTP answers as ClickHouse's HTTP interface does.
func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u := r.URL.Query()
	for header, parameter := range map[string]string{"X-ClickHouse-Format": "default_format", "X-ClickHouse-Database": "database"} {
		if v := r.Header.Get(header); v != "" && !u.Has(parameter) { // the Java clients' way
			u.Set(parameter, v)
		}
	}
	if r.URL.Path == "/ping" || r.Method == http.MethodGet && len(u) == 0 {
		_, _ = io.WriteString(w, "Ok.\n") // a probe that has hung up is nobody's loss
		return
	}
	if user, password := credentials(r, u); !e.authentic(user, password) {
		answerError(w, errAuthentication)
		return
	}
	q, rows, err := requestParts(r, u)
	if err == nil {
		err = checkStatement(q)
	}
	if err != nil {
		answerError(w, err)
		return
	}
	s, err := e.pool.take(r.Context())
	if err != nil {
		return // the client has left
	}
	defer e.pool.put(s)
	if id := u.Get("query_id"); id != "" {
		w.Header().Set("X-ClickHouse-Query-Id", id)
	}
	w.Header().Set("X-ClickHouse-Timezone", "UTC")
	if err := e.answer(w, s, u, q, rows); err != nil {
		answerError(w, err)
	}
}

// requestParts are the statement and, where it stands in the URL, what the body holds: the rows of an INSERT.
func requestParts(r *http.Request, u url.Values) (q string, rows io.Reader, err error) {
	body, err := decompressed(r, u.Get("decompress") == "1")
	if err != nil {
		return "", nil, err
	}
	if q = u.Get("query"); q != "" {
		return q, body, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, maxStatement))
	return string(b), nil, err
}

func (e *engine) answer(w http.ResponseWriter, s *session, u url.Values, q string, rows io.Reader) error {
	database := u.Get("database")
	if database == "" {
		database = "default"
	}
	if err := s.use(database); err != nil {
		return err
	}
	undo, err := s.with(urlSettings(u))
	if err != nil {
		return err
	}
	defer undo()

	out := &reply{w: w}
	if u.Get("compress") == "1" {
		out.frames = compress.NewWriter(compress.LevelZero, compress.LZ4)
	}
	if strings.HasPrefix(q, "SELECT displayName(), version(), revision(), timezone()") {
		return errors.Join(out.write(e.greeting()), out.flush())
	}
	if in, ok := splitInsert(q); ok && rows != nil {
		n, err := insertRows(s, in, rows)
		if err == nil {
			w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","written_rows":"%[1]d"}`, n))
		}
		return err
	}
	format := u.Get("default_format")
	if format == "" {
		format = "TabSeparated"
	}
	if m := formatClause.FindStringSubmatch(q); m != nil {
		format = m[1]
	}
	w.Header().Set("X-ClickHouse-Format", format)
	if !selectClause.MatchString(q) {
		b, err := s.query(q, format)
		if err != nil {
			return err
		}
		return errors.Join(out.write(b), out.flush())
	}
	if err = s.stream(q, format, out.write); err == nil {
		err = out.flush()
	}
	if err != nil && out.begun { // too late for a status: break the transfer, as a server does
		panic(http.ErrAbortHandler)
	}
	return err
}

// urlSettings are the settings and parameters of a request, in a fixed order.
func urlSettings(u url.Values) (settings, params []setting) {
	for k, v := range u {
		if p, ok := strings.CutPrefix(k, "param_"); ok {
			params = append(params, setting{p, v[0]})
		} else if isSetting(k) {
			settings = append(settings, setting{k, v[0]})
		}
	}
	slices.SortFunc(settings, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return settings, params
}

func insertRows(s *session, in insertStatement, rows io.Reader) (written uint64, err error) {
	i, err := s.insert(in.head, in.format)
	if err != nil {
		return 0, err
	}
	// The struct hides other interfaces of rows: the copy must go through a buffer of this size.
	if _, err := io.CopyBuffer(i, struct{ io.Reader }{rows}, make([]byte, insertStride)); err != nil {
		i.cancel()
		return 0, err
	}
	return i.commit()
}

// decompressed undoes a body's compression: ClickHouse's own frames (decompress=1) or HTTP's Content-Encoding.
func decompressed(r *http.Request, framed bool) (io.Reader, error) {
	if framed {
		return frameReader{compress.NewReader(r.Body)}, nil
	}
	switch e := r.Header.Get("Content-Encoding"); e {
	case "":
		return r.Body, nil
	case "lz4":
		return lz4.NewReader(r.Body), nil
	case "gzip":
		return gzip.NewReader(r.Body)
	case "zstd":
		return zstd.NewReader(r.Body, zstd.WithDecoderConcurrency(1))
	default:
		return nil, fmt.Errorf("Code: 1002. DB::Exception: Content-Encoding %q is not known; use lz4, gzip or zstd. (UNKNOWN_EXCEPTION)", e)
	}
}

func credentials(r *http.Request, u url.Values) (user, password string) {
	if user, password, ok := r.BasicAuth(); ok {
		return user, password
	}
	if user := r.Header.Get("X-ClickHouse-User"); user != "" {
		return user, r.Header.Get("X-ClickHouse-Key")
	}
	return u.Get("user"), u.Get("password")
}

func answerError(w http.ResponseWriter, err error) {
	code, _, message := exception(err)
	w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(code))
	status := http.StatusInternalServerError
	switch code {
	case codeAuthentication:
		status = http.StatusForbidden
	case codeUnknownTable, codeUnknownDatabase:
		status = http.StatusNotFound
	case codeSyntaxError, codeUnknownIdentifier, codeTypeMismatch, codeCannotParseInput:
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message) // a client that has left does not read it
}

// greeting answers clickhouse-go's first question. Revision 0 makes the driver speak bare Native from here on, which is
// what the engine reads and writes; the answer itself must still be in the driver's own framing.
func (e *engine) greeting() []byte {
	name, version, zone := new(proto.ColStr), new(proto.ColStr), new(proto.ColStr)
	name.Append(displayName)
	version.Append(e.version.String())
	zone.Append("UTC")
	var b proto.Buffer
	greeting := proto.Block{Info: proto.BlockInfo{BucketNum: -1}, Columns: 4, Rows: 1}
	// It fails only for columns of unequal length.
	_ = greeting.EncodeBlock(&b, revision, []proto.InputColumn{
		{Name: "displayName()", Data: name},
		{Name: "version()", Data: version},
		{Name: "revision()", Data: proto.ColUInt32{0}},
		{Name: "timezone()", Data: zone},
	})
	return b.Buf
}

// reply writes an answer, in ClickHouse's compressed frames where frames is set. It holds the first bytes back, as a server
// does, so that a statement which fails early still answers with a status and a code.
type reply struct {
	w      io.Writer
	frames *compress.Writer
	held   []byte
	begun  bool
}

func (o *reply) write(p []byte) error {
	o.held = append(o.held, p...)
	if len(o.held) < holdBack {
		return nil
	}
	return o.flush()
}

func (o *reply) flush() error {
	if len(o.held) == 0 {
		return nil
	}
	o.begun = true
	out := o.held
	if o.frames != nil {
		if err := o.frames.Compress(o.held); err != nil {
			return err
		}
		out = o.frames.Data
	}
	_, err := o.w.Write(out)
	o.held = o.held[:0]
	return err
}

// frameReader reads a compressed body whose end, between two frames, reads as io.EOF.
type frameReader struct{ r *compress.Reader }

func (f frameReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
