package clickhouse

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// query answers one statement over native TCP. Its error ends the connection; one of the statement goes to the client.
func (t *tcpConn) query(q proto.Query) error {
	t.compressed = q.Compression == proto.CompressionEnabled
	t.engine.log.Debug("statement", "port", "tcp", "text", q.Body)
	if err := t.skipExternalTables(); err != nil {
		return err
	}
	start := time.Now()
	var settings, params []setting
	for _, s := range q.Settings {
		settings = append(settings, setting{s.Key, s.Value})
	}
	for _, p := range q.Parameters {
		params = append(params, setting{p.Key, unquote(p.Value)})
	}
	if err := checkStatement(q.Body); err != nil {
		return t.sendException(err)
	}
	undo, err := t.session.with(settings, params)
	if err != nil {
		return t.sendException(err)
	}
	defer undo()
	switch in, ok := splitInsert(q.Body); {
	case ok:
		return t.insert(in, start)
	case rowsClause.MatchString(q.Body):
		return t.selectRows(q.Body, start)
	}
	if _, err := t.session.query(q.Body, "Null"); err != nil {
		return t.sendException(err)
	}
	return t.sendEnd(proto.Progress{ElapsedNs: nanoseconds(start)})
}

// skipExternalTables reads what follows a query up to the empty block that ends it.
func (t *tcpConn) skipExternalTables() error {
	for {
		code, err := t.r.UVarInt()
		if err != nil {
			return err
		}
		if proto.ClientCode(code) != proto.ClientCodeData {
			return fmt.Errorf("expected data after the query, got packet %d", code)
		}
		if b, err := t.readBlock(new(bytes.Buffer)); err != nil || len(b.columns) == 0 {
			return err
		}
	}
}

func (t *tcpConn) selectRows(q string, start time.Time) error {
	if m := formatClause.FindStringIndex(q); m != nil {
		q = q[:m[0]] // blocks travel as blocks, whatever format the statement names
	}
	begun, rows := false, 0
	emit := func(chunk []byte) error {
		for src := bytes.NewReader(chunk); src.Len() > 0; {
			t.rows.Reset()
			b, err := recode(&t.rows, src, bare)
			if err != nil {
				return err
			}
			if !begun {
				begun = true
				if err := t.sendHeader(b.columns); err != nil {
					return err
				}
			}
			rows += b.rows
			if err := t.sendBlock(t.rows.Bytes()); err != nil {
				return err
			}
		}
		return nil
	}
	streams := selectClause.MatchString(q)
	var err error
	if streams {
		err = t.session.stream(q, "Native", emit)
	} else {
		var out []byte
		if out, err = t.session.query(q, "Native"); err == nil {
			err = emit(out)
		}
	}
	if err != nil {
		var ne net.Error
		if errors.As(err, &ne) || errors.Is(err, net.ErrClosed) {
			return err
		}
		return t.sendException(err)
	}
	if !begun && streams { // no row: the client still wants to know the columns
		columns, err := t.session.describe("(" + strings.TrimRight(q, "; \n\t") + ")")
		if err != nil {
			return t.sendException(err)
		}
		if err := t.sendHeader(columns); err != nil {
			return err
		}
	}
	proto.Profile{Rows: uint64(rows)}.EncodeAware(&t.out, t.revision)
	return t.sendEnd(proto.Progress{Rows: uint64(rows), ElapsedNs: nanoseconds(start)})
}

// insert takes the rows of an INSERT: the engine has the whole block or, if the client cancels or leaves, nothing of it.
func (t *tcpConn) insert(in insertStatement, start time.Time) error {
	list := in.columns
	if list == "" {
		list = "*"
	}
	columns, err := t.session.describe("(SELECT " + list + " FROM " + in.table + ")")
	if err != nil {
		return t.sendException(err)
	}
	i, err := t.session.insert(in.head, "Native")
	if err != nil {
		return t.sendException(err)
	}
	if err := t.sendHeader(columns); err != nil {
		i.cancel()
		return err
	}
	for {
		code, err := t.r.UVarInt()
		switch {
		case err != nil: // the client has left
			i.cancel()
			return err
		case proto.ClientCode(code) == proto.ClientCodeCancel:
			i.cancel()
			return t.sendEnd(proto.Progress{})
		case proto.ClientCode(code) != proto.ClientCodeData:
			i.cancel()
			return fmt.Errorf("expected data, got packet %d", code)
		}
		t.block.Reset()
		b, err := t.readBlock(&t.block)
		if err != nil {
			i.cancel()
			return errors.Join(err, t.sendException(err))
		}
		if len(b.columns) == 0 {
			break
		}
		if b.rows == 0 {
			continue
		}
		if _, err := i.Write(t.block.Bytes()); err != nil {
			i.release()
			return t.drain(err)
		}
		t.putProfileEvents()
		if err := t.flush(); err != nil {
			i.cancel()
			return err
		}
	}
	n, err := i.commit()
	if err != nil {
		return t.sendException(err)
	}
	t.putProfileEvents()
	return t.sendEnd(proto.Progress{WroteRows: n, ElapsedNs: nanoseconds(start)})
}

// drain reads what the client still sends of a failed INSERT, then reports the failure.
func (t *tcpConn) drain(cause error) error {
	for {
		code, err := t.r.UVarInt()
		if err != nil {
			return err
		}
		if proto.ClientCode(code) != proto.ClientCodeData {
			return t.sendException(cause)
		}
		if b, err := t.readBlock(new(bytes.Buffer)); err != nil {
			return err
		} else if len(b.columns) == 0 {
			return t.sendException(cause)
		}
	}
}

func nanoseconds(since time.Time) uint64 { return uint64(time.Since(since)) }

// trimCode takes off the code with which the engine begins a message: it travels on its own.
func trimCode(message string, code int) string {
	return strings.TrimPrefix(message, fmt.Sprintf("Code: %d. ", code))
}
