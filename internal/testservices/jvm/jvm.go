// Package jvm finds Java and Maven, which the real Kafka and the real schema registry of the tests need. Crossdock itself
// needs neither.
package jvm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"crossdock/internal/embedded/artifact"
)

// Remedy is what to do without Java or Maven.
const Remedy = "Install a JDK of version 17 or newer and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)"

// Java finds a Java of at least the given version: $JAVA_HOME/bin/java, else java on the path, else the newest below
// /usr/lib/jvm. It returns *artifact.Unavailable, naming the service that needs it, where there is none.
func Java(ctx context.Context, service string, atLeast int) (path string, err error) {
	var candidates []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	if p, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, p)
	}
	installed, err := filepath.Glob("/usr/lib/jvm/*/bin/java")
	if err != nil {
		return "", err
	}
	found := "no java is on the path and JAVA_HOME is not set"
	for _, c := range append(candidates, installed...) {
		v, err := version(ctx, c)
		if err != nil {
			found = err.Error()
			continue
		}
		if v >= atLeast {
			return c, nil
		}
		found = fmt.Sprintf("%s is Java %d, and %d is needed", c, v, atLeast)
	}
	return "", &artifact.Unavailable{What: service, Why: found, Remedy: Remedy}
}

var versionLine = regexp.MustCompile(`version "(\d+)`)

func version(ctx context.Context, java string) (int, error) {
	out, err := exec.CommandContext(ctx, java, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s -version: %w", java, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s -version names no version: %.80q", java, out)
	}
	return strconv.Atoi(string(m[1]))
}

// Maven runs mvn in batch mode, quietly. It returns *artifact.Unavailable where there is none or it fails: what it is
// asked for is a download.
func Maven(ctx context.Context, service string, args ...string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return &artifact.Unavailable{What: service, Why: "Maven (mvn) is not on the path", Remedy: Remedy}
	}
	cmd := exec.CommandContext(ctx, mvn, append([]string{"-q", "-B"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &artifact.Unavailable{
			What: service, Why: fmt.Sprintf("Maven failed (%v): %.600s", err, bytes.TrimSpace(out)),
			Remedy: "Check that Maven reaches its repository (~/.m2/settings.xml)",
		}
	}
	return nil
}
