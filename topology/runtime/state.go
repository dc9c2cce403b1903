package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/topology/runtime/store"
	"crossdock/topology/runtime/task"
)

// storeFailed decides what a store's error means: a new session opens its tasks anew, and what is damaged is restored from
// the changelog; a machine that does not let the store work stops the instance by name.
func storeFailed(err error) error {
	var (
		io   *store.IOError
		full *store.DiskFullError
	)
	switch {
	case errors.As(err, &full):
		return exit(DiskFull, err, "Make room, or give the state a larger disk. Nothing is lost: what is not written is in the changelogs.", "state cannot be written")
	case errors.As(err, &io):
		return exit(StateFailed, err, "Let the process write and read the folder (state.dir), or give it another: state is restored from the changelogs.", "the state's disk")
	}
	return &sessionError{"a store failed", err}
}

// own are the stores of the tasks that run.
func (w *worker) own() []*store.Partition {
	w.stores = w.stores[:0]
	for _, r := range w.runs {
		if r.task != nil {
			w.stores = append(w.stores, r.task.Stores()...)
		}
	}
	return w.stores
}

// fullWait bounds a wait for the disk: the loop looks at its tasks and at queries again.
const fullWait = 100 * time.Millisecond

// tend is what the stores on disk need between transactions. wait says that no records may be polled: too much is unwritten
// already (I7).
func (w *worker) tend(ctx context.Context) (wait bool, err error) {
	if w.disk == nil || !w.stage.Stateful() {
		return false, nil
	}
	own := w.own()
	atEnd := false
	for _, p := range own {
		if p.StampDue() { // once in some minutes
			atEnd = w.prove(ctx) == nil // somebody else may have gone on since otherwise
			break
		}
	}
	for _, p := range own {
		p.Idle(atEnd)
		if err := p.Fault(); err != nil {
			return false, storeFailed(err)
		}
	}
	if !w.disk.Full() {
		return false, nil
	}
	waitCtx, cancel := context.WithTimeout(ctx, fullWait)
	defer cancel()
	err = w.disk.Wait(waitCtx, own...)
	switch {
	case err == nil:
		return false, nil
	case waitCtx.Err() != nil:
		return true, nil
	}
	return false, storeFailed(err)
}

// open makes the processor of a task whose stores are restored.
func (w *worker) newTask(r *run) *task.Task {
	stores := make([]*store.Partition, len(r.restores))
	for i, j := range r.restores {
		stores[i] = j.store
	}
	return task.New(task.Config{
		Stage: w.stage, Serde: w.serde, Stores: stores, Arena: w.txn.arena, Sink: w,
		Limits: task.Limits{RecordBytes: w.cfg.Commit.MaxBytes}, Unlearnable: w.learner.unlearnable,
	})
}

// positions say, by store, where a task stands with the transaction that was committed: after the last record that each
// changelog has taken.
func (r *run) positions(now time.Time) []store.Position {
	r.at = r.at[:0]
	for _, rec := range r.changes {
		p := store.Position{Source: r.done.Offset, Stamp: now}
		if rec != nil {
			p.Changelog = rec.Offset + 1
		}
		r.at = append(r.at, p)
	}
	return r.at
}

// defaultDeleteRetention is Kafka's.
const defaultDeleteRetention = 24 * time.Hour

// learnRetention reads for how long changelogs keep tombstones: a store that is older cannot be caught up.
func (s *topicSet) learnRetention(ctx context.Context, client *kgo.Client) error {
	s.retention = map[string]time.Duration{}
	for _, name := range s.changelogs {
		s.retention[name] = defaultDeleteRetention
	}
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, s.changelogs...)
	if err != nil {
		return err
	}
	var problems []error
	for _, c := range configs {
		if c.Err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", c.Name, c.Err))
			continue
		}
		for _, config := range c.Configs {
			if config.Key != "delete.retention.ms" || config.Value == nil {
				continue
			}
			ms, err := strconv.ParseInt(*config.Value, 10, 64)
			if err != nil || ms < 0 {
				problems = append(problems, fmt.Errorf("%s: delete.retention.ms is %q", c.Name, *config.Value))
				continue
			}
			s.retention[c.Name] = max(time.Millisecond, time.Duration(min(ms, int64(time.Duration(1<<62)/time.Millisecond)))*time.Millisecond)
		}
	}
	return errors.Join(problems...)
}

// StateMetrics are the figures of a process's disk, for a registry.
func StateMetrics(db *store.DB) prometheus.Collector { return &stateMetrics{db} }

type stateMetrics struct{ db *store.DB }

var _ prometheus.Collector = (*stateMetrics)(nil)

// Describe is for prometheus.Collector.
func (m *stateMetrics) Describe(c chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(m, c)
}

// Collect is for prometheus.Collector.
func (m *stateMetrics) Collect(c chan<- prometheus.Metric) {
	f := m.db.Figures()
	gauge := func(name, help string, v float64) {
		c <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
	}
	counter := func(name, help string, v uint64) {
		c <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, float64(v))
	}
	gauge("crossdock_state_cache_bytes", "Memory of committed state of the process, bounded by state.cache_bytes.", float64(f.Memory))
	gauge("crossdock_state_unwritten_bytes", "Committed changes that the disk does not have yet.", float64(f.Dirty))
	gauge("crossdock_state_disk_bytes", "Size of the state's tables on disk.", float64(f.Disk))
	gauge("crossdock_state_disk_full_seconds", "For how long the disk of the state has been full; 0: it is not.", f.Full.Seconds())
	counter("crossdock_state_written_keys_total", "Keys written to the disk.", f.Written)
	counter("crossdock_state_disk_reads_total", "Look-ups that memory could not answer.", f.Reads)
	counter("crossdock_state_refused_batches_total", "Batches of leases that had ended.", f.Refused)
}
