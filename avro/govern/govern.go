// Package govern keeps the schemas in order: every one compiles with goavro, which is not the library that resolves older
// ones, and every current one reads all that was ever written with a released one (BACKWARD_TRANSITIVE). The commands
// `crossdock schema check` and `crossdock schema register` print what it finds.
//
// It is stricter than Avro where Avro's rules let a value change its meaning without an error: a logical type never
// changes (milliseconds read as microseconds), and a symbol never leaves its enum (it would be read as the enum's default).
package govern

import (
	"context"
	"errors"
	"fmt"

	"crossdock/avro/schemas"
	"crossdock/avro/serde"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// Check compiles every event's schema, and so every type, with goavro and with twmb/avro. A program calls it at start. The
// error joins one *SchemaError a schema that does not compile.
func Check() error {
	var problems []error
	for _, name := range schemas.Events() {
		if err := compile(name); err != nil {
			problems = append(problems, &SchemaError{Schema: name, Err: err})
		}
	}
	return errors.Join(problems...)
}

func compile(name string) error {
	text, err := schemas.Full(name)
	if err != nil {
		return err
	}
	if _, err := goavro.NewCodec(text); err != nil {
		return fmt.Errorf("goavro: %w", err)
	}
	if _, err := avro.Parse(text); err != nil {
		return fmt.Errorf("twmb/avro: %w", err)
	}
	return nil
}

// A SchemaError is a schema that does not compile.
type SchemaError struct {
	Schema string // name of the record, without namespace
	Err    error
}

func (e *SchemaError) Error() string {
	return fmt.Sprintf("govern: the schema of %s does not compile: %v; correct avro/schemas/%s.avsc or the file of the type that it names",
		e.Schema, e.Err, e.Schema)
}

func (e *SchemaError) Unwrap() error { return e.Err }

// Compatible compares each event's current schema with all its releases. The violations are in the order of
// schemas.Events, older releases first; none: every record ever written can be read.
func Compatible() ([]*Violation, error) {
	var violations []*Violation
	for _, name := range schemas.Events() {
		current, err := schemas.Full(name)
		if err != nil {
			return nil, err
		}
		releases, err := schemas.Released(name)
		if err != nil {
			return nil, err
		}
		for _, release := range releases {
			older, err := avro.Parse(release.Text)
			if err != nil {
				return nil, fmt.Errorf("govern: %s: release %d is no Avro schema: %w; releases are never changed: restore it", name, release.Version, err)
			}
			found, err := compare(name, fmt.Sprintf("release %d", release.Version), older, current)
			if err != nil {
				return nil, err
			}
			violations = append(violations, found...)
		}
	}
	return violations, nil
}

// CompatibleWith compares the current schemas with every version that a registry has under the subjects of the pairs: it
// names the field where registering would only be refused. A subject that the registry does not have is in order.
func CompatibleWith(ctx context.Context, client *sr.Client, carried []serde.Carried) ([]*Violation, error) {
	var violations []*Violation
	for _, c := range carried {
		current, err := schemas.Full(c.Record)
		if err != nil {
			return nil, err
		}
		versions, err := client.Schemas(ctx, c.Subject())
		if serde.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("govern: asking the registry for the versions of subject %s: %w", c.Subject(), err)
		}
		for _, version := range versions {
			older, err := serde.Parse(ctx, client, version.Schema)
			if err != nil {
				return nil, fmt.Errorf("govern: version %d of subject %s: %w", version.Version, c.Subject(), err)
			}
			found, err := compare(c.Record, fmt.Sprintf("version %d of subject %s", version.Version, c.Subject()), older, current)
			if err != nil {
				return nil, err
			}
			violations = append(violations, found...)
		}
	}
	return violations, nil
}
