// Package deploy holds the files of this folder, docker-compose.yml and Dockerfile to the code: keys that exist, metrics that
// exist, statements that run.
package deploy_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"crossdock/internal/config"
	"crossdock/internal/testservices"
)

// load reads a compose file as "docker compose" does; unknown keys are errors of its schema.
func load(t *testing.T, file string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(filepath.Dir(file)), cli.WithName("crossdock"))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, filepath.Join("..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeFileIsWhole(t *testing.T) {
	p := project(t)
	for _, name := range []string{"kafka", "registry", "clickhouse", "topology", "tables", "crossdock", "sink", "prometheus", "grafana"} {
		if _, ok := p.Services[name]; !ok {
			t.Errorf("no service %s", name)
		}
	}
	for name, s := range p.Services {
		if s.Image == "" || strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %q names no version", name, s.Image)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the network", name, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for on, d := range s.DependsOn {
			if d.Condition == types.ServiceConditionHealthy && p.Services[on].HealthCheck == nil {
				t.Errorf("%s waits for the health of %s, which has no check", name, on)
			}
		}
	}
}

func TestAnUnknownKeyInTheComposeFileIsAnError(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(b), "    healthcheck:", "    healthchek:", 1)
	file := filepath.Join(t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(file, []byte(wrong), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, file); err == nil || !strings.Contains(err.Error(), "healthchek") {
		t.Errorf("got %v", err)
	}
}

func TestTheOperationalPathDoesNotWaitForClickHouse(t *testing.T) {
	p := project(t)
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for on := range p.Services[name].DependsOn {
			visit(on)
		}
	}
	visit("crossdock")
	if seen["clickhouse"] {
		t.Error("crossdock depends on clickhouse")
	}
}

func TestConfigurationOfTheComposeFileIsValid(t *testing.T) {
	for name, s := range project(t).Services {
		if s.Image != "crossdock:local" {
			continue
		}
		var env []string
		for k, v := range s.Environment {
			if v != nil {
				env = append(env, k+"="+*v)
			}
		}
		flags := map[string][]string{}
		for i, arg := range s.Command {
			if arg == "--set" {
				key, value, _ := strings.Cut(s.Command[i+1], "=")
				flags[key] = append(flags[key], value)
			}
		}
		c, err := config.Load(config.Input{File: "crossdock.yaml", Env: func() []string { return env }, Flags: flags})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, secret := range []config.Secret{c.Config.ClickHouse.Password, c.Config.Sources["acme-3pl"].APIKey} {
			ref, ok := strings.CutPrefix(string(secret), "env:")
			if _, set := s.Environment[ref]; !ok || !set {
				t.Errorf("%s: the environment has no %s", name, secret)
			}
		}
		for _, address := range slices.Concat(c.Config.Kafka.Brokers, c.Config.ClickHouse.Addresses, []string{strings.TrimPrefix(c.Config.Registry.URL, "http://")}) {
			host, _, _ := strings.Cut(address, ":")
			if _, ok := project(t).Services[host]; !ok {
				t.Errorf("%s: no service is called %s", name, host)
			}
		}
	}
}

// rules are Prometheus's alerts.
func rules(t *testing.T) map[string]string {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	b, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(strings.NewReader(string(b)))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", r.Alert)
			}
			if want := "deploy/prometheus/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
				t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

func TestEveryAlertHasASectionInTheRunbookAndNothingElseHas(t *testing.T) {
	b, err := os.ReadFile("prometheus/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	all := rules(t)
	sections := regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(b), -1)
	for _, s := range sections {
		if _, ok := all[s[1]]; !ok {
			t.Errorf("no alert is called %s", s[1])
		}
		delete(all, s[1])
	}
	for name := range all {
		t.Errorf("%s has no section", name)
	}
}

var metricName = regexp.MustCompile(`\bcrossdock_[a-z0-9_]+`)

func TestAlertsAndPanelsNameMetricsThatTheCodeHas(t *testing.T) {
	have := metrics(t)
	for name, expr := range rules(t) {
		checkNames(t, "alert "+name, expr, have)
	}
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			checkNames(t, "panel "+p.Title, target.Expr, have)
		}
	}
	checkNames(t, "the check itself", "crossdock_task_lag_seconds", have)
	if have["crossdock_no_such_thing"] {
		t.Error("every name is taken for a metric")
	}
}

func checkNames(t *testing.T, where, expr string, have map[string]bool) {
	t.Helper()
	for _, name := range metricName.FindAllString(expr, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if cut, ok := strings.CutSuffix(name, suffix); ok && have[cut] {
				base = cut
			}
		}
		if !have[base] {
			t.Errorf("%s: the code has no metric %s", where, name)
		}
	}
}

// grafana is what the tests read of a dashboard.
type grafana struct {
	UID    string
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Desc       string `json:"description"`
		Datasource struct{ UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct {
			RefID, Expr, RawSQL string
			Datasource          struct{ UID string }
		}
	}
}

func dashboard(t *testing.T) (d grafana) {
	t.Helper()
	b, err := os.ReadFile("grafana/dashboards/crossdock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPanelsHaveTheirOwnPlaceIDAndAKnownSource(t *testing.T) {
	b, err := os.ReadFile("grafana/provisioning/datasources/datasources.yml")
	if err != nil {
		t.Fatal(err)
	}
	var sources struct {
		Datasources []struct{ UID string }
	}
	if err := yaml.Unmarshal(b, &sources); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, p := range dashboard(t).Panels {
		if other := ids[p.ID]; other != "" {
			t.Errorf("%s and %s have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %s or outside", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Desc == "" || len(p.Targets) == 0 {
			t.Errorf("%s has no description or asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			if !slices.ContainsFunc(sources.Datasources, func(s struct{ UID string }) bool { return s.UID == target.Datasource.UID }) {
				t.Errorf("%s: data source %q is not provisioned", p.Title, target.Datasource.UID)
			}
		}
	}
}

func TestStatementsOfPanelsRunOnTheTablesOfTheSink(t *testing.T) {
	ch := testservices.ClickHouse(t)
	db := ch.Database(t)
	in := ch.In(db)
	err := fs.WalkDir(os.DirFS(filepath.Join("..", "sink", "migrations")), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".sql") {
			return err
		}
		b, err := os.ReadFile(filepath.Join("..", "sink", "migrations", path))
		if err != nil {
			return err
		}
		for statement := range strings.SplitSeq(string(b), ";\n") {
			if strings.TrimSpace(statement) != "" {
				in.Query(t, statement)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			if target.RawSQL != "" {
				n++
				in.Query(t, target.RawSQL)
			}
		}
	}
	if n == 0 {
		t.Error("no panel asks ClickHouse")
	}
}
