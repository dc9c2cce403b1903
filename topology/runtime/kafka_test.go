package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/internal/testservices"
	"crossdock/processors"
	"crossdock/topology/runtime/assignor"
	"crossdock/topology/runtime/store"
	"crossdock/topology/topics"
)

// childEnv has the work of a process that a test starts from its own binary.
const childEnv = "CROSSDOCK_RUNTIME_TEST_CHILD"

type childWork struct {
	Brokers          []string
	App, Prefix, Log string
	Instance         string
	Workers          int
	Disks            string
	Failover         bool // with the timeouts of failover tests
	Standbys         int
	OwnAssignor      bool // that of the product, with state
}

// child runs the counting stage until SIGTERM, and returns the exit code.
func child(work string) int {
	var w childWork
	if err := json.Unmarshal([]byte(work), &w); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	r := &rig{brokers: w.Brokers, app: w.App, naming: topics.Naming{Prefix: w.Prefix}, workers: w.Workers, disks: w.Disks}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	disk, err := store.Open(r.folder(w.Instance), r.diskOptions(log))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cfg := r.config(w.Instance)
	if w.Failover {
		cfg = r.failover(w.Instance)
	}
	if w.OwnAssignor {
		cfg.Balancer, cfg.StandbyReplicas = assignor.New(w.Instance), w.Standbys
	}
	i, err := New(cfg, countingStage(nil), Deps{Serde: serde.Local(), State: disk, Logger: log})
	if err == nil {
		err = i.Run(ctx)
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err = errors.Join(err, disk.Close(ending))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A killable is a child process.
type killable struct {
	*exec.Cmd
	log string
}

func (r *rig) spawn(instance string, life int) *killable {
	r.t.Helper()
	w := r.child
	w.Brokers, w.App, w.Prefix, w.Instance, w.Workers = r.brokers, r.app, r.naming.Prefix, instance, r.workers
	w.Disks = r.disks
	work, err := json.Marshal(w)
	if err != nil {
		r.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	k := &killable{Cmd: exec.Command(self), log: fmt.Sprintf("%s/%s-%d.log", r.t.TempDir(), instance, life)}
	out, err := os.Create(k.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	k.Env, k.Stdout, k.Stderr = append(os.Environ(), childEnv+"="+string(work)), out, out
	if err := k.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if log, _ := os.ReadFile(k.log); r.t.Failed() {
			r.t.Logf("%s, life %d:\n%s", instance, life, log)
		}
	})
	return k
}

// committed is how many input records the group has committed.
func (r *rig) committed() (sum int64) {
	offsets, err := kadm.NewClient(r.client).FetchOffsets(r.t.Context(), r.app)
	if err != nil {
		return 0
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum
}

// Five times one of two processes is killed with -9 while it works, and started again. Then every balance is counted again
// from what was sent.
func TestKilledProcessesLoseAndDoubleNothing(t *testing.T) {
	r := newRig(t, []string{testservices.Kafka(t)}, countingStage(nil), 8)
	r.workers = 2
	const seed = 20251124
	rng := rand.New(rand.NewPCG(seed, 0))

	ctx, stop := context.WithCancel(t.Context())
	var feeding sync.WaitGroup
	feeding.Go(func() {
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			r.send(100, 300)
			<-pace.C
		}
	})
	names := []string{"a", "b"}
	running := map[string]*killable{}
	for _, n := range names {
		running[n] = r.spawn(n, 0)
	}
	defer func() {
		for _, k := range running {
			_ = k.Process.Kill()
			_ = k.Wait()
		}
	}()
	until(t, "both work", func() bool { return r.committed() > 1000 })
	for n := range 5 {
		// Somewhere within the next second's work, after every partition has gone on since the last kill.
		r.drained()
		at := r.count.Load() + 200 + rng.Int64N(3000)
		until(t, "the moment has come", func() bool { return r.count.Load() >= at })
		victim := names[rng.IntN(2)]
		if err := running[victim].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = running[victim].Wait()
		t.Logf("kill %d: %s after %d movements, %d committed", n+1, victim, r.count.Load(), r.committed())
		running[victim] = r.spawn(victim, n+1)
	}
	r.drained()
	stop()
	feeding.Wait()
	r.drained()
	for name, k := range running {
		if err := k.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		// One that does not stop tells where it stands.
		stuck := time.AfterFunc(20*time.Second, func() { _ = k.Process.Signal(syscall.SIGQUIT) })
		err := k.Wait()
		stuck.Stop()
		log, _ := os.ReadFile(k.log)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
				t.Logf("%s: %s", name, strings.TrimSpace(line))
			}
		}
		delete(running, name)
	}
	r.verify()
	if n := len(r.letters()); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	t.Logf("verified: %d movements of seed %d", len(r.sent), seed)
}

// Fifty transactions in a row are aborted, each for one record whose balance cannot be told; the others are counted once.
func TestFiftyAbortsInARowOnKafka(t *testing.T) {
	untold := map[string]bool{}
	stage := countingStage(nil)
	stage.New = func() processors.Processor { return &untelling{untold: untold} }
	r := newRig(t, []string{testservices.Kafka(t)}, stage, 1)
	var except []string
	for n := range 50 {
		except = append(except, fmt.Sprintf("u%d", n))
		untold[except[n]] = true
	}
	r.send(500, 20)
	for n, dedupe := range except {
		r.produce(r.movement(fmt.Sprintf("untold%d", n), dedupe, 1))
	}
	r.send(500, 20)
	p := r.start(r.config("a"))
	r.drained()
	if n := p.metric("crossdock_transaction_aborts_total", "why=rejected_at_commit"); n != 50 {
		t.Errorf("%v transactions were aborted", n)
	}
	p.close(t)
	r.verify()
	if n := len(r.letters()); n != 50 {
		t.Errorf("%d dead letters", n)
	}
}

// untelling is counting that cannot tell some balances.
type untelling struct {
	counting
	untold map[string]bool
}

func (p *untelling) BeforeCommit(ctx processors.Context, key, value []byte) error {
	var m event.InventoryMovement
	if err := ctx.Decode(&m); err != nil {
		return err
	}
	if p.untold[m.Header.DedupeKey] {
		return processors.Rejectf("UNTOLD", "", "the balance cannot be told")
	}
	return p.counting.BeforeCommit(ctx, key, value)
}

func TestRecordThatKafkaDoesNotTakeRejectsItsInput(t *testing.T) {
	tooLargeProduce(t, []string{testservices.Kafka(t)})
}
