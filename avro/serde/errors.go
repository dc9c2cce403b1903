package serde

import (
	"fmt"

	"crossdock/avro/event"
	"crossdock/avro/wire"
)

// A FramingError says why a value is not framed Avro.
type FramingError = wire.FramingError

// An UnknownSchemaError is a schema id whose values cannot be read. Before Learn it only says that the id is new; from
// Learn it says that the registry does not have it, or has something under it that is no event of ours.
type UnknownSchemaError struct {
	ID     int
	Reason string // from Learn: what the registry said
	Err    error  // from Learn: the cause, where there is one
}

func (e *UnknownSchemaError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("serde: schema id %d is not known yet: ask the registry (Learn)", e.ID)
	}
	s := fmt.Sprintf("serde: schema id %d: %s", e.ID, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; correct the producer, or register its schema under the topic's subject"
}

func (e *UnknownSchemaError) Unwrap() error { return e.Err }

// A KindError is a value that holds another event than asked for.
type KindError struct {
	ID         int
	Have, Want event.Kind
}

func (e *KindError) Error() string {
	return fmt.Sprintf("serde: the value holds a %s (schema id %d), not a %s: this topic or reader is not for it", e.Have, e.ID, e.Want)
}

// A ResolveError is a value that its own writer's schema, or the resolution to the current one, does not fit.
type ResolveError struct {
	ID   int
	Kind event.Kind
	Err  error
}

func (e *ResolveError) Error() string {
	return fmt.Sprintf("serde: a %s of schema id %d cannot be brought to the current schema: %v; the bytes are damaged, or hold what the current schema has no place for",
		e.Kind, e.ID, e.Err)
}

func (e *ResolveError) Unwrap() error { return e.Err }
