package serde

import (
	"context"
	"errors"
	"fmt"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/schemas"

	"github.com/twmb/avro"
)

const (
	// unknownFor is how long an id that the registry did not know is not asked for again: a producer that writes a wrong
	// id does so in every record.
	unknownFor = 5 * time.Second
	// maxUnknown bounds how many such ids are remembered.
	maxUnknown = 1024
)

type unknownID struct {
	err   *UnknownSchemaError
	until time.Time
}

// Learn asks the registry for a schema id. nil: values with the id can be decoded from now on. An *UnknownSchemaError is
// final for the record in hand: the registry does not have the id, or what it has is no event that the current schemas can
// read. Any other error (the registry cannot be reached, ctx ended) is worth another try.
func (s *Serde) Learn(ctx context.Context, id int) error {
	if s.Known(id) {
		return nil
	}
	select {
	case s.learning <- struct{}{}:
		defer func() { <-s.learning }()
	case <-ctx.Done():
		return fmt.Errorf("serde: waiting to ask the registry for schema id %d: %w", id, ctx.Err())
	}
	if s.Known(id) { // another goroutine has learned it meanwhile
		return nil
	}
	if s.client == nil {
		return &UnknownSchemaError{ID: id, Reason: "there is no registry to ask"}
	}
	if u, ok := s.unknown[id]; ok && s.now().Before(u.until) {
		return u.err
	}
	sc, err := s.fetch(ctx, id)
	if unknown := (*UnknownSchemaError)(nil); errors.As(err, &unknown) {
		s.remember(unknown)
	}
	if err != nil {
		return err
	}
	delete(s.unknown, id)
	s.known.Store(s.known.Load().with(sc))
	return nil
}

// remember keeps what is unknown for a while. The caller is the one that learns.
func (s *Serde) remember(err *UnknownSchemaError) {
	if len(s.unknown) >= maxUnknown {
		clear(s.unknown)
	}
	s.unknown[err.ID] = unknownID{err, s.now().Add(unknownFor)}
}

// fetch asks the registry and compiles what it says. The caller is the one that learns.
func (s *Serde) fetch(ctx context.Context, id int) (schema, error) {
	text, err := s.client.SchemaByID(ctx, id)
	if IsNotFound(err) {
		return schema{}, &UnknownSchemaError{ID: id, Reason: "the registry does not have it", Err: err}
	}
	if err != nil {
		return schema{}, fmt.Errorf("serde: asking the registry for schema id %d: %w", id, err)
	}
	compiled, err := Parse(ctx, s.client, text)
	if bad := (*SchemaTextError)(nil); errors.As(err, &bad) {
		return schema{}, &UnknownSchemaError{ID: id, Reason: bad.Reason, Err: bad.Err}
	}
	if err != nil {
		return schema{}, err
	}
	root := compiled.Root()
	kind, ok := event.ParseKind(root.Name)
	if !ok || root.Namespace != schemas.Namespace {
		return schema{}, &UnknownSchemaError{ID: id, Reason: fmt.Sprintf("it is the schema of %s.%s, which is no event of %s",
			root.Namespace, root.Name, schemas.Namespace)}
	}
	sc := schema{id: id, kind: kind}
	if same, err := current(compiled, kind); err != nil || same {
		return sc, err
	}
	if sc.writer, err = newWriter(compiled, kind); err != nil {
		return schema{}, &UnknownSchemaError{ID: id, Reason: fmt.Sprintf("its %s cannot be read with the current schema", kind), Err: err}
	}
	return sc, nil
}

// current tells whether a writer's schema makes the same bytes with the same meaning as the kind's current one: another
// producer may have registered it without docs or in another order of attributes.
func current(writer *avro.Schema, kind event.Kind) (bool, error) {
	text, err := schemas.Full(kind.String())
	if err != nil {
		return false, err
	}
	reader, err := avro.Parse(text)
	if err != nil {
		return false, err
	}
	return string(writer.Canonical()) == string(reader.Canonical()) && avro.CheckCompatibility(writer, reader) == nil, nil
}
