package jvm_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices/jvm"
)

// program writes a shell script in dir.
func program(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestJavaHomeComesFirstAndAnOldJavaIsPassedOver(t *testing.T) {
	home, bin := t.TempDir(), t.TempDir()
	program(t, filepath.Join(home, "bin"), "java", `echo 'openjdk version "11.0.2" 2019-01-15' >&2`)
	newer := program(t, bin, "java", `echo 'openjdk version "99" 2040-03-01' >&2`)
	t.Setenv("JAVA_HOME", home)
	t.Setenv("PATH", bin)
	if got, err := jvm.Java(t.Context(), "Kafka", 99); err != nil || got != newer {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := jvm.Java(t.Context(), "Kafka", 11); err != nil || got != filepath.Join(home, "bin", "java") {
		t.Errorf("%s, %v", got, err)
	}
	_, err := jvm.Java(t.Context(), "Kafka", 100)
	var missing *artifact.Unavailable
	if !errors.As(err, &missing) || missing.What != "Kafka" || !strings.Contains(missing.Why, "100 is needed") {
		t.Errorf("got %v", err)
	}
}

func TestAMavenThatFailsIsUnavailableWithItsWords(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	var missing *artifact.Unavailable
	if err := jvm.Maven(t.Context(), "Kafka", "x"); !errors.As(err, &missing) || !strings.Contains(missing.Why, "not on the path") {
		t.Errorf("without one: %v", err)
	}
	program(t, bin, "mvn", "echo no route to the repository; exit 1")
	if err := jvm.Maven(t.Context(), "Kafka", "x"); !errors.As(err, &missing) || !strings.Contains(missing.Why, "no route to the repository") {
		t.Errorf("one that fails: %v", err)
	}
}
