package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"crossdock/loadtest/oracle"
)

// A State is where the pipeline answers queries about its committed state.
type State struct {
	URL      string            // "http://127.0.0.1:8080": POST /v1/inventory/query is asked there
	Client   *http.Client      // nil: one of its own, without a limit of time but the context's
	Header   map[string]string // sent with each query
	InFlight int               // queries at a time; default 4
}

const (
	// keysAQuery is how many keys the query takes at most.
	keysAQuery = 1_000
	// answerLimit bounds an answer: a balance of 1,000 keys has under 1 KiB each.
	answerLimit = 4 << 20
	// The waits before a query that was turned away is asked again: where the answer names none, the first one, doubled each
	// time up to the longest.
	retryFirst, retryLongest = 100 * time.Millisecond, 5 * time.Second
	// triesWithout is how often in a row nobody answers before the reading is given up: a service that restarts is back by then.
	triesWithout = 12
)

// read asks for every balance that must be, in batches, and hands the answers to the check.
func (s *State) read(ctx context.Context, o *oracle.Oracle, c *oracle.BalanceCheck, progress func(done int64)) error {
	client := s.Client
	if client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: max(4, s.InFlight)}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	type answer struct {
		first int
		rows  []*oracle.Row
	}
	inFlight := s.InFlight
	if inFlight <= 0 {
		inFlight = 4
	}
	answers := make(chan answer, inFlight)
	group, ctx := errgroup.WithContext(ctx)
	for worker := range inFlight {
		group.Go(func() error {
			q := query{state: s, client: client}
			for first := worker * keysAQuery; first < o.Keys(); first += inFlight * keysAQuery {
				rows, err := q.ask(ctx, o, first, min(first+keysAQuery, o.Keys()))
				if err != nil {
					return err
				}
				select {
				case answers <- answer{first, rows}:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			return nil
		})
	}
	failed := make(chan error, 1)
	go func() {
		failed <- group.Wait()
		close(answers)
	}()
	done := int64(0)
	for a := range answers {
		for i, r := range a.rows {
			c.Answer(a.first+i, r)
		}
		done += int64(len(a.rows))
		progress(done)
	}
	return <-failed
}

// A query asks one batch after the other.
type query struct {
	state  *State
	client *http.Client
	body   []byte
	answer bytes.Buffer
}

// ask asks for the balances of the places [first, end), as often as it takes.
func (q *query) ask(ctx context.Context, o *oracle.Oracle, first, end int) ([]*oracle.Row, error) {
	q.body = append(q.body[:0], `{"keys":[`...)
	for i := first; i < end; i++ {
		if i > first {
			q.body = append(q.body, ',')
		}
		sku, site := o.Key(i)
		q.body = append(q.body, `{"sku":`...)
		q.body = appendJSON(q.body, sku)
		q.body = append(q.body, `,"site":`...)
		q.body = appendJSON(q.body, site)
		q.body = append(q.body, '}')
	}
	q.body = append(q.body, `]}`...)
	wait, without := retryFirst, 0
	for {
		again, err := q.post(ctx)
		switch {
		case err == nil && again == 0:
			rows, err := parseAnswer(q.answer.Bytes(), end-first)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", q.url(), err)
			}
			return rows, nil
		case err != nil:
			var refused *refusedError
			if without++; errors.As(err, &refused) || ctx.Err() != nil || without == triesWithout {
				return nil, fmt.Errorf("%s: %w", q.url(), err)
			}
			again = wait
			wait = min(2*wait, retryLongest)
		default:
			without = 0
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%s: not answered: %w", q.url(), context.Cause(ctx))
		}
	}
}

func (q *query) url() string { return strings.TrimSuffix(q.state.URL, "/") + "/v1/inventory/query" }

// A refusedError is an answer that asking again does not change.
type refusedError struct {
	status int
	says   string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the query was refused with %d %s: %s", e.status, http.StatusText(e.status), e.says)
}

// post asks once. again is how long to wait where the service asks for patience: it restores a partition, or has too much to
// do. An error that is no *refusedError may pass.
func (q *query) post(ctx context.Context) (again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.url(), bytes.NewReader(q.body))
	if err != nil {
		return 0, &refusedError{says: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range q.state.Header {
		request.Header.Set(name, value)
	}
	response, err := q.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was read, or is of no use
	q.answer.Reset()
	if n, err := q.answer.ReadFrom(io.LimitReader(response.Body, answerLimit+1)); err != nil {
		return 0, err
	} else if n > answerLimit {
		return 0, &refusedError{response.StatusCode, "the answer is longer than 4 MiB"}
	}
	switch response.StatusCode {
	case http.StatusOK:
		return 0, nil
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return retryAfter(response.Header.Get("Retry-After")), nil
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return 0, fmt.Errorf("status %d", response.StatusCode)
	}
	return 0, &refusedError{response.StatusCode, strings.TrimSpace(string(q.answer.Bytes()[:min(q.answer.Len(), 300)]))}
}

// retryAfter is how long an answer asks to wait: seconds (RFC 9110 section 10.2.3), at least one beat; without it a second.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || seconds < 0 || seconds > 3600 {
		return time.Second
	}
	return max(retryFirst, time.Duration(seconds*float64(time.Second)))
}

func appendJSON(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(b, `""`...) // a text is always encoded
	}
	return append(b, quoted...)
}
