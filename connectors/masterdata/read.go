package masterdata

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"crossdock/connectors"
)

// maxRow bounds one row, so that a quotation mark that is never closed does not take the whole file into one field.
const maxRow = 1 << 20

func sortedColumns(values map[string]string) []string {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// columns are the names that each kind of file knows.
func columns(kind string) []string {
	if kind == SitesCSV {
		return []string{"site", "name", "type", "aliases", "region", "time_zone", "negative_stock", "owners", "version"}
	}
	return []string{"sku", "description", "base_uom", "integral", "units", "gtin", "aliases", "lot_tracked", "serial_profile", "shelf_life_days", "status", "sites", "version"}
}

// unknownColumn returns a name that the kind does not have, "" where it knows all.
func unknownColumn(kind string, names []string) string {
	for _, n := range names {
		translation := kind == ItemsCSV && strings.HasPrefix(n, "description_") && len(n) == len("description_")+2
		if !translation && !slices.Contains(columns(kind), n) {
			return n
		}
	}
	return ""
}

// A file gives out rows once each: a SKU or site that occurs twice in one file has two truths.
type file struct {
	doc  *connectors.Document
	out  connectors.Sink
	seen map[string]int
}

func translate(ctx context.Context, d *connectors.Document, out connectors.Sink) error {
	head, err := d.Head()
	if err != nil {
		return err
	}
	f := &file{doc: d, out: out, seen: map[string]int{}}
	if isJSON(trimStart(head)) {
		return f.json(ctx)
	}
	return f.csv(ctx)
}

// row gives out one row.
func (f *file) row(r *row) error {
	id := "sku"
	if r.kind == SitesCSV {
		id = "site"
	}
	name := r.must(id)
	if first, again := f.seen[id+"="+name]; again && name != "" {
		r.fail(connectors.BadLine, id, "keep one of the rows", "%s %s stands on line %d too", id, name, first)
	}
	f.seen[id+"="+name] = r.line
	if r.kind == SitesCSV {
		if e := r.site(); e != nil {
			return f.out.Event(e)
		}
	} else if e := r.item(); e != nil {
		return f.out.Event(e)
	}
	return f.out.Problem(r.problem)
}

// table reads CSV with a header row.
type table struct {
	csv   *csv.Reader
	kind  string
	names []string
	skip  int64 // bytes before the header row
}

// open reads the header row.
func open(r io.Reader) (*table, *connectors.Problem, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	skip := len(head) - len(trimStart(head))
	if _, err := b.Discard(skip); err != nil {
		return nil, nil, err
	}
	line, _, _ := bytes.Cut(trimStart(head), []byte("\n"))
	t := &table{csv: csv.NewReader(&rowLimit{r: b}), kind: ItemsCSV, skip: int64(skip)}
	t.csv.Comma = delimiterOf(line)
	t.csv.FieldsPerRecord = -1
	names, err := t.csv.Read()
	if err != nil {
		return nil, &connectors.Problem{Cause: connectors.BadLine, Detail: "the header row cannot be read: " + err.Error(), Remedy: "name the columns in the first row", Position: connectors.Position{Line: 1, Byte: 0}, Bytes: line}, nil
	}
	for _, n := range names {
		t.names = append(t.names, columnName(n))
	}
	if !slices.Contains(t.names, "sku") {
		t.kind = SitesCSV
	}
	p := &connectors.Problem{Position: connectors.Position{Line: 1, Byte: 0}, DocType: t.kind, Bytes: line}
	if u := unknownColumn(t.kind, t.names); u != "" {
		p.Cause, p.Position.Name = connectors.UnknownField, u
		p.Detail, p.Remedy = fmt.Sprintf("there is no column %q", u), "use "+strings.Join(columns(t.kind), ", ")
		return nil, p, nil
	}
	for i, n := range t.names {
		if slices.Contains(t.names[:i], n) {
			p.Cause, p.Detail, p.Remedy, p.Position.Name = connectors.BadLine, fmt.Sprintf("column %q occurs twice", n), "keep one of them", n
			return nil, p, nil
		}
	}
	return t, nil, nil
}

// csv gives out the rows of a CSV file.
func (f *file) csv(ctx context.Context) error {
	t, problem, err := open(f.doc.Reader())
	if err != nil {
		return fmt.Errorf("masterdata: reading %s: %w", f.doc.RawRef, err)
	}
	if problem != nil {
		if len(f.doc.Bytes) > 0 {
			problem.Bytes = f.doc.Bytes
		}
		return f.out.Problem(problem)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := t.skip + t.csv.InputOffset()
		record, err := t.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		line := 0
		var parse *csv.ParseError
		switch {
		case err == nil:
			line, _ = t.csv.FieldPos(0)
		case errors.As(err, &parse):
			line = parse.StartLine
		case errors.Is(err, errRowTooLong):
			return f.out.Problem(&connectors.Problem{Cause: connectors.TooLong, Detail: fmt.Sprintf("a row is longer than %d bytes: what follows was not read", maxRow), Remedy: "look for a quotation mark that is never closed",
				Position: connectors.Position{Line: line, Byte: t.csv.InputOffset()}, DocType: t.kind})
		default:
			return fmt.Errorf("masterdata: reading %s: %w", f.doc.RawRef, err)
		}
		r := &row{values: map[string]string{}, line: line, at: start, doc: f.doc, kind: t.kind, raw: []byte(strings.Join(record, string(t.csv.Comma)))}
		if end := t.skip + t.csv.InputOffset(); end <= int64(len(f.doc.Bytes)) {
			r.raw = bytes.TrimSpace(f.doc.Bytes[start:end])
		}
		switch {
		case parse != nil:
			r.fail(connectors.BadLine, "", "put texts with quotation marks or separators in quotation marks, and double those within", "%v", parse.Err)
		case len(record) != len(t.names):
			r.fail(connectors.BadLine, "", "put texts that have separators in quotation marks", "the row has %d columns, the header row has %d", len(record), len(t.names))
		}
		if r.problem != nil {
			if err := f.out.Problem(r.problem); err != nil {
				return err
			}
			continue
		}
		for i, n := range t.names {
			r.values[n] = strings.TrimSpace(f.decode(r, n, record[i]))
		}
		if err := f.row(r); err != nil {
			return err
		}
	}
}

// decode takes a text out of the source's charset.
func (f *file) decode(r *row, column, text string) string {
	decoded, ok := f.doc.Settings.Decode([]byte(text))
	if !ok {
		r.fail(connectors.BadText, column, "save the file as UTF-8, or set the source's charset to iso-8859-1", "%s is not text", column)
		return ""
	}
	return decoded
}

var errRowTooLong = errors.New("row too long")

// A rowLimit fails where maxRow bytes have no line end. csv reads by whole lines, so a row that is never closed shows as
// many lines; what is bounded is the file behind one quotation mark.
type rowLimit struct {
	r    io.Reader
	run  int
	open bool
}

func (l *rowLimit) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for _, c := range p[:n] {
		if l.run++; l.run > maxRow {
			return 0, errRowTooLong
		}
		switch {
		case c == '"':
			l.open = !l.open
		case c == '\n' && !l.open:
			l.run = 0
		}
	}
	return n, err
}

// json gives out the elements of a JSON file, one at a time.
func (f *file) json(ctx context.Context) error {
	d := json.NewDecoder(bufio.NewReader(skipMark(f.doc.Reader())))
	broken := func(err error) error {
		var syntax *json.SyntaxError
		if err != nil && !errors.As(err, &syntax) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("masterdata: reading %s: %w", f.doc.RawRef, err)
		}
		p := &connectors.Problem{Cause: connectors.BadLine, Detail: `the file is not {"items": [...], "sites": [...]}: what follows was not read`, Remedy: "look at the place before it", DocType: JSON,
			Position: connectors.Position{Byte: d.InputOffset()}, Bytes: f.doc.Bytes}
		if err != nil {
			p.Detail += ": " + err.Error()
		}
		return f.out.Problem(p)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return broken(err)
	}
	ordinal := 0
	for d.More() {
		name, err := d.Token()
		if err != nil || name != "items" && name != "sites" {
			return broken(err)
		}
		if t, err := d.Token(); err != nil || t != json.Delim('[') {
			return broken(err)
		}
		for d.More() {
			if err := ctx.Err(); err != nil {
				return err
			}
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return broken(err)
			}
			ordinal++
			kind := ItemsCSV
			if name == "sites" {
				kind = SitesCSV
			}
			if err := f.element(raw, kind, ordinal, d.InputOffset()-int64(len(raw))); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return broken(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return broken(err)
	}
	return nil
}

// element gives out one object of a JSON file.
func (f *file) element(raw json.RawMessage, kind string, ordinal int, at int64) error {
	r := &row{values: map[string]string{}, line: ordinal, at: at, raw: raw, doc: f.doc, kind: kind}
	if !utf8.Valid(raw) { // the JSON reader would put a replacement character in its place
		r.fail(connectors.BadText, "", "write UTF-8 (RFC 8259)", "the element is not UTF-8")
		return f.out.Problem(r.problem)
	}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		r.fail(connectors.BadLine, "", "write an object of the columns' names", "the element is no object")
		return f.out.Problem(r.problem)
	}
	var names []string
	for n, v := range members {
		names = append(names, n)
		text, ok := flat(v)
		if !ok {
			r.fail(connectors.BadLine, n, "write a text, a number, true or false, or an array of texts", "%s is an object", n)
		}
		r.values[n] = strings.TrimSpace(text)
	}
	slices.Sort(names)
	if u := unknownColumn(kind, names); u != "" {
		r.fail(connectors.UnknownField, u, "use "+strings.Join(columns(kind), ", "), "there is no field %q", u)
	}
	if r.problem != nil {
		return f.out.Problem(r.problem)
	}
	return f.row(r)
}

// flat is a JSON value as CSV writes it.
func flat(v any) (text string, ok bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	case []any:
		var items []string
		for _, i := range v {
			t, ok := flat(i)
			if _, nested := i.([]any); !ok || nested {
				return "", false
			}
			items = append(items, t)
		}
		return strings.Join(items, ";"), true
	}
	return "", false
}

// skipMark leaves a byte order mark out.
func skipMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if m, err := b.Peek(3); err == nil && bytes.Equal(m, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(3)
	}
	return b
}

// split cuts a CSV file between rows, and repeats the header row. JSON is not cut.
func split(r io.Reader, limit int, emit func([]byte) error, refuse func(*connectors.Problem) error) error {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if isJSON(trimStart(head)) {
		whole, err := io.ReadAll(io.LimitReader(b, int64(limit)+1))
		switch {
		case err != nil:
			return err
		case len(whole) > limit:
			return refuse(&connectors.Problem{Cause: connectors.DocumentTooLarge, Detail: fmt.Sprintf("the JSON file is larger than %d bytes", limit), Remedy: "send it as CSV, which is cut between rows, or in several files",
				DocType: JSON, Position: connectors.Position{Byte: 0}, Bytes: head})
		}
		return emit(whole)
	}
	return splitCSV(b, limit, emit, refuse)
}

func splitCSV(b *bufio.Reader, limit int, emit func([]byte) error, refuse func(*connectors.Problem) error) error {
	var header, part, row []byte
	open, line := false, 0
	flush := func() error {
		if len(part) == len(header) {
			return nil
		}
		err := emit(part)
		part = append(part[:0:0], header...)
		return err
	}
	for {
		piece, err := b.ReadSlice('\n')
		row = append(row, piece...)
		for _, c := range piece {
			if c == '"' {
				open = !open
			}
		}
		if len(row) > maxRow {
			return refuse(&connectors.Problem{Cause: connectors.TooLong, Detail: fmt.Sprintf("a row is longer than %d bytes: what follows was not read", maxRow), Remedy: "look for a quotation mark that is never closed",
				Position: connectors.Position{Line: line + 1, Byte: -1}, Bytes: row[:1024]})
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		done := errors.Is(err, io.EOF)
		if !done && (open || errors.Is(err, bufio.ErrBufferFull)) {
			continue
		}
		line++
		if header == nil {
			header = bytes.Clone(row)
			part = bytes.Clone(row)
		} else {
			if len(part)+len(row) > limit {
				if err := flush(); err != nil {
					return err
				}
			}
			part = append(part, row...)
		}
		row = row[:0]
		if done {
			if len(header) == len(part) && line <= 2 {
				return emit(part) // a header alone: who reads it says so
			}
			return flush()
		}
	}
}
