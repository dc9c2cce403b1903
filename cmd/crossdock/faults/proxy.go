package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Keys of Kafka's requests (protocol guide, "API keys").
const (
	produce         int16 = 0
	joinGroup       int16 = 11
	syncGroup       int16 = 14
	initProducerID  int16 = 22
	endTxn          int16 = 26
	txnOffsetCommit int16 = 28
)

// maxFrame bounds a request or an answer: brokers take and give far less.
const maxFrame = 128 << 20

// frames is how many requests or answers a direction of a link holds at most.
const frames = 16

// A path is a proxy between one instance and one broker. It carries whole requests and answers, so it knows enough of Kafka
// to lose the answer of one kind of request once the broker has given it: that is what a generic proxy cannot do.
type path struct {
	listener net.Listener
	stop     context.CancelFunc
	stopped  context.Context
	all      sync.WaitGroup

	mu     sync.Mutex // guards what is below
	target string
	links  map[*link]bool
	refuse bool
	delay  time.Duration
	gate   chan struct{} // nothing passes until it is closed; nil: all passes
	losing int16
	left   int // answers still to be lost
	lost   int
	traps  func(kmsg.Request) bool // springs at requests to join a group; nil: none is set
}

// newPath listens; it carries nothing before aim.
func newPath(ctx context.Context) (*path, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &path{listener: l, links: map[*link]bool{}}
	p.stopped, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.all.Go(p.accept)
	return p, nil
}

func (p *path) addr() string { return p.listener.Addr().String() }

// aim says where connections go.
func (p *path) aim(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// close ends every connection and waits for every goroutine.
func (p *path) close() {
	p.stop()
	_ = p.listener.Close() // nothing is lost by it
	p.cut()
	p.all.Wait()
}

// cut ends all connections that are open; new ones are taken.
func (p *path) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end()
	}
}

// block refuses connections, and cuts those there are.
func (p *path) block(on bool) {
	p.mu.Lock()
	p.refuse = on
	p.mu.Unlock()
	if on {
		p.cut()
	}
}

// stall holds every byte back and lets connections be: what a network does that has forgotten a route.
func (p *path) stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.gate == nil:
		p.gate = make(chan struct{})
	case !on && p.gate != nil:
		close(p.gate)
		p.gate = nil
	}
}

// slow holds every request and every answer back for a time, without parting them.
func (p *path) slow(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = by
}

// lose cuts the connection instead of carrying the next n answers to requests of a kind: the broker has done what was asked.
func (p *path) lose(key int16, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing, p.left, p.lost = key, n, 0
}

// losses is how many were lost since lose.
func (p *path) losses() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// trap sets a trap for requests to join a group: when it springs the path stalls, and the request is held with all that follows.
// nil takes it away.
func (p *path) trap(springs func(kmsg.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traps = springs
}

// joins shows a request to join a group to the trap that is set.
func (p *path) joins(body []byte) error {
	p.mu.Lock()
	springs := p.traps
	p.mu.Unlock()
	if springs == nil {
		return nil
	}
	req, err := parse(body)
	if err != nil {
		return err
	}
	if springs(req) {
		p.stall(true)
	}
	return nil
}

// parse reads a request: a header of key, version, correlation id and client id, with tags behind it where the version is a
// flexible one (KIP-482), and its body.
func parse(b []byte) (kmsg.Request, error) {
	r := kbin.Reader{Src: b}
	key, version := r.Int16(), r.Int16()
	r.Int32()
	r.NullableString()
	req := kmsg.RequestForKey(key)
	if req == nil || !r.Ok() {
		return nil, fmt.Errorf("a request of key %d cannot be read", key)
	}
	req.SetVersion(version)
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if err := r.Complete(); err != nil {
		return nil, err
	}
	return req, req.ReadFrom(r.Src)
}

// asks says whether the answer to a request is one to lose.
func (p *path) asks(key int16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left > 0 && p.losing == key
}

// loses says that an answer that was to be lost is here: it is lost unless enough are.
func (p *path) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return false
	}
	p.left--
	p.lost++
	return true
}

func (p *path) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, refuse := p.target, p.refuse
		p.mu.Unlock()
		if refuse || target == "" {
			_ = client.Close()
			continue
		}
		p.all.Go(func() { p.carry(client, target) })
	}
}

// carry is one connection.
func (p *path) carry(client net.Conn, target string) {
	broker, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(p.stopped, "tcp", target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{path: p, client: client, broker: broker, lost: map[int32]bool{}}
	l.ended, l.cancel = context.WithCancel(p.stopped)
	p.mu.Lock()
	p.links[l] = true
	if p.refuse { // since it was accepted
		l.end()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pump(client, broker, l.request) })
	both.Go(func() { l.pump(broker, client, l.answer) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// A link is one connection with both its ends.
type link struct {
	path           *path
	client, broker net.Conn
	ended          context.Context
	cancel         context.CancelFunc

	mu   sync.Mutex
	lost map[int32]bool // correlation ids whose answers are to be lost
}

func (l *link) end() {
	l.cancel()
	_ = l.client.Close()
	_ = l.broker.Close()
}

// A frame is a request or an answer with its length before it.
type frame struct {
	bytes []byte
	came  time.Time
}

// errLost ends a link whose answer is lost.
var errLost = errors.New("the answer is lost")

// pump carries one direction until either end closes, which closes the other.
func (l *link) pump(from, to net.Conn, look func(body []byte) error) {
	defer l.end()
	queue := make(chan frame, frames)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(queue)
		in := bufio.NewReaderSize(from, 64<<10)
		for {
			b, err := readFrame(in)
			if err == nil {
				err = look(b[4:])
			}
			if errors.Is(err, errLost) {
				l.end()
			}
			if err != nil {
				return
			}
			select {
			case queue <- frame{b, time.Now()}:
			case <-l.ended.Done():
				return
			}
		}
	})
	for f := range queue {
		if !l.passes(f) {
			break
		}
		if _, err := to.Write(f.bytes); err != nil {
			break
		}
	}
	l.end()
	reading.Wait()
}

// passes waits until a frame may leave; false: the link has ended.
func (l *link) passes(f frame) bool {
	l.path.mu.Lock()
	gate, delay := l.path.gate, l.path.delay
	l.path.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-l.ended.Done():
			return false
		}
	}
	if wait := time.Until(f.came.Add(delay)); delay > 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.ended.Done():
			return false
		}
	}
	return l.ended.Err() == nil
}

// request takes note of what the client asks: key, version and correlation id begin every request.
func (l *link) request(body []byte) error {
	if len(body) < 8 {
		return fmt.Errorf("a request of %d bytes", len(body))
	}
	key := int16(binary.BigEndian.Uint16(body))
	if key == joinGroup {
		if err := l.path.joins(body); err != nil {
			return err
		}
	}
	if l.path.asks(key) {
		l.mu.Lock()
		l.lost[int32(binary.BigEndian.Uint32(body[4:]))] = true
		l.mu.Unlock()
	}
	return nil
}

// answer looks whether it is one to lose, by its correlation id.
func (l *link) answer(body []byte) error {
	if len(body) < 4 {
		return fmt.Errorf("an answer of %d bytes", len(body))
	}
	id := int32(binary.BigEndian.Uint32(body))
	l.mu.Lock()
	lose := l.lost[id]
	delete(l.lost, id)
	l.mu.Unlock()
	if lose && l.path.loses() {
		return errLost
	}
	return nil
}

func readFrame(in *bufio.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	b := make([]byte, 4+n)
	copy(b, head[:])
	_, err := io.ReadFull(in, b[4:])
	return b, err
}
