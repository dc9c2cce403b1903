package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// metrics are the names of the project's metrics as its source has them: string literals that begin with crossdock_ and,
// where a file puts such a prefix before a name ("crossdock_sink_" + name), the first literal argument of the calls that do.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil //nolint:nilerr // a file that does not parse is the compiler's business
		}
		collect(file, names)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func collect(file *ast.File, names map[string]bool) {
	prefix := ""
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := literal(n)
		if ok && strings.HasPrefix(lit, "crossdock_") {
			if strings.HasSuffix(lit, "_") {
				prefix = lit
			} else {
				names[lit] = true
			}
		}
		return true
	})
	if prefix == "" {
		return
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		if _, local := call.Fun.(*ast.Ident); !local {
			return true
		}
		if lit, ok := literal(call.Args[0]); ok {
			names[prefix+lit] = true
		}
		return true
	})
}

func literal(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}
