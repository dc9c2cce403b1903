package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/avro"
)

// state is all that a registry keeps, in the form in which it lies on disk.
type state struct {
	Schemas  []stored            `json:"schemas"`  // the id is the index plus 1
	Subjects map[string]*subject `json:"subjects"` // by name
	Level    level               `json:"compatibility"`
	Mode     mode                `json:"mode"`
}

// stored is one schema.
type stored struct {
	Text       string      `json:"schema"` // compact JSON
	References []reference `json:"references,omitempty"`
}

// reference names another schema whose types one uses.
type reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// subject is a history of schemas. A subject that has settings but no version does not exist for most requests.
type subject struct {
	Versions []int `json:"versions"` // ids; the version is the index plus 1
	Level    level `json:"compatibility,omitempty"`
	Mode     mode  `json:"mode,omitempty"`
}

// key is what makes two schemas the same.
func (s stored) key() string {
	var b strings.Builder
	b.WriteString(s.Text)
	for _, ref := range s.References {
		fmt.Fprintf(&b, "\x00%s\x00%s\x00%d", ref.Name, ref.Subject, ref.Version)
	}
	return b.String()
}

func (r *Registry) load() error {
	r.state = state{Subjects: make(map[string]*subject), Level: backwardTransitive, Mode: readWrite}
	if r.path == "" {
		return nil
	}
	text, err := os.ReadFile(r.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &r.state); err != nil {
		return err
	}
	for i, s := range r.state.Schemas {
		r.texts[s.key()] = i + 1
	}
	for name, sub := range r.state.Subjects {
		for i, id := range sub.Versions {
			if id < 1 || id > len(r.state.Schemas) {
				return fmt.Errorf("subject %s version %d has the schema id %d, and there are only %d schemas", name, i+1, id, len(r.state.Schemas))
			}
			if _, err := r.compile(r.state.Schemas[id-1]); err != nil {
				return fmt.Errorf("subject %s version %d: %w", name, i+1, err)
			}
		}
	}
	return nil
}

// save replaces the file by one that was written whole and is on disk. mu is held.
func (r *Registry) save() error {
	if r.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(&r.state, "", " ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(r.path), filepath.Base(r.path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), r.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// change does what a request asks and saves it; where it cannot be saved it is as if it had not been asked. mu is held.
func (r *Registry) change(do func(*state)) error {
	before, err := json.Marshal(&r.state)
	if err != nil {
		return err
	}
	do(&r.state)
	if err := r.save(); err != nil {
		r.state = state{}
		return errors.Join(apiError{http500, codeStore, "the registry's file cannot be written: " + err.Error()}, json.Unmarshal(before, &r.state))
	}
	return nil
}

// compile parses a schema after those that it refers to, each of them once. mu is held.
func (r *Registry) compile(s stored) (*avro.Schema, error) {
	var cache avro.SchemaCache
	seen := make(map[int]bool)
	var parse func(stored) (*avro.Schema, error)
	parse = func(s stored) (*avro.Schema, error) {
		for _, ref := range s.References {
			sub := r.state.Subjects[ref.Subject]
			if sub == nil || ref.Version < 1 || ref.Version > len(sub.Versions) {
				return nil, fmt.Errorf("it refers to subject %s version %d, which does not exist", ref.Subject, ref.Version)
			}
			id := sub.Versions[ref.Version-1]
			if seen[id] {
				continue
			}
			seen[id] = true
			if _, err := parse(r.state.Schemas[id-1]); err != nil {
				return nil, err
			}
		}
		return cache.Parse(s.Text)
	}
	return parse(s)
}
