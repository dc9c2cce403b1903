package serde

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/registry"
	"crossdock/avro/schemas"
	"crossdock/avro/wire"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeRegistry is the embedded registry behind a door at which a test can stand.
type fakeRegistry struct {
	*sr.Client
	requests atomic.Int64
	refuse   atomic.Pointer[http.HandlerFunc] // answers instead, where it is set
}

func newRegistry(t *testing.T) *fakeRegistry {
	t.Helper()
	r, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	f := new(fakeRegistry)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		f.requests.Add(1)
		if h := f.refuse.Load(); h != nil {
			(*h)(w, req)
			return
		}
		r.ServeHTTP(w, req)
	}))
	transport := new(http.Transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	f.Client, err = sr.NewClient(sr.URLs(server.URL), sr.HTTPClient(&http.Client{Transport: transport}), sr.LogLevel(sr.LogLevelNone))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everything carries each event on a topic of its own, and movements on two.
func everything() []Carried {
	var all []Carried
	for _, name := range schemas.Events() {
		all = append(all, Carried{Topic: "crossdock." + strings.ToLower(name), Record: name})
	}
	return append(all, Carried{Topic: "crossdock.movements", Record: "InventoryMovement"})
}

func register1(t *testing.T, f *fakeRegistry) *Serde {
	t.Helper()
	s, err := Register(t.Context(), f.Client, everything())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRegisterGivesEachRecordOneIDAndEachSubjectItsRule(t *testing.T) {
	f := newRegistry(t)
	if res := f.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone})[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	s := register1(t, f)
	for _, r := range s.Registered() {
		if !r.New {
			t.Errorf("%s is not new", r.Subject())
		}
		level := f.Compatibility(t.Context(), r.Subject())[0]
		if level.Err != nil || level.Level != sr.CompatBackwardTransitive {
			t.Errorf("%s: %v, %v", r.Subject(), level.Level, level.Err)
		}
	}
	have, err := f.SchemaByVersion(t.Context(), "crossdock.movements-crossdock.v1.InventoryMovement", 1)
	if err != nil || have.ID != s.ID(event.KindInventoryMovement) {
		t.Errorf("under its second subject a movement has id %d, want %d: %v", have.ID, s.ID(event.KindInventoryMovement), err)
	}
	value := s.Append(nil, sample())
	if id, _, err := wire.Split(value); err != nil || id != have.ID {
		t.Errorf("a movement is written with id %d: %v", id, err)
	}
	if k, err := s.Kind(value); err != nil || k != event.KindInventoryMovement {
		t.Errorf("%v, %v", k, err)
	}
}

func TestASecondProcessOnlyReads(t *testing.T) {
	f := newRegistry(t)
	first := register1(t, f)
	if res := f.SetMode(t.Context(), sr.ModeReadOnly)[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	second := register1(t, f)
	for _, k := range event.Kinds() {
		if first.ID(k) != second.ID(k) {
			t.Errorf("%s: ids %d and %d", k, first.ID(k), second.ID(k))
		}
	}
	for _, r := range second.Registered() {
		if r.New {
			t.Errorf("%s was registered again", r.Subject())
		}
	}
}

func TestRegisterNamesWhatIsMissingOrRefused(t *testing.T) {
	f := newRegistry(t)
	if _, err := Register(t.Context(), f.Client, everything()[1:]); err == nil || !strings.Contains(err.Error(), "ItemMaster") {
		t.Errorf("a record that no topic carries: %v", err)
	}
	if _, err := Register(t.Context(), f.Client, []Carried{{"t", "Invoice"}}); err == nil || !strings.Contains(err.Error(), "Invoice") {
		t.Errorf("what is no event: %v", err)
	}
	// Somebody else has registered something that our schema cannot read.
	other := strings.Replace(fullText(t, "OrderRelease"), `"name":"ship_from","type":"string"`, `"name":"ship_out_of","type":"string"`, 1)
	if _, err := f.CreateSchema(t.Context(), "x-crossdock.v1.OrderRelease", sr.Schema{Schema: other}); err != nil {
		t.Fatal(err)
	}
	var answer *sr.ResponseError
	if _, err := Register(t.Context(), f.Client, []Carried{{"x", "OrderRelease"}}); !errors.As(err, &answer) || answer.ErrorCode != 409 ||
		!strings.Contains(err.Error(), "x-crossdock.v1.OrderRelease") || !strings.Contains(err.Error(), "ship_from") {
		t.Errorf("an incompatible schema: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Register(ctx, f.Client, everything()); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func fullText(t testing.TB, name string) string {
	t.Helper()
	text, err := schemas.Full(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestARegistryThatHasNoSettingsForAnEmptySubject(t *testing.T) {
	f := newRegistry(t)
	inner, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	inner.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPut, "/config", strings.NewReader(`{"compatibility":"NONE"}`)))
	var made sync.Map
	fussy := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		subject, isConfig := strings.CutPrefix(req.URL.Path, "/config/")
		if _, ok := made.Load(subject); isConfig && !ok {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error_code":40401,"message":"no such subject"}`))
			return
		}
		if rest, ok := strings.CutPrefix(req.URL.Path, "/subjects/"); ok && req.Method == http.MethodPost {
			if subject, ok := strings.CutSuffix(rest, "/versions"); ok {
				made.Store(subject, true)
			}
		}
		inner.ServeHTTP(w, req)
	})
	f.refuse.Store(&fussy)
	s := register1(t, f)
	for _, r := range s.Registered() {
		if level := f.Compatibility(t.Context(), r.Subject())[0]; level.Err != nil || level.Level != sr.CompatBackwardTransitive {
			t.Errorf("%s: %v, %v", r.Subject(), level.Level, level.Err)
		}
	}
}

func TestRegisterOutlastsARegistryThatIsNotWellForAMoment(t *testing.T) {
	f := newRegistry(t)
	inner, err := registry.Open("")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	unwell := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch requests.Add(1) {
		case 3:
			panic(http.ErrAbortHandler) // cuts the connection
		case 5:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			inner.ServeHTTP(w, req)
		}
	})
	f.refuse.Store(&unwell)
	s := register1(t, f)
	if got := len(s.Registered()); got != len(everything()) {
		t.Errorf("%d pairs are registered, want each once: %d", got, len(everything()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	down := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	f.refuse.Store(&down)
	before := f.requests.Load()
	if _, err := Register(ctx, f.Client, everything()[:1]); err == nil || f.requests.Load()-before != 1 {
		t.Errorf("a registry that is down, until the caller gives up: %v after %d requests", err, f.requests.Load()-before)
	}
}

func TestARegistryMayGiveTheSameTextAnIDForEachSubject(t *testing.T) {
	f := newRegistry(t)
	var given atomic.Int64
	generous := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case strings.HasPrefix(req.URL.Path, "/config/"):
			_, _ = w.Write([]byte(`{"compatibilityLevel":"FULL_TRANSITIVE"}`))
		case strings.HasSuffix(req.URL.Path, "/versions"):
			_ = json.NewEncoder(w).Encode(map[string]int64{"id": 100_000 + given.Add(1)})
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error_code":40401,"message":"none yet"}`))
		}
	})
	f.refuse.Store(&generous)
	s := register1(t, f)
	ids := make(map[int]bool)
	for _, r := range s.Registered() {
		if ids[r.ID] = true; !s.Known(r.ID) {
			t.Errorf("%s: id %d is not known", r.Subject(), r.ID)
		}
	}
	if len(ids) != len(everything()) {
		t.Fatalf("%d ids: the test shows nothing", len(ids))
	}
	first := s.Registered()[slices.Index(schemas.Events(), "InventoryMovement")]
	if got := s.ID(event.KindInventoryMovement); got != first.ID {
		t.Errorf("a movement is written with id %d, want %d, that of the first topic that carries it", got, first.ID)
	}
}

func TestLearnTellsWhatIsFinalFromWhatIsWorthAnotherTry(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	clock := time.Unix(0, 0)
	s.now = func() time.Time { return clock }
	ctx := t.Context()
	var unknown *UnknownSchemaError

	if err := s.Learn(ctx, s.ID(event.KindOrderRelease)); err != nil {
		t.Errorf("what is known already: %v", err)
	}
	if err := s.Learn(ctx, 9999); !errors.As(err, &unknown) || unknown.ID != 9999 {
		t.Errorf("an id that the registry does not have: %v", err)
	}
	before := f.requests.Load()
	if err := s.Learn(ctx, 9999); !errors.As(err, &unknown) || f.requests.Load() != before {
		t.Errorf("the same id again, at once: %v, %d more requests", err, f.requests.Load()-before)
	}
	clock = clock.Add(unknownFor)
	if err := s.Learn(ctx, 9999); !errors.As(err, &unknown) || f.requests.Load() == before {
		t.Errorf("the same id again, later: %v; it was not asked for", err)
	}

	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	f.refuse.Store(&broken)
	if err := s.Learn(ctx, 8888); err == nil || errors.As(err, &unknown) {
		t.Errorf("a registry that is down: %v", err)
	}
	f.refuse.Store(nil)
	if err := s.Learn(ctx, 8888); !errors.As(err, &unknown) {
		t.Errorf("the registry is up again: %v", err)
	}

	for what, text := range map[string]string{
		"another record":               `{"type":"record","name":"Invoice","namespace":"crossdock.v1","fields":[]}`,
		"another namespace":            strings.Replace(fullText(t, "OrderRelease"), `"namespace":"crossdock.v1"`, `"namespace":"acme"`, 1),
		"a part that is no event":      fullText(t, "EventHeader"),
		"no record":                    `"string"`,
		"a record that cannot be read": strings.Replace(fullText(t, "OrderRelease"), `"ship_from","type":"string"`, `"ship_from","type":"double"`, 1),
	} {
		made, err := f.CreateSchema(ctx, what, sr.Schema{Schema: text})
		if err != nil {
			t.Fatal(what, err)
		}
		if err := s.Learn(ctx, made.ID); !errors.As(err, &unknown) || unknown.ID != made.ID || s.Known(made.ID) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Local().Learn(ctx, 9999); !errors.As(err, &unknown) {
		t.Errorf("without a registry: %v", err)
	}
}

func TestLearnGivesUpWithItsContext(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		w.WriteHeader(http.StatusNotFound)
	})
	f.refuse.Store(&slow)
	var first sync.WaitGroup
	first.Go(func() {
		var unknown *UnknownSchemaError
		if err := s.Learn(t.Context(), 7777); !errors.As(err, &unknown) {
			t.Errorf("the first: %v", err)
		}
	})
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Learn(ctx, 6666); !errors.Is(err, context.Canceled) {
		t.Errorf("one that waits for the first: %v", err)
	}
	close(answer)
	first.Wait()
}

func TestManyMayLearnWhileOthersRead(t *testing.T) {
	f := newRegistry(t)
	s := register1(t, f)
	value := s.Append(nil, sample())
	var ids []int
	for i := range 4 {
		text := strings.Replace(fullText(t, "InventoryMovement"), `"fields":[`, `"fields":[{"name":"x`+string(rune('a'+i))+`","type":"string","default":""},`, 1)
		made, err := f.CreateSchema(t.Context(), "older", sr.Schema{Schema: text})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
	}
	var learners, readers sync.WaitGroup
	done := make(chan struct{})
	readers.Go(func() {
		var m event.InventoryMovement
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := s.Decode(value, &m); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		learners.Go(func() {
			for _, id := range ids {
				if err := s.Learn(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	learners.Wait()
	close(done)
	readers.Wait()
	for _, id := range ids {
		if !s.Known(id) {
			t.Errorf("id %d is not known", id)
		}
	}
}
