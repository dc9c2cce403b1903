package sink

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the sink's, all by table.
type metrics struct {
	rows, blocks, bytes                *prometheus.CounterVec
	insertErrors, deadLetters          *prometheus.CounterVec
	commitErrors, fetchErrors          *prometheus.CounterVec
	lostRecords, topicsReplaced        *prometheus.CounterVec
	retrying, stopped                  *prometheus.GaugeVec
	freshness, newestEvent, lagRecords *prometheus.GaugeVec
	pending                            *prometheus.GaugeVec
	insertSeconds                      *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, names []string) (*metrics, error) {
	var all []prometheus.Collector
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "crossdock_sink_" + name, Help: help}, append([]string{"table"}, labels...))
		all = append(all, c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "crossdock_sink_" + name, Help: help}, []string{"table"})
		all = append(all, g)
		return g
	}
	m := &metrics{
		rows:           counter("rows_total", "Rows that ClickHouse has acknowledged."),
		blocks:         counter("inserts_total", "Inserts that ClickHouse has acknowledged."),
		bytes:          counter("bytes_total", "Bytes of the records in acknowledged inserts."),
		insertErrors:   counter("insert_errors_total", "Tries of an insert that failed, by ClickHouse's error code or what broke.", "code"),
		deadLetters:    counter("dead_letters_total", "Records that cannot be stored, by cause.", "cause"),
		commitErrors:   counter("commit_errors_total", "Commits of offsets that the brokers did not accept."),
		fetchErrors:    counter("fetch_errors_total", "Errors while fetching from the brokers."),
		lostRecords:    counter("lost_records_total", "Offsets that Kafka's retention removed before they were read."),
		topicsReplaced: counter("topics_replaced_total", "Partitions whose topic was deleted and made anew."),
		retrying:       gauge("retrying", "1 while the table waits for ClickHouse, the brokers or the registry."),
		stopped:        gauge("stopped", "1 while the table stands still because the server refuses its block."),
		freshness:      gauge("freshness_seconds", "Age of the time until which the table has everything that was in Kafka."),
		newestEvent:    gauge("newest_event_timestamp_seconds", "Latest event time among the rows, seconds since 1970."),
		lagRecords:     gauge("lag_records", "Offsets of Kafka that are not in the table yet."),
		pending:        gauge("pending_rows", "Rows that have been encoded and wait for the next insert."),
		insertSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crossdock_sink_insert_seconds", Help: "Time of an insert, from its start to ClickHouse's acknowledgement.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
		}, []string{"table"}),
	}
	all = append(all, m.insertSeconds)
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("sink: metrics: %w; every sink needs a registry of its own", err)
		}
	}
	for _, t := range names { // a series that is there from the start shows its first change
		m.rows.WithLabelValues(t)
		m.commitErrors.WithLabelValues(t)
		m.lostRecords.WithLabelValues(t)
		m.topicsReplaced.WithLabelValues(t)
		m.retrying.WithLabelValues(t).Set(0)
		m.stopped.WithLabelValues(t).Set(0)
	}
	return m, nil
}
