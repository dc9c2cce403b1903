package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// EnvPrefix begins the name of every environment variable: kafka.brokers is CROSSDOCK_KAFKA_BROKERS.
const EnvPrefix = "CROSSDOCK_"

// Input is where settings come from.
type Input struct {
	File  string              // path of crossdock.yaml; empty: none
	Env   func() []string     // os.Environ
	Flags map[string][]string // dotted names set on the command line (--set kafka.partitions=16)
}

// A Setting is one value with the place it came from.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // default, file PATH, env NAME, flag
	Doc    string `json:"doc"`
}

// A Loaded is a configuration, and where each of its values came from.
type Loaded struct {
	Config
	Settings []Setting
}

// Load reads, checks and explains a configuration. Its error joins every problem that it found.
func Load(in Input) (*Loaded, error) {
	keys := Keys()
	var problems []error
	values := map[string]any{} // concrete dotted name to raw value
	origin := map[string]string{}
	var bare []string

	if in.File != "" {
		v := viper.New()
		v.SetConfigFile(in.File)
		v.SetConfigType("yaml") // whatever the file is called
		if err := v.ReadInConfig(); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", in.File, err)
		}
		bare = withoutSettings(v)
		for _, name := range v.AllKeys() {
			if _, ok := known(keys, name); !ok {
				if v.Get(name) == nil && section(keys, name) {
					continue // all of its settings are commented out
				}
				problems = append(problems, unknown(keys, name, "file "+in.File))
				continue
			}
			values[name], origin[name] = v.Get(name), "file "+in.File
		}
	}
	if in.Env != nil {
		problems = append(problems, fromEnv(keys, in.Env(), values, origin)...)
	}
	for name, list := range in.Flags {
		k, ok := known(keys, strings.ToLower(name))
		switch {
		case !ok:
			problems = append(problems, unknown(keys, name, "flag"))
		case k.kind.Kind() == reflect.Slice:
			values[strings.ToLower(name)], origin[strings.ToLower(name)] = list, "flag"
		default:
			values[strings.ToLower(name)], origin[strings.ToLower(name)] = list[len(list)-1], "flag"
		}
	}
	c := Default()
	for _, name := range bare {
		c.Sources[name] = Source{}
	}
	for name, raw := range values {
		if err := assign(&c, name, raw); err != nil {
			problems = append(problems, fmt.Errorf("%s (%s): %w", name, origin[name], err))
		}
	}
	for name, source := range c.Sources {
		if source.TimeZone == "" {
			source.TimeZone = "UTC"
		}
		if source.ShipFrom == "" {
			source.ShipFrom = "AVAILABLE"
		}
		c.Sources[name] = source
	}
	if c.Instance == "" {
		host, err := os.Hostname()
		if err != nil {
			problems = append(problems, fmt.Errorf("instance: not set, and the host has no name: %w", err))
		}
		c.Instance = host
	}
	problems = append(problems, c.validate()...)
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &Loaded{Config: c, Settings: explain(keys, &c, origin)}, nil
}

// withoutSettings names the sources that leave every setting at its default: viper has no key for them.
func withoutSettings(v *viper.Viper) []string {
	var names []string
	for name, settings := range v.GetStringMap("sources") {
		if m, ok := settings.(map[string]any); settings == nil || ok && len(m) == 0 {
			names = append(names, name)
		}
	}
	return names
}

// fromEnv takes what begins with the prefix. Names that belong to tests and tools, not to a setting, are those that end
// up as no known key: they are problems unless listed here.
func fromEnv(keys []Key, environ []string, values map[string]any, origin map[string]string) []error {
	var problems []error
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		rest, ok := strings.CutPrefix(name, EnvPrefix)
		if !ok || notASetting(rest) {
			continue
		}
		found := false
		for _, k := range keys {
			if concrete, ok := envMatch(k.Name, strings.ToLower(rest)); ok {
				values[concrete], origin[concrete], found = value, "env "+name, true
				if k.kind.Kind() == reflect.Slice {
					values[concrete] = strings.Split(value, ",")
				}
				break
			}
		}
		if !found {
			problems = append(problems, unknown(keys, strings.ToLower(strings.ReplaceAll(rest, "_", ".")), "env "+name))
		}
	}
	return problems
}

// notASetting names the variables that steer tests and caches.
func notASetting(rest string) bool {
	switch rest {
	case "REQUIRE_SERVICES", "CACHE", "TEST_KAFKA", "TEST_CLICKHOUSE", "CONFIG":
		return true
	}
	return strings.HasPrefix(rest, "SERVICES_") || strings.HasPrefix(rest, "TEST_")
}

// envMatch compares an upper-snake name with a dotted one; for a source, what stands for "*" is whatever is between.
func envMatch(pattern, env string) (string, bool) {
	flat := strings.ReplaceAll(pattern, ".", "_")
	before, after, wild := strings.Cut(flat, "*")
	if !wild {
		return pattern, flat == env
	}
	if len(env) <= len(before)+len(after) || !strings.HasPrefix(env, before) || !strings.HasSuffix(env, after) {
		return "", false
	}
	source := strings.ReplaceAll(env[len(before):len(env)-len(after)], "_", "-")
	return strings.Replace(pattern, "*", source, 1), true
}

func unknown(keys []Key, name, where string) error {
	if n := nearest(keys, name); n != "" {
		return fmt.Errorf("%s (%s): no such setting; did you mean %s?", name, where, n)
	}
	return fmt.Errorf("%s (%s): no such setting; see crossdock config print", name, where)
}

// assign decodes one value into its field.
func assign(c *Config, name string, raw any) error {
	nested := map[string]any{}
	at := nested
	parts := strings.Split(name, ".")
	for _, p := range parts[:len(parts)-1] {
		next := map[string]any{}
		at[p] = next
		at = next
	}
	at[parts[len(parts)-1]] = raw
	target := any(c)
	if parts[0] == "sources" { // a map's elements cannot be set in place
		source := c.Sources[parts[1]]
		if err := decode(&source, map[string]any{parts[2]: raw}); err != nil {
			return err
		}
		c.Sources[parts[1]] = source
		return nil
	}
	return decode(target, nested)
}

func decode(target, from any) error {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: target, WeaklyTypedInput: true, ErrorUnused: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(bareTextIsNoDuration, mapstructure.StringToTimeDurationHookFunc(), bareNumberIsNoDuration),
	})
	if err != nil {
		return err
	}
	err = d.Decode(from)
	if of := (*mapstructure.DecodeError)(nil); errors.As(err, &of) {
		return of.Unwrap() // the caller names the setting
	}
	return err
}

// bareTextIsNoDuration refuses --set interval=5: five what?
func bareTextIsNoDuration(_, to reflect.Type, v any) (any, error) {
	if text, ok := v.(string); ok && isDuration(to) {
		if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
			return nil, fmt.Errorf("%s has no unit; write 5ms, 2s, 1m", text)
		}
	}
	return v, nil
}

// bareNumberIsNoDuration refuses "interval: 5": five what?
func bareNumberIsNoDuration(from, to reflect.Type, v any) (any, error) {
	if isDuration(to) && from.Kind() != reflect.Int64 {
		return nil, fmt.Errorf("%v has no unit; write 5ms, 2s, 1m", v)
	}
	if isDuration(to) {
		if d, ok := v.(time.Duration); ok {
			return d, nil
		}
		return nil, fmt.Errorf("%v has no unit; write 5ms, 2s, 1m", v)
	}
	return v, nil
}

func explain(keys []Key, c *Config, origin map[string]string) []Setting {
	var out []Setting
	add := func(name string, k Key, v reflect.Value) {
		from := origin[name]
		if from == "" {
			from = "default"
		}
		text := fmt.Sprint(v.Interface())
		if v.Kind() == reflect.Slice {
			text = strings.Trim(text, "[]")
		}
		out = append(out, Setting{Name: name, Value: text, Origin: from, Doc: k.Doc})
	}
	var sources []string
	for s := range c.Sources {
		sources = append(sources, s)
	}
	sort.Strings(sources)
	for _, k := range keys {
		parts := strings.Split(k.Name, ".")
		if parts[0] != "sources" {
			add(k.Name, k, field(reflect.ValueOf(*c), parts))
			continue
		}
		for _, s := range sources {
			add(strings.Replace(k.Name, "*", s, 1), k, field(reflect.ValueOf(c.Sources[s]), parts[2:]))
		}
	}
	return out
}

func field(v reflect.Value, path []string) reflect.Value {
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("mapstructure") == path[0] {
			if len(path) == 1 {
				return v.Field(i)
			}
			return field(v.Field(i), path[1:])
		}
	}
	return v
}
