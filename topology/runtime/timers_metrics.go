package runtime

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// timerMetrics are those of stages with timers; a task's series begin when it runs.
type timerMetrics struct {
	set, overdue *prometheus.GaugeVec
	fired        *prometheus.CounterVec
}

func newTimerMetrics() *timerMetrics {
	return &timerMetrics{
		set:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "crossdock_task_timers_count", Help: "Timers that are set."}, taskLabels),
		overdue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "crossdock_task_timers_overdue_seconds", Help: "For how long the oldest timer has been due, 0 where none is."}, taskLabels),
		fired:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_task_timers_fired_total", Help: "Timers called in committed transactions."}, taskLabels),
	}
}

func (m *timerMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.set, m.overdue, m.fired}
}

// timers tells how many are set, and for how long the oldest has been due.
func (t *taskMetrics) timers(set int, overdue time.Duration) {
	if t.timersSet == nil {
		m := t.of.timers
		t.timersSet, t.timersOverdue, t.timersFired = m.set.With(t.labels), m.overdue.With(t.labels), m.fired.With(t.labels)
	}
	t.timersSet.Set(float64(set))
	t.timersOverdue.Set(overdue.Seconds())
}

// fired counts timers of a committed transaction.
func (t *taskMetrics) fired(n int) {
	if n > 0 {
		t.timersFired.Add(float64(n))
	}
}
