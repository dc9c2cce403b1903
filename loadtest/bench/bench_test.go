package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/avro/serde"
)

// The test's own stage runs in a process of its own, as the benchmark wants it: this test binary, told so by stageEnv.
const stageEnv = "BENCH_TEST_STAGE"

func TestMain(m *testing.M) {
	if arguments := os.Getenv(stageEnv); arguments != "" {
		if err := parsePlainStage(arguments).run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func options(t *testing.T, k Kind, fault string) (Options, *kadm.Client) {
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
		Kafka: kafka, Serde: serde.Local(), Prefix: "bench.", Records: 20_000, SKUs: 20_000, Partitions: 4, Runs: 2, Timeout: time.Minute,
		Stores: []string{"stock"},
		Command: func(e Env) (*exec.Cmd, error) {
			p := plainStage{kind: k, seed: cluster.ListenAddrs()[0], naming: e.Naming, group: e.Group, admin: e.Admin, fault: fault, skus: 20_000}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), stageEnv+"="+p.String())
			return cmd, nil
		},
	}, kadm.NewClient(client)
}

func TestABacklogIsDrainedMeasuredAndVerified(t *testing.T) {
	o, admin := options(t, Inventory, faultNo)
	o.BrokerPID = os.Getpid() // kfake is in this process
	phases := map[string]int64{}
	o.Progress = func(p Progress) { phases[fmt.Sprint(p.Run, p.Phase)] = p.Done }
	r, err := Run(t.Context(), Inventory, o)
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
		if run.Stage.AllocatedBytesPerRecord <= 0 || run.Stage.AllocationsPerRecord <= 0 || run.Limit.AllocatedBytesPerRecord <= 0 {
			t.Errorf("run %d: nothing allocated: %+v", run.Number, run.Stage)
		}
		for name, m := range map[string]Measure{"fill": run.Fill, "limit": run.Limit, "stage": run.Stage} {
			if m.Records != 20_000 || m.RecordsPerSecond <= 0 || m.WallSeconds <= 0 {
				t.Errorf("run %d, %s: %+v", run.Number, name, m)
			}
		}
		if run.Keys == 0 || run.Duplicates == 0 || run.Outputs["balances"] == 0 || len(run.Partitions) != 4 || run.Stage.FirstCommitSeconds <= 0 {
			t.Errorf("run %+v", run)
		}
	}
	for _, phase := range []string{"1fill", "1limit", "1drain", "1verify", "2fill", "2limit", "2drain", "2verify"} {
		if _, told := phases[phase]; !told {
			t.Errorf("no progress of %s: %v", phase, phases)
		}
	}
	if s := r.Figures["stage.records_per_second"]; s.Median <= 0 || s.Min > s.Median || s.Median > s.Max {
		t.Errorf("figures %+v", r.Figures)
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
	for _, c := range []struct {
		kind        Kind
		fault, says string
	}{
		{Inventory, faultLoses, "lost (1)"},
		{Inventory, faultTwice, "duplicated"},
		{Enrich, faultLoses, "the event ids on the inbox are not those that were sent"},
		{Enrich, faultTwice, "movements on the inbox are repeated"},
		{Enrich, faultUnits, "instead of 12"},
		{Translate, faultLoses, "lost (1)"},
		{Translate, faultUnits, "wrong"},
	} {
		t.Run(string(c.kind)+" "+c.fault, func(t *testing.T) {
			o, _ := options(t, c.kind, c.fault)
			o.Records = 5_000
			r, err := Run(t.Context(), c.kind, o)
			if !errors.Is(err, ErrNotVerified) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "verified: FAILED") {
				t.Errorf("%v", err)
			}
			if r.OK() || len(r.Runs) != 1 {
				t.Errorf("%d runs, ok %v", len(r.Runs), r.OK())
			}
		})
	}
}

func TestBacklogsBeforeTheInboxAreDrainedAndVerified(t *testing.T) {
	for _, k := range []Kind{Enrich, Translate} {
		o, _ := options(t, k, faultNo)
		o.Records, o.Runs = 10_000, 1
		r, err := Run(t.Context(), k, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() || r.Workload.Records != 10_000 || r.Runs[0].Stage.Records != 10_000 || r.Runs[0].Limit.Records != 10_000 {
			t.Errorf("%s: %+v", k, r)
		}
		if moved := r.Runs[0].Outputs["inventory-inbox"] + r.Runs[0].Outputs["shipments-inbox"]; moved != 10_000 {
			t.Errorf("%s: %d events came out", k, moved)
		}
		if k == Translate && r.Workload.InputRecords != r.Runs[0].Outputs["shipments-inbox"] {
			t.Errorf("%d documents, %v", r.Workload.InputRecords, r.Runs[0].Outputs)
		}
	}
}

func TestTheLastRunIsProfiledWhereAFileIsGiven(t *testing.T) {
	o, _ := options(t, Inventory, faultNo)
	o.Records, o.Profile = 2_000, filepath.Join(t.TempDir(), "profiles", "inventory.pprof")
	r, err := Run(t.Context(), Inventory, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs[0].Profiled || !r.Runs[1].Profiled {
		t.Errorf("%+v", r.Runs)
	}
	content, err := os.ReadFile(o.Profile)
	if err != nil || len(content) < 2 || content[0] != 0x1f || content[1] != 0x8b { // profile.proto comes with gzip
		t.Errorf("%v, %d bytes", err, len(content))
	}
}

func TestAStageThatDoesNotTellWhatItAllocatesIsAnError(t *testing.T) {
	o, _ := options(t, Inventory, faultMute)
	o.Records = 2_000
	_, err := Run(t.Context(), Inventory, o)
	if err == nil || !strings.Contains(err.Error(), "what the stage has allocated") {
		t.Errorf("%v", err)
	}
}

func TestAStageThatLeavesIsShownWithItsLastWords(t *testing.T) {
	o, admin := options(t, Inventory, faultLeaves)
	_, err := Run(t.Context(), Inventory, o)
	if err == nil || !strings.Contains(err.Error(), "left before it was done") || !strings.Contains(err.Error(), "cannot find my configuration") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v, the run's topics are left", err)
	}
}

func TestAStageThatDoesNothingIsStoppedWithTheBenchmark(t *testing.T) {
	o, admin := options(t, Inventory, faultHangs)
	ctx, stop := context.WithCancelCause(t.Context())
	o.Progress = func(p Progress) {
		if p.Phase == Drain {
			stop(errors.New("somebody pressed Ctrl-C"))
		}
	}
	_, err := Run(ctx, Inventory, o)
	if err == nil || !strings.Contains(err.Error(), "drain: 0 of 20000 committed: somebody pressed Ctrl-C") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v, the run's topics are left", err)
	}
}

func TestAStepThatTakesTooLongIsNamed(t *testing.T) {
	o, _ := options(t, Inventory, faultNo)
	o.Timeout = time.Nanosecond
	_, err := Run(t.Context(), Inventory, o)
	if err == nil || !strings.Contains(err.Error(), "fill: ") || !strings.Contains(err.Error(), "not done within 1ns") {
		t.Errorf("%v", err)
	}
}

func TestTopicsOfSomebodyElseAreNotTouched(t *testing.T) {
	o, admin := options(t, Inventory, faultNo)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "bench.1-balances"); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), Inventory, o)
	if err == nil || !strings.Contains(err.Error(), "bench.1-balances is there already") {
		t.Errorf("%v", err)
	}
	left, err := admin.ListTopics(t.Context())
	if err != nil || !left.Has("bench.1-balances") || left.Has("bench.1-inventory-inbox") {
		t.Errorf("%v: %v", err, left.Names())
	}
}

func TestOptionsNameEveryProblem(t *testing.T) {
	_, err := Run(t.Context(), Sink, Options{Records: -1})
	for _, want := range []string{"Kafka", "Serde", "Prefix", "Command", "-1 records", "ClickHouse", "Tables"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
	if _, err := Run(t.Context(), "picking", Options{}); err == nil || !strings.Contains(err.Error(), `no benchmark "picking"`) {
		t.Errorf("%v", err)
	}
}
