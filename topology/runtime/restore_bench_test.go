package runtime

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
	"crossdock/topology/runtime/store"
)

// The changelog of a restore: as many records as the inventory's benchmark leaves, of as many keys.
const (
	changelogRecords    = 1_600_000
	changelogKeys       = 1_020_000
	changelogPartitions = 8
)

// BenchmarkRestore restores a wiped store of a million keys from a real broker. The records a second are those of the wall; what the
// process spends, writes to the disk included as far as the bound of unwritten bytes asks for them, is told beside.
func BenchmarkRestore(b *testing.B) {
	brokers := testservices.Kafka(b)
	topic := fmt.Sprintf("bench-restore-%d-changelog", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.MaxBufferedRecords(200_000), kgo.ProducerLinger(10*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	compact := "compact"
	if _, err := admin.CreateTopic(b.Context(), changelogPartitions, 1, map[string]*string{"cleanup.policy": &compact}, topic); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = admin.DeleteTopics(context.Background(), topic) }()
	fillChangelog(b, client, topic)
	ends, err := admin.ListEndOffsets(b.Context(), topic)
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range []string{"memory", "disk", "quarter"} {
		b.Run(kind, func(b *testing.B) {
			var spent, took, closing time.Duration
			for range b.N {
				s, w, c := restoreAll(b, brokers, topic, kind, ends)
				spent, took, closing = spent+s, took+w, closing+c
			}
			b.ReportMetric(float64(changelogRecords)*float64(b.N)/took.Seconds(), "records/s")
			b.ReportMetric(spent.Seconds()/float64(b.N), "cpu-s")
			b.ReportMetric(closing.Seconds()/float64(b.N), "cpu-s-with-close")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func fillChangelog(b *testing.B, client *kgo.Client, topic string) {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.1, 50, changelogKeys-1)
	var failed error
	var once sync.Once
	for n := range changelogRecords {
		key := n
		if n >= changelogKeys {
			key = int(zipf.Uint64())
		}
		value := make([]byte, 36, 60)
		binary.LittleEndian.PutUint64(value, uint64(n))
		for range random.IntN(4) {
			value = binary.LittleEndian.AppendUint64(value, random.Uint64())
		}
		r := &kgo.Record{Topic: topic, Partition: int32(key % changelogPartitions), Value: value, Timestamp: time.Unix(1_764_000_000, 0),
			Key: fmt.Appendf(nil, "SKU-%06d|SITE-%03d", key*7919%changelogKeys/5, key*7919%changelogKeys%5*44+key%44)}
		client.Produce(b.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	if failed != nil {
		b.Fatal(failed)
	}
}

func restoreAll(b *testing.B, brokers, topic, kind string, ends kadm.ListedOffsets) (cpu, wall, closed time.Duration) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg := Config{App: "bench", Instance: "a", Client: []kgo.Opt{kgo.SeedBrokers(brokers)}}
	cfg.EnsureDefaults()
	var db *store.DB
	if kind != "memory" {
		o := store.Options{Logger: log}
		if kind == "quarter" {
			o.CacheBytes = 32 << 20
		}
		var err error
		if db, err = store.Open(b.TempDir(), o); err != nil {
			b.Fatal(err)
		}
	}
	began, spent := time.Now(), spentCPU(b)
	r, err := newRestorer(&cfg, log)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	over := make(chan error, 1)
	go func() { over <- r.run(ctx) }()
	var all []*restore
	for p := range int32(changelogPartitions) {
		end, _ := ends.Lookup(topic, p)
		claim := store.Claim{Store: "bench/stock", Partition: p, Changelog: [16]byte{1}, End: end.Offset}
		if db == nil {
			all = append(all, r.restore(topic, claim, store.New(), func() {}))
		} else {
			all = append(all, r.lease(topic, db, claim, func() {}))
		}
	}
	records, keys := int64(0), 0
	for _, j := range all {
		<-j.done
		if j.err != nil {
			b.Fatal(j.err)
		}
	}
	wall, cpu = time.Since(began), spentCPU(b)-spent
	for _, j := range all {
		records += j.records.Load()
		keys += j.store.Len()
		if db != nil {
			j.store.Release()
		}
	}
	if records != changelogRecords || keys < changelogKeys/1000*999 || keys > changelogKeys {
		b.Errorf("%d records of %d keys are restored", records, keys)
	}
	stop()
	if err := <-over; err != nil {
		b.Error(err)
	}
	if db != nil {
		if err := db.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}
	return cpu, wall, spentCPU(b) - spent
}

// spentCPU is what this process has spent since its start.
func spentCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
