package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"crossdock/internal/config"
)

const exampleFile = "../../crossdock.example.yaml"

func TestExampleNamesEverySettingWithItsDefault(t *testing.T) {
	c, err := config.Load(config.Input{File: exampleFile})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings {
		if s.Origin == "default" {
			t.Errorf("the example does not name %s", s.Name)
		}
	}
	want, err := config.Load(config.Input{Flags: map[string][]string{"sources.acme-3pl.system": {""}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Settings) != len(want.Settings) {
		t.Fatalf("the example makes %d settings, there are %d", len(c.Settings), len(want.Settings))
	}
	for i, s := range c.Settings {
		if d := want.Settings[i]; s.Name != d.Name || s.Value != d.Value {
			t.Errorf("the example sets %s to %q, the default of %s is %q", s.Name, s.Value, d.Name, d.Value)
		}
	}
	if len(c.ClickHouse.Addresses) != 0 || len(want.ClickHouse.Addresses) != 0 {
		t.Errorf("clickhouse.addresses: %q; the default is no sink", c.ClickHouse.Addresses)
	}
	c.ClickHouse.Addresses, want.ClickHouse.Addresses = nil, nil // an empty list is none
	if !reflect.DeepEqual(c.Config, want.Config) {
		t.Errorf("the example is %+v, the defaults are %+v", c.Config, want.Config)
	}
}

func TestExampleSaysOfEverySettingWhatItMeans(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{} // by the key's name within the file, with its comment lines joined
	var path, comment []string
	for line := range strings.Lines(string(text)) {
		content := strings.TrimSpace(line)
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		if about, ok := strings.CutPrefix(content, "#"); ok {
			comment = append(comment, strings.TrimSpace(about))
			continue
		}
		if name, _, ok := strings.Cut(content, ":"); ok {
			path = append(path[:depth], name)
			docs[strings.Join(path, ".")] = strings.Join(comment, " ")
		}
		comment = nil
	}
	for _, k := range config.Keys() {
		name := strings.Replace(k.Name, "*", "acme-3pl", 1)
		if docs[name] != k.Doc {
			t.Errorf("the example says of %s: %q, want %q", name, docs[name], k.Doc)
		}
	}
}
