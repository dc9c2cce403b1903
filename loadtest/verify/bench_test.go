package verify

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/topology/topics"
)

const (
	// ledgerVariable says that the ledger is written and compared too.
	ledgerVariable = "CROSSDOCK_BENCH_LEDGER"
	childVariable  = "CROSSDOCK_BENCH_PREFIX"
	tenMillion     = 10_000_000
	commitEvery    = 20_000 // events in a transaction of the model
)

func bigRun(t testing.TB) *scans.Generator {
	t.Helper()
	load := scans.DefaultLoad(1)
	load.Run = "ten-million"
	g, err := scans.NewRetailer(load)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// mute is a broker that acknowledges everything and keeps nothing: a log of ten million events costs no room.
func mute(t testing.TB, naming topics.Naming) []kgo.Opt {
	t.Helper()
	var names []string
	for _, topic := range topics.All() {
		names = append(names, naming.Topic(topic.ID))
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, names...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		in := request.(*kmsg.ProduceRequest)
		out := in.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range in.Topics {
			to := kmsg.NewProduceResponseTopic()
			to.Topic, to.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition = p.Partition
				to.Partitions = append(to.Partitions, one)
			}
			out.Topics = append(out.Topics, to)
		}
		return out, nil, true
	})
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

// TestWriteWhatAPipelineSaysOfTenMillion is the benchmark's other process: it writes what the model says of the run, so that its
// memory is not the benchmark's.
func TestWriteWhatAPipelineSaysOfTenMillion(t *testing.T) {
	prefix := os.Getenv(childVariable)
	if prefix == "" {
		t.Skip("only for BenchmarkTenMillion")
	}
	naming, ledger := topics.Naming{Prefix: prefix}, os.Getenv(ledgerVariable) != ""
	client, err := kgo.NewClient(kgo.SeedBrokers(testservices.Kafka(t)), kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(10*time.Millisecond), kgo.MaxBufferedRecords(50_000), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s, g := serde.Local(), bigRun(t)
	written := 0
	m := newModel(g, func(to topics.ID, key []byte, e event.Record) {
		if to == topics.Ledger && !ledger {
			return
		}
		written++
		client.Produce(t.Context(), &kgo.Record{Topic: naming.Topic(to), Key: append([]byte(nil), key...), Value: s.Append(nil, e)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	})
	for range tenMillion {
		m.event(g, g.Next(), s)
		if m.seq%commitEvery == 0 {
			m.commit()
		}
	}
	m.commit()
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d records of %d keys", written, len(m.all))
}

// BenchmarkTenMillion verifies ten million events of every kind against real Kafka: balances, one record a key and transaction
// of 20,000 events, dead letters, exceptions and parked events, and the ledger where CROSSDOCK_BENCH_LEDGER is set. What it
// reports is of this process from Run's start to its end.
func BenchmarkTenMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("ten million events")
	}
	seeds := testservices.Kafka(b)
	naming := topics.Naming{Prefix: testservices.Prefix(b)}
	kafka := []kgo.Opt{kgo.SeedBrokers(seeds)}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	var names []string
	for _, id := range []topics.ID{topics.Balances, topics.Ledger, topics.DeadLetters, topics.Exceptions, topics.ParkingInbox} {
		names = append(names, naming.Topic(id))
	}
	if _, err := admin.CreateTopics(b.Context(), 8, 1, nil, names...); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = admin.DeleteTopics(b.Context(), names...) }() // the services' end takes what is left

	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	child := exec.CommandContext(b.Context(), self, "-test.run=^TestWriteWhatAPipelineSaysOfTenMillion$", "-test.v", "-test.timeout=20m")
	child.Env = append(os.Environ(), childVariable+"="+naming.Prefix)
	out, err := child.CombinedOutput()
	if err != nil || strings.Contains(string(out), "SKIP") {
		b.Fatalf("%v: %s", err, out)
	}
	b.Log(string(out))

	g := bigRun(b)
	l, err := send.Run(b.Context(), g, send.Options{Kafka: mute(b, naming), Serde: serde.Local(), Naming: naming, Count: tenMillion})
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak counts from here on
		b.Logf("the peak is the whole process's: %v", err)
	}
	for b.Loop() {
		before := cpu(b)
		v, err := Run(b.Context(), Evidence{
			Sent: []Load{{Log: l}}, Kafka: kafka, Serde: serde.Local(), Naming: naming, Ledger: os.Getenv(ledgerVariable) != "",
		})
		if err != nil {
			b.Fatal(err)
		}
		if !v.OK {
			b.Fatal(v.Line, v.Failing)
		}
		b.Log(v.Line, v.Fates)
		for _, r := range v.Readings {
			b.Logf("%+v", r)
		}
		b.ReportMetric(v.Seconds, "s")
		b.ReportMetric((cpu(b) - before).Seconds(), "cpu-s")
		b.ReportMetric(float64(peak(b))/(1<<20), "peak-MiB")
	}
}

func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the largest resident size since it was reset, bytes.
func peak(t testing.TB) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}
