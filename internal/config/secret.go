package config

import (
	"fmt"
	"os"
	"strings"
)

// A Secret is a reference to a secret, never the secret itself: file:PATH (the file's content without its last newline) or
// env:NAME. It prints as the reference.
type Secret string

// Set says whether there is a secret.
func (s Secret) Set() bool { return s != "" }

// Resolve reads the secret.
func (s Secret) Resolve() (string, error) {
	switch kind, where, _ := strings.Cut(string(s), ":"); kind {
	case "file":
		b, err := os.ReadFile(where)
		if err != nil {
			return "", fmt.Errorf("secret %s: %w", s, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case "env":
		v, ok := os.LookupEnv(where)
		if !ok {
			return "", fmt.Errorf("secret %s: the environment has no %s", s, where)
		}
		return v, nil
	case "":
		return "", nil
	}
	return "", s.check("secret")
}

func (s Secret) check(name string) error {
	if s == "" || strings.HasPrefix(string(s), "file:") || strings.HasPrefix(string(s), "env:") {
		return nil
	}
	return fmt.Errorf("%s: a secret is given as file:PATH or env:NAME, never in plain", name)
}
