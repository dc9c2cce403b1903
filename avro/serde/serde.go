// Package serde turns events into framed Kafka values and back. It knows the schemas' ids: those under which a registry
// keeps the current schemas, for writing, and every id it has met since, for reading. It knows no topic and no broker; who
// registers says which topic carries which record.
//
// Invariants:
//
//   - What is written has the current schema's id.
//   - A value of another writer's schema is read by Avro's schema resolution (Avro 1.12 specification, Schema Resolution), or
//     refused: never with another schema than the one that its id names.
//   - Reading and writing take no lock: the table of ids is replaced as a whole when an id is learned.
package serde

import (
	"sync/atomic"
	"time"

	"crossdock/avro/event"
	"crossdock/avro/wire"

	"github.com/twmb/franz-go/pkg/sr"
)

// A Serde reads and writes framed events. Its methods may be called from any goroutine.
type Serde struct {
	ids   [256]int // by kind: the id that the current schema is written with
	known atomic.Pointer[table]

	registered []Registered

	client *sr.Client       // nil: there is no registry to ask
	now    func() time.Time // for how long an id stays unknown

	learning chan struct{}     // holds the token of the one Learn that may ask; it guards unknown
	unknown  map[int]unknownID // what the registry did not know a short while ago

	printers printers
}

// Local makes a Serde without a registry: the schema of a kind has the id 1, 2, ... in the order of event.Kinds. It is
// for what never leaves the process, and for tests.
func Local() *Serde {
	s := newSerde(nil)
	schemas := make([]schema, 0, len(event.Kinds()))
	for i, k := range event.Kinds() {
		s.ids[k] = i + 1
		schemas = append(schemas, schema{id: i + 1, kind: k})
	}
	s.known.Store(newTable(schemas))
	return s
}

func newSerde(client *sr.Client) *Serde {
	s := &Serde{client: client, now: time.Now, learning: make(chan struct{}, 1), unknown: make(map[int]unknownID)}
	s.known.Store(newTable(nil))
	return s
}

// ID is the id that events of the kind are written with.
func (s *Serde) ID(k event.Kind) int { return s.ids[k] }

// Append appends the event with its framing.
func (s *Serde) Append(b []byte, e event.Record) []byte {
	return e.AppendAvro(wire.Append(b, s.ids[e.Kind()]))
}

// Kind tells which event a framed value holds, by its schema id alone. An error is a *FramingError or an
// *UnknownSchemaError; after the latter, Learn may help.
func (s *Serde) Kind(value []byte) (event.Kind, error) {
	id, _, err := wire.Split(value)
	if err != nil {
		return 0, err
	}
	if sc := s.known.Load().find(id); sc != nil {
		return sc.kind, nil
	}
	return 0, &UnknownSchemaError{ID: id}
}

// Decode reads a framed value into e. Texts and bytes stay in place: e is valid as long as value is. A value of another
// writer's schema is resolved; its texts are copies.
//
// An error is a *FramingError, an *UnknownSchemaError (after which Learn may help), a *KindError where the value holds
// another event, a *ResolveError where a resolved value does not fit, or an *event.DecodeError.
func (s *Serde) Decode(value []byte, e event.Record) error {
	id, payload, err := wire.Split(value)
	if err != nil {
		return err
	}
	sc := s.known.Load().find(id)
	if sc == nil {
		return &UnknownSchemaError{ID: id}
	}
	if k := e.Kind(); sc.kind != k {
		return &KindError{ID: id, Have: sc.kind, Want: k}
	}
	if sc.writer != nil {
		if payload, err = sc.writer.resolve(payload); err != nil {
			return &ResolveError{ID: id, Kind: sc.kind, Err: err}
		}
	}
	return e.DecodeAvroInPlace(payload)
}

// Known tells whether values with this schema id can be decoded.
func (s *Serde) Known(id int) bool { return s.known.Load().find(id) != nil }
