package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"crossdock/connectors"
)

// Bounds of what the server remembers of idempotency keys: a sender's retry comes within minutes, and a later one is
// recognised downstream by what the document says.
const (
	rememberedKeys = 100_000
	rememberedFor  = 24 * time.Hour
)

// A Source is a system that may send.
type Source struct {
	Name        string
	Credentials Credentials
	RatePerSec  float64 // 0: no limit
}

// A Server answers POST /v1/in/{source}: 202 only once the document is acknowledged by all in-sync replicas.
type Server struct {
	put      func(context.Context, Document) (Receipt, error)
	sources  map[string]*entry
	maxBody  int64
	timeout  time.Duration
	now      func() time.Time
	log      *slog.Logger
	seen     *lru.Cache[string, remembered]
	accepted *prometheus.CounterVec
	refused  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	seconds  prometheus.Histogram
}

type entry struct {
	Source
	limiter *rate.Limiter
}

// A remembered receipt answers a retry. Age is looked at when it is asked for, so nothing has to run to forget it.
type remembered struct {
	receipt Receipt
	at      time.Time
}

// A ServerConfig is what a Server needs. Put stores a document durably: Producer.Put.
type ServerConfig struct {
	Put        func(context.Context, Document) (Receipt, error)
	Sources    []Source
	MaxBody    int           // bytes
	PutTimeout time.Duration // a document that is not acknowledged by then is answered with 503
	Now        func() time.Time
	Log        *slog.Logger
	Metrics    prometheus.Registerer
}

// NewServer makes a server. It keeps no state but what it remembers of idempotency keys.
func NewServer(c ServerConfig) (*Server, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		c.Metrics.MustRegister(v)
		return v
	}
	seen, err := lru.New[string, remembered](rememberedKeys)
	if err != nil {
		return nil, err
	}
	s := &Server{
		put: c.Put, sources: map[string]*entry{}, maxBody: int64(c.MaxBody), timeout: c.PutTimeout, now: c.Now, log: c.Log,
		seen:     seen,
		accepted: counter("crossdock_ingress_documents_total", "Documents acknowledged by all in-sync replicas.", "source"),
		refused:  counter("crossdock_ingress_refused_total", "Requests refused, by status code.", "source", "code"),
		bytes:    counter("crossdock_ingress_bytes_total", "Bytes of acknowledged documents.", "source"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crossdock_ingress_request_seconds", Help: "From the request's last byte to the acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
	}
	c.Metrics.MustRegister(s.seconds)
	for _, source := range c.Sources {
		e := &entry{Source: source}
		if source.RatePerSec > 0 {
			e.limiter = rate.NewLimiter(rate.Limit(source.RatePerSec), max(1, int(source.RatePerSec)))
		}
		s.sources[source.Name] = e
	}
	return s, nil
}

// Handler is the server's routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/in/{source}", s.receive)
	return mux
}

// A refusal is what a sender is told: what is wrong and what to do.
type refusal struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("source")
	source, known := s.sources[name]
	if !known {
		// The label is fixed: a stranger must not be able to make metrics.
		s.refuse(w, "unknown", refusal{http.StatusNotFound, "unknown_source", fmt.Sprintf("there is no source %q", name), "use one of: " + s.names() + ", or add it under sources in the configuration"})
		return
	}
	if source.limiter != nil {
		if reserved := source.limiter.ReserveN(s.now(), 1); reserved.DelayFrom(s.now()) > 0 {
			delay := reserved.DelayFrom(s.now())
			reserved.CancelAt(s.now())
			w.Header().Set("Retry-After", strconv.Itoa(int(delay.Seconds())+1))
			s.refuse(w, name, refusal{http.StatusTooManyRequests, "rate_limited", fmt.Sprintf("more than %g documents a second", source.RatePerSec), "send again after the time in Retry-After"})
			return
		}
	}
	body, bad := s.read(w, r)
	if bad != nil {
		s.refuse(w, name, *bad)
		return
	}
	signature, ok := source.Credentials.verify(r.Header, body)
	if !ok {
		s.refuse(w, name, refusal{http.StatusUnauthorized, "credentials", "the credentials or the signature of the body are missing or wrong", "send the API key, bearer token or HMAC-SHA256 signature that is agreed for this source, over the exact bytes of the body"})
		return
	}
	attempt := name + "\x00" + r.Header.Get("Idempotency-Key")
	if r.Header.Get("Idempotency-Key") != "" {
		if before, again := s.seen.Get(attempt); again && s.now().Sub(before.at) < rememberedFor {
			s.answer(w, http.StatusAccepted, before.receipt)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
	defer cancel()
	began := s.now()
	receipt, err := s.put(ctx, Document{
		Source: name, ContentType: r.Header.Get("Content-Type"), DocType: r.Header.Get("X-Document-Type"), Body: body, ReceivedAt: began, Signature: signature,
		CorrelationID: r.Header.Get("X-Correlation-ID"), Traceparent: r.Header.Get("Traceparent"), IdempotencyKey: r.Header.Get("Idempotency-Key"),
	})
	var tooLarge *TooLargeError
	var problem *connectors.Problem
	switch {
	case errors.As(err, &tooLarge):
		s.refuse(w, name, s.tooLarge())
	case errors.As(err, &problem):
		s.refuse(w, name, refusal{http.StatusBadRequest, strings.ToLower(string(problem.Cause)), problem.Detail, problem.Remedy})
	case err != nil:
		s.log.Warn("document not stored", "source", name, "bytes", len(body), "error", err)
		w.Header().Set("Retry-After", "5")
		s.refuse(w, name, refusal{http.StatusServiceUnavailable, "not_stored", "the brokers have not acknowledged the document", "send it again; a document that was stored all the same is recognised"})
	default:
		s.seconds.Observe(s.now().Sub(began).Seconds())
		s.accepted.WithLabelValues(name).Inc()
		s.bytes.WithLabelValues(name).Add(float64(receipt.Bytes))
		if r.Header.Get("Idempotency-Key") != "" {
			s.seen.Add(attempt, remembered{receipt, began})
		}
		s.answer(w, http.StatusAccepted, receipt)
	}
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	if r.ContentLength > s.maxBody {
		bad := s.tooLarge()
		return nil, &bad
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.maxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		bad := s.tooLarge()
		return nil, &bad
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "unreadable", "the body ended early: " + err.Error(), "send the whole document"}
	case len(body) == 0:
		return nil, &refusal{http.StatusBadRequest, "empty", "the body is empty", "send the document as the request's body"}
	}
	return body, nil
}

func (s *Server) tooLarge() refusal {
	return refusal{http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("the document is larger than %d bytes", s.maxBody), "cut it at interchange or document borders, or feed the file with crossdock ingest, which does"}
}

func (s *Server) refuse(w http.ResponseWriter, source string, bad refusal) {
	s.refused.WithLabelValues(source, strconv.Itoa(bad.status)).Inc()
	s.answer(w, bad.status, map[string]refusal{"error": bad})
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.log.Debug("answer not delivered", "error", err)
	}
}

func (s *Server) names() string {
	var names []string
	for name := range s.sources {
		names = append(names, name)
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
