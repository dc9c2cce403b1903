package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/cmd/crossdock/api"
	"crossdock/processors"
	"crossdock/processors/inventory"
	"crossdock/topology"
	"crossdock/topology/runtime"
	"crossdock/topology/testdriver"
	"crossdock/topology/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// moved runs movements through the inventory stage, and returns its states by key and the balances that it told.
func moved(t *testing.T) (states map[string][]byte, told map[string]event.InventoryBalance) {
	t.Helper()
	d, err := testdriver.New(testdriver.Options{Stages: []topology.Stage{{
		Name: "inventory", Inputs: []topics.ID{topics.InventoryInbox}, Outputs: []topics.ID{topics.Balances, topics.Ledger},
		Stores: []topology.Store{{Name: "stock"}}, New: func() processors.Processor { return inventory.New(inventory.Options{}) },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	in := d.Input(topics.InventoryInbox)
	at := time.Date(2026, 11, 24, 9, 40, 0, 123_456_000, time.UTC)
	for n, m := range []struct {
		sku, site string
		qty       string
		from, to  event.Bucket
	}{
		{"APPLE", "CHI", "12.5", event.BucketExternal, event.BucketAvailable}, {"APPLE", "CHI", "3", event.BucketAvailable, event.BucketDamaged},
		{"BOLT", "CHI", "0.000001", event.BucketExternal, event.BucketAvailable}, {"CUP", "DAL", "7", event.BucketAvailable, event.BucketPicked},
		{"A/B|C D", "Z\u00fc rich", "1", event.BucketExternal, event.BucketHold},
	} {
		qty, err := event.ParseQuantity(m.qty)
		if err != nil {
			t.Fatal(err)
		}
		e := event.InventoryMovement{SKU: m.sku, Type: event.MovementTypeStatusChange, QtyDelta: qty,
			From: event.Some(event.Place{Bucket: m.from}), To: event.Some(event.Place{Bucket: m.to})}
		if m.from == event.BucketExternal {
			e.Type, e.From = event.MovementTypeReceipt, event.Optional[event.Place]{}
		}
		e.Header.EventID, e.Header.DedupeKey, e.Header.Site, e.Header.EventTime = fmt.Sprint("e", n), fmt.Sprint("d", n), m.site, event.MicrosOf(at)
		if err := in.Pipe(topics.Key(nil, m.sku, m.site), &e); err != nil {
			t.Fatal(err)
		}
	}
	policy := event.InventoryPolicy{SKU: "EGG", SafetyStock: 5 * event.QuantityScale, Version: 1}
	policy.Header.EventID, policy.Header.DedupeKey, policy.Header.Site, policy.Header.EventTime = "p", "p", "CHI", event.MicrosOf(at)
	if err := in.Pipe(topics.Key(nil, "EGG", "CHI"), &policy); err != nil {
		t.Fatal(err)
	}
	if letters, err := d.DeadLetters(); err != nil || len(letters) > 0 {
		t.Fatalf("%+v %v", letters, err)
	}
	states, told = map[string][]byte{}, map[string]event.InventoryBalance{}
	store, err := d.Store("inventory", "stock")
	if err != nil {
		t.Fatal(err)
	}
	store.Each(func(key, value []byte) bool { states[string(key)] = slices.Clone(value); return true })
	all, err := testdriver.ReadAll[event.InventoryBalance](d.Output(topics.Balances))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		told[string(topics.Key(nil, b.SKU, b.Site))] = b
	}
	return states, told
}

// A member is an instance whose state is a map and whose partitions are by the SKU's first letter: no broker is needed to see
// what a server does with it.
type member struct {
	name  string
	group *group
	has   string // first letters of its keys
	err   error  // what its state answers instead
	delay chan struct{}
	asked atomic.Int32 // times its state was asked
}

type group struct {
	state  map[string][]byte
	owners map[byte]runtime.Owner
	looks  atomic.Int32
	look   func() // a description of the group, when one is asked for
}

func (m *member) Query(ctx context.Context, store string, keys [][]byte) ([]runtime.Found, error) {
	m.asked.Add(1)
	if m.delay != nil {
		select {
		case <-m.delay:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if m.err != nil {
		return nil, m.err
	}
	if store != "stock" {
		return nil, errors.New("no such store")
	}
	found := make([]runtime.Found, len(keys))
	for i, k := range keys {
		found[i].Partition = int32(k[0])
		if found[i].Here = strings.IndexByte(m.has, k[0]) >= 0; found[i].Here {
			found[i].Value = m.group.state[string(k)]
		}
	}
	return found, nil
}

func (m *member) Owner(_ context.Context, partition int32) (runtime.Owner, error) {
	o, ok := m.group.owners[byte(partition)]
	if !ok {
		return o, runtime.ErrNoOwner
	}
	o.Self = o.Instance == m.name
	return o, nil
}

func (m *member) LookForOwners(context.Context) error {
	m.group.looks.Add(1)
	if m.group.look != nil {
		m.group.look()
	}
	return nil
}

// serve starts a member's server.
func serve(t *testing.T, m *member) (url string) {
	t.Helper()
	s, err := api.New(api.Config{State: m, Instance: m.name, Timeout: 2 * time.Second, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() { s.Close(); server.Close() })
	return server.URL
}

// ask sends a request and returns the answer's status, headers and body.
func ask(t *testing.T, method, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func balances(t *testing.T, body string) []api.Balance {
	t.Helper()
	var a struct{ Balances []api.Balance }
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a.Balances
}

// same compares an answer with the balance that the stage told on its topic.
func same(a *api.Balance, b *event.InventoryBalance) bool {
	return a.Found && a.Stock != nil && a.SKU == b.SKU && a.Site == b.Site && a.Version == b.Version &&
		a.Available == api.Decimal(b.Available) && a.Allocated == api.Decimal(b.Allocated) && a.Picked == api.Decimal(b.Picked) && a.Staged == api.Decimal(b.Staged) &&
		a.QC == api.Decimal(b.QC) && a.Damaged == api.Decimal(b.Damaged) && a.Hold == api.Decimal(b.Hold) && a.Returned == api.Decimal(b.Returned) &&
		a.InTransitIn == api.Decimal(b.InTransitIn) && a.InTransitOut == api.Decimal(b.InTransitOut) && a.Clearing == api.Decimal(b.Clearing) &&
		a.OnHand == api.Decimal(b.OnHand) && a.SafetyStock == api.Decimal(b.SafetyStock) && a.ATS == api.Decimal(b.ATS) && a.Negative == b.Negative &&
		(b.Version == 0 && a.AsOf == nil && a.PostedAt == nil || a.AsOf != nil && *a.AsOf == api.Instant(b.AsOf) && *a.PostedAt == api.Instant(b.PostedAt))
}

// What is answered is what the stage told on topic balances, whichever instance is asked, and in the order asked.
func TestAnyInstanceAnswersForAnyKeyInTheOrderAsked(t *testing.T) {
	states, told := moved(t)
	g := &group{state: states}
	a, b, c := &member{name: "a", group: g, has: "A"}, &member{name: "b", group: g, has: "BE"}, &member{name: "c", group: g, has: "CX"}
	urls := []string{serve(t, a), serve(t, b), serve(t, c)}
	g.owners = map[byte]runtime.Owner{
		'A': {Instance: "a", Address: urls[0]}, 'B': {Instance: "b", Address: urls[1] + "/"}, 'E': {Instance: "b", Address: urls[1] + "/"},
		'C': {Instance: "c", Address: urls[2]}, 'X': {Instance: "c", Address: urls[2]},
	}
	keys := [][2]string{{"CUP", "DAL"}, {"APPLE", "CHI"}, {"XYLOPHONE", "CHI"}, {"BOLT", "CHI"}, {"A/B|C D", "Zü rich"}, {"CUP", "DAL"}, {"EGG", "CHI"}}
	var q struct {
		Keys []api.Key `json:"keys"`
	}
	for _, k := range keys {
		q.Keys = append(q.Keys, api.Key{SKU: k[0], Site: k[1]})
	}
	body, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range urls {
		code, _, answer := ask(t, http.MethodPost, url+"/v1/inventory/query", string(body))
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, answer)
		}
		got := balances(t, answer)
		if len(got) != len(keys) {
			t.Fatalf("%d balances for %d keys", len(got), len(keys))
		}
		for i, k := range keys {
			b, posted := told[string(topics.Key(nil, k[0], k[1]))]
			if got[i].SKU != k[0] || got[i].Site != k[1] || got[i].Found != posted || posted && !same(&got[i], &b) {
				t.Errorf("%s: balance %d is %+v %+v, told %+v", url, i, got[i], got[i].Stock, b)
			}
		}
		code, header, answer := ask(t, http.MethodGet, url+"/v1/inventory/APPLE/CHI", "")
		for _, want := range []string{`"sku":"APPLE","site":"CHI","found":true,"version":2,"as_of":"2026-11-24T09:40:00.123456Z"`, `"available":"9.5"`, `"damaged":"3"`, `"on_hand":"12.5"`, `"negative":false`} {
			if code != http.StatusOK || !strings.Contains(answer, want) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s lacks %s", code, answer, want)
			}
		}
		if code, _, answer := ask(t, http.MethodGet, url+"/v1/inventory/A%2FB%7CC%20D/Z%C3%BC%20rich", ""); code != http.StatusOK || !strings.Contains(answer, `"hold":"1"`) {
			t.Errorf("an escaped key: %d %s", code, answer)
		}
		if code, _, answer := ask(t, http.MethodGet, url+"/v1/inventory/XYLOPHONE/CHI", ""); code != http.StatusNotFound || !strings.Contains(answer, `"never_moved"`) || !strings.Contains(answer, "XYLOPHONE") {
			t.Errorf("a key that has never moved: %d %s", code, answer)
		}
	}
}

func TestMalformedRequestsSayWhatIsWrongAndWhatToDo(t *testing.T) {
	m := &member{name: "a", group: &group{}, has: "A"}
	url := serve(t, m)
	tooMany := `{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A","site":"B"},`, api.MaxKeys+1), ",") + `]}`
	for _, c := range []struct {
		method, path, body string
		status             int
		code, says         string
	}{
		{"POST", "/v1/inventory/query", "", 400, "bad_body", "empty"},
		{"POST", "/v1/inventory/query", "{", 400, "bad_body", "unexpected EOF"},
		{"POST", "/v1/inventory/query", "[]", 400, "bad_body", "array"},
		{"POST", "/v1/inventory/query", "{}", 400, "bad_body", "no keys"},
		{"POST", "/v1/inventory/query", `{"keys":null}`, 400, "bad_body", "no keys"},
		{"POST", "/v1/inventory/query", `{"keys":[{"sku":"A"}]}`, 400, "bad_key", "key 0"},
		{"POST", "/v1/inventory/query", `{"keys":[{"sku":"A","site":"B"},{"sku":"","site":"B"}]}`, 400, "bad_key", "key 1"},
		{"POST", "/v1/inventory/query", `{"keys":[{"sku":"A","sites":"B"}]}`, 400, "bad_body", "sites"},
		{"POST", "/v1/inventory/query", `{"keys":[{"sku":7,"site":"B"}]}`, 400, "bad_body", "number"},
		{"POST", "/v1/inventory/query", `{"keys":[]} {}`, 400, "bad_body", "more after"},
		{"POST", "/v1/inventory/query", tooMany, 400, "too_many_keys", "1001"},
		{"POST", "/v1/inventory/query", `{"keys":[{"sku":"` + strings.Repeat("A", 1<<20) + `","site":"B"}]}`, 413, "too_large", "1048576"},
		{"GET", "/v1/inventory/query", "", 405, "method", "POST"},
		{"DELETE", "/v1/inventory/A/B", "", 405, "method", "GET"},
		{"GET", "/v1/inventory/A", "", 404, "unknown_path", "/v1/inventory/A"},
		{"GET", "/", "", 404, "unknown_path", "openapi"},
	} {
		status, header, answer := ask(t, c.method, url+c.path, c.body)
		var refused struct {
			Error struct{ Code, Message, Remedy string }
		}
		if err := json.Unmarshal([]byte(answer), &refused); err != nil || status != c.status || refused.Error.Code != c.code ||
			!strings.Contains(refused.Error.Message+refused.Error.Remedy, c.says) || refused.Error.Remedy == "" || header.Get("Retry-After") != "" {
			t.Errorf("%s %s %.60s: %d %v %s, want %d %s with %q", c.method, c.path, c.body, status, header, answer, c.status, c.code, c.says)
		}
	}
	if n := m.asked.Load(); n != 0 {
		t.Errorf("the state was asked %d times", n)
	}
	if status, _, answer := ask(t, "POST", url+"/v1/inventory/query", `{"keys":[]}`); status != 200 || strings.TrimSpace(answer) != `{"balances":[]}` {
		t.Errorf("no key: %d %s", status, answer)
	}
}

// Whatever passes is 503 with Retry-After, whether it happens here or at the instance that is asked.
func TestWhatPassesIs503WithRetryAfter(t *testing.T) {
	states, _ := moved(t)
	g := &group{state: states, owners: map[byte]runtime.Owner{}}
	near, far := &member{name: "near", group: g, has: "C"}, &member{name: "far", group: g, has: "A"}
	url := serve(t, near)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close() // nobody answers there
	owner := runtime.Owner{Instance: "far", Address: serve(t, far)}
	for _, c := range []struct {
		name      string
		near, far error
		owner     runtime.Owner
		code      string
		says      string
	}{
		{"restoring here", &runtime.RestoringError{Partition: 3, Progress: 0.42}, nil, owner, "restoring", "42 %"},
		{"restoring there", nil, &runtime.RestoringError{Partition: 3, Progress: 0.42}, owner, "restoring", "42 %"},
		{"starting", runtime.ErrNotRunning, nil, owner, "not_running", "starting"},
		{"too many wait there", nil, fmt.Errorf("x: %w", runtime.ErrQueriesWait), owner, "busy", "too many"},
		{"cut off there", nil, runtime.ErrCutOff, owner, "cut_off", "brokers"},
		{"nobody has it", nil, nil, runtime.Owner{}, "no_owner", "no instance"},
		{"an older version has it", nil, nil, runtime.Owner{Instance: "far"}, "no_address", "far"},
		{"its instance is away", nil, nil, runtime.Owner{Instance: "far", Address: away.URL}, "owner_away", away.URL},
		{"it was given here just now", nil, nil, runtime.Owner{Instance: "near", Address: url}, "opening", "just been given"},
	} {
		near.err, far.err = c.near, c.far
		delete(g.owners, 'A')
		if c.owner.Instance != "" {
			g.owners['A'] = c.owner
		}
		status, header, answer := ask(t, http.MethodGet, url+"/v1/inventory/APPLE/CHI", "")
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(answer, `"`+c.code+`"`) || !strings.Contains(answer, c.says) {
			t.Errorf("%s: %d %v %s", c.name, status, header, answer)
		}
	}
}

// A request is passed on once. Two instances that each take the other for the owner answer soon, and do not ask in circles.
func TestRequestsAreNotPassedOnInCircles(t *testing.T) {
	states, _ := moved(t)
	g := &group{state: states}
	a, b := &member{name: "a", group: g}, &member{name: "b", group: g}
	urlA, urlB := serve(t, a), serve(t, b)
	g.owners = map[byte]runtime.Owner{'A': {Instance: "b", Address: urlB}}
	status, header, answer := ask(t, http.MethodGet, urlA+"/v1/inventory/APPLE/CHI", "")
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(answer, `"moving"`) {
		t.Errorf("%d %v %s", status, header, answer)
	}
	if n := b.asked.Load(); n != 2 { // once, and once more after the group was described again
		t.Errorf("b's state was asked %d times", n)
	}
	if n := g.looks.Load(); n != 1 {
		t.Errorf("the group was described %d times", n)
	}
	if status, _, answer := ask(t, http.MethodGet, urlA+"/v1/inventory/APPLE/CHI", "", "Crossdock-Forwarded-By", "b"); status != http.StatusMisdirectedRequest || !strings.Contains(answer, `"not_here"`) {
		t.Errorf("%d %s", status, answer)
	}
}

// The owner has just handed a partition over: the group is described again, and the new owner answers the same request.
func TestAHandedOverPartitionIsFoundWithinTheRequest(t *testing.T) {
	states, told := moved(t)
	g := &group{state: states}
	a, b, c := &member{name: "a", group: g}, &member{name: "b", group: g, has: "B"}, &member{name: "c", group: g, has: "A"}
	urlA := serve(t, a)
	ownerB, ownerC := runtime.Owner{Instance: "b", Address: serve(t, b)}, runtime.Owner{Instance: "c", Address: serve(t, c)}
	g.owners = map[byte]runtime.Owner{'A': ownerB, 'B': ownerB}
	g.look = func() { g.owners = map[byte]runtime.Owner{'A': ownerC, 'B': ownerB} }
	status, _, answer := ask(t, http.MethodGet, urlA+"/v1/inventory/APPLE/CHI", "")
	if status != http.StatusOK || !strings.Contains(answer, `"version":2`) {
		t.Fatalf("%d %s", status, answer)
	}
	g.owners = map[byte]runtime.Owner{'A': {Instance: "gone", Address: "http://127.0.0.1:1"}, 'B': ownerB}
	status, _, answer = ask(t, http.MethodPost, urlA+"/v1/inventory/query", `{"keys":[{"sku":"BOLT","site":"CHI"},{"sku":"APPLE","site":"CHI"}]}`)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	for i, b := range balances(t, answer) {
		want := told[[]string{"BOLT|CHI", "APPLE|CHI"}[i]]
		if !same(&b, &want) {
			t.Errorf("balance %d is %+v", i, b)
		}
	}
}

// A state that does not answer takes no longer than query.timeout, and one that does not read is no 503.
func TestRequestsEndInTimeAndABrokenStateIsNoPatience(t *testing.T) {
	g := &group{state: map[string][]byte{"APPLE|CHI": []byte("no state")}}
	m := &member{name: "a", group: g, has: "A", delay: make(chan struct{})}
	url := serve(t, m)
	if status, header, answer := ask(t, http.MethodGet, url+"/v1/inventory/APPLE/CHI", ""); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(answer, `"timeout"`) {
		t.Errorf("%d %v %s", status, header, answer)
	}
	close(m.delay)
	if status, header, answer := ask(t, http.MethodGet, url+"/v1/inventory/APPLE/CHI", ""); status != http.StatusInternalServerError || header.Get("Retry-After") != "" || !strings.Contains(answer, "does not read") {
		t.Errorf("%d %v %s", status, header, answer)
	}
}

func TestBodyThatDoesNotComeIsNotWaitedForForEver(t *testing.T) {
	m := &member{name: "a", group: &group{}, has: "A"}
	url := serve(t, m)
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/inventory/query", r)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(body), "slow_body") {
		t.Errorf("%s %s %v", resp.Status, body, err)
	}
}

// An address that is not an instance's is told as what it is.
func TestAnAddressOfSomethingElseIsNamed(t *testing.T) {
	for _, wrong := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"balances":[]}`) },
		func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 9<<20)) },
	} {
		other := httptest.NewServer(wrong)
		m := &member{name: "a", group: &group{owners: map[byte]runtime.Owner{'A': {Instance: "b", Address: other.URL}}}}
		status, _, answer := ask(t, http.MethodGet, serve(t, m)+"/v1/inventory/APPLE/CHI", "")
		if status != http.StatusBadGateway || !strings.Contains(answer, `"bad_answer"`) || !strings.Contains(answer, "query.advertise of instance b") {
			t.Errorf("%d %.300s", status, answer)
		}
		other.Close()
	}
}

// The document says what the server does: its routes, the fields of a balance, the bound of a query.
func TestOpenAPIDocumentIsWhatTheServerDoes(t *testing.T) {
	m := &member{name: "a", group: &group{}, has: "A"}
	status, header, answer := ask(t, http.MethodGet, serve(t, m)+"/v1/openapi.json", "")
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", status, header)
	}
	type schema struct {
		Properties map[string]any
		Required   []string
	}
	var doc struct {
		OpenAPI    string
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct {
			Schemas struct {
				Balance, Query, Refusal, Answer, Key, Decimal schema
			}
		}
	}
	if err := json.Unmarshal([]byte(answer), &doc); err != nil {
		t.Fatal(err)
	}
	if _, ok := doc.Paths["/v1/inventory/{sku}/{site}"]["get"]; !ok || len(doc.Paths) != 2 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("%+v", doc.Paths)
	}
	if post, ok := doc.Paths["/v1/inventory/query"]["post"]; !ok || post.Responses["503"] == nil || post.Responses["413"] == nil {
		t.Errorf("%+v", doc.Paths)
	}
	if !strings.Contains(answer, fmt.Sprintf(`"maxItems": %d`, api.MaxKeys)) {
		t.Error("the bound of a query is another")
	}
	for _, ref := range strings.Split(answer, `"$ref": "#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(ref, `"`)
		if !strings.Contains(answer, `"`+name+`": {`) {
			t.Errorf("there is no schema %s", name)
		}
	}
	full, err := json.Marshal(api.Balance{Stock: &api.Stock{AsOf: new(api.Instant), PostedAt: new(api.Instant)}})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(full, &fields); err != nil {
		t.Fatal(err)
	}
	var avsc struct{ Fields []struct{ Name string } }
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "avro", "schemas", "InventoryBalance.avsc"))
	if err == nil {
		err = json.Unmarshal(text, &avsc)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"found"}
	for _, f := range avsc.Fields {
		if f.Name != "cause_event_id" { // not part of the state
			want = append(want, f.Name)
		}
	}
	for _, name := range want {
		if _, ok := fields[name]; !ok || doc.Components.Schemas.Balance.Properties[name] == nil {
			t.Errorf("field %s of the balance's schema is not answered, or not in the document", name)
		}
	}
	if len(fields) != len(want) || len(doc.Components.Schemas.Balance.Properties) != len(want) {
		t.Errorf("%d fields are answered, %d are in the document, want %d", len(fields), len(doc.Components.Schemas.Balance.Properties), len(want))
	}
}
