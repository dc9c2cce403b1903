package clickhouse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

// revision is the newest protocol revision that this port speaks, and the newest that clickhouse-go asks for.
const revision = 54460

// profileEventsInInsert is the revision that brought them.
const profileEventsInInsert = 54456

// frameSize bounds one compressed frame of an answer, in bytes before compression.
const frameSize = 1 << 20

// serveTCP answers native TCP connections until ctx ends; it returns when every connection has.
func (e *engine) serveTCP(ctx context.Context, listener net.Listener) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })() // its error is Accept's
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		connections.Go(func() {
			defer conn.Close()                                          //nolint:errcheck // nothing is buffered
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends the read in progress
			t := &tcpConn{
				engine: e, conn: conn, r: proto.NewReader(conn),
				frames: compress.NewWriter(compress.LevelZero, compress.LZ4),
			}
			err := t.run() // never nil: io.EOF when the client has left between two statements
			if t.session != nil {
				t.session.close()
			}
			e.log.Debug("connection ended", "remote", conn.RemoteAddr().String(), "cause", err)
		})
	}
}

// tcpConn is one TCP connection and the engine's session behind it; SET and USE last as long as it does.
type tcpConn struct {
	engine   *engine
	conn     net.Conn
	r        *proto.Reader
	revision int
	session  *session
	out      proto.Buffer

	compressed bool         // the running query's blocks, both ways
	block      bytes.Buffer // of an INSERT, a header or profile events
	rows       bytes.Buffer // of a SELECT
	frames     *compress.Writer
}

func (t *tcpConn) run() error {
	if err := t.hello(); err != nil {
		return err
	}
	for {
		code, err := t.r.UVarInt()
		if err != nil {
			return err
		}
		switch proto.ClientCode(code) {
		case proto.ClientCodePing:
			proto.ServerCodePong.Encode(&t.out)
			err = t.flush()
		case proto.ClientCodeQuery:
			var q proto.Query
			if err = q.DecodeAware(t.r, t.revision); err == nil {
				err = t.query(q)
			}
		case proto.ClientCodeCancel: // nothing is running: the answer has already gone out
		case proto.ClientCodeData: // rows of an INSERT that has already failed
			_, err = t.readBlock(new(bytes.Buffer))
		default:
			err = fmt.Errorf("unexpected packet %d", code)
		}
		if err != nil {
			return err
		}
	}
}

func (t *tcpConn) hello() error {
	code, err := t.r.UVarInt()
	if err != nil {
		return err
	}
	if proto.ClientCode(code) != proto.ClientCodeHello {
		return fmt.Errorf("expected hello, got packet %d", code)
	}
	var h proto.ClientHello
	if err := h.Decode(t.r); err != nil {
		return err
	}
	if !t.engine.authentic(h.User, h.Password) {
		return errors.Join(errAuthentication, t.sendException(errAuthentication))
	}
	if t.session, err = openSession(t.engine.lib, t.engine.args); err != nil {
		return errors.Join(err, t.sendException(err))
	}
	if h.Database != "" {
		if err := t.session.use(h.Database); err != nil {
			return errors.Join(err, t.sendException(err))
		}
	}
	t.revision = min(h.ProtocolVersion, revision)
	v := t.engine.version
	greeting := proto.ServerHello{Name: "ClickHouse", Major: v[0], Minor: v[1], Patch: v[2], Revision: revision, Timezone: "UTC", DisplayName: displayName}
	greeting.EncodeAware(&t.out, t.revision)
	if err := t.flush(); err != nil {
		return err
	}
	if proto.FeatureAddendum.In(t.revision) {
		_, err = t.r.Str() // quota key
	}
	return err
}

// readBlock reads a data packet's table name and block, and leaves the block in dst in bare framing.
func (t *tcpConn) readBlock(dst *bytes.Buffer) (block, error) {
	if _, err := t.r.Str(); err != nil {
		return block{}, err
	}
	if t.compressed { // a block ends where a frame does, so the buffer never reads past it
		return recode(dst, bufio.NewReaderSize(compress.NewReader(t.r), 1<<16), wire)
	}
	return recode(dst, t.r, wire)
}

func (t *tcpConn) sendHeader(columns []column) error {
	t.block.Reset()
	appendHeader(&t.block, columns)
	return t.sendBlock(t.block.Bytes())
}

// sendBlock sends a block that is in wire framing.
func (t *tcpConn) sendBlock(b []byte) error {
	proto.ServerCodeData.Encode(&t.out)
	t.out.PutString("")
	if t.compressed {
		for len(b) > 0 {
			n := min(len(b), frameSize)
			if err := t.frames.Compress(b[:n]); err != nil {
				return err
			}
			t.out.PutRaw(t.frames.Data)
			b = b[n:]
		}
	} else {
		t.out.PutRaw(b)
	}
	return t.flush()
}

// putProfileEvents says that there are none, after each block of an INSERT and after its end, as a server does: Python's
// clickhouse-driver waits for each of them.
func (t *tcpConn) putProfileEvents() {
	if t.revision < profileEventsInInsert {
		return
	}
	t.block.Reset()
	appendHeader(&t.block, []column{
		{"host_name", "String"}, {"current_time", "DateTime"}, {"thread_id", "UInt64"},
		{"type", "Enum8('increment' = 1, 'gauge' = 2)"}, {"name", "String"}, {"value", "Int64"},
	})
	proto.ServerProfileEvents.Encode(&t.out)
	t.out.PutString("")
	t.out.PutRaw(t.block.Bytes()) // never compressed
}

func (t *tcpConn) sendEnd(p proto.Progress) error {
	proto.ServerCodeProgress.Encode(&t.out)
	p.EncodeAware(&t.out, t.revision)
	proto.ServerCodeEndOfStream.Encode(&t.out)
	return t.flush()
}

func (t *tcpConn) sendException(err error) error {
	code, name, message := exception(err)
	proto.ServerCodeException.Encode(&t.out)
	e := proto.Exception{
		Code: proto.Error(code), Name: "DB::Exception", Stack: name,
		Message: trimCode(message, code),
	}
	e.EncodeAware(&t.out, t.revision)
	return t.flush()
}

func (t *tcpConn) flush() error {
	_, err := t.conn.Write(t.out.Buf)
	t.out.Reset()
	return err
}
