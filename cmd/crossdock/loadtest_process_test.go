package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/internal/testservices"
	"crossdock/loadtest/committed"
	"crossdock/topology/topics"
)

// A runner runs the binary that people run, on one application of its own.
type runner struct {
	t        *testing.T
	kafka    string
	binary   string
	settings []string
}

// An output keeps what a process writes, and can be waited on.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts a command; a script runs before it in the same shell.
func (r *runner) start(script string, args ...string) (p *exec.Cmd, stdout, stderr *output) {
	r.t.Helper()
	stdout, stderr = &output{}, &output{}
	all := append([]string{"-c", script + `exec "$0" "$@"`, r.binary}, append(args, r.settings...)...)
	p = exec.Command("/bin/sh", all...)
	p.Stdout, p.Stderr = stdout, stderr
	p.WaitDelay = 10 * time.Second
	if err := p.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p, stdout, stderr
}

func (r *runner) until(what string, said *output, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("not in time: %s\n%s", what, said)
		}
	}
}

// One command is a whole load test against a broker: the stages run for its time and are gone afterwards. Interrupted, it
// says what ran; interrupted again, it ends at once, and the stages with it.
func TestALoadTestRunsItsOwnStagesOnRealKafka(t *testing.T) {
	kafka := testservices.Kafka(t)
	clickhouse := testservices.ClickHouse(t)
	name := applicationName(testservices.Prefix(t))
	r := &runner{t: t, kafka: kafka, binary: buildBinary(t), settings: []string{
		"--set", "app=" + name, "--set", "kafka.prefix=" + name + ".", "--set", "kafka.brokers=" + kafka, "--set", "kafka.partitions=2", "--set", "runtime.workers=1",
		"--set", "clickhouse.addresses=" + clickhouse.TCP, "--set", "clickhouse.database=" + clickhouse.Database(t), "--set", "sink.flush_interval=200ms",
	}}
	away(t)
	file(t, "small.yaml", small)
	for _, step := range [][]string{{"topology", "apply", "--yes"}, {"sink", "migrate"}} {
		p, stdout, stderr := r.start("", step...)
		if err := p.Wait(); err != nil {
			t.Fatalf("%v: %v\n%s%s", step, err, stdout, stderr)
		}
	}
	load := []string{"loadtest", "run", "--profile", "small.yaml", "--rate", "500", "--start", "--out", "results"}

	t.Run("to its end", func(t *testing.T) {
		p, stdout, stderr := r.start("", append(load, "--for", "2s", "--run", "whole")...)
		if err := p.Wait(); err != nil {
			t.Fatalf("%v\n%s%s", err, stdout, stderr)
		}
		report := readRun(t, filepath.Join("results", "whole"))
		if report.Verdict == nil || !report.Verdict.OK {
			t.Fatalf("%+v", report.Verdict)
		}
		compared := map[string]bool{}
		for _, reading := range report.Verdict.Readings {
			compared[reading.Source] = reading.Read > 0
		}
		if !compared["balances"] || !compared["ledger"] || !compared["clickhouse"] || !compared["clickhouse ledger"] {
			t.Errorf("compared with %v", compared)
		}
		watched := map[string]float64{}
		for _, p := range report.Processes {
			watched[p.Name] = p.CPUSeconds
		}
		for _, stage := range []string{"loadtest", "enrich", "parking", "inventory", "sink"} {
			if _, ok := watched[stage]; !ok {
				t.Errorf("%s was not watched: %v", stage, watched)
			}
		}
		if report.Commits == nil || report.Commits.Count == 0 {
			t.Errorf("no commits were seen: %+v", report.Commits)
		}
		if last := report.Hops[len(report.Hops)-1]; last.Name != "row" || last.Measured == 0 || last.Missing != 0 {
			t.Errorf("the last hop: %s, %d measured, %d missing", last.Name, last.Measured, last.Missing)
		}
		r.nothingRuns(t, name)
		r.masterDataIsGone(t, name)
	})

	t.Run("on a full disk", func(t *testing.T) {
		p, stdout, stderr := r.start("ulimit -f 8; ", append(load, "--for", "1s", "--run", "full")...) // 4 KiB a file
		if err := p.Wait(); p.ProcessState.ExitCode() != exitFailed {
			t.Fatalf("%v\n%s%s", err, stdout, stderr)
		}
		for _, want := range []string{"no space is left there", "nothing of it is left", "--out"} {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("it does not say %q:\n%s", want, stderr)
			}
		}
		if !strings.Contains(stdout.String(), "0 lost, 0 duplicated") {
			t.Errorf("what came out is not told:\n%s", stdout)
		}
		left, err := os.ReadDir("results")
		if err != nil || len(left) != 1 {
			t.Errorf("results holds %v, %v", left, err)
		}
	})

	t.Run("interrupted, and then again", func(t *testing.T) {
		p, stdout, stderr := r.start("", append(load, "--for", "10m", "--run", "once")...)
		r.until("events are sent", stderr, func() bool { return strings.Contains(stderr.String(), "balance p99") })
		r.signal(p)
		if err := p.Wait(); p.ProcessState.ExitCode() != exitFailed {
			t.Fatalf("%v\n%s%s", err, stdout, stderr)
		}
		report := readRun(t, filepath.Join("results", "once"))
		if report.Stopped != "interrupted" || report.Verdict == nil || !report.Verdict.OK || report.Sent.Made == 0 || report.Sent.Made >= report.Sent.Planned {
			t.Errorf("stopped %q, %+v, %+v", report.Stopped, report.Verdict, report.Sent)
		}
		r.nothingRuns(t, name)

		p, _, stderr = r.start("", append(load, "--for", "10m", "--run", "twice")...)
		r.until("events are sent", stderr, func() bool { return strings.Contains(stderr.String(), "10m0s") })
		r.signal(p)
		r.until("the interrupt is seen", stderr, func() bool { return strings.Contains(stderr.String(), "stopped (interrupted)") })
		r.signal(p)
		began := time.Now()
		_ = p.Wait()
		if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT || time.Since(began) > 5*time.Second {
			t.Errorf("%v, after %v\n%s", p.ProcessState, time.Since(began), stderr)
		}
		if _, err := os.Stat(filepath.Join("results", "twice")); err == nil {
			t.Error("a folder was written")
		}
	})
}

func (r *runner) signal(p *exec.Cmd) {
	r.t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		r.t.Fatal(err)
	}
}

// nothingRuns sees that no stage has stayed behind.
func (r *runner) nothingRuns(t *testing.T, app string) {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "args").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		if strings.HasPrefix(line, r.binary+" run ") && strings.Contains(line, app) {
			t.Errorf("still running: %s", line)
		}
	}
}

// masterDataIsGone sees that a table that reads topic items to its end is left with nothing.
func (r *runner) masterDataIsGone(t *testing.T, name string) {
	t.Helper()
	kept := map[string]bool{}
	for _, id := range []topics.ID{topics.Items, topics.Sites} {
		topic := topics.Naming{Prefix: name + "."}.Topic(id)
		err := committed.Read(t.Context(), []kgo.Opt{kgo.SeedBrokers(r.kafka)}, topic, func(rec *kgo.Record) error {
			kept[string(rec.Key)] = rec.Value != nil
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, there := range kept {
		if there {
			t.Errorf("%s is left", key)
		}
	}
	if len(kept) < 300 {
		t.Errorf("%d items and sites were ever there", len(kept))
	}
}

// A broker that goes away in the middle of a run and comes back: the run goes on, nothing is lost, and the report has the
// outage. The broker is held, not killed: Kafka on a single node may leave a transaction half committed when it is killed
// between its markers (the coordinator, back before the metadata of the topics, takes them for deleted), and then it is not
// the load test's word that is tried here.
func TestALoadTestOutlivesItsBroker(t *testing.T) {
	broker := testservices.OwnKafka(t)
	p := newPlant(t, broker.Addr())
	away(t)
	file(t, "small.yaml", small)
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(broker.Pid(), s); err != nil {
			t.Error(err)
		}
	}
	var holding sync.WaitGroup
	holding.Go(func() {
		p.untilSent(300)
		signal(syscall.SIGSTOP)
	})
	var stdout bytes.Buffer
	stderr := &trigger{on: "the broker is away", then: func() { signal(syscall.SIGCONT) }}
	code := execute(t.Context(), append([]string{
		"loadtest", "run", "--profile", "small.yaml", "--rate", "500", "--for", "4s", "--run", "outage", "--out", "results",
	}, p.settings()...), strings.NewReader(""), &stdout, stderr)
	holding.Wait()
	if code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout.String(), stderr.String())
	}
	for _, want := range []string{"the broker is away, the run waits for it", "the broker is back: the run goes on"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, stderr.String())
		}
	}
	r := readRun(t, filepath.Join("results", "outage"))
	if len(r.Outages) == 0 || r.Outages[0].Seconds < 0.5 || r.Sent.Acknowledged != r.Sent.Planned || r.Stopped != "" {
		t.Errorf("outages %+v, %+v, stopped %q", r.Outages, r.Sent, r.Stopped)
	}
	if r.Verdict == nil || !r.Verdict.OK {
		t.Errorf("%+v", r.Verdict)
	}
}

// untilSent waits until so many records stand on topic movements.
func (p *plant) untilSent(n int64) {
	admin := kadm.NewClient(p.client())
	p.until("events are sent", func() bool {
		ends, err := admin.ListEndOffsets(p.t.Context(), p.topic(topics.Movements))
		var sum int64
		ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
		return err == nil && sum >= n
	})
}
