package send

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// health collects what becomes of the client's connections. The client calls it from its goroutines.
type health struct {
	mu       sync.Mutex // guards all below
	failures int64      // to connect, so far
	last     error      // of a connection
	at       time.Time
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h *health) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		h.note(fmt.Errorf("connect to %s: %w", brokerName(meta), err), 1)
	}
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect. Idle connections end too: it is no failure by itself.
func (h *health) OnBrokerDisconnect(meta kgo.BrokerMetadata, _ net.Conn) {
	h.note(fmt.Errorf("the connection to %s ended", brokerName(meta)), 0)
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (h *health) OnBrokerWrite(meta kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		h.note(fmt.Errorf("write to %s: %w", brokerName(meta), err), 0)
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (h *health) OnBrokerRead(meta kgo.BrokerMetadata, _ int16, _ int, _, _ time.Duration, err error) {
	if err != nil {
		h.note(fmt.Errorf("read from %s: %w", brokerName(meta), err), 0)
	}
}

func brokerName(meta kgo.BrokerMetadata) string {
	where := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	if meta.NodeID < 0 { // the client numbers seeds below zero
		return "seed broker " + where
	}
	return fmt.Sprintf("broker %d, %s", meta.NodeID, where)
}

func (h *health) note(err error, failures int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures += failures
	// That a connection ended says less than the error that ended it.
	if errors.Unwrap(err) != nil || h.last == nil || errors.Unwrap(h.last) == nil {
		h.last = err
	}
	h.at = time.Now()
}

// since is how many connections failed so far, and the last error since a time, nil without one.
func (h *health) since(t time.Time) (failures int64, last error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at.Before(t) {
		return h.failures, nil
	}
	return h.failures, h.last
}

// forget starts anew.
func (h *health) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.last = 0, nil
}
