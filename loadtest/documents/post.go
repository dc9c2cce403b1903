package documents

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// attemptWithin bounds one attempt: an ingress answers with 503 long before.
	attemptWithin = 2 * time.Minute
	// retryLeast and retryMost bound the pause after an attempt that got no answer; retryAfterMost that which an answer asks for.
	retryLeast     = 50 * time.Millisecond
	retryMost      = time.Second
	retryAfterMost = time.Minute
	answerBytes    = 16 << 10
)

// A poster posts documents. It is safe for concurrent use.
type poster struct {
	client  *http.Client
	where   string
	targets []Target
}

func newPoster(where string, targets []Target, connections int) *poster {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &poster{
		where: where, targets: targets,
		client: &http.Client{
			Transport: &http.Transport{
				DialContext: dialer.DialContext, MaxConnsPerHost: connections, MaxIdleConns: connections, MaxIdleConnsPerHost: connections,
				IdleConnTimeout: time.Minute, DisableCompression: true, Proxy: http.ProxyFromEnvironment, WriteBufferSize: 32 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// An answer is what became of a document.
type answer struct {
	taken   bool
	refused error // for good: the document is not in, and will not be
	// doubtful says that an attempt before the last may have put it in as well.
	doubtful bool
}

// A RefusedError is an answer of the ingress that no repetition changes.
type RefusedError struct {
	Status  int
	Source  string
	Message string // the ingress's own words
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("source %s: the ingress answered %d: %s", e.Source, e.Status, e.Message)
}

// post sends a document until it is answered. What is not taken when ctx ends is neither taken nor refused.
func (p *poster) post(ctx context.Context, d *Document, l *Log) (a answer) {
	for pause := retryLeast; ; {
		reply, err := p.attempt(ctx, d)
		after := reply.after
		switch {
		case err != nil:
			if ctx.Err() == nil {
				l.failing(err)
			}
			a.doubtful = a.doubtful || !neverSent(err)
			after = pause
			pause = min(2*pause, retryMost)
		case reply.status == http.StatusAccepted:
			a.taken = true
			return a
		case reply.status == http.StatusTooManyRequests:
			l.throttle()
		case reply.status >= http.StatusInternalServerError:
			l.failing(fmt.Errorf("the ingress answers %d: %s", reply.status, reply.message))
			a.doubtful = true // it may be stored all the same, and not acknowledged
		default:
			a.refused = &RefusedError{Status: reply.status, Source: p.targets[d.Target].Source, Message: reply.message}
			return a
		}
		if !sleep(ctx, after) {
			return a
		}
	}
}

// A reply is what the ingress said to one attempt.
type reply struct {
	status  int
	after   time.Duration // to wait before the next attempt
	message string
}

func (p *poster) attempt(ctx context.Context, d *Document) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptWithin)
	defer cancel()
	t := &p.targets[d.Target]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.where+t.Source, bytes.NewReader(d.Body))
	if err != nil {
		return reply{}, err
	}
	// The client would post a document with an Idempotency-Key again by itself where a connection breaks, and nobody would know
	// that it may be in twice.
	req.GetBody = nil
	h := req.Header
	h.Set("Content-Type", d.Format.contentType())
	h.Set("X-Document-Type", d.Format.String())
	h.Set("Idempotency-Key", d.Key)
	t.Credentials.show(h, d.Body)
	resp, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return reply{status: resp.StatusCode}, nil // taken, whatever became of the rest of the answer
	case err != nil:
		return reply{}, err
	}
	return reply{resp.StatusCode, retryAfter(resp.Header), message(text)}, nil
}

// show puts what is agreed into a request.
func (c *Credentials) show(h http.Header, body []byte) {
	if c.APIKey != "" {
		h.Set("X-API-Key", c.APIKey)
	}
	if c.Bearer != "" {
		h.Set("Authorization", "Bearer "+c.Bearer)
	}
	if c.HMACSecret != "" {
		mac := hmac.New(sha256.New, []byte(c.HMACSecret))
		_, _ = mac.Write(body) // it never fails
		h.Set(c.HMACHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// retryAfter is how long an answer asks to wait (RFC 9110, section 10.2.3); a second where it does not say it.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return min(time.Duration(seconds)*time.Second, retryAfterMost)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, time.Until(at)), retryAfterMost)
	}
	return time.Second
}

// message is what an answer says: the ingress's own error, or the text as it came.
func message(text []byte) string {
	var body struct {
		Error struct{ Code, Message, Remedy string }
	}
	if err := json.Unmarshal(text, &body); err == nil && body.Error.Message != "" {
		m := body.Error.Message
		if body.Error.Remedy != "" {
			m += "; " + body.Error.Remedy
		}
		return m
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text[:min(len(text), 500)])), "?")
}

// neverSent says of an error that not a byte left: nobody could be connected to.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
