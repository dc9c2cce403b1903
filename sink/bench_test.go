package sink

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
	"crossdock/topology/topics"
)

// cpuSeconds is what this process has used.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// scan is a posting as the bench workload has them: 200,000 SKUs, 220 sites.
func scan(i int) *event.LedgerPosting {
	h := uint64(i) * 0x9E3779B97F4A7C15
	return &event.LedgerPosting{
		EventID: fmt.Sprintf("scan-%016x", h), SKU: fmt.Sprintf("SKU-%06d", h%200_000), Site: fmt.Sprintf("DC%03d", h>>32%220),
		PostingNo: int64(i%1000 + 1), Type: event.MovementType(1 + h>>8%8), FromBucket: event.Bucket(1 + h>>16%9), ToBucket: event.Bucket(1 + h>>24%9),
		Qty: event.Quantity(h%100) * event.QuantityScale, EventTime: noon + event.Micros(i*500), PostedAt: noon + event.Micros(i*500+20_000),
		DedupeKey: fmt.Sprintf("wms|%d|%d", i/10, i%10), CorrelationID: fmt.Sprintf("O-%d", i/10), SourceSystem: "wms", SourceDocType: "scan",
		SourceDocID: fmt.Sprint(i / 10), RawRef: event.Some(fmt.Sprintf("crossdock.raw.wms/3/%d", i)),
	}
}

// BenchmarkInsert is the way from encoded records into the table, without a broker: decode, encode column by column, insert.
// 27 columns; blocks of 100,000 rows.
func BenchmarkInsert(b *testing.B) {
	for _, method := range []string{"lz4", "none"} {
		b.Run(method, func(b *testing.B) {
			f := newFixture(b)
			f.config.ClickHouse.Compression = method
			f.config.ClickHouse.Addresses = []string{testservices.ClickHouse(b).TCP} // not through the line
			s := f.sink()
			if err := s.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			const rows = 100_000
			records := make([]*kgo.Record, rows)
			bytes := 0
			for i := range records {
				records[i] = &kgo.Record{Topic: "crossdock.ledger", Offset: int64(i), Value: f.serde.Append(nil, scan(i))}
				bytes += len(records[i].Value)
			}
			l := s.lanes[0]
			from := part{lease: newLease(0)}
			block := newBlock(l.table)
			var encoding time.Duration
			began, cpu := time.Now(), cpuSeconds(b)
			for n := 0; b.Loop(); n++ {
				at := time.Now()
				for _, r := range records {
					if err := l.decode(block, r); err != nil {
						b.Fatal(err)
					}
					if err := block.add(from, r, at); err != nil {
						b.Fatal(err)
					}
				}
				encoding += time.Since(at)
				if err := s.insert(b.Context(), fmt.Sprintf("bench-%s-%d", s.nonce, n), l.insertSQL, block.all, l.handover); err != nil {
					b.Fatal(err)
				}
				block.reset()
			}
			million := float64(b.N) * rows / 1e6
			b.ReportMetric(float64(b.N)*rows/time.Since(began).Seconds(), "rows/s")
			b.ReportMetric((cpuSeconds(b)-cpu)/million, "cpu-s/M")
			b.ReportMetric(encoding.Seconds()/million, "encode-s/M")
			b.ReportMetric(float64(bytes)/rows, "bytes/record")
		})
	}
}

// BenchmarkDrain is the whole sink on a real broker: a backlog of 1,000,000 postings on 3 partitions until it is in the table
// and committed. The CPU is that of the sink alone: the backlog is produced before.
func BenchmarkDrain(b *testing.B) {
	f := newFixtureOn(b, testservices.Kafka(b), testservices.ClickHouse(b).TCP)
	f.config.ClickHouse.Addresses = []string{testservices.ClickHouse(b).TCP}
	f.config.FlushInterval, f.config.ProgressInterval = time.Second, 2*time.Second
	f.deps.Log = nil
	const rows = 1_000_000
	if err := f.client.BeginTransaction(); err != nil {
		b.Fatal(err)
	}
	for i := range rows {
		f.client.Produce(b.Context(), &kgo.Record{Topic: f.topic(topics.Ledger), Partition: int32(i % 3), Value: f.serde.Append(nil, scan(i))}, nil)
	}
	if err := f.client.EndTransaction(b.Context(), kgo.TryCommit); err != nil {
		b.Fatal(err)
	}
	var seconds, cpu float64
	for n := 0; b.Loop(); n++ {
		f.config.App = fmt.Sprintf("%s-%d", f.config.ClickHouse.Database, n)
		f.deps.Metrics = prometheus.NewRegistry()
		began, before := time.Now(), cpuSeconds(b)
		s := f.run()
		var first time.Time
		eventually(b, "drained", func() error {
			lag, err := s.lag(b.Context(), f.topic(topics.Ledger))
			if first.IsZero() && lag < rows {
				first = time.Now()
			}
			if err == nil && lag > 0 {
				err = fmt.Errorf("lag %d", lag)
			}
			return err
		})
		seconds += time.Since(began).Seconds()
		cpu += cpuSeconds(b) - before
		if err := s.stop(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/seconds, "rows/s")
	b.ReportMetric(cpu/float64(b.N)*1e6/rows, "cpu-s/M")
}
