package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"crossdock/internal/testservices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a run is told by the environment; make chaos does.
const (
	seedEnv   = "CROSSDOCK_TEST_SEED"          // replays a run
	forEnv    = "CROSSDOCK_TEST_CHAOS_FOR"     // how long faults come, 10m
	rateEnv   = "CROSSDOCK_TEST_CHAOS_RATE"    // events a second
	faultsEnv = "CROSSDOCK_TEST_CHAOS_FAULTS"  // names, comma separated: these alone
	brokerEnv = "CROSSDOCK_TEST_CHAOS_BROKERS" // 1 or 3
	outEnv    = "CROSSDOCK_TEST_CHAOS_OUT"     // a folder that gets the run's table as text and JSON
)

// usualSeed is what make test runs: its first eight faults are eight of different kinds, and those among them that reach deepest: a zombie
// with timers, a changelog made anew, a full disk, a kill between revoke and rejoin, a lost answer, a dead coordinator.
const usualSeed = 4531

// setting reads one, or takes what is usual.
func setting[T any](t *testing.T, env string, usual T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return usual
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return v
}

func whole(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }

func byName(s string) (found []Fault, err error) {
	for name := range strings.SplitSeq(s, ",") {
		f, err := Find(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

// Several processes of the program share the pipeline on a cluster of three brokers, events come at a steady rate, and one
// fault follows on the other. At the end every balance, every posting and everything that had to come out elsewhere is
// recounted from what was sent.
func TestNothingIsLostDoubledOrWrongUnderFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("faults on real Kafka are left out with -short")
	}
	if os.Getenv(forEnv) == "" {
		t.Skipf("faults come by make test and make chaos, or where %s says for how long, such as 90s: three brokers and three processes run beside no other test", forEnv)
	}
	o := Options{
		Seed: setting(t, seedEnv, usualSeed, whole), For: setting(t, forEnv, 90*time.Second, time.ParseDuration),
		Rate: int(setting(t, rateEnv, 1000, whole)), Cluster: setting(t, brokerEnv, 3, whole) == 3,
		Faults: setting(t, faultsEnv, nil, byName), Bound: 2 * time.Minute, Log: t.Logf,
	}
	o.Binary = build(t)
	var err error
	if o.Dir, err = os.MkdirTemp("", fmt.Sprintf("crossdock-faults-%d-", o.Seed)); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d: %s=%d repeats its load and its schedule", o.Seed, seedEnv, o.Seed)
	f, err := Open(t.Context(), o)
	if err != nil {
		_ = os.RemoveAll(o.Dir) // nothing has run
		testservices.Require(t, err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s; seed %d", f.Logs(), o.Seed)
		} else if err := f.Discard(); err != nil {
			t.Error(err)
		}
	}()
	r, err := f.Run(t.Context())
	write(t, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r.Verdict.Line)
	if !r.Held {
		t.Errorf("%s\n%+v\n%+v", r.Verdict.Line, r.Verdict.Readings, r.Verdict.Failing)
	}
	if len(r.Faults) == 0 || r.Sent == 0 {
		t.Errorf("%d faults and %d events prove nothing", len(r.Faults), r.Sent)
	}
}

// write tells the run's table.
func write(t *testing.T, r *Result) {
	t.Helper()
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Error(err)
	}
	t.Logf("\n%s", table.String())
	out := os.Getenv(outEnv)
	if out == "" {
		return
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(out, fmt.Sprintf("faults-%d", r.Seed))
	if err := os.WriteFile(name+".txt", []byte(table.String()), 0o644); err != nil {
		t.Error(err)
	}
	file, err := os.Create(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.JSON(file); err != nil {
		t.Error(err)
	}
	if err := file.Close(); err != nil {
		t.Error(err)
	}
}

// build makes the program once for a test.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "crossdock")
	c := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "crossdock/cmd/crossdock")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

func TestSeedFixesTheSchedule(t *testing.T) {
	steps := func(seed uint64) (all []string) {
		s := NewSchedule(seed, All())
		for range 3 * len(All()) {
			step := s.Next()
			all = append(all, fmt.Sprintf("%s %+v", step.Fault.Name, step.Draw))
		}
		return all
	}
	if a, b := steps(1), steps(1); !reflect.DeepEqual(a, b) {
		t.Error("one seed gives two schedules")
	}
	if a, b := steps(1), steps(2); reflect.DeepEqual(a, b) {
		t.Error("two seeds give one schedule")
	}
}

func TestEachFaultComesOnceBeforeOneComesTwice(t *testing.T) {
	s := NewSchedule(7, All())
	for round := range 3 {
		seen := map[string]bool{}
		for range All() {
			f := s.Next().Fault
			if seen[f.Name] || f.Does == "" || f.Must == "" {
				t.Errorf("round %d: %q comes twice, or does not say what it does and what must hold", round, f.Name)
			}
			seen[f.Name] = true
		}
	}
}
