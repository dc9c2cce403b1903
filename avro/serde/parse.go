package serde

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// maxReferences bounds how many schemas one schema may pull in.
const maxReferences = 100

// A SchemaTextError is a schema of a registry that cannot be used, whoever asks again.
type SchemaTextError struct {
	Reason string
	Err    error // the cause, where there is one
}

func (e *SchemaTextError) Error() string {
	if e.Err == nil {
		return "serde: " + e.Reason
	}
	return "serde: " + e.Reason + ": " + e.Err.Error()
}

func (e *SchemaTextError) Unwrap() error { return e.Err }

// Parse compiles a schema of a registry after those that it refers to, which it asks the registry for. An error is a
// *SchemaTextError, or worth another try.
func Parse(ctx context.Context, client *sr.Client, text sr.Schema) (*avro.Schema, error) {
	var cache avro.SchemaCache
	left := maxReferences
	var parse func(sr.Schema) (*avro.Schema, error)
	parse = func(text sr.Schema) (*avro.Schema, error) {
		if text.Type != sr.TypeAvro {
			return nil, &SchemaTextError{Reason: fmt.Sprintf("it is a schema of type %s, not AVRO", text.Type)}
		}
		for _, ref := range text.References {
			if left--; left < 0 {
				return nil, &SchemaTextError{Reason: fmt.Sprintf("it refers to more than %d schemas", maxReferences)}
			}
			referred, err := client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			if IsNotFound(err) {
				return nil, &SchemaTextError{Reason: fmt.Sprintf("the registry does not have subject %s version %d, which it refers to",
					ref.Subject, ref.Version), Err: err}
			}
			if err != nil {
				return nil, fmt.Errorf("serde: asking the registry for subject %s version %d: %w", ref.Subject, ref.Version, err)
			}
			if _, err := parse(referred.Schema); err != nil {
				return nil, err
			}
		}
		compiled, err := cache.Parse(text.Schema)
		if err != nil {
			return nil, &SchemaTextError{Reason: "its text is not an Avro schema", Err: err}
		}
		return compiled, nil
	}
	return parse(text)
}

// IsNotFound tells whether an error is a registry that answered that there is no such thing.
func IsNotFound(err error) bool {
	var e *sr.ResponseError
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}
