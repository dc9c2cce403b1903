package govern

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"crossdock/avro/schemas"
)

// Release writes the current schema of every event that differs from its last release, beyond docs, as a new release
// into the folder of the schemas (avro/schemas), and returns the files. It refuses to release what violates an earlier
// release. It is run when a version of the program is about to leave the house: `go run ./avro/gen -release`.
func Release(dir string) ([]string, error) {
	violations, err := Compatible()
	if err != nil {
		return nil, err
	}
	if len(violations) > 0 {
		return nil, fmt.Errorf("govern: nothing is released: %w", violations[0])
	}
	var written []string
	for _, name := range schemas.Events() {
		releases, err := schemas.Released(name)
		if err != nil {
			return written, err
		}
		text, err := schemas.Indented(name)
		if err != nil {
			return written, err
		}
		if n := len(releases); n > 0 {
			same, err := sameButDocs(releases[n-1].Text, text)
			if err != nil {
				return written, fmt.Errorf("govern: %s: %w", name, err)
			}
			if same {
				continue
			}
		}
		path := filepath.Join(dir, filepath.FromSlash(schemas.ReleasePath(name, len(releases)+1)))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return written, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return written, err
		}
		written = append(written, path)
	}
	return written, nil
}

// sameButDocs compares two schemas without what only people read.
func sameButDocs(a, b string) (bool, error) {
	var trees [2]any
	for i, text := range []string{a, b} {
		if err := json.Unmarshal([]byte(text), &trees[i]); err != nil {
			return false, err
		}
		dropDocs(trees[i])
	}
	return reflect.DeepEqual(trees[0], trees[1]), nil
}

func dropDocs(tree any) {
	switch t := tree.(type) {
	case map[string]any:
		if _, ok := t["doc"].(string); ok {
			delete(t, "doc")
		}
		for _, child := range t {
			dropDocs(child)
		}
	case []any:
		for _, child := range t {
			dropDocs(child)
		}
	}
}
