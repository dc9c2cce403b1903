package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"crossdock/avro/event"
	"crossdock/internal/testservices"
)

// nobody is an address at which nothing answers.
const nobody = "127.0.0.1:1"

// document reads a document of the demo.
func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("demo", "documents", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// outcome is how a command line ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// command runs a command line in this process, with standard input where it is given.
func command(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := execute(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// file writes a file into the test's folder, which is the working directory, and returns its name.
func file(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// away leaves the repository, where a crossdock.yaml could be, and drops settings of the environment.
func away(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "CROSSDOCK_KAFKA_") || strings.HasPrefix(name, "CROSSDOCK_REGISTRY_") || name == "CROSSDOCK_CONFIG" {
			t.Setenv(name, "")
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBadUsageSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	order := document(t, "order-940.edi")
	away(t)
	file(t, "empty.edi", "")
	file(t, "half.edi", order[:len(order)/2])
	file(t, "binary.edi", "\x00\x01\x02\x7f\xff\xfe")
	file(t, "bad.yaml", "kafka:\n  partitons: 3\nlog:\n  level: loud\n")
	file(t, "broken.yaml", "kafka: [\n")
	for _, c := range []struct {
		args string
		code int
		says []string // on standard error
	}{
		{"frobnicate", exitUsage, []string{`no command "frobnicate"`, "crossdock --help"}},
		{"topology frobnicate", exitUsage, []string{`no command "frobnicate"`, "crossdock topology --help"}},
		{"run --frobnicate", exitUsage, []string{"unknown flag: --frobnicate", "crossdock run --help"}},
		{"version now", exitUsage, []string{`"now"`, "crossdock version --help"}},
		{"run nonsense", exitUsage, []string{`no stage "nonsense"`, "ingress, translate, enrich, parking, inventory, sink"}},
		{"config print --set kafka.partitions", exitUsage, []string{"--set kafka.partitions: write KEY=VALUE"}},
		{"config print --set kafka.partitons=3", exitUsage, []string{"kafka.partitons (flag): no such setting", "did you mean kafka.partitions?"}},
		{"config print --set kafka.partitions=many", exitUsage, []string{"kafka.partitions (flag): cannot parse value as 'int'"}},
		{"config print --set runtime.commit_interval=5", exitUsage, []string{"no unit; write 5ms, 2s, 1m"}},
		{"config print --config bad.yaml", exitUsage, []string{"kafka.partitons (file bad.yaml)", `log.level: "loud"; use debug, info, warn or error`}},
		{"config print --config broken.yaml", exitUsage, []string{"broken.yaml"}},
		{"config print --config absent.yaml", exitUsage, []string{"absent.yaml", "no such file"}},
		{"leave", exitUsage, []string{"accepts 1 arg", "crossdock leave --help"}},
		{"leave one two", exitUsage, []string{"accepts 1 arg", "crossdock leave --help"}},
		{"leave one --stage nonsense", exitUsage, []string{"--stage nonsense", "translate, enrich, parking, inventory, sink"}},
		{"leave one --set kafka.brokers=" + nobody, exitNotReady, []string{nobody, "kafka.brokers"}},
		{"config print --set runtime.transaction_timeout=50s", exitUsage, []string{"runtime.transaction_timeout: 50s is not between 3s and below runtime.session_timeout 45s"}},
		{"config print --set runtime.transaction_timeout=1s", exitUsage, []string{"runtime.transaction_timeout: 1s is not between 3s"}},
		{"config print --set runtime.transaction_timeout=4s --set runtime.commit_interval=3s", exitUsage, []string{"runtime.commit_interval: 3s is more than half of runtime.transaction_timeout 4s"}},
		{"topology describe --format pdf", exitUsage, []string{"--format pdf: write text, json or mermaid"}},
		{"topology apply --dry-run --yes", exitUsage, []string{"give one of them"}},
		{"schema print Nonsense", exitUsage, []string{`"Nonsense"`, "crossdock schema print lists the schemas"}},
		{"schema register", exitUsage, []string{"registry.url: not set", "crossdock embedded registry"}},
		{"sink status", exitUsage, []string{"clickhouse.addresses: not set", "127.0.0.1:9000"}},
		{"embedded broker --port 99999", exitUsage, []string{"--port 99999", "65535"}},
		{"embedded clickhouse --listen :1", exitUsage, []string{"-listen", "crossdock embedded clickhouse --help"}},
		{"embedded registry --file absent/registry.json", exitUsage, []string{"there is no folder absent"}},
		{"demo --rate 0", exitUsage, []string{"at least one scan a second"}},
		{"ingest empty.edi", exitUsage, []string{`--source "" is not among the configured sources`}},
		{"ingest --source nobody empty.edi", exitUsage, []string{`--source "nobody"`, "add it under sources", "topology apply"}},
		{"ingest --source wms --set sources.wms.system=x", exitUsage, []string{"requires at least 1 arg", "crossdock ingest --help"}},
		{"translate", exitUsage, []string{"requires at least 1 arg", "crossdock translate --help"}},
		{"translate --as X12/nonsense half.edi", exitUsage, []string{"--as X12/nonsense: no connector declares it", "X12/940", "X12/945"}},
		{"translate absent.edi", exitFailed, []string{"absent.edi: no such file"}},
		{"translate .", exitFailed, []string{". is a folder; name its files"}},
		{"translate empty.edi", exitFailed, []string{"EMPTY_DOCUMENT", "nothing has arrived"}},
		{"translate binary.edi", exitFailed, []string{"UNKNOWN_DOCUMENT at byte 0: the document is binary", "send one of x12"}},
		{"translate half.edi", exitFailed, []string{"refused: ", "segment "}},
		{"bench frobnicate", exitUsage, []string{`no command "frobnicate"`, "crossdock bench --help"}},
		{"bench enrich now", exitUsage, []string{`"now"`, "crossdock bench enrich --help"}},
		{"bench translate --records 0", exitUsage, []string{"--records 0", "above 0"}},
		{"bench inventory --runs -1", exitUsage, []string{"--runs -1", "above 0"}},
		{"bench enrich --skus 0", exitUsage, []string{"--skus 0", "above 0"}},
		{"bench inventory --workers 0", exitUsage, []string{"--workers 0", "above 0"}},
		{"bench inventory --records many", exitUsage, []string{"--records", "crossdock bench inventory --help"}},
		{"bench all --profile x", exitUsage, []string{"unknown flag: --profile", "crossdock bench all --help"}},
		{"bench sink", exitUsage, []string{"clickhouse.addresses: not set", "127.0.0.1:9000"}},
		{"bench all", exitUsage, []string{"clickhouse.addresses: not set", "127.0.0.1:9000"}},
		{"bench enrich --runs 1 --set kafka.brokers=" + nobody, exitNotReady, []string{nobody, "make services-up"}},
		{"bench inventory --runs 1 --set kafka.brokers=" + nobody, exitNotReady, []string{nobody, "make services-up"}},
		{"run --set kafka.brokers=" + nobody, exitNotReady, []string{nobody, "crossdock embedded broker", "kafka.brokers"}},
		{"topology apply --set kafka.brokers=" + nobody, exitNotReady, []string{nobody}},
		{"parked list --set kafka.brokers=" + nobody, exitNotReady, []string{nobody}},
		{"ingest --source wms --set sources.wms.system=x --set kafka.brokers=" + nobody + " half.edi", exitNotReady, []string{nobody}},
		{"schema check --set registry.url=http://" + nobody, exitNotReady, []string{"http://" + nobody, "correct registry.url"}},
		{"schema register --set registry.url=http://" + nobody, exitNotReady, []string{"http://" + nobody, "correct registry.url"}},
		{"sink migrate --set clickhouse.addresses=" + nobody, exitNotReady, []string{nobody, "correct clickhouse.addresses"}},
		{"sink status --set clickhouse.addresses=" + nobody + " --set kafka.brokers=" + nobody, exitNotReady, []string{nobody}},
	} {
		t.Run(c.args, func(t *testing.T) {
			got := command(t, "", strings.Fields(c.args)...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d", got.code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("standard error lacks %q:\n%s", want, got.stderr)
				}
			}
			if got.stdout != "" && !strings.HasPrefix(c.args, "translate") { // what is whole of a document is translated
				t.Errorf("standard output has %q", got.stdout)
			}
		})
	}
}

func TestUnknownStageIsTheUsersFaultWhateverTheBroker(t *testing.T) {
	away(t)
	got := command(t, "", "run", "sink", "--set", "kafka.brokers="+testservices.Broker(t))
	if got.code != exitUsage {
		t.Errorf("exit code %d of a run without its settings, want %d: %s", got.code, exitUsage, got.stderr)
	}
}

func TestFilesThatCannotBeIngestedAreNamed(t *testing.T) {
	away(t)
	file(t, "empty.edi", "")
	at := []string{"--source", "wms", "--set", "sources.wms.system=x", "--set", "kafka.brokers=" + testservices.Broker(t)}
	for name, says := range map[string]string{"absent.edi": "no such file", ".": "is a folder", "empty.edi": "is empty; nothing of it was sent"} {
		got := command(t, "", append([]string{"ingest", name}, at...)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, says) {
			t.Errorf("%s: exit code %d and %q, want %d and %q", name, got.code, got.stderr, exitFailed, says)
		}
	}
}

func TestFilesStoredBeforeABadOneAreToldOf(t *testing.T) {
	order := document(t, "order-940.edi")
	away(t)
	file(t, "order.edi", order)
	at := []string{"--source", "wms", "--set", "sources.wms.system=x", "--set", "kafka.brokers=" + testservices.Broker(t)}
	at = append(at, "--set", "kafka.prefix="+testservices.Prefix(t)+".")
	if got := command(t, "", append([]string{"topology", "apply", "--yes"}, at[2:]...)...); got.code != exitOK {
		t.Fatal(got)
	}
	got := command(t, "", append([]string{"ingest", "order.edi", "absent.edi"}, at...)...)
	if got.code != exitFailed || !strings.Contains(got.stdout, "order.edi: 1 documents") || !strings.Contains(got.stderr, "absent.edi: no such file") {
		t.Errorf("exit code %d, %q and %q", got.code, got.stdout, got.stderr)
	}
}

func TestTranslateReadsStandardInputAndKeepsProblemsApart(t *testing.T) {
	broken, whole := document(t, "broken-945.edi"), document(t, "advice-945.edi")
	away(t)
	got := command(t, broken, "translate", "--source", "acme-3pl", "-")
	if got.code != exitFailed || !strings.Contains(got.stderr, "BAD_QUANTITY") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := command(t, whole, "translate", "-"); got.code != exitOK || got.stderr != "" {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	} else {
		jsonLines(t, got.stdout)
	}
	jsonLines(t, command(t, broken, "translate", "--json", "-").stderr)
}

func jsonLines(t *testing.T, text string) {
	t.Helper()
	lines := 0
	for d := json.NewDecoder(strings.NewReader(text)); ; lines++ {
		var v map[string]any
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	if lines == 0 {
		t.Errorf("no line of JSON in %q", text)
	}
}

// decoded runs a command with --json and reads its result.
func decoded[T any](t *testing.T, args ...string) T {
	t.Helper()
	got := command(t, "", append(args, "--json")...)
	if got.code != exitOK {
		t.Fatalf("%v: exit code %d: %s", args, got.code, got.stderr)
	}
	d := json.NewDecoder(strings.NewReader(got.stdout))
	var v T
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %v in %s", args, err, got.stdout)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("%v prints more than one value: %s", args, got.stdout)
	}
	return v
}

func TestJSONWithoutABroker(t *testing.T) {
	away(t)
	settings := decoded[[]struct{ Name, Value, Origin, Doc string }](t, "config", "print", "--set", "kafka.partitions=16")
	found := false
	for _, s := range settings {
		found = found || s.Name == "kafka.partitions" && s.Value == "16" && s.Origin == "flag"
	}
	if !found {
		t.Errorf("config print --json does not tell of kafka.partitions: %+v", settings)
	}
	if graph := decoded[map[string]any](t, "topology", "describe"); len(graph) == 0 {
		t.Error("topology describe --json is empty")
	}
	if check := decoded[struct {
		Schemas    int
		Violations []string
	}](t, "schema", "check"); check.Schemas != len(event.Kinds()) || check.Violations == nil {
		t.Errorf("schema check --json: %+v", check)
	}
	if names := decoded[[]string](t, "schema", "print"); len(names) != len(event.Kinds()) {
		t.Errorf("schema print --json: %v", names)
	}
	if schema := decoded[map[string]any](t, "schema", "print", "InventoryMovement"); schema["name"] != "InventoryMovement" {
		t.Errorf("schema print InventoryMovement --json: %v", schema["name"])
	}
	if v := decoded[map[string]string](t, "version"); !strings.HasPrefix(v["version"], "crossdock ") {
		t.Errorf("version --json: %v", v)
	}
}

func TestTopologyIsAppliedOnceAndThenThereIsNothingToDo(t *testing.T) {
	away(t)
	at := []string{"--set", "kafka.brokers=" + testservices.Broker(t), "--set", "kafka.partitions=2", "--set", "sources.wms.system=scanner"}
	apply := func(flags ...string) outcome {
		t.Helper()
		got := command(t, "", append(append([]string{"topology", "apply"}, flags...), at...)...)
		if got.code != exitOK {
			t.Fatalf("apply %v: exit code %d: %s", flags, got.code, got.stderr)
		}
		return got
	}
	if got := command(t, "", append([]string{"parked", "list"}, at...)...); got.code != exitFailed || !strings.Contains(got.stderr, "crossdock topology apply makes it") {
		t.Errorf("parked list before the topics are there: exit code %d: %s", got.code, got.stderr)
	}
	planned := apply("--dry-run").stdout
	for _, want := range []string{"crossdock.inventory-inbox", "crossdock.raw.wms", "crossdock-inventory-stock-changelog", "Nothing was changed"} {
		if !strings.Contains(planned, want) {
			t.Errorf("the plan lacks %q:\n%s", want, planned)
		}
	}
	if again := apply("--dry-run").stdout; again != planned {
		t.Errorf("a dry run changed something:\n%s", again)
	}
	if done := apply("--yes").stdout; !strings.Contains(done, "done: ") {
		t.Errorf("nothing was done:\n%s", done)
	}
	if again := apply("--yes").stdout; strings.Contains(again, "done: ") {
		t.Errorf("the second time something was left to do:\n%s", again)
	}
	if plan := decoded[map[string]any](t, append([]string{"topology", "apply"}, at...)...); plan == nil {
		t.Error("topology apply --json tells nothing")
	}

	parked := decoded[[]waiting](t, append([]string{"parked", "list"}, at...)...)
	if parked == nil || len(parked) != 0 {
		t.Errorf("parked list --json of an empty stage: %v", parked)
	}
	file(t, "receipt.jsonl", `{"event":"InventoryMovement","header":{"source_doc_id":"GR-1","event_time":"2026-11-24T10:00:00Z","site":"CHI"},"sku":"MUG","type":"RECEIPT","qty_src":"3","uom_src":"EA","to":{"bucket":"AVAILABLE"}}`+"\n")
	reports := decoded[[]struct {
		File     string
		Parts    int
		Receipts []struct {
			RawRef string `json:"raw_ref"`
		}
	}](t, append([]string{"ingest", "--source", "wms", "receipt.jsonl"}, at...)...)
	if len(reports) != 1 || reports[0].Parts != 1 || len(reports[0].Receipts) != 1 || !strings.HasPrefix(reports[0].Receipts[0].RawRef, "crossdock.raw.wms/") {
		t.Errorf("ingest --json: %+v", reports)
	}
}

func TestSchemasAreRegisteredOnceUnderTheSameIDs(t *testing.T) {
	away(t)
	ctx, stop := context.WithCancel(t.Context())
	url, wait, err := serveRegistry(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); wait() })
	at := []string{"--set", "registry.url=" + url}
	first := decoded[map[string]int](t, append([]string{"schema", "register"}, at...)...)
	again := decoded[map[string]int](t, append([]string{"schema", "register"}, at...)...)
	if len(first) != len(event.Kinds()) {
		t.Errorf("%d schemas have ids, there are %d", len(first), len(event.Kinds()))
	}
	for name, id := range first {
		if id == 0 || again[name] != id {
			t.Errorf("%s has id %d, and %d the second time", name, id, again[name])
		}
	}
	text := command(t, "", append([]string{"schema", "register"}, at...)...)
	if text.code != exitOK || !strings.Contains(text.stdout, "  InventoryMovement\n") {
		t.Errorf("exit code %d: %s%s", text.code, text.stdout, text.stderr)
	}
	if got := command(t, "", append([]string{"schema", "check"}, at...)...); got.code != exitOK || !strings.Contains(got.stdout, "0 violations") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

func TestSinkTellsAsJSON(t *testing.T) {
	ch := testservices.ClickHouse(t)
	away(t)
	at := []string{"--set", "clickhouse.addresses=" + ch.TCP, "--set", "clickhouse.database=" + ch.Database(t), "--set", "kafka.brokers=" + testservices.Broker(t)}
	if got := command(t, "", append([]string{"topology", "apply", "--yes"}, at...)...); got.code != exitOK {
		t.Fatal(got.stderr)
	}
	if applied := decoded[[]migration](t, append([]string{"sink", "migrate"}, at...)...); len(applied) == 0 || applied[0].AppliedAt.IsZero() {
		t.Errorf("sink migrate --json: %+v", applied)
	}
	tables := decoded[[]tableStatus](t, append([]string{"sink", "status"}, at...)...)
	if len(tables) != 4 || tables[0].Table == "" || tables[0].FreshnessSeconds != nil {
		t.Errorf("sink status --json before any sink has run: %+v", tables)
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var stdout, stderr bytes.Buffer
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if !c.IsAvailableCommand() && c.HasParent() {
			return
		}
		path := c.CommandPath()
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no short description or no example", path)
		}
		if !strings.Contains(c.Example, "crossdock") {
			t.Errorf("the example of %s shows no command: %q", path, c.Example)
		}
		got := command(t, "", append(strings.Fields(path)[1:], "--help")...)
		if got.code != exitOK || !strings.Contains(got.stdout, "Usage:") || !strings.Contains(got.stdout, c.Example) || got.stderr != "" {
			t.Errorf("%s --help: exit code %d\n%s%s", path, got.code, got.stdout, got.stderr)
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" && sub.Name() != "completion" {
				look(sub)
			}
		}
	}
	look(newRoot(strings.NewReader(""), &stdout, &stderr))
}
