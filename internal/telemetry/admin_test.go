package telemetry_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crossdock/internal/telemetry"
)

func TestReadyzSaysNoAndWhyUntilEveryPartIsReady(t *testing.T) {
	defer goleak.VerifyNone(t)
	restored := make(chan struct{})
	admin := &telemetry.Admin{Gatherer: telemetry.NewRegistry(), Checks: map[string]telemetry.Check{"inventory": func() (bool, string) {
		select {
		case <-restored:
			return true, ""
		default:
			return false, "restoring 3 of 8 partitions"
		}
	}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- telemetry.Serve(ctx, l, admin.Handler(), time.Second) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		resp, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "restoring 3 of 8 partitions") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get("/livez"); code != 200 {
		t.Errorf("alive all the same, not %d", code)
	}
	close(restored)
	if code, body := get("/readyz"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if _, body := get("/metrics"); !strings.Contains(body, "go_goroutines") {
		t.Error("no metrics")
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
