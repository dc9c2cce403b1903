package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/topology/topics"
)

// The test's own stage runs in a process of its own, as the benchmark wants it: this test binary, told so by stageEnv.
const (
	stageEnv = "BENCH_TEST_STAGE" // broker, prefix, group and fault, by comma
	faultNo  = ""
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(stageEnv); arguments != "" {
		if err := plainStage(strings.Split(arguments, ",")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// plainStage is a small inventory stage, right unless told to have a fault: one balance for each movement.
func plainStage(a []string) error {
	seed, naming, group, fault := a[0], topics.Naming{Prefix: a[1]}, a[2], a[3]
	if fault == "leaves" {
		return errors.New("cannot find my configuration")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(seed), kgo.TransactionalID(group), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(naming.Topic(topics.InventoryInbox)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	if err != nil {
		return err
	}
	defer session.Close()
	s := serde.Local()
	stock, happened := map[string]*event.InventoryBalance{}, map[string]bool{}
	for n := 0; ; {
		fetches := session.PollRecords(ctx, 5000)
		if ctx.Err() != nil || fault == "hangs" {
			<-ctx.Done()
			return nil
		}
		if err := session.Begin(); err != nil {
			return err
		}
		var problem error
		fetches.EachRecord(func(r *kgo.Record) {
			var m event.InventoryMovement
			problem = errors.Join(problem, s.Decode(r.Value, &m))
			if happened[m.Header.DedupeKey] && fault != "counts twice" {
				return
			}
			happened[strings.Clone(m.Header.DedupeKey)] = true
			if n++; n == 100 && fault == "loses" {
				return
			}
			key := string(r.Key)
			b := stock[key]
			if b == nil {
				b = &event.InventoryBalance{SKU: strings.Clone(m.SKU), Site: strings.Clone(m.Header.Site), AsOf: m.Header.EventTime}
				stock[key] = b
			}
			apply(b, &m)
			session.Produce(ctx, &kgo.Record{Topic: naming.Topic(topics.Balances), Partition: r.Partition, Key: r.Key, Value: s.Append(nil, b)}, nil)
		})
		if problem != nil {
			return problem
		}
		if _, err := session.End(ctx, kgo.TryCommit); err != nil {
			return err
		}
	}
}

func apply(b *event.InventoryBalance, m *event.InventoryMovement) {
	b.Version++
	b.AsOf = max(b.AsOf, m.Header.EventTime)
	move := func(p event.Optional[event.Place], qty event.Quantity) {
		bucket := map[event.Bucket]*event.Quantity{
			event.BucketAvailable: &b.Available, event.BucketPicked: &b.Picked, event.BucketStaged: &b.Staged,
			event.BucketQC: &b.QC, event.BucketDamaged: &b.Damaged, event.BucketReturned: &b.Returned,
		}
		if p.Valid {
			*bucket[p.Value.Bucket] += qty
		}
	}
	move(m.From, -m.QtyDelta)
	move(m.To, m.QtyDelta)
	b.OnHand = b.Available + b.Picked + b.Staged + b.QC + b.Damaged + b.Returned
	b.ATS = max(0, b.Available)
	b.Negative = min(b.Available, b.Picked, b.Staged, b.QC, b.Damaged, b.Returned) < 0
}

func options(t *testing.T, fault string) (Options, *kadm.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	kafka := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...)}
	client, err := kgo.NewClient(kafka...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return Options{
		Kafka: kafka, Serde: serde.Local(), Prefix: "bench.", Records: 20_000, Partitions: 4, Runs: 2, Timeout: time.Minute,
		Stores: []string{"stock"},
		Command: func(e Env) (*exec.Cmd, error) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), stageEnv+"="+strings.Join([]string{cluster.ListenAddrs()[0], e.Naming.Prefix, e.App, fault}, ","))
			return cmd, nil
		},
	}, kadm.NewClient(client)
}

func TestABacklogIsDrainedMeasuredAndVerified(t *testing.T) {
	o, admin := options(t, faultNo)
	o.BrokerPID = os.Getpid() // kfake is in this process
	phases := map[string]int64{}
	o.Progress = func(p Progress) { phases[fmt.Sprint(p.Run, p.Phase)] = p.Done }
	r, err := Inventory(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || len(r.Runs) != 2 {
		t.Fatalf("%+v", r)
	}
	for _, run := range r.Runs {
		if want := "verified: 20000 events, 0 lost, 0 duplicated"; run.Verdict != want {
			t.Errorf("run %d: %s", run.Number, run.Verdict)
		}
		for name, m := range map[string]Measure{"fill": run.Fill, "limit": run.Limit, "stage": run.Stage} {
			if m.Records != 20_000 || m.RecordsPerSecond <= 0 || m.WallSeconds <= 0 {
				t.Errorf("run %d, %s: %+v", run.Number, name, m)
			}
		}
		if run.Keys == 0 || run.Duplicates == 0 || run.Balances == 0 || len(run.Partitions) != 4 || run.Stage.FirstCommitSeconds <= 0 {
			t.Errorf("run %+v", run)
		}
	}
	for _, phase := range []string{"1fill", "1limit", "1drain", "1verify", "2fill", "2limit", "2drain", "2verify"} {
		if _, told := phases[phase]; !told {
			t.Errorf("no progress of %s: %v", phase, phases)
		}
	}
	// It leaves the broker as it was.
	left, err := admin.ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left.Names() {
		if strings.HasPrefix(name, "bench.") {
			t.Errorf("topic %s is left", name)
		}
	}
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20,000 movements", "4 partitions", "stage: records/s", "limit: records/s", "stage/limit", "run 2: verified: 20000 events"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in the table:\n%s", want, table.String())
		}
	}
	t.Log("\n" + table.String())
}

func TestAStageThatIsWrongIsNotMeasured(t *testing.T) {
	for fault, says := range map[string]string{"loses": "lost (1)", "counts twice": "duplicated"} {
		o, _ := options(t, fault)
		r, err := Inventory(t.Context(), o)
		if !errors.Is(err, ErrNotVerified) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "verified: FAILED") {
			t.Errorf("a stage that %s: %v", fault, err)
		}
		if r.OK() || len(r.Runs) != 1 {
			t.Errorf("a stage that %s: %d runs, ok %v", fault, len(r.Runs), r.OK())
		}
	}
}

func TestAStageThatLeavesIsShownWithItsLastWords(t *testing.T) {
	o, admin := options(t, "leaves")
	_, err := Inventory(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "left before it was done") || !strings.Contains(err.Error(), "cannot find my configuration") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v, the run's topics are left", err)
	}
}

func TestAStageThatDoesNothingIsStoppedWithTheBenchmark(t *testing.T) {
	o, admin := options(t, "hangs")
	ctx, stop := context.WithCancelCause(t.Context())
	o.Progress = func(p Progress) {
		if p.Phase == Drain {
			stop(errors.New("somebody pressed Ctrl-C"))
		}
	}
	_, err := Inventory(ctx, o)
	if err == nil || !strings.Contains(err.Error(), "drain: 0 of 20000 committed: somebody pressed Ctrl-C") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v, the run's topics are left", err)
	}
}

func TestAStepThatTakesTooLongIsNamed(t *testing.T) {
	o, _ := options(t, faultNo)
	o.Timeout = time.Nanosecond
	_, err := Inventory(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "fill: ") || !strings.Contains(err.Error(), "not done within 1ns") {
		t.Errorf("%v", err)
	}
}

func TestTopicsOfSomebodyElseAreNotTouched(t *testing.T) {
	o, admin := options(t, faultNo)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "bench.1-balances"); err != nil {
		t.Fatal(err)
	}
	_, err := Inventory(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "bench.1-balances is there already") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || !left.Has("bench.1-balances") || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v: %v", err, left.Names())
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	_, err := Inventory(t.Context(), Options{Records: -1})
	for _, want := range []string{"Kafka", "Serde", "Prefix", "Command", "-1 records"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
}

func TestAResultIsWrittenWholeOrNotAtAll(t *testing.T) {
	r := newResult("inventory", Options{Records: 5})
	dir := filepath.Join(t.TempDir(), "bench", "results")
	path, err := r.Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"records": 5`) {
		t.Errorf("%v: %s", err, text)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v: %v", err, files)
	}
	if _, err := r.Write(filepath.Join(path, "under a file")); err == nil {
		t.Error("written under a file")
	}
}

func TestASpreadHasTheMiddleOfAnEvenNumberOfRuns(t *testing.T) {
	var r Result
	for _, v := range []float64{4, 1, 3, 2} {
		r.Runs = append(r.Runs, Run{Stage: Measure{RecordsPerSecond: v}})
	}
	if s := r.Spread(func(r *Run) float64 { return r.Stage.RecordsPerSecond }); s != (Spread{2.5, 1, 4}) {
		t.Errorf("%+v", s)
	}
}
