package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// EnvFile is where "servicesd up" leaves addresses and process ids, below the module's root: lines of NAME=value that a
// shell can read.
const EnvFile = ".services/env"

// Variables that name a service; set in the environment, they win over everything.
const (
	KafkaEnv          = "CROSSDOCK_TEST_KAFKA"           // host:port
	ClickHouseHTTPEnv = "CROSSDOCK_TEST_CLICKHOUSE_HTTP" // host:port
	ClickHouseTCPEnv  = "CROSSDOCK_TEST_CLICKHOUSE_TCP"  // host:port
	RegistryEnv       = "CROSSDOCK_TEST_REGISTRY"        // URL
)

// Variables are the names by which services are found, with their addresses, and those of their processes.
func Variables(services []Service) map[string]string {
	vars := map[string]string{}
	for _, s := range services {
		vars["CROSSDOCK_SERVICES_"+strings.ToUpper(s.Name)+"_PID"] = fmt.Sprint(s.Pid)
		switch s.Name {
		case Kafka:
			vars[KafkaEnv] = s.Addresses["kafka"]
		case ClickHouse:
			vars[ClickHouseHTTPEnv], vars[ClickHouseTCPEnv] = s.Addresses["http"], s.Addresses["tcp"]
		case Registry:
			vars[RegistryEnv] = s.Addresses["url"]
		}
	}
	return vars
}

// WriteEnvFile records what runs.
func WriteEnvFile(root string, s State) error {
	vars := Variables(s.Services)
	vars["CROSSDOCK_SERVICES_PID"] = fmt.Sprint(s.Pid)
	vars["CROSSDOCK_SERVICES_DIR"] = s.Dir
	var b bytes.Buffer
	b.WriteString("# Written by servicesd up, removed by servicesd down. Tests find these services by themselves.\n")
	for _, name := range sortedKeys(vars) {
		fmt.Fprintf(&b, "%s=%s\n", name, vars[name])
	}
	path := filepath.Join(root, EnvFile)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// RemoveEnvFile forgets what ran.
func RemoveEnvFile(root string) error {
	if err := os.Remove(filepath.Join(root, EnvFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
