package clickhouse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"crossdock/internal/embedded/artifact"
)

// Environment of the engine.
const (
	LibraryEnv  = "CHDB_LIB"                        // file of libchdb; set, nothing is installed
	PasswordEnv = "CHDB_PASSWORD"                   // of the host's user: not a flag, which everybody can read
	service     = "the ClickHouse engine (libchdb)" // in errors
)

// platform is one that libchdb is published for.
type platform struct {
	os, arch string
	pkg      string // npm's name
	sha256   string // of the library in Version; "": not known, npm's own check of the archive stands alone
}

func platforms() []platform {
	return []platform{
		{"linux", "amd64", "@chdb/lib-linux-x64-gnu", "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"},
		{"linux", "arm64", "@chdb/lib-linux-arm64-gnu", ""},
		{"darwin", "arm64", "@chdb/lib-darwin-arm64", ""},
		{"darwin", "amd64", "@chdb/lib-darwin-x64", ""},
	}
}

// Install returns the engine's library, fetching it with npm into the cache the first time (178 MB to download, 566 MB on
// disk); progress is told before. $CHDB_LIB names a library that is there already. It returns
// *artifact.Unavailable where the platform has none, npm is absent or npm fails.
func Install(ctx context.Context, progress func(string)) (library string, err error) {
	if lib := os.Getenv(LibraryEnv); lib != "" {
		if _, err := os.Stat(lib); err != nil {
			return "", fmt.Errorf("%s: %w", LibraryEnv, err)
		}
		return lib, nil
	}
	p, err := thisPlatform(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	root, err := artifact.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "clickhouse", Version+"-"+p.os+"-"+p.arch)
	library = filepath.Join(dir, "libchdb.so") // of this name on macOS too
	return library, artifact.Once(ctx, dir, func(ctx context.Context, staging string) error {
		progress("fetching the ClickHouse engine with npm (178 MB, once)")
		return p.fetch(ctx, staging)
	})
}

func thisPlatform(os, arch string) (platform, error) {
	for _, p := range platforms() {
		if p.os == os && p.arch == arch {
			return p, nil
		}
	}
	return platform{}, &artifact.Unavailable{
		What: service, Why: "it is not published for " + os + "/" + arch,
		Remedy: "Use a ClickHouse server (docker compose up clickhouse) and set clickhouse.addresses",
	}
}

// fetch leaves libchdb.so in staging.
func (p platform) fetch(ctx context.Context, staging string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return &artifact.Unavailable{
			What: service, Why: "npm is not on the path",
			Remedy: "Install Node.js 18 or newer with npm, or set " + LibraryEnv + " to a libchdb.so of version " + Version,
		}
	}
	// Nothing of the package is run: the library is all that is wanted of it.
	cmd := exec.CommandContext(ctx, npm, "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error",
		"--prefix", staging, p.pkg+"@"+Version)
	cmd.Dir = staging
	if out, err := cmd.CombinedOutput(); err != nil {
		return &artifact.Unavailable{
			What: service, Why: fmt.Sprintf("npm failed (%v): %.600s", err, bytes.TrimSpace(out)),
			Remedy: "Check that npm reaches its registry (npm view " + p.pkg + "), or set " + LibraryEnv + " to a libchdb.so of version " + Version,
		}
	}
	fetched := filepath.Join(staging, "node_modules", filepath.FromSlash(p.pkg), "libchdb.so")
	if err := p.verify(fetched); err != nil {
		return err
	}
	if err := os.Rename(fetched, filepath.Join(staging, "libchdb.so")); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(staging, "node_modules"))
}

// verify refuses a library other than the one that this program was written for.
func (p platform) verify(path string) error {
	if p.sha256 == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.sha256 {
		return fmt.Errorf("%s of %s@%s has SHA-256 %s, expected %s: do not use it; see who changed the package", filepath.Base(path), p.pkg, Version, got, p.sha256)
	}
	return nil
}
