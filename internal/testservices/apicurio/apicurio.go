// Package apicurio runs a real schema registry (Apicurio, in memory) on 127.0.0.1 for the test that holds the registry
// client to what a registry other than ours does. It speaks Confluent's API below /apis/ccompat/v7.
//
// Where it differs from Confluent's: compatibility is NONE unless set, and 2.6 on Java 17 has no /mode.
package apicurio

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/embedded/process"
	"crossdock/internal/testservices/jvm"
)

// Version is the newest that Java 17 runs.
const Version = "2.6.13.Final"

const (
	service = "a real schema registry"
	jar     = "apicurio-registry-app-" + Version + "-runner.jar"
	// maxFile bounds one file of the archive, in bytes.
	maxFile = 512 << 20
)

// Options of a registry.
type Options struct {
	Dir      string       // of its log; must exist
	Progress func(string) // told of slow steps; nil: nobody is
}

// A Registry is a running one.
type Registry struct {
	url     string
	process *process.Process
}

// Start fetches the registry with Maven, once (90 MB), and runs one, empty. It returns *artifact.Unavailable without Java
// or Maven.
func Start(ctx context.Context, o Options) (*Registry, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	java, err := jvm.Java(ctx, service, 17)
	if err != nil {
		return nil, err
	}
	app, err := install(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := process.Start(process.Options{
		Name: "the schema registry", Path: java, Dir: app, Log: filepath.Join(o.Dir, "registry.log"),
		Args: []string{
			"-Xms128m", "-Xmx400m", "-XX:+UseSerialGC", "-Dquarkus.http.host=127.0.0.1",
			"-Dquarkus.http.port=" + strconv.Itoa(port), "-Dquarkus.http.access-log.enabled=false", "-jar", jar,
		},
	})
	if err != nil {
		return nil, err
	}
	r := &Registry{url: fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", port), process: p}
	if err := p.Await(ctx, r.answers); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return r, nil
}

// URL is the base of Confluent's API.
func (r *Registry) URL() string { return r.url }

// Pid is the JVM's process id.
func (r *Registry) Pid() int { return r.process.Pid() }

// Log is the registry's log file.
func (r *Registry) Log() string { return r.process.Log() }

// Done is closed when the registry has ended.
func (r *Registry) Done() <-chan struct{} { return r.process.Done() }

// Stop ends it; it is killed when ctx ends first.
func (r *Registry) Stop(ctx context.Context) error { return r.process.Stop(ctx) }

func (r *Registry) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/subjects", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", req.URL, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

func install(ctx context.Context, progress func(string)) (dir string, err error) {
	root, err := artifact.Root()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(root, "apicurio", Version)
	return dir, artifact.Once(ctx, dir, func(ctx context.Context, staging string) error {
		progress("fetching the schema registry " + Version + " with Maven (90 MB, once)")
		name := "io.apicurio:apicurio-registry-app:" + Version + ":tar.gz:all"
		err := jvm.Maven(ctx, service, "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy",
			"-Dartifact="+name, "-DoutputDirectory="+staging, "-Dmdep.useBaseVersion=true")
		if err != nil {
			return err
		}
		archive := filepath.Join(staging, "apicurio-registry-app-"+Version+"-all.tar.gz")
		return errors.Join(unpack(archive, staging), os.Remove(archive))
	})
}

// unpack writes the files of a tar.gz below dir.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // no entry leaves it
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // a directory handle
	for entries := tar.NewReader(z); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(archive), err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeEntry(root, filepath.Clean(h.Name), io.LimitReader(entries, maxFile)); err != nil {
			return err
		}
	}
}

func writeEntry(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
