package api

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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"crossdock/avro/event"
	"crossdock/processors/inventory"
	"crossdock/topology/runtime"
)

const (
	// askedAtOnce is how many instances one request asks at a time.
	askedAtOnce = 8
	// maxAnswer bounds an instance's answer: 1,000 balances of under 2 KiB, longer codes aside.
	maxAnswer = 8 << 20
	// maxRetryAfter bounds what an instance may ask for, in seconds.
	maxRetryAfter = 60
)

// newClient is for questions to other instances: directly, and not many at a time.
func newClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: askedAtOnce, MaxConnsPerHost: 4 * askedAtOnce, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// balances answers for keys, in their order.
func (s *Server) balances(ctx context.Context, keys []Key, forwarded bool) ([]json.RawMessage, *refusal) {
	g := &gathering{Server: s, keys: keys, out: make([]json.RawMessage, len(keys)), forwarded: forwarded}
	places := make([]int, len(keys))
	for i := range keys {
		places[i] = i
	}
	for again := false; len(places) > 0; again = true {
		moved, bad := g.round(ctx, places)
		if bad != nil && (len(moved) == 0 || again) {
			return nil, bad
		}
		if len(moved) > 0 {
			if err := s.state.LookForOwners(ctx); err != nil {
				return nil, refusalOf(err)
			}
		}
		places = moved
	}
	return g.out, nil
}

// A gathering is one request's.
type gathering struct {
	*Server
	keys      []Key
	out       []json.RawMessage
	forwarded bool
}

// round answers what is here and asks the owners of the rest. moved are the places whose owner was not where it was looked
// for, with the refusal that stands if it is not found elsewhere.
func (g *gathering) round(ctx context.Context, places []int) (moved []int, bad *refusal) {
	elsewhere, bad := g.here(ctx, places)
	if bad != nil || len(elsewhere) == 0 {
		return nil, bad
	}
	if g.forwarded {
		return nil, refuse(http.StatusMisdirectedRequest, "not_here", "the partition of a key is not this instance's",
			"ask the instance that has it, or leave out "+forwardedBy+" and any instance finds it")
	}
	owners := map[runtime.Owner][]int{}
	for partition, of := range elsewhere {
		o, err := g.state.Owner(ctx, partition)
		switch {
		case err != nil:
			return nil, refusalOf(err)
		case o.Self:
			moved = append(moved, of...)
			bad = passing("opening", fmt.Sprintf("partition %d has just been given to this instance, which does not run it yet", partition), 1)
			continue
		case o.Address == "":
			return nil, passing("no_address", fmt.Sprintf("partition %d is instance %s's, which tells no address for queries: its query.listen is empty, or it runs an older version", partition, o.Instance), 5)
		}
		owners[o] = append(owners[o], of...)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for o, of := range owners {
		group.Go(func() error {
			away, refused := g.ask(ctx, o, of)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case refused == nil:
				g.Server.keys.WithLabelValues("elsewhere").Add(float64(len(of)))
			case away:
				moved = append(moved, of...)
				if bad == nil {
					bad = refused
				}
			default:
				return (*refusedError)(refused)
			}
			return nil
		})
	}
	var refused *refusedError
	if err := group.Wait(); errors.As(err, &refused) {
		return nil, (*refusal)(refused)
	}
	return moved, bad
}

type refusedError refusal

func (e *refusedError) Error() string { return e.Message }

// here answers for the partitions of this instance, and tells the places of the others by partition.
func (g *gathering) here(ctx context.Context, places []int) (map[int32][]int, *refusal) {
	keys := make([][]byte, len(places))
	for i, p := range places {
		keys[i] = g.keys[p].bytes()
	}
	found, err := g.state.Query(ctx, store, keys)
	if err != nil {
		return nil, refusalOf(err)
	}
	elsewhere := map[int32][]int{}
	var stock event.InventoryBalance
	for i, p := range places {
		if !found[i].Here {
			elsewhere[found[i].Partition] = append(elsewhere[found[i].Partition], p)
			continue
		}
		b := Balance{SKU: g.keys[p].SKU, Site: g.keys[p].Site}
		if found[i].Value != nil {
			if err := inventory.ReadBalance(keys[i], found[i].Value, &stock); err != nil {
				return nil, broken(err)
			}
			b.Found, b.Stock = true, stockOf(&stock)
		}
		if g.out[p], err = json.Marshal(b); err != nil {
			return nil, broken(err)
		}
		g.Server.keys.WithLabelValues("here").Inc()
	}
	return elsewhere, nil
}

// ask asks an instance for the balances of some places. away says that it is not there, or has not the partition any more.
func (g *gathering) ask(ctx context.Context, o runtime.Owner, places []int) (away bool, bad *refusal) {
	var question struct {
		Keys []Key `json:"keys"`
	}
	for _, p := range places {
		question.Keys = append(question.Keys, g.keys[p])
	}
	body, err := json.Marshal(question)
	if err != nil {
		return false, broken(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(o.Address, "/")+queryPath, bytes.NewReader(body))
	if err != nil {
		return false, broken(fmt.Errorf("instance %s advertises %q: %w", o.Instance, o.Address, err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(forwardedBy, g.instance)
	resp, err := g.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return false, refusalOf(context.Cause(ctx))
		}
		return true, g.unreached(o, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no use
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return false, refusalOf(context.Cause(ctx))
	case err != nil:
		return true, g.unreached(o, err)
	case len(answer) > maxAnswer:
		return false, g.garbled(o, fmt.Sprintf("with more than %d bytes", maxAnswer))
	case resp.StatusCode == http.StatusMisdirectedRequest:
		return true, passing("moving", fmt.Sprintf("instance %s has just given the partition up", o.Instance), 1)
	case resp.StatusCode == http.StatusServiceUnavailable:
		return false, relayed(o, resp.Header.Get("Retry-After"), answer)
	case resp.StatusCode != http.StatusOK:
		return false, g.garbled(o, fmt.Sprintf("with status %d: %.200s", resp.StatusCode, answer))
	}
	var got answerBody
	if err := json.Unmarshal(answer, &got); err != nil {
		return false, g.garbled(o, "with what does not read: "+err.Error())
	}
	if len(got.Balances) != len(places) {
		return false, g.garbled(o, fmt.Sprintf("with %d balances for %d keys", len(got.Balances), len(places)))
	}
	for i, p := range places {
		g.out[p] = got.Balances[i]
	}
	return false, nil
}

func (g *gathering) unreached(o runtime.Owner, err error) *refusal {
	g.log.Warn("an instance does not answer queries", "instance", o.Instance, "address", o.Address, "error", err)
	return passing("owner_away", fmt.Sprintf("instance %s, which has the partition, does not answer at %s; another takes over when the group gives it up", o.Instance, o.Address), 1)
}

func (g *gathering) garbled(o runtime.Owner, what string) *refusal {
	return refuse(http.StatusBadGateway, "bad_answer", fmt.Sprintf("instance %s at %s answers %s", o.Instance, o.Address, what),
		"check that query.advertise of instance "+o.Instance+" is its own query.listen, as others reach it")
}

// relayed passes an instance's own refusal on.
func relayed(o runtime.Owner, retryAfter string, answer []byte) *refusal {
	var body refusalBody
	if err := json.Unmarshal(answer, &body); err != nil || body.Error.Code == "" {
		body.Error.Code, body.Error.Message = "owner_busy", fmt.Sprintf("instance %s, which has the partition, is not ready", o.Instance)
	}
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds < 1 {
		seconds = 1
	}
	// The code becomes a metric's label: it is one that this program knows, or none.
	switch body.Error.Code {
	case "restoring", "not_running", "busy", "cut_off", "timeout", "owner_busy":
	default:
		body.Error.Code = "owner_busy"
	}
	return passing(body.Error.Code, body.Error.Message, min(seconds, maxRetryAfter))
}
