package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"crossdock/loadtest/machine"
)

// sample is what one look saw of a target. Zero: nothing.
type sample struct {
	ok    bool
	cpu   float64 // seconds, summed over the processes that bore the name since the watch started
	bytes int64
}

// A target is a Target with what its counters have added up to. The goroutine of the watch uses it.
type target struct {
	Target
	cpu     counter
	looked  bool                    // its metrics were seen before
	started float64                 // process_start_time_seconds at the last look
	stages  map[string]*application // by application id
}

// application are the counters of one application on one target.
type application struct {
	commits, aborted, records counter
	buckets                   map[float64]*counter // cumulative, by upper edge in seconds
}

// A counter sums up what a counter of another process has added since the watch started.
type counter struct {
	known bool
	last  float64
	sum   float64
}

// see takes the counter's value as of now. appeared says that it was not there at the last look, though its process was: it
// has counted from zero. So has one whose value fell: its process is another one.
func (c *counter) see(value float64, appeared bool) {
	switch {
	case c.known && value < c.last, !c.known && appeared:
		c.sum += value
	case c.known:
		c.sum += value - c.last
	}
	c.known, c.last = true, value
}

// restart says that the process began anew: whatever the counter is next, it has counted since.
func (c *counter) restart() { c.known, c.last = true, 0 }

func newTarget(t Target) *target { return &target{Target: t, stages: make(map[string]*application)} }

// scrapeWithin bounds a look at one target's metrics, and scrapeBytes its answer.
const (
	scrapeWithin = 5 * time.Second
	scrapeBytes  = 32 << 20
)

// look sees the target. since is when the watch started, in Unix seconds.
func (t *target) look(ctx context.Context, client *http.Client, since float64) (s sample, err error) {
	if t.Metrics != "" {
		var families map[string]*dto.MetricFamily
		if families, err = scrape(ctx, client, t.Metrics); err == nil {
			s = t.take(families, since)
		}
	}
	if t.PID > 0 {
		cpu, ok := machine.CPUSeconds(t.PID)
		if !ok {
			return sample{}, errors.Join(err, fmt.Errorf("no process %d in the process table", t.PID))
		}
		t.cpu.see(cpu, false)
		s = sample{ok: true, cpu: t.cpu.sum, bytes: machine.ResidentBytes(t.PID)}
	}
	return s, err
}

func scrape(ctx context.Context, client *http.Client, url string) (map[string]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(res.Body, scrapeBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return families, nil
}

// take reads a target's metrics: those of Prometheus' process collector, and those of the stream runtime (docs/runtime.md).
func (t *target) take(families map[string]*dto.MetricFamily, since float64) (s sample) {
	started, timed := value(families["process_start_time_seconds"])
	if timed && started != t.started && (t.looked || started >= since) {
		t.restart()
	}
	appeared := t.looked
	t.started, t.looked = started, true
	if t.PID <= 0 {
		if cpu, ok := value(families["process_cpu_seconds_total"]); ok {
			t.cpu.see(cpu, appeared)
			bytes, _ := value(families["process_resident_memory_bytes"])
			s = sample{ok: true, cpu: t.cpu.sum, bytes: int64(bytes)}
		}
	}
	for app, n := range sums(families["crossdock_transaction_aborts_total"]) {
		t.stage(app).aborted.see(n, appeared)
	}
	for app, n := range sums(families["crossdock_task_records_total"]) {
		t.stage(app).records.see(n, appeared)
	}
	for _, m := range families["crossdock_transaction_duration_seconds"].GetMetric() {
		x, h := t.stage(labelOf(m, "app")), m.GetHistogram()
		x.commits.see(float64(h.GetSampleCount()), appeared)
		for _, b := range h.GetBucket() {
			edge := b.GetUpperBound()
			if x.buckets[edge] == nil {
				x.buckets[edge] = &counter{}
			}
			x.buckets[edge].see(float64(b.GetCumulativeCount()), appeared)
		}
	}
	return s
}

// restart says that the process is another one than at the last look.
func (t *target) restart() {
	if t.PID <= 0 {
		t.cpu.restart()
	}
	for _, x := range t.stages {
		for _, c := range []*counter{&x.commits, &x.aborted, &x.records} {
			c.restart()
		}
		for _, c := range x.buckets {
			c.restart()
		}
	}
	t.looked = true
}

func (t *target) stage(app string) *application {
	if t.stages[app] == nil {
		t.stages[app] = &application{buckets: make(map[float64]*counter)}
	}
	return t.stages[app]
}

// value is that of a metric without labels.
func value(f *dto.MetricFamily) (float64, bool) {
	if len(f.GetMetric()) != 1 {
		return 0, false
	}
	return number(f.GetMetric()[0]), true
}

// sums adds up a metric by application id.
func sums(f *dto.MetricFamily) map[string]float64 {
	byApp := make(map[string]float64)
	for _, m := range f.GetMetric() {
		byApp[labelOf(m, "app")] += number(m)
	}
	return byApp
}

// number is a metric's value, whatever type its exposition says.
func number(m *dto.Metric) float64 {
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
