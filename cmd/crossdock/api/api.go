// Package api answers questions about committed state over HTTP: the stock of a SKU at a site, out of the inventory stage's
// store. Any instance of the stage answers for any key: for its own partitions from its store, for the others by asking
// the instance that has them, once.
//
//	GET  /v1/inventory/{sku}/{site}   one balance; 404 for a key that nothing has touched
//	POST /v1/inventory/query          up to 1,000 keys, answered in the order asked
//	GET  /v1/openapi.json             what these take and give
//
// Bounds: the keys of a query, the bytes of its body and of an instance's answer, the time of a request, the requests in
// hand, and the instances asked at a time. Every refusal is JSON with a code, a message and a remedy; those that pass are
// 503 with Retry-After.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"crossdock/topology/runtime"
	"crossdock/topology/topics"
)

// Bounds of requests.
const (
	// MaxKeys is how many keys one query may name.
	MaxKeys = runtime.MaxQueryKeys
	// maxBody bounds a query's body: 1,000 keys of a kilobyte each.
	maxBody = 1 << 20
	// maxInHand is how many requests are worked on at a time.
	maxInHand = 256
	// store is the inventory stage's.
	store = "stock"
)

// State is what answers: the instance of the inventory stage in this process, a *runtime.Instance.
type State interface {
	Query(ctx context.Context, store string, keys [][]byte) ([]runtime.Found, error)
	Owner(ctx context.Context, partition int32) (runtime.Owner, error)
	LookForOwners(ctx context.Context) error
}

// A Config is what a Server needs.
type Config struct {
	State    State
	Instance string        // the name of this process, told to the instances that it asks
	Timeout  time.Duration // of a request, those to other instances included
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// A Server answers queries. It keeps nothing but connections to other instances.
type Server struct {
	state    State
	instance string
	timeout  time.Duration
	log      *slog.Logger
	client   *http.Client
	inHand   chan struct{}
	requests *prometheus.CounterVec
	keys     *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// New makes a server, which Close ends.
func New(c Config) (*Server, error) {
	s := &Server{
		state: c.State, instance: c.Instance, timeout: c.Timeout, log: c.Log, client: newClient(), inHand: make(chan struct{}, maxInHand),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_query_requests_total",
			Help: "Queries of state by outcome: answered, or the code of the refusal; from a client or from another instance."}, []string{"outcome", "from"}),
		keys: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_query_keys_total",
			Help: "Keys answered, from this instance's state or by another instance."}, []string{"where"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "crossdock_query_seconds",
			Help: "From a query's body to its answer.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	for _, m := range []prometheus.Collector{s.requests, s.keys, s.seconds} {
		if err := c.Metrics.Register(m); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close lets go of the connections to other instances.
func (s *Server) Close() { s.client.CloseIdleConnections() }

//go:embed openapi.json
var openAPI []byte

const (
	inventoryPath = "/v1/inventory/{sku}/{site}"
	queryPath     = "/v1/inventory/query"
	openAPIPath   = "/v1/openapi.json"
)

// Handler is the server's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+inventoryPath, s.bounded(s.one))
	mux.HandleFunc("POST "+queryPath, s.bounded(s.many))
	mux.HandleFunc("GET "+openAPIPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI) // who has hung up needs none
	})
	for path, method := range map[string]string{inventoryPath: http.MethodGet, queryPath: http.MethodPost, openAPIPath: http.MethodGet} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", method)
			s.refuse(w, r, refuse(http.StatusMethodNotAllowed, "method", path+" takes no "+r.Method, "send "+method))
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, refuse(http.StatusNotFound, "unknown_path", "there is nothing at "+r.URL.Path,
			"ask GET /v1/inventory/{sku}/{site} or POST /v1/inventory/query; GET /v1/openapi.json describes them"))
	})
	return mux
}

// A Key names one balance.
type Key struct {
	SKU  string `json:"sku"`
	Site string `json:"site"`
}

func (k Key) valid() bool { return k.SKU != "" && k.Site != "" }

// bytes is the key of the inbox's records and of the store.
func (k Key) bytes() []byte { return topics.Key(nil, k.SKU, k.Site) }

// forwardedBy marks a request that an instance has passed on: it is not passed on again.
const forwardedBy = "Crossdock-Forwarded-By"

// bounded holds a request to its time and the requests to their number.
func (s *Server) bounded(answer func(ctx context.Context, w http.ResponseWriter, r *http.Request) *refusal) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.inHand <- struct{}{}:
			defer func() { <-s.inHand }()
		default:
			s.refuse(w, r, passing("busy", fmt.Sprintf("%d requests are in hand", maxInHand), 1))
			return
		}
		began := time.Now()
		if err := http.NewResponseController(w).SetWriteDeadline(began.Add(2 * s.timeout)); err != nil {
			s.refuse(w, r, broken(err))
			return
		}
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.timeout, errTooLong)
		defer cancel()
		if bad := answer(ctx, w, r); bad != nil {
			s.refuse(w, r, bad)
			return
		}
		s.requests.WithLabelValues("answered", from(r)).Inc()
		s.seconds.Observe(time.Since(began).Seconds())
	}
}

func from(r *http.Request) string {
	if r.Header.Get(forwardedBy) != "" {
		return "instance"
	}
	return "client"
}

// one answers GET /v1/inventory/{sku}/{site}.
func (s *Server) one(ctx context.Context, w http.ResponseWriter, r *http.Request) *refusal {
	key := Key{r.PathValue("sku"), r.PathValue("site")}
	if !key.valid() {
		return refuse(http.StatusBadRequest, "bad_key", "SKU or site is empty", "name both: /v1/inventory/{sku}/{site}, each percent-encoded")
	}
	balances, bad := s.balances(ctx, []Key{key}, r.Header.Get(forwardedBy) != "")
	if bad != nil {
		return bad
	}
	var found struct {
		Found bool `json:"found"`
	}
	if err := json.Unmarshal(balances[0], &found); err != nil {
		return broken(fmt.Errorf("the balance of %+v: %w", key, err))
	}
	if !found.Found {
		return refuse(http.StatusNotFound, "never_moved", fmt.Sprintf("nothing has ever been posted to SKU %q at site %q", key.SKU, key.Site),
			"check both codes: they are the canonical ones of the item and site masters, not a source's")
	}
	s.write(w, http.StatusOK, balances[0])
	return nil
}

// many answers POST /v1/inventory/query.
func (s *Server) many(ctx context.Context, w http.ResponseWriter, r *http.Request) *refusal {
	// The deadline is the body's alone: the server takes one that passes later for the client's leaving.
	body := http.NewResponseController(w)
	err := body.SetReadDeadline(time.Now().Add(s.timeout))
	keys, bad := readKeys(w, r)
	if err = errors.Join(err, body.SetReadDeadline(time.Time{})); err != nil {
		return broken(err)
	}
	if bad != nil {
		return bad
	}
	balances, bad := s.balances(ctx, keys, r.Header.Get(forwardedBy) != "")
	if bad != nil {
		return bad
	}
	s.write(w, http.StatusOK, answerBody{balances})
	return nil
}

// answerBody is what a query is answered with.
type answerBody struct {
	Balances []json.RawMessage `json:"balances"`
}

const bodyForm = `send {"keys":[{"sku":"...","site":"..."}]} with at most 1000 keys`

// readKeys reads a query's body, strictly: a misspelt field would be a key of nothing.
func readKeys(w http.ResponseWriter, r *http.Request) ([]Key, *refusal) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	var body struct {
		Keys []Key `json:"keys"`
	}
	err := d.Decode(&body)
	if err == nil {
		if _, more := d.Token(); more == nil {
			err = errors.New("there is more after the object")
		} else if !errors.Is(more, io.EOF) {
			err = more
		}
	}
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, refuse(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the body is larger than %d bytes", maxBody), "ask for fewer keys at a time")
	case errors.Is(err, io.EOF):
		return nil, refuse(http.StatusBadRequest, "bad_body", "the body is empty", bodyForm)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "slow_body", "the body did not come within query.timeout", "send it in one piece")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "bad_body", "the body does not read: "+err.Error(), bodyForm)
	case body.Keys == nil:
		return nil, refuse(http.StatusBadRequest, "bad_body", "the body has no keys", bodyForm)
	case len(body.Keys) > MaxKeys:
		return nil, refuse(http.StatusBadRequest, "too_many_keys", fmt.Sprintf("the query has %d keys", len(body.Keys)), fmt.Sprintf("ask for at most %d at a time", MaxKeys))
	}
	for i, k := range body.Keys {
		if !k.valid() {
			return nil, refuse(http.StatusBadRequest, "bad_key", fmt.Sprintf("SKU or site of key %d is empty", i), "name both")
		}
	}
	return body.Keys, nil
}

// write answers with a status and a body.
func (s *Server) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		s.log.Debug("answer not delivered", "error", err)
	}
}
