package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/api"
	"crossdock/internal/embedded/process"
	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

func TestAnyProcessAnswersForAllStockAndAnotherTakesOver(t *testing.T) {
	takesOver(t, newFieldOn(t, testservices.Broker(t)))
}

func TestOnKafkaAnyProcessAnswersForAllStockAndAnotherTakesOver(t *testing.T) {
	takesOver(t, newField(t))
}

// takesOver runs two processes, each with a part of the partitions. Both answer for all keys. When one is killed with -9,
// its part is 503 with Retry-After until the other has taken over, and right from then on.
func takesOver(t *testing.T, f *field) {
	port, err := process.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	const keys = 40
	var movements []*kgo.Record
	for i := range keys {
		m := event.InventoryMovement{SKU: fmt.Sprintf("SKU/%d", i), Type: event.MovementTypeReceipt, QtyDelta: event.Quantity(i+1) * event.QuantityScale, To: event.Some(event.Place{Bucket: event.BucketAvailable})}
		m.Header.EventID, m.Header.DedupeKey, m.Header.Site, m.Header.EventTime = m.SKU, m.SKU, "CHI", 1_795_000_000_000_000
		movements = append(movements, &kgo.Record{Topic: f.topic(topics.InventoryInbox), Key: topics.Key(nil, m.SKU, "CHI"), Value: f.serde.Append(nil, &m)})
	}
	if err := f.client.ProduceSync(t.Context(), movements...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	url := func(n int) string { return fmt.Sprintf("http://127.0.0.1:%d", port+n) }
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(n, key int) (status int, header http.Header, body string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/v1/inventory/SKU%%2F%d/CHI", url(n), key), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, err.Error() // it has not opened its port yet
		}
		b, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(b)
	}
	right := func(n int) bool { // all keys are answered, and what is answered is right
		all := true
		for key := range keys {
			status, _, body := get(n, key)
			if status == http.StatusOK && !strings.Contains(body, fmt.Sprintf(`"available":"%d"`, key+1)) {
				t.Fatalf("key %d is answered with %s", key, body)
			}
			all = all && status == http.StatusOK
		}
		return all
	}
	start := func(n int) func() { // the function kills it with -9
		p, log := f.start(fmt.Sprint(n), fmt.Sprintf("query.listen=127.0.0.1:%d", port+n), "runtime.session_timeout=11s")
		killed := false
		kill := func() {
			if !killed {
				killed = true
				if err := p.Process.Kill(); err != nil {
					t.Error(err)
				}
				_ = p.Wait() // it was killed
			}
		}
		t.Cleanup(func() {
			kill()
			if t.Failed() {
				t.Logf("process %d:\n%s", n, log)
			}
		})
		return kill
	}
	start(0)
	kill := start(1)
	f.until("both have partitions, and answer for all keys", func() bool {
		if !right(0) || !right(1) {
			return false
		}
		for n := range 2 { // an instance that passes nothing on answers for its own keys alone
			if mine := own(t, url(n), keys); mine == 0 || mine == keys {
				return false
			}
		}
		return true
	})
	theirs := keys - own(t, url(0), keys)
	kill()
	refused := 0
	for key := range keys {
		status, header, body := get(0, key)
		switch {
		case status == http.StatusServiceUnavailable && header.Get("Retry-After") != "" && strings.Contains(body, `"owner_away"`):
			refused++
		case status != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"available":"%d"`, key+1)):
			t.Errorf("key %d after the kill: %d %v %s", key, status, header, body)
		}
	}
	if refused != theirs {
		t.Errorf("%d keys are refused, %d were the killed process's", refused, theirs)
	}
	f.until("the other has taken over", func() bool { return right(0) })
	if mine := own(t, url(0), keys); mine != keys {
		t.Errorf("it has %d of %d keys itself", mine, keys)
	}
	// As a person asks.
	away(t)
	o := command(t, "", "query", "inventory", "SKU/6", "CHI", "--url", url(0))
	if o.code != exitOK || !strings.Contains(o.stdout, "SKU/6 at CHI, version 1") || !strings.Contains(o.stdout, "available to sell  7") {
		t.Errorf("%+v", o)
	}
	o = command(t, "", "query", "inventory", "SKU/6", "CHI", "--json", "--set", fmt.Sprintf("query.listen=127.0.0.1:%d", port))
	var b api.Balance
	if err := json.Unmarshal([]byte(o.stdout), &b); o.code != exitOK || err != nil || b.Stock == nil || b.Available != api.Decimal(7*event.QuantityScale) {
		t.Errorf("%+v %v", o, err)
	}
	if o = command(t, "", "query", "inventory", "NOTHING", "CHI", "--url", url(0)); o.code != exitFailed || !strings.Contains(o.stderr, `"NOTHING"`) || !strings.Contains(o.stderr, "canonical") {
		t.Errorf("%+v", o)
	}
	if o = command(t, "", "query", "inventory", "SKU/6", "CHI", "--url", url(1)); o.code != exitNotReady || !strings.Contains(o.stderr, url(1)) {
		t.Errorf("%+v", o)
	}
}

// own counts the keys that an instance answers by itself, by questions that it takes for another instance's.
func own(t *testing.T, url string, keys int) (mine int) {
	t.Helper()
	for key := range keys {
		body := fmt.Sprintf(`{"keys":[{"sku":"SKU/%d","site":"CHI"}]}`, key)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/inventory/query", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Crossdock-Forwarded-By", "test")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close() // its status counts
		switch resp.StatusCode {
		case http.StatusOK:
			mine++
		case http.StatusMisdirectedRequest, http.StatusServiceUnavailable:
		default:
			t.Fatalf("%s: %s", url, resp.Status)
		}
	}
	return mine
}

func TestQueryCommandSaysWhatIsWrong(t *testing.T) {
	away(t)
	restoring := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "PAGE") {
			_, _ = io.WriteString(w, "<html>hello</html>")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"code":"restoring","message":"the state of partition 3 is being restored, 42 % of it is read","remedy":"wait"}}`)
	}))
	defer restoring.Close()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"query inventory LAMP", exitUsage, "accepts 2 arg(s)"},
		{"query order 7", exitUsage, "no command"},
		{"query inventory LAMP CHI --url chi:8082", exitUsage, "http://host:port"},
		{"query inventory LAMP CHI --set query.listen=", exitUsage, "--url http://host:port"},
		{"query inventory LAMP CHI --set query.listen= --set query.advertise=http://a", exitUsage, "query.listen is empty"},
		{"query inventory LAMP CHI --set query.advertise=a:1", exitUsage, "query.advertise"},
		{"query inventory LAMP CHI --set query.timeout=0s", exitUsage, "query.timeout"},
		{"query inventory LAMP CHI --url http://" + nobody, exitNotReady, "crossdock run inventory"},
		{"query inventory LAMP CHI --url " + restoring.URL, exitNotReady, "42 %"},
		{"query inventory PAGE CHI --url " + restoring.URL, exitFailed, "is it an instance's query.listen?"},
	} {
		if o := command(t, "", strings.Fields(c.args)...); o.code != c.code || !strings.Contains(o.stderr, c.says) || o.stdout != "" {
			t.Errorf("%s: %+v, want %d with %q", c.args, o, c.code, c.says)
		}
	}
}
