package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crossdock/internal/config"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crossdock.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(pairs ...string) func() []string { return func() []string { return pairs } }

func TestFlagsPassTheEnvironmentPassesTheFilePassesDefaults(t *testing.T) {
	file := write(t, "kafka:\n  partitions: 16\n  prefix: acme.\n  replication_factor: 3\nruntime:\n  commit_interval: 25ms\n")
	c, err := config.Load(config.Input{
		File:  file,
		Env:   env("CROSSDOCK_KAFKA_PREFIX=env.", "CROSSDOCK_KAFKA_BROKERS=a:1,b:2", "CROSSDOCK_REQUIRE_SERVICES=1", "OTHER=1"),
		Flags: map[string][]string{"kafka.partitions": {"32"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Kafka.Partitions != 32 || c.Kafka.Prefix != "env." || c.Kafka.ReplicationFactor != 3 || c.Runtime.CommitInterval != 25*time.Millisecond ||
		strings.Join(c.Kafka.Brokers, " ") != "a:1 b:2" || c.App != "crossdock" {
		t.Fatalf("%+v", c.Config)
	}
	origins := map[string]string{}
	for _, s := range c.Settings {
		origins[s.Name] = s.Origin
	}
	for name, want := range map[string]string{
		"kafka.partitions": "flag", "kafka.prefix": "env CROSSDOCK_KAFKA_PREFIX", "kafka.replication_factor": "file " + file, "app": "default",
	} {
		if origins[name] != want {
			t.Errorf("%s comes from %q, want %q", name, origins[name], want)
		}
	}
}

func TestAllProblemsAreReportedAtOnceWithTheNearestKey(t *testing.T) {
	file := write(t, "kafka:\n  partitons: 16\n  brokers: [nonsense]\nsources:\n  acme:\n    time_zon: UTC\n    api_key: plain\nlog:\n  level: loud\nruntime:\n  commit_interval: 25\nparking:\n  limit: 5ms\n")
	_, err := config.Load(config.Input{File: file, Env: env("CROSSDOCK_KAFKA_PARTITION=3")})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"kafka.partitons", "did you mean kafka.partitions?", `"nonsense" is no host:port`, "did you mean sources.*.time_zone?",
		"sources.acme.api_key: a secret is given as file:PATH or env:NAME", `log.level: "loud"`, "has no unit; write 5ms", "env CROSSDOCK_KAFKA_PARTITION",
		"parking.limit: 5ms is neither 0 nor at least 1s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
}

func TestSecretsAreReadFromTheirReferenceAndNeverPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Input{Env: env("CROSSDOCK_SOURCES_ACME_3PL_BEARER=file:" + path)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Sources["acme-3pl"].Bearer.Resolve()
	if err != nil || got != "s3cret" {
		t.Fatalf("%q %v", got, err)
	}
	for _, s := range c.Settings {
		if strings.Contains(s.Value, "s3cret") {
			t.Fatalf("%s prints the secret", s.Name)
		}
	}
	t.Setenv("CROSSDOCK_TEST_SECRET_VALUE", "x")
	if v, err := config.Secret("env:CROSSDOCK_TEST_SECRET_VALUE").Resolve(); v != "x" || err != nil {
		t.Fatalf("%q %v", v, err)
	}
	if _, err := config.Secret("env:CROSSDOCK_TEST_NOT_THERE").Resolve(); err == nil {
		t.Fatal("an absent variable is an error")
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	for _, k := range config.Keys() {
		if k.Doc == "" {
			t.Errorf("%s has no doc", k.Name)
		}
	}
}

func TestSourceThatSetsNothingIsThereWithEveryDefault(t *testing.T) {
	for _, text := range []string{"sources:\n  acme: {}\n", "sources:\n  acme:\n", "sources:\n  acme:\n  other:\n    system: erp\n"} {
		c, err := config.Load(config.Input{File: write(t, text)})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if s, ok := c.Sources["acme"]; !ok || s.TimeZone != "UTC" || s.ShipFrom != "AVAILABLE" {
			t.Errorf("%q: acme is %+v, there: %v", text, s, ok)
		}
	}
}

func TestSectionWhoseSettingsAreCommentedOutChangesNothing(t *testing.T) {
	c, err := config.Load(config.Input{File: write(t, "kafka:\n  # partitions: 16\n  tls:\nsources:\nlog:\n")})
	if err != nil || c.Kafka.Partitions != config.Default().Kafka.Partitions || len(c.Sources) != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := config.Load(config.Input{File: write(t, "kafak:\n")}); err == nil {
		t.Error("a section that does not exist was passed over")
	}
}

func TestNameThatIsLikeNoOtherGetsNoSuggestion(t *testing.T) {
	_, err := config.Load(config.Input{Env: env("CROSSDOCK_FOO=1")})
	if err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("%v", err)
	}
}

func TestFileIsYAMLWhateverItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings")
	if _, err := config.Load(config.Input{File: path}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(path, []byte("app: shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(config.Input{File: path}); err != nil || c.App != "shop" {
		t.Errorf("%+v, %v", c, err)
	}
}
