package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// schemaType is the one kind of schema that is kept.
const schemaType = "AVRO"

// A subjectSchema is how the API tells a version of a subject.
type subjectSchema struct {
	Subject    string      `json:"subject"`
	Version    int         `json:"version"`
	ID         int         `json:"id"`
	References []reference `json:"references,omitempty"`
	Text       string      `json:"schema"`
}

// A subjectVersion names a version of a subject.
type subjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// A proposal is how the API is told a schema.
type proposal struct {
	Text       string      `json:"schema"`
	Type       string      `json:"schemaType"`
	References []reference `json:"references"`
	ID         int         `json:"id"`
	Version    int         `json:"version"`
}

// readProposal reads and compiles the schema in the body.
func (r *Registry) readProposal(req *http.Request) (stored, *avro.Schema, proposal, error) {
	var p proposal
	fail := func(err error) (stored, *avro.Schema, proposal, error) { return stored{}, nil, proposal{}, err }
	if err := read(req, &p); err != nil {
		return fail(err)
	}
	if p.Type != "" && p.Type != schemaType {
		return fail(invalidSchema(fmt.Errorf("schemaType %s: this registry keeps %s only", p.Type, schemaType)))
	}
	if strings.TrimSpace(p.Text) == "" {
		return fail(invalidSchema(errors.New("Empty schema")))
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(p.Text)); err != nil {
		return fail(invalidSchema(err))
	}
	s := stored{Text: compact.String(), References: p.References}
	compiled, err := r.compile(s)
	if err != nil {
		return fail(invalidSchema(err))
	}
	return s, compiled, p, nil
}

func (r *Registry) describe(name string, version int) subjectSchema {
	id := r.state.Subjects[name].Versions[version-1]
	s := r.state.Schemas[id-1]
	return subjectSchema{Subject: name, Version: version, ID: id, References: s.References, Text: s.Text}
}

// register adds a version to a subject. Confluent: POST /subjects/(subject)/versions.
func (r *Registry) register(req *http.Request) (any, error) {
	name := req.PathValue("subject")
	s, compiled, p, err := r.readProposal(req)
	if err != nil {
		return nil, err
	}
	type answer struct {
		ID int `json:"id"`
	}
	id := r.texts[s.key()]
	sub := r.state.Subjects[name]
	if sub != nil && id != 0 && slices.Contains(sub.Versions, id) {
		return answer{id}, nil
	}
	if p.ID > 0 || p.Version > 0 {
		return nil, notPermitted(fmt.Sprintf("Subject %s is not in import mode", name))
	}
	if err := r.writable(name); err != nil {
		return nil, err
	}
	if sub != nil {
		why, err := r.incompatible(compiled, r.levelOf(name), name, upTo(len(sub.Versions)))
		if err != nil {
			return nil, err
		}
		if len(why) > 0 {
			return nil, apiError{http.StatusConflict, codeIncompatible,
				fmt.Sprintf("Schema being registered is incompatible with an earlier schema for subject \"%s\", details: [%s]", name, strings.Join(why, ", "))}
		}
	}
	if id == 0 && len(r.state.Schemas) >= maxSchemas {
		return nil, notPermitted(fmt.Sprintf("This registry keeps at most %d schemas", maxSchemas))
	}
	isNew := id == 0
	if isNew {
		id = len(r.state.Schemas) + 1
	}
	err = r.change(func(st *state) {
		if isNew {
			st.Schemas = append(st.Schemas, s)
		}
		sub := st.subject(name)
		sub.Versions = append(sub.Versions, id)
	})
	if err != nil {
		return nil, err
	}
	r.texts[s.key()] = id
	return answer{id}, nil
}

// upTo is the versions 1 to n.
func upTo(n int) []int {
	versions := make([]int, n)
	for i := range versions {
		versions[i] = i + 1
	}
	return versions
}

// subject returns the entry of a name, made where there is none.
func (st *state) subject(name string) *subject {
	if st.Subjects[name] == nil {
		st.Subjects[name] = new(subject)
	}
	return st.Subjects[name]
}

// lookup tells whether a subject has a schema. Confluent: POST /subjects/(subject).
func (r *Registry) lookup(req *http.Request) (any, error) {
	name, sub, err := r.subjectOf(req)
	if err != nil {
		return nil, err
	}
	s, _, _, err := r.readProposal(req)
	if err != nil {
		return nil, err
	}
	version := slices.Index(sub.Versions, r.texts[s.key()]) + 1
	if version == 0 {
		return nil, apiError{http.StatusNotFound, codeSchemaNotFound, "Schema not found"}
	}
	return r.describe(name, version), nil
}

func (r *Registry) subjects(req *http.Request) (any, error) {
	return r.names(req.URL.Query().Get("subjectPrefix")), nil
}

// names returns the subjects that have a version, sorted.
func (r *Registry) names(prefix string) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(r.state.Subjects)) {
		if strings.HasPrefix(name, prefix) && len(r.state.Subjects[name].Versions) > 0 {
			names = append(names, name)
		}
	}
	return names
}

func (r *Registry) allSchemas(req *http.Request) (any, error) {
	all := []subjectSchema{}
	for _, name := range r.names(req.URL.Query().Get("subjectPrefix")) {
		for version := range len(r.state.Subjects[name].Versions) {
			if latest := len(r.state.Subjects[name].Versions); flag(req, "latestOnly") && version+1 != latest {
				continue
			}
			all = append(all, r.describe(name, version+1))
		}
	}
	return all, nil
}

func (r *Registry) versions(req *http.Request) (any, error) {
	_, sub, err := r.subjectOf(req)
	if err != nil {
		return nil, err
	}
	return upTo(len(sub.Versions)), nil
}

func (r *Registry) schemaByVersion(req *http.Request) (any, error) {
	name, sub, err := r.subjectOf(req)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(req.PathValue("version"), sub)
	if err != nil {
		return nil, err
	}
	return r.describe(name, version), nil
}

func (r *Registry) schemaTextByVersion(req *http.Request) (any, error) {
	answer, err := r.schemaByVersion(req)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(answer.(subjectSchema).Text), nil
}

// referencedBy returns the ids of the schemas that refer to a version.
func (r *Registry) referencedBy(req *http.Request) (any, error) {
	name, sub, err := r.subjectOf(req)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(req.PathValue("v"), sub)
	if err != nil {
		return nil, err
	}
	ids := []int{}
	for i, s := range r.state.Schemas {
		if slices.ContainsFunc(s.References, func(ref reference) bool { return ref.Subject == name && ref.Version == version }) {
			ids = append(ids, i+1)
		}
	}
	return ids, nil
}

func (r *Registry) schemaByID(req *http.Request) (any, error) {
	id, err := r.idOf(req)
	if err != nil {
		return nil, err
	}
	return r.state.Schemas[id-1], nil
}

func (r *Registry) schemaTextByID(req *http.Request) (any, error) {
	id, err := r.idOf(req)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(r.state.Schemas[id-1].Text), nil
}

func (r *Registry) subjectsByID(req *http.Request) (any, error) {
	uses, err := r.uses(req)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, use := range uses {
		names = append(names, use.Subject)
	}
	return names, nil
}

func (r *Registry) versionsByID(req *http.Request) (any, error) { return r.uses(req) }

// uses are the versions that have the id of the path.
func (r *Registry) uses(req *http.Request) ([]subjectVersion, error) {
	id, err := r.idOf(req)
	if err != nil {
		return nil, err
	}
	uses := []subjectVersion{}
	for _, name := range r.names("") {
		if i := slices.Index(r.state.Subjects[name].Versions, id); i >= 0 {
			uses = append(uses, subjectVersion{name, i + 1})
		}
	}
	return uses, nil
}
