package watch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"crossdock/loadtest/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A process is one whose metrics are a test's to set: those of Prometheus' process collector and of the runtime.
type process struct {
	*httptest.Server
	mu                  sync.Mutex // guards all below
	registry            *prometheus.Registry
	cpu, bytes, started prometheus.Gauge
	commit              prometheus.Histogram
	aborts, records     *prometheus.CounterVec
	away                bool
}

func newProcess(t *testing.T, started time.Time) *process {
	t.Helper()
	p := &process{}
	p.start(started)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.away {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// start is a process that begins anew: all its counters are zero.
func (p *process) start(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.registry = prometheus.NewRegistry()
	gauge := func(name string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name})
		p.registry.MustRegister(g)
		return g
	}
	p.cpu, p.bytes, p.started = gauge("process_cpu_seconds_total"), gauge("process_resident_memory_bytes"), gauge("process_start_time_seconds")
	p.started.Set(float64(at.UnixMilli()) / 1000)
	app := prometheus.WrapRegistererWith(prometheus.Labels{"app": "crossdock-inventory"}, p.registry)
	p.commit = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "crossdock_transaction_duration_seconds", Buckets: []float64{0.01, 0.1, 1}})
	p.aborts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_transaction_aborts_total"}, []string{"why"})
	p.records = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_task_records_total"}, []string{"topic", "partition"})
	app.MustRegister(p.commit, p.aborts, p.records)
}

func (p *process) commits(n int, took time.Duration, records float64) {
	for range n {
		p.commit.Observe(took.Seconds())
	}
	p.records.WithLabelValues("inbox", "0").Add(records / 2)
	p.records.WithLabelValues("inbox", "1").Add(records / 2)
}

// still is a watch that looks when the test says so.
func still(t *testing.T, targets ...Target) *Watch {
	t.Helper()
	w, err := Start(t.Context(), Options{Targets: targets, Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Stop(context.Background()) })
	return w
}

func (w *Watch) named(name string, events int64) report.Process {
	for _, p := range w.Processes(events) {
		if p.Name == name {
			return p
		}
	}
	return report.Process{}
}

func TestWhatAProcessSpentBeforeTheRunDoesNotCount(t *testing.T) {
	p := newProcess(t, time.Now().Add(-time.Hour))
	p.cpu.Set(100)
	p.bytes.Set(5000)
	p.commits(10, time.Millisecond, 1000)
	w := still(t, Target{Name: "pipeline", Metrics: p.URL})
	p.cpu.Set(103) // warming up
	w.look(t.Context())
	w.Begin(time.Now())
	p.cpu.Set(105.5)
	p.bytes.Set(700)
	p.commits(3, 50*time.Millisecond, 60)
	p.commits(1, 10*time.Second, 20)
	w.look(t.Context())
	got := w.named("pipeline", 500_000)
	if got.From != "metrics" || got.CPUSeconds != 2.5 || got.CPUSecondsPerMillion != 5 || got.PeakBytes != 5000 {
		t.Errorf("%+v", got)
	}
	if s := got.Samples[len(got.Samples)-1]; s.CPUSeconds != 2.5 || s.Bytes != 700 || s.At < 0 {
		t.Errorf("%+v", s)
	}
	c := w.Commits()
	want := &report.Commits{Count: 4, Edges: []float64{0.01, 0.1, 1}, Stages: []report.StageCommits{
		{Stage: "crossdock-inventory", Count: 4, Records: 20, Duration: []int64{0, 3, 0, 1}},
	}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want %+v", c, want)
	}
}

// A restarted process counts from zero: what it had added before is kept, also where it has counted further than the last
// look saw, which only the time of its start tells.
func TestAProcessThatStartsAnewGoesOnWhereItWas(t *testing.T) {
	p := newProcess(t, time.Now().Add(-time.Hour))
	p.cpu.Set(10)
	p.commits(100, time.Millisecond, 1000)
	w := still(t, Target{Name: "pipeline", Metrics: p.URL})
	p.cpu.Set(12)
	p.commits(5, time.Millisecond, 50)
	p.aborts.WithLabelValues("rebalance").Add(2) // a label that was not there before
	w.look(t.Context())
	p.mu.Lock()
	p.away = true
	p.mu.Unlock()
	w.look(t.Context())
	p.start(time.Now().Add(time.Second))
	p.cpu.Set(40)
	p.commits(300, time.Millisecond, 3000)
	p.mu.Lock()
	p.away = false
	p.mu.Unlock()
	w.look(t.Context())
	p.start(time.Now().Add(2 * time.Second))
	p.cpu.Set(1)
	p.commits(7, time.Millisecond, 70)
	w.look(t.Context())
	got := w.named("pipeline", 0)
	if got.CPUSeconds != 2+40+1 {
		t.Errorf("%g CPU seconds, want 43", got.CPUSeconds)
	}
	if len(got.Samples) != 4 {
		t.Errorf("%d samples of 5 looks, at one it was away", len(got.Samples))
	}
	c := w.Commits()
	if c.Count != 5+300+7 || c.Aborted != 2 || c.Stages[0].Records != 10 || c.Stages[0].Duration[0] != 312 {
		t.Errorf("%+v", c)
	}
	if notes := strings.Join(w.Notes(), "\n"); !strings.Contains(notes, "pipeline could not be looked at 1 times") || !strings.Contains(notes, "503") {
		t.Errorf("notes %q", notes)
	}
}

// Where nobody tells when a process started, a counter that falls does.
func TestACounterThatFellHasStartedAnew(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	p := newProcess(t, long)
	p.cpu.Set(10)
	p.commits(100, time.Millisecond, 1000)
	w := still(t, Target{Name: "pipeline", Metrics: p.URL})
	p.start(long)
	p.cpu.Set(4)
	p.commits(6, time.Millisecond, 60)
	w.look(t.Context())
	if got := w.named("pipeline", 0); got.CPUSeconds != 4 {
		t.Errorf("%+v", got)
	}
	if c := w.Commits(); c.Count != 6 || c.Stages[0].Records != 10 {
		t.Errorf("%+v", c)
	}
}

func TestAProcessThatStartsDuringTheRunCountsWhole(t *testing.T) {
	p := newProcess(t, time.Now().Add(time.Minute))
	p.away = true
	w := still(t, Target{Name: "late", Metrics: p.URL}, Target{Name: "never", Metrics: "http://127.0.0.1:1/metrics"})
	p.cpu.Set(3)
	p.commits(4, time.Millisecond, 40)
	p.mu.Lock()
	p.away = false
	p.mu.Unlock()
	w.look(t.Context())
	if got := w.named("late", 0); got.CPUSeconds != 3 {
		t.Errorf("%+v", got)
	}
	if c := w.Commits(); c.Count != 4 {
		t.Errorf("%+v", c)
	}
	if got := w.named("never", 0); got.Name != "" {
		t.Errorf("what was never seen is no process that spent nothing: %+v", got)
	}
}

func TestTheOwnProcessIsAlwaysOne(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no process table to read")
	}
	w := still(t)
	w.Begin(time.Now())
	x := 1.0
	for deadline := time.Now().Add(100 * time.Millisecond); time.Now().Before(deadline); {
		x = math.Sqrt(x + 1)
	}
	w.look(t.Context())
	got := w.named(Own, 1_000_000)
	if got.From != "process table" || got.CPUSeconds <= 0 || got.CPUSeconds > 10 || got.PeakBytes < 1<<20 {
		t.Errorf("%+v (%g)", got, x)
	}
	if w.Commits() != nil {
		t.Error("there were no metrics to tell of commits")
	}
	if behind, age := w.Lag(); len(behind) != 0 || age < 0 {
		t.Error(behind, age)
	}
}

func TestAWrongTargetIsRefused(t *testing.T) {
	for _, targets := range [][]Target{{{Name: Own, PID: 1}}, {{Name: "a"}}, {{PID: 1}}, {{Name: "a", PID: 1}, {Name: "a", PID: 2}}} {
		if w, err := Start(t.Context(), Options{Targets: targets}); err == nil {
			w.Stop(t.Context())
			t.Errorf("%+v", targets)
		}
	}
}

func TestSlicesHaveTheLagAtTheirEndAndTheCommitsBetween(t *testing.T) {
	w := still(t)
	began := time.Now()
	w.Begin(began)
	at := func(s float64, commits float64, lag map[string]int64) look {
		return look{at: began.Add(seconds(s)), targets: make([]sample, 1), commits: commits, lag: lag}
	}
	w.base = at(-0.5, 100, nil)
	w.options.Every = time.Second
	for _, l := range []look{
		at(0.5, 110, map[string]int64{"inventory": 5}), at(1.5, 130, map[string]int64{"inventory": 7, "sink": 90}),
		at(2.5, 130, nil), at(3.5, 150, map[string]int64{"sink": 1}),
	} {
		w.looks.Add(l)
	}
	slices := []report.Slice{{At: 0, Seconds: 1}, {At: 1, Seconds: 1}, {At: 2, Seconds: 1}, {At: 3, Seconds: 0.6}, {At: 10, Seconds: 1}}
	w.Fill(slices)
	wantCommits := []int64{15, 10, 10, 10, 0} // half of the first ten came before the run
	wantLag := []map[string]int64{{"inventory": 5}, {"inventory": 7, "sink": 90}, {}, {"sink": 1}, {}}
	for i, s := range slices {
		if s.Commits != wantCommits[i] || !reflect.DeepEqual(s.Lag, wantLag[i]) {
			t.Errorf("slice %d: %d commits and lag %v, want %d and %v", i, s.Commits, s.Lag, wantCommits[i], wantLag[i])
		}
	}
}

// However long the run: the looks are few, and commits are told from them as if all were there.
func TestLooksAreThinnedOut(t *testing.T) {
	w := still(t)
	w.Begin(time.Now())
	const n = 10_000
	w.mu.Lock()
	for i := range n {
		w.keep(look{at: w.began.Add(time.Duration(i+1) * time.Second), targets: make([]sample, 1), commits: float64(i + 1)})
		if w.looks.Len() > maxLooks {
			t.Fatal(w.looks.Len())
		}
	}
	w.mu.Unlock()
	slices := []report.Slice{{At: 0, Seconds: 5000}}
	w.Fill(slices)
	if slices[0].Commits != 5000 {
		t.Errorf("%d commits", slices[0].Commits)
	}
}

func TestStopTakesALastLook(t *testing.T) {
	p := newProcess(t, time.Now().Add(-time.Hour))
	w, err := Start(t.Context(), Options{Targets: []Target{{Name: "p", Metrics: p.URL}}, Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	p.cpu.Set(2)
	w.Stop(t.Context())
	if got := w.named("p", 0); got.CPUSeconds != 2 {
		t.Errorf("%+v", got)
	}
}

func TestALookThatWasCutOffIsNone(t *testing.T) {
	w := still(t, Target{Name: "p", Metrics: "http://127.0.0.1:1/metrics"})
	before := w.looks.Len()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	w.look(ctx)
	if w.looks.Len() != before {
		t.Error("it was kept")
	}
}

func TestUnreadableMetricsAreAGap(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "<html>no metrics</html>") }))
	t.Cleanup(s.Close)
	w := still(t, Target{Name: "p", Metrics: s.URL})
	if got := w.named("p", 0); got.Name != "" {
		t.Errorf("%+v", got)
	}
	if notes := w.Notes(); len(notes) != 1 || !strings.Contains(notes[0], s.URL) {
		t.Errorf("%q", notes)
	}
}
