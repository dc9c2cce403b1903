// Package registry is a schema registry in one process: an http.Handler that speaks the part of Confluent's REST API that
// clients of Avro use (https://docs.confluent.io/platform/current/schema-registry/develop/api.html): subjects, versions,
// schemas by id, compatibility, config and mode, with Confluent's error codes. It is for machines on which no registry
// runs: the demo, a developer's laptop, tests. It knows nothing of the schemas that it keeps.
//
// Invariants:
//
//   - An id names one schema text for ever; the same text has the same id under every subject.
//   - A version of a subject is never changed. Nothing is ever deleted: what was written with an id stays readable.
//   - What a request was told is on disk, where there is a file: ids survive a restart.
package registry

import (
	"fmt"
	"net/http"
	"sync"
)

const (
	maxBody    = 1 << 20 // bytes of one request
	maxSchemas = 10_000
)

// A Registry keeps schemas in memory and, where it was opened with a file, on disk. It is an http.Handler.
type Registry struct {
	path string // of the file; empty: memory only
	mux  *http.ServeMux

	mu    sync.Mutex // held for a whole request: it guards all below, and orders writes of the file
	state state
	texts map[string]int // id by text and references
}

// Open makes a registry that keeps its schemas in a JSON file, which is read where it exists and made where it does not.
// With an empty path it keeps them in memory only. One process at a time may use a file.
func Open(path string) (*Registry, error) {
	r := &Registry{path: path, texts: make(map[string]int)}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("registry: %s: %w; mend the file, or remove it and register the schemas again under new ids", path, err)
	}
	r.mux = r.routes()
	return r, nil
}

// ServeHTTP answers one request.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	r.mux.ServeHTTP(w, req)
}
