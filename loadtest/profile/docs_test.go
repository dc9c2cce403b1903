package profile

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const page = "../../docs/loadtest.md"

// The tables of the page are made from the table of keys and the shipped files: whoever changes one of them puts the
// lines that this test prints into the page.
func TestThePageHasEveryKeyWithItsDefaultUnitAndSource(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for what, table := range map[string]string{"keys": keysTable(), "shipped profiles": shippedTable(t)} {
		if !strings.Contains(string(text), table) {
			t.Errorf("docs/loadtest.md does not have the table of %s as it is:\n%s", what, table)
		}
	}
	for _, s := range Default().settings() {
		if s.source != "" && !strings.Contains(string(text), "\n- "+s.source+": ") {
			t.Errorf("docs/loadtest.md does not say what the source %q is", s.source)
		}
	}
}

func keysTable() string {
	var b strings.Builder
	b.WriteString("| key | default | unit | source | what |\n|---|---|---|---|---|\n")
	for _, s := range Default().settings() {
		if s.source == "" {
			continue // name, doc
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.key, s.value, s.value.unit(), s.source, s.doc)
	}
	return b.String()
}

func shippedTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range Names() {
		p := mustLoad(t, name)
		plan, err := p.Plan()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | %s/s | %s/s | %s | %s |\n", name, plain(p.rate()), plain(plan.Peak()), short(plan.Duration()), p.Doc)
	}
	return b.String()
}

func TestTheExampleOfThePageIsAProfile(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(found) == 0 {
		t.Fatal("there is none")
	}
	for _, f := range found {
		path := filepath.Join(t.TempDir(), "example.yaml")
		if err := os.WriteFile(path, f[1], 0o600); err != nil {
			t.Fatal(err)
		}
		p := mustLoad(t, path)
		if _, err := p.Load(1, "example"); err != nil {
			t.Error(err)
		}
	}
}

func TestTheErrorsOfThePageAreWhatIsSaid(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^    mine\.yaml(:.*)$`).FindAllSubmatch(text, -1)
	if len(shown) != 3 {
		t.Fatalf("%d errors are shown", len(shown))
	}
	path := written(t, "mine.yaml", "extends: base\npace:\n  for: 10\nretail:\n  sku: 85k\nduplicates:\n  share: 1 %\ndisorder:\n  min: 2m\n")
	want := make([]string, len(shown))
	for i, m := range shown {
		want[i] = path + string(m[1])
	}
	if _, err := Load(path); err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("said: %v\nshown: %s", err, strings.Join(want, "\n"))
	}
}
