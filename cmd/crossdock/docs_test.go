package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"crossdock/cmd/crossdock/demo"
	"crossdock/internal/config"
	"crossdock/internal/testservices"
)

// A block is a fenced block of a document.
type block struct {
	file  string // relative to the repository
	line  int    // of its first line
	lang  string
	lines []string
}

func (b *block) at(i int) string { return fmt.Sprintf("%s:%d", b.file, b.line+i) }

// docFiles are the Markdown files that people read first.
func docFiles(t *testing.T, root string) map[string]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range append(found, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// blocks reads the fenced blocks of a document.
func blocks(file, text string) []block {
	var all []block
	var open *block
	for i, line := range strings.Split(text, "\n") {
		lang, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{file: file, line: i + 2, lang: lang}
		case fence:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return all
}

// inOrder is README.md, then the rest by name: documents may build on what the README did.
func inOrder(texts map[string]string) []string {
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if (a == "README.md") != (b == "README.md") {
			if a == "README.md" {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

// expected is what a command says of its own end: "# exit 1" behind it.
var expected = regexp.MustCompile(`# exit (\d+)$`)

// commandLimit is how long one command of a document may take on a busy machine.
const commandLimit = time.Minute

// Every command in README.md and docs is run against a demo that is still up, as "make demo KEEP=1" leaves it, on other
// ports.
func TestCommandsInTheDocumentsWork(t *testing.T) {
	root := testservices.Root(t)
	texts := docFiles(t, root)
	clickhouse := testservices.OwnClickHouse(t)
	binary := buildBinary(t)
	var out bytes.Buffer
	o := demo.Options{
		ClickHouse: clickhouse.TCP(), Ingress: "127.0.0.1:0", Query: "127.0.0.1:0", Admin: "127.0.0.1:0", Registry: "127.0.0.1:0",
		Rate: 200, For: 2 * time.Second, Seed: 1, Out: &out,
	}
	ran := 0
	o.Keep = func(ctx context.Context, where demo.Addresses) {
		where.ClickHouseHTTP = clickhouse.HTTP()
		shell := newShell(root, binary, where)
		for _, name := range inOrder(texts) {
			for _, b := range blocks(name, texts[name]) {
				ran += shell.block(ctx, t, &b)
			}
		}
		shell.await(ctx, t, "SELECT count() FROM current_stock WHERE sku = 'VASE' AND on_hand = 3", "1") // as the README promises
	}
	if err := demo.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if ran == 0 {
		t.Fatal("the documents have no command")
	}
}

// A shell runs commands as a reader would type them.
type shell struct {
	root      string
	addresses *strings.Replacer
	env       []string
	sql       string // URL for statements
}

func newShell(root, binary string, where demo.Addresses) *shell {
	bare := func(u string) string { return strings.TrimPrefix(u, "http://") }
	s := &shell{
		root: root,
		addresses: strings.NewReplacer("bin/crossdock", binary,
			"127.0.0.1:9092", where.Broker, "127.0.0.1:8080", bare(where.Ingress), "127.0.0.1:8081", bare(where.Registry), "127.0.0.1:8082", bare(where.Query),
			"127.0.0.1:8123", where.ClickHouseHTTP, "127.0.0.1:9000", where.ClickHouseTCP, "127.0.0.1:9464", bare(where.Admin),
			"curl -sS", "curl -sS --fail-with-body"),
		sql: "http://" + where.ClickHouseHTTP + "/?database=crossdock",
	}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "CROSSDOCK_") {
			s.env = append(s.env, pair)
		}
	}
	s.env = append(s.env, "CROSSDOCK_KAFKA_BROKERS="+where.Broker)
	return s
}

// block runs the commands of a block and counts them.
func (s *shell) block(ctx context.Context, t *testing.T, b *block) (ran int) {
	switch b.lang {
	case "sh":
		for i := 0; i < len(b.lines); i++ {
			at := b.at(i)
			line := strings.TrimSpace(b.lines[i])
			for strings.HasSuffix(line, `\`) && i+1 < len(b.lines) {
				i++
				line = strings.TrimSuffix(line, `\`) + strings.TrimSpace(b.lines[i])
			}
			if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "make ") || strings.HasPrefix(line, "docker ") {
				continue // targets of make are checked by name, and docker is not everywhere
			}
			ran++
			t.Run(at, func(t *testing.T) { s.run(ctx, t, line) })
		}
	case "sql":
		for i, statement := range strings.Split(strings.Join(b.lines, "\n"), ";") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			ran++
			t.Run(fmt.Sprintf("%s statement %d", b.at(0), i+1), func(t *testing.T) { t.Logf("%s\n%s", statement, s.query(ctx, t, statement)) })
		}
	}
	return ran
}

func (s *shell) run(ctx context.Context, t *testing.T, line string) {
	want := exitOK
	if m := expected.FindStringSubmatch(line); m != nil {
		want, _ = strconv.Atoi(m[1]) // digits
	}
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", "set -e; "+s.addresses.Replace(line))
	c.Dir, c.Env = s.root, s.env
	output, err := c.CombinedOutput()
	if c.ProcessState == nil || ctx.Err() != nil || c.ProcessState.ExitCode() != want {
		t.Errorf("%s\n%v, want exit code %d\n%s", line, err, want, output)
		return
	}
	t.Logf("%s\n%s", line, output)
}

func (s *shell) query(ctx context.Context, t *testing.T, statement string) (answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.sql, strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%s %v\n%s", statement, resp.Status, err, body)
	}
	return strings.TrimSpace(string(body))
}

// await asks until the answer is what it must become.
func (s *shell) await(ctx context.Context, t *testing.T, statement, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for s.query(ctx, t, statement) != want {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s never answers %s", statement, want)
		}
	}
}

func TestTargetsThatTheDocumentsNameAreInTheMakefile(t *testing.T) {
	root := testservices.Root(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)")
	for name, text := range docFiles(t, root) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile) {
				t.Errorf("%s says make %s, which is no target", name, m[1])
			}
		}
	}
}

func TestDocumentsPointAtWhatIsThere(t *testing.T) {
	root := testservices.Root(t)
	sources := sourcesBelow(t, root)
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	test := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w+)`")
	metric := regexp.MustCompile("`crossdock_([a-z]+)_([a-z_]+)`")
	for name, text := range docFiles(t, root) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if u, err := url.Parse(m[1]); err == nil && u.IsAbs() {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s points at %s: %v", name, m[1], err)
			}
		}
		for _, m := range test.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(sources, "func "+m[1]+"(") {
				t.Errorf("%s names the test %s, which is not there", name, m[1])
			}
		}
		for _, m := range metric.FindAllStringSubmatch(text, -1) {
			// The sink's are written without the beginning that they share.
			if !strings.Contains(sources, `"crossdock_`+m[1]+"_"+m[2]+`"`) && (m[1] != "sink" || !strings.Contains(sources, `"`+m[2]+`"`)) {
				t.Errorf("%s names the metric crossdock_%s_%s, which is not there", name, m[1], m[2])
			}
		}
	}
}

func TestDocumentsLeaveNothingOutOfTheirTables(t *testing.T) {
	root := testservices.Root(t)
	texts := docFiles(t, root)
	names := func(pattern, files string) (found []string) {
		t.Helper()
		paths, err := filepath.Glob(filepath.Join(root, files))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
				found = append(found, m[1])
			}
		}
		if len(found) == 0 {
			t.Fatalf("%s has nothing like %s", files, pattern)
		}
		return found
	}
	var settings []string
	for _, k := range config.Keys() {
		if setting, ok := strings.CutPrefix(k.Name, "sources.*."); ok {
			settings = append(settings, setting)
		}
	}
	for _, c := range []struct {
		what, file string
		names      []string
	}{
		{"reason to exit", "docs/runtime.md", names(`Reason = "(\w+)"`, "topology/runtime/errors.go")},
		{"metric", "docs/runtime.md", names(`"(crossdock_[a-z_]+)"`, "topology/runtime/metrics.go")},
		{"table or view", "docs/sink.md", names(`CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (\w+)`, "sink/migrations/*.sql")},
		{"setting of a source", "docs/connectors.md", settings},
		{"refusal", "docs/connectors.md", names(`refusal\{http\.\w+, "(\w+)"`, "connectors/ingress/http.go")},
		{"refusal of a query", "docs/runtime.md", names(`(?:refuse\(http\.\w+, |passing\()"(\w+)"`, "cmd/crossdock/api/*.go")},
		{"metric of queries", "docs/runtime.md", names(`"(crossdock_query_[a-z_]+)"`, "cmd/crossdock/api/*.go")},
		{"document type", "docs/connectors.md", names(`= "(masterdata/\w+|canonical/\w+)"`, "connectors/*/connector.go")},
	} {
		for _, name := range c.names {
			if !strings.Contains(texts[c.file], "`"+name+"`") {
				t.Errorf("%s does not name the %s %s", c.file, c.what, name)
			}
		}
	}
	rules, err := os.ReadDir(filepath.Join(root, "processors", "internal", "spec", "testdata", "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rules {
		if !strings.Contains(texts["docs/inventory.md"], "["+f.Name()+"]") {
			t.Errorf("docs/inventory.md does not point at the rules %s", f.Name())
		}
	}
}

// sourcesBelow is all Go of the repository.
func sourcesBelow(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
