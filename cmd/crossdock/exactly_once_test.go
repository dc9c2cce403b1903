package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/cmd/crossdock/pipeline"
	"crossdock/internal/config"
	"crossdock/internal/testservices"
	"crossdock/loadtest/committed"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
	"crossdock/loadtest/verify"
	"crossdock/topology/topics"
)

// A field is one installation of the inventory stage on real Kafka, with the binary that people run.
type field struct {
	t      *testing.T
	config config.Config
	binary string
	serde  *serde.Serde
	client *kgo.Client
	opts   []kgo.Opt
	state  string // folder of the instances' state, which outlives them
}

func newField(t *testing.T) *field {
	t.Helper()
	return newFieldOn(t, testservices.Kafka(t))
}

func newFieldOn(t *testing.T, broker string) *field {
	t.Helper()
	f := &field{t: t, config: config.Default(), binary: buildBinary(t), state: t.TempDir()}
	f.opts = []kgo.Opt{kgo.SeedBrokers(broker)}
	prefix := applicationName(testservices.Prefix(t))
	f.config.App, f.config.Kafka.Prefix = prefix, prefix+"."
	f.config.Kafka.Brokers = []string{broker}
	ctx, stop := context.WithCancel(t.Context())
	url, wait, err := serveRegistry(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); wait() })
	f.config.Registry.URL = url
	if f.serde, err = pipeline.Serde(t.Context(), &f.config); err != nil {
		t.Fatal(err)
	}
	if f.client, err = kgo.NewClient(append(f.opts[:len(f.opts):len(f.opts)], kgo.ProducerBatchMaxBytes(1000<<10))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	f.makeTopics()
	return f
}

// buildBinary builds the command once for a test.
func buildBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crossdock")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// applicationName makes a name that the configuration takes of a test's prefix.
func applicationName(prefix string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(prefix))
	return strings.Trim(name, "-")
}

func (f *field) makeTopics() {
	f.t.Helper()
	plan, err := pipeline.PlanTopics(f.t.Context(), f.client, &f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := plan.Apply(f.t.Context(), f.client, nil); err != nil {
		f.t.Fatal(err)
	}
}

func (f *field) topic(id topics.ID) string { return pipeline.Naming(&f.config).Topic(id) }

// start runs one instance of the stage as a process of its own; more settings may be given, as KEY=VALUE.
func (f *field) start(instance string, settings ...string) (p *exec.Cmd, log *bytes.Buffer) {
	f.t.Helper()
	log = &bytes.Buffer{}
	args := []string{"run", "inventory", "--set", "app=" + f.config.App, "--set", "instance=" + instance, "--set", "kafka.prefix=" + f.config.Kafka.Prefix,
		"--set", "kafka.brokers=" + f.config.Kafka.Brokers[0], "--set", "registry.url=" + f.config.Registry.URL, "--set", "admin.listen=", "--set", "query.listen=", "--set", "runtime.workers=2", "--set", "log.level=info",
		"--set", "state.dir=" + f.state, "--set", "state.flush_interval=100ms"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	p = exec.Command(f.binary, args...)
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		f.t.Fatal(err)
	}
	return p, log
}

// committedRecords is how far the stage's group is, in offsets, markers of the input's transactions included.
func (f *field) committedRecords() int64 {
	var sum int64
	offsets, err := kadm.NewClient(f.client).FetchOffsets(f.t.Context(), f.config.App+"-inventory")
	if err == nil {
		offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	}
	return sum
}

func (f *field) until(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			f.t.Fatalf("not within 3 minutes: %s", what)
		}
	}
}

// seed is that of a run: CROSSDOCK_TEST_SEED replays one, make chaos gives new ones.
func (f *field) seed() uint64 {
	f.t.Helper()
	text := os.Getenv("CROSSDOCK_TEST_SEED")
	if text == "" {
		return 20261127
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		f.t.Fatalf("CROSSDOCK_TEST_SEED: %v", err)
	}
	return n
}

// giant is a movement whose posting the ledger topic does not take, though the inbox took the movement.
func (f *field) giant(id string) *kgo.Record {
	f.t.Helper()
	noise := make([]byte, 600<<10) // compresses to nothing less
	if _, err := rand.Read(noise); err != nil {
		f.t.Fatal(err)
	}
	m := &event.InventoryMovement{SKU: "GIANT", Type: event.MovementTypeReceipt, QtyDelta: 1_000_000, To: event.Some(event.Place{Bucket: event.BucketAvailable})}
	m.Header.EventID, m.Header.DedupeKey, m.Header.Site, m.Header.EventTime = id, id, "DC000", event.MicrosOf(time.Now())
	m.Header.RawRef = event.Some(base64.StdEncoding.EncodeToString(noise))
	return &kgo.Record{Topic: f.topic(topics.InventoryInbox), Key: topics.Key(nil, "GIANT", "DC000"), Value: f.serde.Append(nil, m)}
}

// fifty is how many records in a row abort their transaction, each for itself.
const fifty = 50

// Two processes share the stage. Five times one of them is killed with -9 and started again, while movements come and one
// record comes whose posting the broker refuses; then fifty such records come in a row, each of which aborts a transaction
// of its own. At the end every balance and every posting is recounted from what was sent.
func TestInventoryIsExactUnderKillsAbortsAndARefusedProduce(t *testing.T) {
	f := newField(t)
	const rate, count = 4000, 48_000
	seed := f.seed()
	t.Logf("seed %d: replay with CROSSDOCK_TEST_SEED=%d", seed, seed)
	rng := mathrand.New(mathrand.NewPCG(seed, 0))

	load := scans.DefaultLoad(seed)
	load.Rate, load.SKUs, load.Start = rate, 2000, time.Now()
	g, err := scans.NewEnriched(load)
	if err != nil {
		t.Fatal(err)
	}
	// The ledger takes less in one batch than the inbox does, so that one posting can be too large.
	limit := "700000"
	if _, err := kadm.NewClient(f.client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &limit}}, f.topic(topics.Ledger)); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	var sent *send.Log
	var sending sync.WaitGroup
	sending.Go(func() {
		var err error
		sent, err = send.Run(t.Context(), g, send.Options{
			Kafka: f.opts, Serde: f.serde, Topic: f.topic(topics.InventoryInbox), Count: count, Paced: true,
			Progress: func(p send.Progress) { made.Store(p.Acknowledged) },
		})
		if err != nil {
			t.Error(err)
		}
		made.Store(count)
	})

	names := []string{"0", "1"}
	running, logs := map[string]*exec.Cmd{}, map[string]*bytes.Buffer{}
	defer func() {
		if t.Failed() {
			for n, log := range logs {
				t.Logf("instance %s: %s", n, log)
			}
		}
	}()
	for _, n := range names {
		running[n], logs[n] = f.start(n)
	}
	defer func() { // before the logs are told: they are whole once their process has ended
		for _, p := range running {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	}()
	f.until("the stage works", func() bool { return f.committedRecords() > 500 })
	for kill := range 5 {
		before := f.committedRecords()
		step := int64(500 + rng.IntN(8000))
		f.until("work goes on", func() bool { return f.committedRecords() > min(before+step, made.Load()-1) })
		victim := names[rng.IntN(2)]
		if err := running[victim].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = running[victim].Wait()
		t.Logf("kill %d: instance %s at %d of %d sent", kill+1, victim, f.committedRecords(), made.Load())
		running[victim], logs[victim] = f.start(victim)
		if kill == 2 {
			f.send(f.giant("giant"))
		}
	}
	for n := range fifty {
		f.send(f.giant(fmt.Sprintf("giant %d", n)))
	}
	sending.Wait()
	f.until("all is committed", func() bool { return f.committedRecords() >= count+1+fifty })
	for n, p := range running {
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("instance %s: %v\n%s", n, err, logs[n])
		}
		delete(running, n)
	}
	if aborts := strings.Count(logs["0"].String()+logs["1"].String(), "transaction aborted"); aborts < fifty {
		t.Errorf("%d transactions were aborted, want at least %d", aborts, fifty)
	}
	f.recount(sent)
	f.giantsAreDeadLetters(1 + fifty)
}

func (f *field) send(r *kgo.Record) {
	f.t.Helper()
	if err := f.client.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *field) recount(sent *send.Log) {
	f.t.Helper()
	o := oracle.New(oracle.Options{})
	if err := verify.Sent(f.t.Context(), o, sent, false); err != nil {
		f.t.Fatal(err)
	}
	reader := &verify.Reader{Kafka: f.opts, Serde: f.serde}
	balances, ledger := o.Balances("balances", 0), o.Ledger("ledger", 0)
	if err := reader.Balances(f.t.Context(), f.topic(topics.Balances), balances); err != nil {
		f.t.Fatal(err)
	}
	if err := reader.Ledger(f.t.Context(), f.topic(topics.Ledger), ledger); err != nil {
		f.t.Fatal(err)
	}
	verdict := o.Judge(balances.Finding(), ledger.Finding())
	if !verdict.OK() {
		f.t.Error(verdict.String())
	}
	f.t.Log(verdict.String())
}

func (f *field) giantsAreDeadLetters(want int) {
	f.t.Helper()
	found := 0
	err := committed.Read(f.t.Context(), f.opts, f.topic(topics.DeadLetters), func(r *kgo.Record) error {
		var d event.DeadLetter
		if err := f.serde.Decode(r.Value, &d); err != nil {
			return err
		}
		found++
		if d.Cause != "TOO_LARGE" || len(d.Value.Value) < 600<<10 || d.Remedy == "" || string(d.Key.Value) != "GIANT|DC000" {
			f.t.Errorf("a dead letter of cause %s, %d bytes, key %s: %s; %s", d.Cause, len(d.Value.Value), d.Key.Value, d.Detail, d.Remedy)
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if found != want {
		f.t.Errorf("%d dead letters, want the %d giants alone", found, want)
	}
}
