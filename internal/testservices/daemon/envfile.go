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

// socketVar names the daemon's socket in the file.
const socketVar = "CROSSDOCK_SERVICES_SOCKET"

// WriteEnvFile records what runs, and the socket of the daemon that runs it.
func WriteEnvFile(root, socket string, s State) error {
	vars := Variables(s.Services)
	vars[socketVar] = socket
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

// Recorded is the daemon of the file, which sources as they were then may have made; ok is false where there is no file.
func Recorded(root string) (c Client, ok bool) {
	b, err := os.ReadFile(filepath.Join(root, EnvFile))
	if err != nil {
		return Client{}, false
	}
	for l := range strings.Lines(string(b)) {
		if socket, found := strings.CutPrefix(strings.TrimSpace(l), socketVar+"="); found {
			return Client{Socket: socket}, true
		}
	}
	return Client{}, false
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
