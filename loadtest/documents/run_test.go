package documents

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/loadtest/pace"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/sent"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An inbox is an ingress that keeps bodies by their idempotency keys.
type inbox struct {
	mu    sync.Mutex // guards all below
	taken map[string]string
	twice int
	// before, where given, may answer instead; false: the document is taken.
	before func(w http.ResponseWriter, r *http.Request, body []byte) bool
}

func (x *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if x.before != nil && x.before(w, r, body) {
		return
	}
	key := r.URL.Path + " " + r.Header.Get("Idempotency-Key")
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, again := x.taken[key]; again {
		x.twice++
	}
	x.taken[key] = string(body)
	w.WriteHeader(http.StatusAccepted)
}

func (x *inbox) served(t *testing.T) string {
	t.Helper()
	x.taken = make(map[string]string)
	server := httptest.NewServer(x)
	t.Cleanup(server.Close)
	return server.URL
}

// holds says what is not as the run's documents are.
func (x *inbox) holds(t *testing.T, g *scans.Generator, count int64) {
	t.Helper()
	all, _ := cut(t, g, ownSources(), count)
	c, err := NewCutter(g.Again(), ownSources(), count, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.taken) != len(all) {
		t.Errorf("%d documents were taken, want %d", len(x.taken), len(all))
	}
	for i := range all {
		path := "/v1/in/" + c.Targets()[all[i].Target].Source + " " + all[i].Key
		if x.taken[path] != string(all[i].Body) {
			t.Fatalf("%s is %q, want %q", path, x.taken[path], all[i].Body)
		}
	}
}

func options(url string) Options {
	return Options{URL: url, Shape: ownSources(), Connections: 4, Paced: true}
}

func TestARunPostsEveryDocumentOnceWhenItIsDue(t *testing.T) {
	var x inbox
	g := retailer(t, nil, pace.Segment{From: 3000, To: 3000, For: time.Second})
	o := options(x.served(t))
	var documents, events atomic.Int64
	early := time.Duration(0)
	o.Made = func(_ *Document, intended time.Time) {
		documents.Add(1)
		early = max(early, time.Until(intended))
	}
	o.Settled = func(n int, intended, at time.Time) {
		if at.Before(intended) {
			t.Errorf("taken at %v, and due at %v", at, intended)
		}
		events.Add(int64(n))
	}
	l, err := Run(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	if l.Made != 3000 || l.Acknowledged() != 3000 || events.Load() != 3000 || documents.Load() != l.Documents || l.Taken() != l.Documents || l.Unknown() != 0 {
		t.Errorf("%+v, %d events, %d documents", l.Sent(), events.Load(), documents.Load())
	}
	if early > time.Millisecond {
		t.Errorf("a document left %v before it was due", early)
	}
	x.holds(t, g, 3000)
}

func TestAnIngressThatAnswers503ForASecondLosesNothing(t *testing.T) {
	var x inbox
	var until atomic.Int64
	x.before = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		now := time.Now().UnixNano()
		until.CompareAndSwap(0, now+int64(time.Second))
		if now > until.Load() {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	g := retailer(t, nil, pace.Segment{From: 1000, To: 1000, For: 2 * time.Second})
	l, err := Run(t.Context(), g, options(x.served(t)))
	if err != nil {
		t.Fatal(err)
	}
	x.holds(t, g, 2000)
	outages := l.Outages()
	if l.Acknowledged() != 2000 || len(outages) != 1 || !strings.Contains(outages[0].What, "503") || l.Failed == 0 {
		t.Fatalf("%d taken, %d failed, outages %v", l.Acknowledged(), l.Failed, outages)
	}
	if d := outages[0].To.Sub(outages[0].From); d < 900*time.Millisecond || d > 5*time.Second {
		t.Errorf("the outage took %v", d)
	}
}

func TestAnIngressThatLimitsTheRateIsObeyed(t *testing.T) {
	var x inbox
	var asked sync.Map
	var soon atomic.Int64
	x.before = func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		first, again := asked.LoadOrStore(r.Header.Get("Idempotency-Key"), time.Now())
		if again {
			if time.Since(first.(time.Time)) < time.Second {
				soon.Add(1)
			}
			return false
		}
		if r.URL.Path != "/v1/in/lt-carrier" {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	g := retailer(t, nil, pace.Segment{From: 200, To: 200, For: time.Second})
	o := options(x.served(t))
	l, err := Run(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	x.holds(t, g, 200)
	if l.Throttled == 0 || soon.Load() > 0 || len(l.doubtful) > 0 {
		t.Errorf("throttled %d times, %d repetitions came too soon, %d in doubt", l.Throttled, soon.Load(), len(l.doubtful))
	}
}

func TestAnIngressThatIsAwayIsWaitedForAndTheRunGoesOn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var x inbox
	x.taken = make(map[string]string)
	server := &http.Server{Handler: &x, ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	back := make(chan struct{})
	var once sync.Once
	o := options("http://" + address)
	o.Progress = func(p send.Progress) {
		if strings.Contains(p.Away, "refused") && p.Elapsed > 500*time.Millisecond {
			once.Do(func() { close(back) })
		}
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		<-back
		again, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		_ = server.Serve(again) // until it is closed
	})
	g := retailer(t, nil, pace.Segment{From: 1000, To: 1000, For: time.Second})
	l, err := Run(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	x.holds(t, g, 1000)
	if outages := l.Outages(); len(outages) != 1 || !strings.Contains(outages[0].What, "refused") || len(l.doubtful) > 0 {
		t.Errorf("outages %v, %d in doubt", l.Outages(), len(l.doubtful))
	}
	_ = server.Close()
	serving.Wait()
}

func TestARunThatIsStoppedEndsCleanlyAndKnowsWhatItSent(t *testing.T) {
	var x inbox
	g := retailer(t, nil, pace.Segment{From: 1000, To: 1000, For: time.Hour})
	ctx, stop := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	o := options(x.served(t))
	o.Made = func(d *Document, _ time.Time) {
		if d.Number > 100 {
			stop(enough)
		}
	}
	l, err := Run(ctx, g, o)
	if !errors.Is(err, enough) || l == nil {
		t.Fatal(err)
	}
	if l.Unknown() != 0 || l.Taken() != int64(len(x.taken)) || l.Taken() < 50 || x.twice > 0 {
		t.Errorf("%d taken, %d arrived, %d unknown", l.Taken(), len(x.taken), l.Unknown())
	}
	again := saved(t, l, g)
	told := int64(0)
	if err := again.Walk(func(s *Said, copies int) error {
		if copies > 0 && s.Copy == scans.Original {
			told++
		}
		return nil
	}); err != nil || told == 0 {
		t.Errorf("%d originals are told, %v", told, err)
	}
	if again.Acknowledged() != l.Acknowledged() || again.Sent().Documents != l.Documents {
		t.Errorf("%+v, want %+v", again.Sent(), l.Sent())
	}
}

func saved(t *testing.T, l *Log, g *scans.Generator) *Log {
	t.Helper()
	var b bytes.Buffer
	if err := l.Save(&b); err != nil {
		t.Fatal(err)
	}
	again, err := ReadLog(bytes.NewReader(b.Bytes()), g, l.kafka)
	if err != nil {
		t.Fatal(err)
	}
	other := retailer(t, func(l *scans.Load) { l.Seed = 99 }, pace.Segment{From: 1000, To: 1000, For: time.Hour})
	var wrong *sent.FileError
	if _, err := ReadLog(bytes.NewReader(b.Bytes()), other, nil); !errors.As(err, &wrong) {
		t.Errorf("another load: %v", err)
	}
	for _, at := range []int{0, 8, 40, b.Len() - 1} {
		damaged := bytes.Clone(b.Bytes())
		damaged[at] ^= 1
		if _, err := ReadLog(bytes.NewReader(damaged), g, nil); !errors.As(err, &wrong) {
			t.Errorf("damaged at %d: %v", at, err)
		}
	}
	return again
}

func TestARefusalStopsTheRunWithTheIngressesOwnWords(t *testing.T) {
	var x inbox
	x.before = func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"code":"unknown_source","message":"there is no source \"x\"","remedy":"add it"}}`)
		return true
	}
	g := retailer(t, nil, pace.Segment{From: 1000, To: 1000, For: time.Hour})
	_, err := Run(t.Context(), g, options(x.served(t)))
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Status != 404 || !strings.Contains(err.Error(), `there is no source "x"; add it`) {
		t.Fatal(err)
	}
}

func TestCredentialsAreShownOverTheExactBytes(t *testing.T) {
	var x inbox
	var wrong atomic.Int64
	x.before = func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		mac := hmac.New(sha256.New, []byte("s"))
		_, _ = mac.Write(body)
		if r.Header.Get("X-API-Key") != "k" || r.Header.Get("Authorization") != "Bearer b" || r.Header.Get("X-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			wrong.Add(1)
		}
		return false
	}
	g := retailer(t, nil, pace.Segment{From: 500, To: 500, For: time.Second})
	o := options(x.served(t))
	o.Shape = Shape{Default: &Target{Source: "all", Credentials: Credentials{APIKey: "k", Bearer: "b", HMACSecret: "s", HMACHeader: "X-Signature"}}}
	o.Paced = false
	l, err := Run(t.Context(), g, o)
	if err != nil || wrong.Load() > 0 {
		t.Fatal(err, wrong.Load())
	}
	var b bytes.Buffer
	if err := l.Save(&b); err != nil {
		t.Fatal(err)
	}
	h, _, err := format().Read(&b)
	if err != nil || h.Log.Shape.Default.Credentials != (Credentials{}) {
		t.Errorf("credentials are saved: %v", err)
	}
}

// An ingress that stores a document and dies before it answers forgets the key: the document comes in twice. Another dies before
// it stores. Both are found out on the raw topic.
func TestDoubtfulDocumentsAreCountedOnTheirRawTopic(t *testing.T) {
	naming := topics.Naming{Prefix: "t."}
	var names []string
	for _, s := range Systems() {
		names = append(names, naming.Raw(s))
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, names...))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	kafka := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var x inbox
	var asked sync.Map
	var twice, never atomic.Int64
	store := func(r *http.Request, body []byte) {
		source := strings.TrimPrefix(r.URL.Path, "/v1/in/")
		record := &kgo.Record{Topic: naming.Raw(source), Value: bytes.Clone(body), Headers: []kgo.RecordHeader{{Key: headerKey, Value: []byte(r.Header.Get("Idempotency-Key"))}}}
		if err := client.ProduceSync(context.Background(), record).FirstErr(); err != nil {
			t.Error(err)
		}
	}
	x.before = func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		key := r.Header.Get("Idempotency-Key")
		_, again := asked.LoadOrStore(key, true)
		if !again && strings.HasSuffix(key, "7") { // stored, and no answer
			store(r, body)
			twice.Add(1)
			panic(http.ErrAbortHandler)
		}
		if !again && strings.HasSuffix(key, "3") { // neither
			never.Add(1)
			panic(http.ErrAbortHandler)
		}
		store(r, body)
		return false
	}
	g := retailer(t, nil, pace.Segment{From: 1000, To: 1000, For: time.Second})
	o := options(x.served(t))
	o.Kafka, o.Naming = kafka, naming
	l, err := Run(t.Context(), g, o)
	if err != nil {
		t.Fatal(err)
	}
	if twice.Load() == 0 || never.Load() == 0 || len(l.doubtful) != int(twice.Load()+never.Load()) {
		t.Fatalf("%d twice, %d once, %d in doubt", twice.Load(), never.Load(), len(l.doubtful))
	}
	again := saved(t, l, g)
	if err := again.Resolve(t.Context()); err != nil {
		t.Fatal(err)
	}
	copies := map[uint8]int64{}
	for _, n := range again.copies {
		copies[n]++
	}
	if copies[2] != twice.Load() || copies[1] != l.Documents-twice.Load() || again.Acknowledged() != 1000 || len(again.doubtful) != 0 {
		t.Errorf("copies %v of %d documents, %d twice", copies, l.Documents, twice.Load())
	}
}
