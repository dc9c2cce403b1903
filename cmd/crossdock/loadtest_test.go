package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/internal/config"
	"crossdock/internal/testservices"
	"crossdock/loadtest/profile"
	"crossdock/loadtest/report"
	"crossdock/loadtest/trial"
	"crossdock/topology/topics"
)

// small is a profile for a machine that does something else too: everything in it, and no objective but the truth.
const small = `
extends: base
pace: {ramp: 300ms}
retail: {skus: 300, sites: 12, dcs: 3}
poison: {share: 1 %}
objectives:
  accepted: {p99: none}
  enriched: {p99: none}
  balance: {p50: none, p99: none, p999: none}
  row: {p50: none, p99: none}
  max_lag_end: none
  kept_pace: false
`

// loadtest runs a load test command against the plant, as on a command line, until ctx ends.
func (p *plant) loadtest(ctx context.Context, args ...string) outcome {
	p.t.Helper()
	var stdout, stderr bytes.Buffer
	code := execute(ctx, append(append([]string{"loadtest"}, args...), p.settings()...), strings.NewReader(""), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

func (p *plant) settings() []string {
	c := &p.config
	return []string{
		"--set", "app=" + c.App, "--set", "kafka.prefix=" + c.Kafka.Prefix, "--set", "kafka.brokers=" + c.Kafka.Brokers[0],
		"--set", "kafka.partitions=4", "--set", "registry.url=" + c.Registry.URL, "--set", "admin.listen=", "--set", "query.listen=" + p.process.QueryAddr(),
	}
}

// readRun reads the report in a run's folder, and sees that the folder is whole.
func readRun(t *testing.T, folder string) *report.Report {
	t.Helper()
	m, err := trial.ReadManifest(folder)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{trial.ManifestFile, report.JSONName, report.HTMLName}
	for _, p := range m.Parts {
		names = append(names, p.Log)
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := report.ReadFile(folder)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustExit(t *testing.T, what string, o outcome, code int, says ...string) {
	t.Helper()
	if o.code != code {
		t.Fatalf("%s: exit code %d, want %d\n%s\n%s", what, o.code, code, o.stdout, o.stderr)
	}
	for _, s := range says {
		if !strings.Contains(o.stdout+o.stderr, s) {
			t.Errorf("%s does not say %q\n%s\n%s", what, s, o.stdout, o.stderr)
		}
	}
}

// A run of a few seconds finds every balance right and is verified again from its folder. Then the pipeline counts one
// movement twice, under another dedupe key, as a bug would: the verdict fails, names the key, and shows its events.
func TestALoadTestSeesWhatThePipelineDidWrong(t *testing.T) {
	p := newPlant(t, testservices.Broker(t))
	away(t)
	file(t, "small.yaml", small)
	run := p.loadtest(t.Context(), "run", "--profile", "small.yaml", "--rate", "1500", "--for", "3s", "--run", "monday", "--out", "results", "--seed", "7")
	mustExit(t, "the run", run, exitOK, "verified: ", "0 lost, 0 duplicated", "Balance visible", "written: results/monday")
	folder := filepath.Join("results", "monday")
	r := readRun(t, folder)
	if r.Verdict == nil || !r.Verdict.OK || r.Sent.Made != r.Sent.Planned || r.Sent.Acknowledged != r.Sent.Made || r.Sent.Made < 4000 || r.Stopped != "" {
		t.Fatalf("%+v, %+v, stopped %q", r.Verdict, r.Sent, r.Stopped)
	}
	if !slices.ContainsFunc(r.Verdict.Readings, func(read report.Reading) bool { return read.Source == "state" && read.OK && read.Read > 0 }) {
		t.Errorf("the state was not asked: %+v", r.Verdict.Readings)
	}
	if len(r.Sent.Poison) < 5 || r.Sent.Copies["exact"] == 0 && len(r.Sent.Copies) < 2 {
		t.Errorf("poison %v, copies %v", r.Sent.Poison, r.Sent.Copies)
	}
	for _, name := range []string{"accepted", "enriched", "balance"} {
		found := false
		for _, h := range r.Hops {
			if found = found || h.Name == name; h.Name == name && (h.Missing != 0 || h.Measured == 0 || len(h.Heat) != len(r.Slices)) {
				t.Errorf("hop %s: %d measured, %d missing, %d of %d slices", name, h.Measured, h.Missing, len(h.Heat), len(r.Slices))
			}
		}
		if !found {
			t.Errorf("there is no hop %s", name)
		}
	}
	var due, made int64
	for _, s := range r.Slices {
		due, made = due+s.Due, made+s.Made
	}
	if due != r.Sent.Planned || made != r.Sent.Made {
		t.Errorf("the slices have %d due and %d made, want %d and %d", due, made, r.Sent.Planned, r.Sent.Made)
	}
	mustExit(t, "verify", p.loadtest(t.Context(), "verify", folder), exitOK, "0 lost, 0 duplicated")
	mustExit(t, "the same name", p.loadtest(t.Context(), "run", "--profile", "small.yaml", "--run", "monday", "--out", "results"), exitUsage, "there is one of that name already", "--run")

	key := p.countTwice()
	again := p.loadtest(t.Context(), "verify", folder)
	mustExit(t, "verify after a fault", again, exitFailed, "verified: FAILED", "1 duplicated", key, "dedupe key")

	mustExit(t, "report", p.loadtest(t.Context(), "report", folder), exitOK, "Balance visible")
	mustExit(t, "report as a page", p.loadtest(t.Context(), "report", folder, folder, "--html", "compared.html"), exitOK, "written: compared.html")
	if page, err := os.ReadFile("compared.html"); err != nil || !bytes.Contains(page, []byte("<html")) {
		t.Errorf("%d bytes, %v", len(page), err)
	}
}

// countTwice makes the inventory stage count a movement of the run a second time, and returns its key.
func (p *plant) countTwice() string {
	p.t.Helper()
	var twice *event.InventoryMovement
	key := ""
	p.read(p.topic(topics.InventoryInbox), func(r *kgo.Record) error {
		var m event.InventoryMovement
		if kind, err := p.serde.Kind(r.Value); err != nil || kind != event.KindInventoryMovement || twice != nil {
			return err
		}
		if err := p.serde.Decode(bytes.Clone(r.Value), &m); err != nil {
			return err
		}
		if m.QtyDelta != 0 && m.From != m.To && m.Header.DedupeKey != "" {
			twice, key = &m, string(r.Key)
		}
		return nil
	})
	twice.Header.EventID, twice.Header.DedupeKey = "the second", "another happening"
	versions := p.versions(key)
	r := &kgo.Record{Topic: p.topic(topics.InventoryInbox), Key: []byte(key), Value: p.serde.Append(nil, twice)}
	if err := p.client().ProduceSync(p.t.Context(), r).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
	p.until("the movement is counted twice", func() bool { return p.versions(key) == versions+1 })
	return key
}

// versions is the version of a key's newest balance.
func (p *plant) versions(key string) (version int64) {
	p.t.Helper()
	var b event.InventoryBalance
	p.read(p.topic(topics.Balances), func(r *kgo.Record) error {
		if string(r.Key) != key {
			return nil
		}
		err := p.serde.Decode(r.Value, &b)
		version = b.Version
		return err
	})
	return version
}

// A search that is interrupted in its second attempt reports both, and everything that both sent is recounted.
func TestASearchThatIsInterruptedReportsWhatRan(t *testing.T) {
	p := newPlant(t, testservices.Broker(t))
	away(t)
	file(t, "small.yaml", small)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout bytes.Buffer
	second := &trigger{on: "attempt 2, 400/s: 500 events", then: interrupt}
	code := execute(ctx, append([]string{
		"loadtest", "run", "--profile", "small.yaml", "--rate", "200", "--for", "1s", "--find-max", "balance:p99<30s", "--run", "search", "--out", "results", "--json",
	}, p.settings()...), strings.NewReader(""), &stdout, second)
	if code != exitFailed || !strings.Contains(second.String(), "interrupted") {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout.String(), second.String())
	}
	var printed report.Report
	if err := json.Unmarshal(stdout.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	r := readRun(t, filepath.Join("results", "search"))
	if r.Stopped != "interrupted" || len(r.Search) != 1 || !r.Search[0].Holds || r.Search[0].Rate != 200 || r.SearchHop != "balance" {
		t.Errorf("stopped %q, %+v", r.Stopped, r.Search)
	}
	m, err := trial.ReadManifest(filepath.Join("results", "search"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict == nil || !r.Verdict.OK || len(m.Parts) != 2 || r.Verdict.Events <= r.Sent.Acknowledged || printed.Run != r.Run {
		t.Errorf("%+v of %d parts, %d sent in the last", r.Verdict, len(m.Parts), r.Sent.Acknowledged)
	}
}

// A trigger keeps what is written to it, and does something once a text was.
type trigger struct {
	bytes.Buffer
	on   string
	then func()
}

func (w *trigger) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if w.then != nil && strings.Contains(w.String(), w.on) {
		w.then()
		w.then = nil
	}
	return n, err
}

func TestALoadTestThatCannotBeMeantIsRefusedBeforeAnythingIsSent(t *testing.T) {
	broker := testservices.Broker(t)
	away(t)
	file(t, "typo.yaml", "extends: base\nduplicates:\n  shar: 1 %\n")
	file(t, "taken", "a file")
	at := " --set kafka.brokers=" + broker
	for _, c := range []struct {
		args string
		code int
		says []string
	}{
		{"run --profile peek-day" + at, exitUsage, []string{"peek-day", "peak-day"}},
		{"run --profile typo.yaml" + at, exitUsage, []string{"typo.yaml", "3", "shar", "share"}},
		{"run --set duplicates.shar=1%" + at, exitUsage, []string{"duplicates.shar", "duplicates.share"}},
		{"run --set kafka.partitons=1" + at, exitUsage, []string{"did you mean kafka.partitions?"}},
		{"run --rate 0" + at, exitUsage, []string{"--rate 0", "cannot be", "24k"}},
		{"run --rate fast" + at, exitUsage, []string{"--rate fast", "24k"}},
		{"run --rate -5" + at, exitUsage, []string{"--rate -5"}},
		{"run --rate 900M --for 1s --set registry.url=http://127.0.0.1:1" + at, exitUsage, []string{"900"}},
		{"run --for 10" + at, exitUsage, []string{"--for 10", "unit"}},
		{"run --for 0s" + at, exitUsage, []string{"--for 0s"}},
		{"run --find-max balance:p98<100ms" + at, exitUsage, []string{"--find-max", "p98", "balance:p99<100ms"}},
		{"run --entry pigeon" + at, exitUsage, []string{"--entry pigeon", "movements or documents"}},
		{"run --run a/b" + at, exitUsage, []string{"a/b", "letters, digits"}},
		{"run --out taken" + at, exitUsage, []string{"taken", "--out"}},
		{"run --drain 0s" + at, exitUsage, []string{"--drain 0s", "above 0"}},
		{"run --watch broker" + at, exitUsage, []string{"--watch broker", "NAME=PID"}},
		{"run --watch kafka=1" + at, exitUsage, []string{"kafka is watched already"}},
		{"run --watch broker=x" + at, exitUsage, []string{`"x" is no process id`}},
		{"run --set kafka.brokers=" + nobody, exitNotReady, []string{"no broker of [" + nobody + "] answers", "kafka.brokers"}},
		{"run" + at, exitNotReady, []string{"topics are missing: crossdock.items", "crossdock topology apply --yes"}},
		{"verify nowhere" + at, exitUsage, []string{"nowhere", "run.json"}},
		{"report nowhere", exitUsage, []string{"nowhere"}},
		{"report taken", exitUsage, []string{"taken"}},
		{"profiles peek-day", exitUsage, []string{"peak-day"}},
	} {
		o := command(t, "", append([]string{"loadtest"}, strings.Fields(c.args)...)...)
		mustExit(t, "loadtest "+c.args, o, c.code, c.says...)
		if c.code != exitUsage && c.code != exitNotReady || o.stdout != "" {
			t.Errorf("loadtest %s prints %q", c.args, o.stdout)
		}
	}
	if left, err := os.ReadDir("loadtest-results"); err == nil && len(left) > 0 {
		t.Errorf("runs that never were have left %v", left)
	}
}

func TestALoadTestWithoutStagesSaysWhichToStart(t *testing.T) {
	broker := testservices.Broker(t)
	registry, stop := context.WithCancel(t.Context())
	url, wait, err := serveRegistry(registry)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); wait() }()
	away(t)
	mustExit(t, "topology apply", command(t, "", "topology", "apply", "--yes", "--set", "kafka.brokers="+broker), exitOK)
	args := []string{"--set", "kafka.brokers=" + broker, "--set", "registry.url=" + url, "--for", "1s"}
	o := command(t, "", append([]string{"loadtest", "run"}, args...)...)
	mustExit(t, "a run", o, exitNotReady, "no enrich and no inventory stage is running", "crossdock run enrich inventory", "--start")
	o = command(t, "", append([]string{"loadtest", "run", "--rate", "10M"}, args...)...)
	mustExit(t, "a rate that no machine makes", o, exitUsage, "10M events a second", "one core makes", "lower --rate")
}

// --set of loadtest run takes keys of both: none may mean two things.
func TestNoKeyOfAProfileIsOneOfTheConfiguration(t *testing.T) {
	p, err := profile.Load("base")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(p.YAML(), "\n") {
		section, _, ok := strings.Cut(line, ":")
		if ok && !strings.HasPrefix(section, " ") && !strings.HasPrefix(section, "#") && ofConfiguration(section) {
			t.Errorf("%s is a key of a profile and of the configuration", section)
		}
	}
	for _, k := range config.Keys() {
		if !ofConfiguration(k.Name) {
			t.Errorf("%s is taken for a profile's", k.Name)
		}
	}
}

func TestProgressIsALineNowAndThen(t *testing.T) {
	var out bytes.Buffer
	teller := newLoadTeller(&out, false)
	teller.every = 0
	teller.tell(trial.Progress{Phase: trial.Sending, Part: "run", Planned: 240_000, Of: 10 * time.Second, Lag: -1})
	teller.tell(trial.Progress{
		Phase: trial.Sending, Part: "run", Elapsed: 4 * time.Second, Of: 10 * time.Second, Rate: 24_000, Made: 95_000, Planned: 240_000,
		MadeRate: 23_990, Behind: 40 * time.Millisecond, Lag: 1234, P99: 41_200 * time.Microsecond, Hop: "balance",
	})
	teller.tell(trial.Progress{Phase: trial.Sending, Part: "run", Planned: 240_000, Away: "no acknowledgement for 3.2s", Lag: -1})
	teller.tell(trial.Progress{Phase: trial.Sending, Part: "run", Planned: 240_000, Lag: -1})
	teller.tell(trial.Progress{Phase: trial.Draining, Part: "run", Planned: 240_000, Lag: 17, Waiting: "17 records: 17 by group x"})
	for _, want := range []string{
		"run: 240,000 events in 10s", "95,000 of 240,000, 23,990/s made, 24,000/s due, 40 ms late, balance p99 41.2 ms, lag 1,234, 6s left",
		"the broker is away, the run waits for it: no acknowledgement for 3.2s", "the broker is back", "waiting until it has come out", "lag 17, waiting for 17 records",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

func TestASearchWhoseResultDoesNotHoldOnceMoreIsNotGood(t *testing.T) {
	r := &report.Report{Search: []report.Attempt{{Rate: 4000, Holds: true}, {Rate: 8000}, {Rate: 4000, Holds: true}}}
	if bad := shortcomings(r); len(bad) != 0 {
		t.Errorf("it held once more: %v", bad)
	}
	r.Search[2].Holds = false
	if bad := shortcomings(r); len(bad) != 1 || !strings.Contains(bad[0], "held once more") {
		t.Errorf("%v", bad)
	}
}
