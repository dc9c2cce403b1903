package registry_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crossdock/avro/registry"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/sr"
)

// open starts a registry over a file and returns franz-go's client of it.
func open(t *testing.T, path string) (*sr.Client, string) {
	t.Helper()
	r, err := registry.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	client, err := sr.NewClient(sr.URLs(server.URL), sr.LogLevel(sr.LogLevelNone))
	if err != nil {
		t.Fatal(err)
	}
	return client, server.URL
}

// record is a schema of a record R with the given fields, as JSON.
func record(fields ...string) sr.Schema {
	return sr.Schema{Schema: `{"type":"record","name":"R","namespace":"n","fields":[` + strings.Join(fields, ",") + `]}`}
}

const (
	a        = `{"name":"a","type":"string"}`
	b        = `{"name":"b","type":"long"}`
	bDefault = `{"name":"b","type":"long","default":0}`
)

// code is Confluent's error code of an answer.
func code(err error) int {
	var e *sr.ResponseError
	if errors.As(err, &e) {
		return e.ErrorCode
	}
	return 0
}

func TestOneTextHasOneIDUnderEverySubject(t *testing.T) {
	client, _ := open(t, "")
	ctx := t.Context()
	first, err := client.CreateSchema(ctx, "x/y-value", record(a))
	if err != nil {
		t.Fatal(err)
	}
	again, err := client.CreateSchema(ctx, "x/y-value", sr.Schema{Schema: " " + record(a).Schema + "\n"})
	if err != nil || again.ID != first.ID || again.Version != first.Version {
		t.Fatalf("the same schema again: %+v, %v", again, err)
	}
	other, err := client.CreateSchema(ctx, "z-value", record(a))
	if err != nil || other.ID != first.ID || other.Version != 1 {
		t.Fatalf("the same schema under another subject: %+v, %v", other, err)
	}
	second, err := client.CreateSchema(ctx, "x/y-value", record(a, bDefault))
	if err != nil || second.ID == first.ID || second.Version != 2 {
		t.Fatalf("another schema: %+v, %v", second, err)
	}
	if subjects, err := client.Subjects(ctx); err != nil || !cmp.Equal(subjects, []string{"x/y-value", "z-value"}) {
		t.Errorf("subjects: %v, %v", subjects, err)
	}
	if versions, err := client.SubjectVersions(ctx, "x/y-value"); err != nil || !cmp.Equal(versions, []int{1, 2}) {
		t.Errorf("versions: %v, %v", versions, err)
	}
	if s, err := client.SchemaByID(ctx, second.ID); err != nil || s.Schema != record(a, bDefault).Schema {
		t.Errorf("by id: %v, %v", s, err)
	}
	if text, err := client.SchemaTextByID(ctx, first.ID); err != nil || text != record(a).Schema {
		t.Errorf("text by id: %v, %v", text, err)
	}
	if text, err := client.SchemaTextByVersion(ctx, "x/y-value", 1); err != nil || text != record(a).Schema {
		t.Errorf("text by version: %v, %v", text, err)
	}
	if s, err := client.SchemaByVersion(ctx, "x/y-value", -1); err != nil || s.ID != second.ID || s.Version != 2 {
		t.Errorf("latest: %+v, %v", s, err)
	}
	if s, err := client.LookupSchema(ctx, "x/y-value", record(a)); err != nil || s.Version != 1 || s.ID != first.ID {
		t.Errorf("lookup: %+v, %v", s, err)
	}
	if names, err := client.SubjectsByID(ctx, first.ID); err != nil || !cmp.Equal(names, []string{"x/y-value", "z-value"}) {
		t.Errorf("subjects by id: %v, %v", names, err)
	}
	if uses, err := client.SchemaVersionsByID(ctx, second.ID); err != nil || !cmp.Equal(uses, []sr.SubjectVersion{{Subject: "x/y-value", Version: 2}}) {
		t.Errorf("versions by id: %v, %v", uses, err)
	}
	if all, err := client.AllSchemas(ctx); err != nil || len(all) != 3 {
		t.Errorf("all: %v, %v", all, err)
	}
	if latest, err := client.AllSchemas(sr.WithParams(ctx, sr.LatestOnly, sr.SubjectPrefix("x"))); err != nil || len(latest) != 1 || latest[0].Version != 2 {
		t.Errorf("the latest of a prefix: %v, %v", latest, err)
	}
	if types, err := client.SupportedTypes(ctx); err != nil || len(types) != 1 || types[0] != sr.TypeAvro {
		t.Errorf("types: %v, %v", types, err)
	}
}

func TestErrorsHaveConfluentsCodes(t *testing.T) {
	client, url := open(t, "")
	ctx := t.Context()
	if _, err := client.CreateSchema(ctx, "s", record(a)); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int, err error) {
		t.Helper()
		if code(err) != want {
			t.Errorf("%s: %v, want code %d", what, err, want)
		}
	}
	_, err := client.SchemaByID(ctx, 99)
	check("an unknown id", 40403, err)
	_, err = client.SubjectVersions(ctx, "none")
	check("an unknown subject", 40401, err)
	_, err = client.SchemaByVersion(ctx, "s", 7)
	check("an unknown version", 40402, err)
	_, err = client.LookupSchema(ctx, "none", record(a))
	check("looking up in an unknown subject", 40401, err)
	_, err = client.LookupSchema(ctx, "s", record(b))
	check("looking up an unknown schema", 40403, err)
	_, err = client.CreateSchema(ctx, "s", sr.Schema{Schema: `{"type":"notype"}`})
	check("what is no schema", 42201, err)
	_, err = client.CreateSchema(ctx, "s", sr.Schema{Schema: `{`})
	check("what is no JSON", 42201, err)
	_, err = client.CreateSchema(ctx, "s", sr.Schema{})
	check("nothing", 42201, err)
	_, err = client.CreateSchema(ctx, "s", sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf})
	check("another kind of schema", 42201, err)
	_, err = client.CreateSchema(ctx, "s", record(a, b))
	check("an incompatible schema", 409, err)
	if !strings.Contains(err.Error(), "version 1") || !strings.Contains(err.Error(), "R") {
		t.Errorf("the answer does not say what is incompatible: %v", err)
	}
	_, err = client.RegisterSchema(ctx, "s", record(a, bDefault), 50, -1)
	check("an id of the client's own", 42205, err)
	check("deleting", 42205, client.DeleteSchema(ctx, "s", 1, sr.SoftDelete))
	check("a subject's level that is not set", 40408, client.Compatibility(ctx, "s")[0].Err)
	check("a subject's mode that is not set", 40409, client.Mode(ctx, "s")[0].Err)
	check("the mode IMPORT", 42205, client.SetMode(ctx, sr.ModeImport)[0].Err)
	for path, want := range map[string]int{"/subjects/s/versions/0": 42202, "/subjects/s/versions/x": 42202, "/nothing": 404, "/schemas/ids/x": 404} {
		check(path, want, client.Do(ctx, http.MethodGet, path, nil, nil))
	}
	for _, body := range []string{`{"compatibility":"LOOSE"}`, `{}`} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, url+"/config", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != 422 || !strings.Contains(string(text), "42203") {
			t.Errorf("%s: %d %s", body, answer.StatusCode, text)
		}
	}
	_, err = client.CreateSchema(ctx, "s", sr.Schema{Schema: `"` + strings.Repeat("x", 2<<20) + `"`})
	check("a body of 2 MiB", 413, err)
}

func TestEachLevelChecksItsDirectionAndItsVersions(t *testing.T) {
	for _, c := range []struct {
		level sr.CompatibilityLevel
		next  sr.Schema
		ok    bool
	}{
		// The subject has: {a}, then {a, b with a default}.
		{sr.CompatNone, sr.Schema{Schema: `"int"`}, true},
		{sr.CompatBackward, record(a, b), true}, // the latest wrote b
		{sr.CompatBackwardTransitive, record(a, b), false},
		{sr.CompatBackwardTransitive, record(bDefault), true},
		{sr.CompatForward, record(a), true}, // the latest has a default for b
		{sr.CompatForward, record(bDefault), false},
		{sr.CompatForwardTransitive, record(a, b, `{"name":"c","type":"int"}`), true},
		{sr.CompatForwardTransitive, record(b), false},
		{sr.CompatFull, record(a, b), true},
		{sr.CompatFullTransitive, record(a, b), false},
		{sr.CompatFullTransitive, record(a), true},
	} {
		client, _ := open(t, "")
		ctx := t.Context()
		for _, s := range []sr.Schema{record(a), record(a, bDefault)} {
			if _, err := client.CreateSchema(ctx, "s", s); err != nil {
				t.Fatal(err)
			}
		}
		if res := client.SetCompatibility(ctx, sr.SetCompatibility{Level: c.level}, "s")[0]; res.Err != nil {
			t.Fatal(res.Err)
		}
		if got := client.Compatibility(ctx, "s")[0]; got.Err != nil || got.Level != c.level {
			t.Errorf("level %v: %v, %v", c.level, got.Level, got.Err)
		}
		checked, err := client.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), "s", -2, c.next)
		if err != nil || checked.Is != c.ok || checked.Is == (len(checked.Messages) > 0) {
			t.Errorf("%v, checking %s: %+v, %v", c.level, c.next.Schema, checked, err)
		}
		if _, err := client.CreateSchema(ctx, "s", c.next); (err == nil) != c.ok {
			t.Errorf("%v, registering %s: %v", c.level, c.next.Schema, err)
		}
	}
}

func TestSettingsOfASubjectGoBeforeThoseOfAll(t *testing.T) {
	client, _ := open(t, "")
	ctx := t.Context()
	if got := client.Compatibility(ctx)[0]; got.Err != nil || got.Level != sr.CompatBackwardTransitive {
		t.Errorf("the default: %v, %v", got.Level, got.Err)
	}
	if res := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatNone})[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	if got := client.Compatibility(sr.WithParams(ctx, sr.DefaultToGlobal), "s")[0]; got.Err != nil || got.Level != sr.CompatNone {
		t.Errorf("the global level for a subject: %v, %v", got.Level, got.Err)
	}
	if subjects, err := client.Subjects(ctx); err != nil || len(subjects) != 0 {
		t.Errorf("a subject with settings only is none yet: %v, %v", subjects, err)
	}
	if res := client.SetMode(ctx, sr.ModeReadOnly, "s")[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	if _, err := client.CreateSchema(ctx, "s", record(a)); code(err) != 42205 {
		t.Errorf("registering in READONLY: %v", err)
	}
	if got := client.Mode(ctx, "s")[0]; got.Err != nil || got.Mode != sr.ModeReadOnly {
		t.Errorf("mode: %v, %v", got.Mode, got.Err)
	}
	if res := client.ResetMode(ctx, "s")[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	if _, err := client.CreateSchema(ctx, "s", record(a)); err != nil {
		t.Errorf("registering after the mode was reset: %v", err)
	}
}

func TestReferencesAreResolved(t *testing.T) {
	client, _ := open(t, "")
	ctx := t.Context()
	part := sr.Schema{Schema: `{"type":"record","name":"Part","namespace":"n","fields":[{"name":"x","type":"int"}]}`}
	whole := sr.Schema{
		Schema:     `{"type":"record","name":"Whole","namespace":"n","fields":[{"name":"p","type":"n.Part"}]}`,
		References: []sr.SchemaReference{{Name: "n.Part", Subject: "part", Version: 1}},
	}
	if _, err := client.CreateSchema(ctx, "whole", whole); code(err) != 42201 {
		t.Errorf("a reference to nothing: %v", err)
	}
	if _, err := client.CreateSchema(ctx, "part", part); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateSchema(ctx, "whole", whole)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.SchemaByID(ctx, made.ID)
	if err != nil || !cmp.Equal(got.References, whole.References) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestIDsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.json")
	ctx := t.Context()
	client, _ := open(t, path)
	if _, err := client.CreateSchema(ctx, "s", record(a)); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateSchema(ctx, "s", record(a, bDefault))
	if err != nil {
		t.Fatal(err)
	}
	if res := client.SetCompatibility(ctx, sr.SetCompatibility{Level: sr.CompatFull}, "s")[0]; res.Err != nil {
		t.Fatal(res.Err)
	}
	again, _ := open(t, path)
	got, err := again.CreateSchema(ctx, "s", record(a, bDefault))
	if err != nil || got.ID != made.ID || got.Version != 2 {
		t.Errorf("after a restart: %+v, %v; want id %d", got, err, made.ID)
	}
	if level := again.Compatibility(ctx, "s")[0]; level.Level != sr.CompatFull {
		t.Errorf("level after a restart: %v", level.Level)
	}
	if next, err := again.CreateSchema(ctx, "t", record(b)); err != nil || next.ID != made.ID+1 {
		t.Errorf("the next id: %+v, %v", next, err)
	}
}

func TestWhatCannotBeKeptIsNotPromised(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	client, _ := open(t, filepath.Join(dir, "registry.json"))
	ctx := t.Context()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateSchema(ctx, "s", record(a)); code(err) != 50001 {
		t.Fatalf("registering without a folder: %v", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if subjects, err := client.Subjects(ctx); err != nil || len(subjects) != 0 {
		t.Errorf("a refused schema is there: %v, %v", subjects, err)
	}
	if made, err := client.CreateSchema(ctx, "s", record(a)); err != nil || made.ID != 1 {
		t.Errorf("when the folder is back: %+v, %v", made, err)
	}
}

func TestADamagedFileIsRefusedByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.json")
	for _, text := range []string{`{`, `{"schemas":[],"subjects":{"s":{"versions":[1]}}}`, `{"compatibility":"LOOSE"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
