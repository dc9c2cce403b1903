package faults

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo is a broker that answers each request with its correlation id alone, and counts requests.
type echo struct {
	listener net.Listener
	all      sync.WaitGroup
	asked    chan int32
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: l, asked: make(chan int32, 100)}
	e.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.all.Go(func() {
				defer c.Close() //nolint:errcheck // a test's
				in := bufio.NewReader(c)
				for {
					b, err := readFrame(in)
					if err != nil {
						return
					}
					id := binary.BigEndian.Uint32(b[8:])
					e.asked <- int32(id)
					if _, err := c.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4}, id)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); e.all.Wait() })
	return e
}

func startPath(t *testing.T, e *echo) *path {
	t.Helper()
	p, err := newPath(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.aim(e.listener.Addr().String())
	t.Cleanup(p.close)
	return p
}

// caller is a client of one connection.
type caller struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func call(t *testing.T, p *path) *caller {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

func (c *caller) ask(key int16, id int32) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, 8)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 4)
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) answer(within time.Duration) (int32, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, err
	}
	b, err := readFrame(c.in)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b[4:])), nil
}

func TestAnswerIsLostOnlyOnceTheBrokerHasDoneWhatWasAsked(t *testing.T) {
	e := startEcho(t)
	p := startPath(t, e)
	p.lose(endTxn, 1)
	c := call(t, p)
	c.ask(produce, 1)
	if id, err := c.answer(10 * time.Second); id != 1 || err != nil {
		t.Fatalf("an answer of another kind: %d, %v", id, err)
	}
	c.ask(endTxn, 2)
	if _, err := c.answer(10 * time.Second); !errors.Is(err, io.EOF) {
		t.Errorf("the answer that was to be lost: %v", err)
	}
	if a, b := <-e.asked, <-e.asked; a != 1 || b != 2 || p.losses() != 1 {
		t.Errorf("the broker was asked %d and %d, %d answers were lost", a, b, p.losses())
	}
	c = call(t, p)
	c.ask(endTxn, 3)
	if id, err := c.answer(10 * time.Second); id != 3 || err != nil {
		t.Errorf("after enough were lost: %d, %v", id, err)
	}
}

func TestStallHoldsBytesBackAndKeepsTheConnection(t *testing.T) {
	p := startPath(t, startEcho(t))
	c := call(t, p)
	p.stall(true)
	c.ask(produce, 1)
	if _, err := c.answer(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it stalls: %v", err)
	}
	p.stall(false)
	if id, err := c.answer(10 * time.Second); id != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", id, err)
	}
}

func TestSlowDelaysEachWay(t *testing.T) {
	p := startPath(t, startEcho(t))
	c := call(t, p)
	p.slow(30 * time.Millisecond)
	began := time.Now()
	for id := range int32(5) { // pipelined: the delays do not add up
		c.ask(produce, id)
	}
	for id := range int32(5) {
		if got, err := c.answer(10 * time.Second); got != id || err != nil {
			t.Fatalf("%d, %v", got, err)
		}
	}
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("there and back took %v", took)
	}
}

func TestBlockCutsAndRefuses(t *testing.T) {
	p := startPath(t, startEcho(t))
	c := call(t, p)
	c.ask(produce, 1)
	if _, err := c.answer(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	p.block(true)
	if _, err := c.answer(10 * time.Second); err == nil {
		t.Error("a cut connection answers")
	}
	c = call(t, p)
	if _, err := c.answer(10 * time.Second); err == nil {
		t.Error("a refused connection answers")
	}
	p.block(false)
	c = call(t, p)
	c.ask(produce, 2)
	if id, err := c.answer(10 * time.Second); id != 2 || err != nil {
		t.Errorf("afterwards: %d, %v", id, err)
	}
}
