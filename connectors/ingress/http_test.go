package ingress

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A rig is a server whose documents go to put.
func rig(t *testing.T, put func(context.Context, Document) (Receipt, error), sources ...Source) *httptest.Server {
	t.Helper()
	s, err := NewServer(ServerConfig{
		Put: put, Sources: sources, MaxBody: 1000, PutTimeout: 5 * time.Second, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server
}

func post(t *testing.T, server *httptest.Server, source, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/in/"+source, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func stored(_ context.Context, d Document) (Receipt, error) {
	return Receipt{RawRef: "crossdock.raw." + d.Source + "/0/1", Bytes: len(d.Body), CorrelationID: d.CorrelationID}, nil
}

func TestADocumentIsAcceptedOnlyOnceItIsStored(t *testing.T) {
	release := make(chan struct{})
	server := rig(t, func(ctx context.Context, d Document) (Receipt, error) {
		<-release
		return stored(ctx, d)
	}, Source{Name: "acme"})
	answered := make(chan int, 1)
	go func() {
		code, _, _ := post(t, server, "acme", "ISA*00*...")
		answered <- code
	}()
	select {
	case code := <-answered:
		t.Fatalf("answered %d before the document was stored", code)
	case release <- struct{}{}:
	}
	if code := <-answered; code != 202 {
		t.Fatal(code)
	}
}

func TestADocumentThatIsNotAcknowledgedIsRefusedWith503(t *testing.T) {
	server := rig(t, func(context.Context, Document) (Receipt, error) { return Receipt{}, errors.New("NOT_ENOUGH_REPLICAS") }, Source{Name: "acme"})
	code, body, header := post(t, server, "acme", "x")
	if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(body, "send it again") {
		t.Fatal(code, body, header)
	}
	if strings.Contains(body, "NOT_ENOUGH_REPLICAS") {
		t.Error("an answer to a stranger tells about the brokers")
	}
}

func TestBadRequestsGetACodeAReasonAndARemedy(t *testing.T) {
	server := rig(t, stored, Source{Name: "acme"}, Source{Name: "keyed", Credentials: Credentials{APIKey: "k"}})
	for _, c := range []struct {
		name, source, body string
		code               int
		says               string
	}{
		{"an unknown source", "nobody", "x", 404, "use one of: acme, keyed"},
		{"an empty document", "acme", "", 400, "the body is empty"},
		{"a document above the limit", "acme", strings.Repeat("x", 1001), 413, "crossdock ingest"},
		{"no credentials", "keyed", "x", 401, "API key"},
	} {
		if code, body, _ := post(t, server, c.source, c.body); code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.name, code, body)
		}
	}
}

// endless is a body of 200 MB and more without a declared length. The client may go on reading it after the answer.
type endless struct{ sent atomic.Int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.sent.Add(int64(len(p))) > 200<<20 {
		return 0, io.EOF
	}
	return len(p), nil
}

func TestABodyOf200MBIsRefusedBeforeItIsRead(t *testing.T) {
	server := rig(t, stored, Source{Name: "acme"})
	body := &endless{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/in/acme", body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Do(req)
	if err == nil { // the server may hang up while the client still sends: also a refusal
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != 413 {
			t.Fatal(resp.StatusCode)
		}
	}
	if sent := body.sent.Load(); sent > 64<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
}

func TestCredentialsAreCheckedOverTheExactBytes(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(`{"a":1}`))
	sum := mac.Sum(nil)
	server := rig(t, stored,
		Source{Name: "hooks", Credentials: Credentials{HMACSecret: "secret", HMACHeader: "X-Signature"}},
		Source{Name: "token", Credentials: Credentials{Bearer: "t"}},
		Source{Name: "both", Credentials: Credentials{Bearer: "t", APIKey: "k"}})
	for _, c := range []struct {
		name, source, body string
		header             []string
		code               int
	}{
		{"hex", "hooks", `{"a":1}`, []string{"X-Signature", hex.EncodeToString(sum)}, 202},
		{"base64, as Shopify", "hooks", `{"a":1}`, []string{"X-Signature", base64.StdEncoding.EncodeToString(sum)}, 202},
		{"prefixed hex, as EasyPost", "hooks", `{"a":1}`, []string{"X-Signature", "hmac-sha256-hex=" + hex.EncodeToString(sum)}, 202},
		{"a body serialised again", "hooks", `{"a": 1}`, []string{"X-Signature", hex.EncodeToString(sum)}, 401},
		{"no signature", "hooks", `{"a":1}`, nil, 401},
		{"bearer", "token", "x", []string{"Authorization", "Bearer t"}, 202},
		{"wrong bearer", "token", "x", []string{"Authorization", "Bearer u"}, 401},
		{"half of two", "both", "x", []string{"Authorization", "Bearer t"}, 401},
		{"two of two", "both", "x", []string{"Authorization", "Bearer t", "X-API-Key", "k"}, 202},
	} {
		if code, body, _ := post(t, server, c.source, c.body, c.header...); code != c.code {
			t.Errorf("%s: %d %s", c.name, code, body)
		}
	}
}

func TestARetryWithTheSameIdempotencyKeyGetsTheFirstReceipt(t *testing.T) {
	calls := 0
	server := rig(t, func(ctx context.Context, d Document) (Receipt, error) {
		calls++
		return stored(ctx, d)
	}, Source{Name: "acme"})
	_, first, _ := post(t, server, "acme", "x", "Idempotency-Key", "7")
	_, again, _ := post(t, server, "acme", "x", "Idempotency-Key", "7")
	if calls != 1 || first != again {
		t.Fatalf("stored %d times: %s %s", calls, first, again)
	}
}

func TestMoreThanTheAgreedRateIsAnsweredWith429(t *testing.T) {
	server := rig(t, stored, Source{Name: "acme", RatePerSec: 0.5})
	if code, _, _ := post(t, server, "acme", "x"); code != 202 {
		t.Fatal(code)
	}
	code, _, header := post(t, server, "acme", "x")
	if code != 429 || header.Get("Retry-After") == "" {
		t.Fatal(code, header)
	}
}
