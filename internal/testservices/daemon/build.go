package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/embedded/clickhouse"
)

// program is the package of the daemon's program, and sources are the folders of the module that it is built from.
const program = "./internal/testservices/servicesd"

func sources() []string {
	return []string{
		"internal/embedded/artifact", "internal/embedded/clickhouse", "internal/embedded/process",
		"internal/testservices/apicurio", "internal/testservices/daemon", "internal/testservices/jvm",
		"internal/testservices/kafka", "internal/testservices/servicesd",
	}
}

// ModuleRoot finds the module that holds dir.
func ModuleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s lies in no Go module", dir)
		}
	}
}

// Locate builds the daemon's program from the module at root, once for each state of its sources, and says where its
// daemon is found. Test binaries of the same sources meet at one daemon, others at another.
func Locate(ctx context.Context, root string) (Client, error) {
	key, err := sourceKey(root)
	if err != nil {
		return Client{}, err
	}
	cache, err := artifact.Root()
	if err != nil {
		return Client{}, err
	}
	socket, err := SocketFor(key)
	if err != nil {
		return Client{}, err
	}
	dir := filepath.Join(cache, "servicesd", key)
	c := Client{Program: filepath.Join(dir, "servicesd"), Args: []string{"serve"}, Socket: socket}
	return c, artifact.Once(ctx, dir, func(ctx context.Context, staging string) error {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(staging, "servicesd"), program)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, out)
		}
		return nil
	})
}

// sourceKey digests what the program is made of and what it finds on this machine: the daemon has the environment of the
// process that started it, and one without Maven must not answer for a process that has it.
func sourceKey(root string) (string, error) {
	h := sha256.New()
	cache, err := artifact.Root()
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%s\n%s\n%s\n", cache, os.Getenv("JAVA_HOME"), os.Getenv(clickhouse.LibraryEnv))
	for _, tool := range []string{"java", "mvn", "npm"} {
		path, err := exec.LookPath(tool)
		fmt.Fprintf(h, "%s %s %t\n", tool, path, err == nil)
	}
	add := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d %s\n", len(b), filepath.Base(path))
		h.Write(b)
		return nil
	}
	if err := add(filepath.Join(root, "go.mod")); err != nil {
		return "", err
	}
	for _, folder := range sources() {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return add(path)
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}
