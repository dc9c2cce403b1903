package runtime

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/processors"
	"crossdock/topology/runtime/store"
)

// metrics are an instance's. Workers write them once a transaction.
type metrics struct {
	clock         func() time.Time
	registerer    prometheus.Registerer
	collectors    []prometheus.Collector
	records       *prometheus.CounterVec
	commits       *prometheus.CounterVec
	taskAborts    *prometheus.CounterVec
	deadLetters   *prometheus.CounterVec
	lagRecords    *prometheus.GaugeVec
	stateKeys     *prometheus.GaugeVec
	stateBytes    *prometheus.GaugeVec
	restored      *prometheus.GaugeVec
	restoreRate   *prometheus.GaugeVec
	restoreLeft   *prometheus.GaugeVec
	lookups       *prometheus.CounterVec
	diskReads     *prometheus.CounterVec
	aborts        *prometheus.CounterVec
	sessions      prometheus.Counter
	promotions    prometheus.Counter
	probes        prometheus.Counter
	unowned       prometheus.Gauge
	fencer        *fencerMetrics
	timers        *timerMetrics
	commitSeconds prometheus.Histogram

	mu    sync.Mutex
	tasks map[input]*taskMetrics
}

// taskMetrics are one task's.
type taskMetrics struct {
	of     *metrics
	at     input
	labels prometheus.Labels

	records, commits, aborts                                  prometheus.Counter
	lagRecords, stateKeys, stateBytes, restored, restoredASec prometheus.Gauge
	restoreLeft                                               prometheus.Gauge
	lookups, diskReads                                        prometheus.Counter
	timersSet, timersOverdue                                  prometheus.Gauge // nil before the first look at them
	timersFired                                               prometheus.Counter

	rejects map[processors.Cause]int // of the transaction
	size    store.Stats              // as last told
	high    int64                    // last stable offset, as of the last poll
	oldest  atomic.Int64             // nanoseconds: time of the oldest record that may be unprocessed; 0: there is none
	done    atomic.Int64             // records committed since it was opened
}

var taskLabels = []string{"topic", "partition"}

func newMetrics(r prometheus.Registerer, app string, clock func() time.Time, others ...prometheus.Collector) (*metrics, error) {
	m := &metrics{clock: clock, tasks: map[input]*taskMetrics{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.collectors = append(m.collectors, v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, taskLabels)
		m.collectors = append(m.collectors, v)
		return v
	}
	m.records = counter("crossdock_task_records_total", "Input records of committed transactions.", taskLabels...)
	m.commits = counter("crossdock_task_commits_total", "Committed transactions that the task was part of.", taskLabels...)
	m.taskAborts = counter("crossdock_task_aborts_total", "Aborted transactions that the task was part of.", taskLabels...)
	m.deadLetters = counter("crossdock_task_dead_letters_total", "Dead letters of committed transactions, by cause.", append([]string{"cause"}, taskLabels...)...)
	m.lagRecords = gauge("crossdock_task_lag_records", "Records of the input that are not processed yet, markers of transactions included.")
	m.stateKeys = gauge("crossdock_state_keys_count", "Keys in the task's stores.")
	m.stateBytes = gauge("crossdock_state_memory_bytes", "Memory of the task's stores.")
	m.restored = gauge("crossdock_restore_progress_ratio", "How much of its changelogs the task has read, 1 when it runs.")
	m.restoreRate = gauge("crossdock_restore_rate_records_per_second", "Changelog records a second, while it restores.")
	m.restoreLeft = gauge("crossdock_restore_remaining_seconds", "How long the restore still takes at its pace so far, 0 when it runs.")
	m.lookups = counter("crossdock_state_lookups_total", "Look-ups of keys in the task's stores.", taskLabels...)
	m.diskReads = counter("crossdock_state_task_disk_reads_total", "Look-ups that asked the disk: the cache's misses.", taskLabels...)
	m.aborts = counter("crossdock_transaction_aborts_total", "Aborted transactions, by why.", "why")
	m.sessions = prometheus.NewCounter(prometheus.CounterOpts{Name: "crossdock_worker_sessions_restarted_total", Help: "Sessions made anew after an error."})
	m.commitSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "crossdock_transaction_duration_seconds",
		Help: "From a transaction's first record to its commit.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 13)})
	m.unowned = prometheus.NewGauge(prometheus.GaugeOpts{Name: "crossdock_group_unowned_partitions_count", Help: "Input partitions that no member of the group has."})
	m.promotions = prometheus.NewCounter(prometheus.CounterOpts{Name: "crossdock_standby_promotions_total", Help: "Stores of tasks that a replica of this instance had, and that were not read again."})
	m.probes = prometheus.NewCounter(prometheus.CounterOpts{Name: "crossdock_group_probing_rebalances_total", Help: "Rebalances that this instance forced so that partitions go to where their state is."})
	m.collectors = append(append(m.collectors, m.promotions, m.probes), others...)
	m.fencer = newFencerMetrics()
	m.timers = newTimerMetrics()
	m.collectors = append(append(m.collectors, m.fencer.collectors()...), m.timers.collectors()...)
	m.collectors = append(m.collectors, m.sessions, m.unowned, m.commitSeconds, &derived{m,
		prometheus.NewDesc("crossdock_task_lag_seconds", "Age of the oldest unprocessed record of the input, 0 where there is none.", taskLabels, nil),
		prometheus.NewDesc("crossdock_task_skew_ratio", "Records of the busiest task beside the mean of the instance's tasks, since they were opened.", nil, nil)})
	if r == nil {
		return m, nil
	}
	m.registerer = prometheus.WrapRegistererWith(prometheus.Labels{"app": app}, r)
	for n, c := range m.collectors {
		if err := m.registerer.Register(c); err != nil {
			for _, c := range m.collectors[:n] {
				m.registerer.Unregister(c)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer != nil {
		for _, c := range m.collectors {
			m.registerer.Unregister(c)
		}
	}
}

// task makes a task's metrics.
func (m *metrics) task(at input) *taskMetrics {
	l := prometheus.Labels{"topic": at.topic, "partition": strconv.Itoa(int(at.partition))}
	t := &taskMetrics{of: m, at: at, labels: l, rejects: map[processors.Cause]int{},
		records: m.records.With(l), commits: m.commits.With(l), aborts: m.taskAborts.With(l), lagRecords: m.lagRecords.With(l),
		stateKeys: m.stateKeys.With(l), stateBytes: m.stateBytes.With(l), restored: m.restored.With(l), restoredASec: m.restoreRate.With(l),
		restoreLeft: m.restoreLeft.With(l), lookups: m.lookups.With(l), diskReads: m.diskReads.With(l)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tasks[at] = t
	return t
}

// drop forgets the gauges of a task that is not here any more; its counters stay.
func (t *taskMetrics) drop() {
	m := t.of
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tasks[t.at] != t {
		return // another worker of this instance has the partition already
	}
	delete(m.tasks, t.at)
	for _, g := range []*prometheus.GaugeVec{m.lagRecords, m.stateKeys, m.stateBytes, m.restored, m.restoreRate, m.restoreLeft, m.timers.set, m.timers.overdue} {
		g.Delete(t.labels)
	}
}

// polled takes note of what lies ahead.
func (t *taskMetrics) polled(p *kgo.FetchPartition) {
	t.high = max(p.LastStableOffset, p.Records[len(p.Records)-1].Offset+1)
	t.oldest.CompareAndSwap(0, p.Records[0].Timestamp.UnixNano())
}

// deadLetter counts a dead letter, whoever made it. The cause is kept as a copy: a processor's may lie in what it reuses.
func (t *taskMetrics) deadLetter(cause processors.Cause) {
	if _, known := t.rejects[cause]; !known {
		cause = processors.Cause(strings.Clone(string(cause)))
	}
	t.rejects[cause]++
}

func (t *taskMetrics) committed(r *run, size store.Stats) {
	t.commits.Inc()
	if n := len(r.fetched); n > 0 {
		t.records.Add(float64(n))
		t.done.Add(int64(n))
		lag := max(0, t.high-r.done.Offset)
		t.lagRecords.Set(float64(lag))
		if lag == 0 {
			t.oldest.Store(0)
		} else {
			t.oldest.Store(r.fetched[n-1].Timestamp.UnixNano())
		}
	}
	for cause, n := range t.rejects {
		l := prometheus.Labels{"cause": string(cause), "topic": t.labels["topic"], "partition": t.labels["partition"]}
		t.of.deadLetters.With(l).Add(float64(n))
	}
	clear(t.rejects)
	t.stateSize(size)
}

func (t *taskMetrics) aborted() {
	t.aborts.Inc()
	clear(t.rejects)
}

// caughtUp says that nothing has come for a while.
func (t *taskMetrics) caughtUp() {
	t.lagRecords.Set(0)
	t.oldest.Store(0)
}

func (t *taskMetrics) stateSize(s store.Stats) {
	t.stateKeys.Set(float64(s.Keys))
	t.stateBytes.Set(float64(s.Bytes))
	t.lookups.Add(float64(s.Lookups - t.size.Lookups))
	t.diskReads.Add(float64(s.Reads - t.size.Reads))
	t.size = s
}

// restore tells how far a restore is.
func (t *taskMetrics) restore(j *restore) {
	if over, _ := j.finished(); over {
		t.restored.Set(1)
		t.restoredASec.Set(0)
		t.restoreLeft.Set(0)
		return
	}
	p := j.progress()
	t.restored.Set(p.ratio)
	t.restoredASec.Set(p.rate)
	t.restoreLeft.Set(p.remaining.Seconds())
}

// derived are the metrics that are computed when they are read.
type derived struct {
	of        *metrics
	lag, skew *prometheus.Desc
}

// Describe is for prometheus.Collector.
func (d *derived) Describe(c chan<- *prometheus.Desc) {
	c <- d.lag
	c <- d.skew
}

// Collect is for prometheus.Collector.
func (d *derived) Collect(c chan<- prometheus.Metric) {
	now := d.of.clock()
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	var most, sum int64
	for at, t := range d.of.tasks {
		age := 0.0
		if oldest := t.oldest.Load(); oldest != 0 {
			age = math.Max(0, now.Sub(time.Unix(0, oldest)).Seconds())
		}
		c <- prometheus.MustNewConstMetric(d.lag, prometheus.GaugeValue, age, at.topic, strconv.Itoa(int(at.partition)))
		n := t.done.Load()
		most, sum = max(most, n), sum+n
	}
	skew := 1.0
	if sum > 0 {
		skew = float64(most) * float64(len(d.of.tasks)) / float64(sum)
	}
	c <- prometheus.MustNewConstMetric(d.skew, prometheus.GaugeValue, skew)
}
