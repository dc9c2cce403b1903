package layout_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"crossdock/internal/layout"
)

const module = "crossdock/"

// files calls f for every Go file of the module, with its path within it.
func files(t *testing.T, f func(path string, file *ast.File, set *token.FileSet)) {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f(filepath.ToSlash(rel), file, set)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func imports(file *ast.File) []string {
	var all []string
	for _, spec := range file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, path)
		}
	}
	return all
}

func TestEveryPartImportsOnlyWhatTheMapAllows(t *testing.T) {
	seen := 0
	files(t, func(path string, file *ast.File, _ *token.FileSet) {
		seen++
		pkg := filepath.ToSlash(filepath.Dir(path))
		rule, ok := layout.Lookup(pkg)
		if !ok {
			t.Errorf("%s: the map has no rule for %s; add one, or put the file where it belongs", path, pkg)
			return
		}
		for _, imported := range imports(file) {
			if rel, ours := strings.CutPrefix(imported, module); ours && !rule.Allows(rel, strings.HasSuffix(path, "_test.go")) {
				t.Errorf("%s imports %s: %s", path, imported, rule.Why)
			}
		}
	})
	if seen < 10 {
		t.Fatalf("only %d files seen", seen)
	}
}

// A processor that reads the clock or starts a goroutine cannot be replayed; one that knows a broker cannot be tested
// without it.
func TestProcessorsHaveNoBrokerClockNetworkOrGoroutine(t *testing.T) {
	files(t, func(path string, file *ast.File, set *token.FileSet) {
		if !strings.HasPrefix(path, "processors/") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "processors/internal/") {
			return
		}
		for _, imported := range imports(file) {
			first, _, _ := strings.Cut(imported, "/")
			outside := strings.Contains(first, ".")
			if outside && imported != "github.com/cespare/xxhash/v2" || first == "net" || first == "os" || first == "database" || imported == "io/ioutil" || imported == "math/rand" {
				t.Errorf("%s imports %s: business logic knows events, nothing else", path, imported)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine in business logic", set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Sleep" || n.Sel.Name == "After" || n.Sel.Name == "Since") {
					t.Errorf("%s: time.%s in business logic; ask Context.Now", set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	})
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	files(t, func(path string, file *ast.File, _ *token.FileSet) {
		switch file.Name.Name {
		case "util", "utils", "common", "helpers", "base", "misc":
			t.Errorf("%s: package %s says nothing of what it holds", path, file.Name.Name)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: init hides what the program is made of", path)
			}
		}
	})
}

func TestTheMapForbidsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		from, to string
		test, ok bool
	}{
		{"avro/event", "topology/topics", false, false},
		{"processors/inventory", "processors/enrich", false, false},
		{"processors/inventory", "processors", false, true},
		{"processors", "processors/enrich", false, false},
		{"processors/enrich", "topology/runtime", false, false},
		{"processors/enrich", "topology/testdriver", true, true},
		{"loadtest/oracle", "processors/inventory", true, false},
		{"sink", "topology/runtime", false, false},
		{"topology/runtime", "processors", false, true},
		{"cmd/crossdock", "sink", false, true},
	} {
		rule, found := layout.Lookup(c.from)
		if !found || rule.Allows(c.to, c.test) != c.ok {
			t.Errorf("%s importing %s (test %v) should be %v", c.from, c.to, c.test, c.ok)
		}
	}
}
