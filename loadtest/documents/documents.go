// Package documents sends the events of a generator as a retailer's partners would: as native documents over HTTP, at the pace
// of their load. Movements of type SHIP go out as X12 945, orders as X12 940, all else as JSON lines, each to the ingress's
// path of the system that tells it. It knows afterwards which documents were taken, and what each of them says, so that the
// oracle can be told.
//
// Pace is open loop: which events make a document, and when it is due, follows from the load and the shape alone. A document
// is due with its last event, or when its first one has waited for Shape.Wait. A slow ingress makes the tool late, never the
// load smaller.
//
// What a document says is derived here from the events that it was made of and from the description of the formats
// (docs/connectors.md): no code is shared with the connectors that read it. Invariants:
//
//   - Equal loads and shapes give equal documents, byte for byte, on every machine.
//   - Documents come in the order in which they are due.
//   - A part of a document that is broken is a line or a transaction set of its own: what stands beside it is right.
//   - Every document is sent until it is answered, or until the run is stopped. One counts as taken only when the ingress said so,
//     or when it was found on its raw topic (Log.Resolve).
//   - Memory is bounded by Options.Connections, by the load's DuplicateSpan, and by a byte for each document.
package documents

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"crossdock/avro/event"
)

// A Format is what a document is written in.
type Format uint8

// The formats.
const (
	JSONLines Format = iota // canonical events, one a line
	Shipping                // X12 945, Warehouse Shipping Advice
	Ordering                // X12 940, Warehouse Shipping Order
	formats
)

// String is the document type as the ingress is told it.
func (f Format) String() string {
	if f < formats {
		return [...]string{"canonical/events", "X12/945", "X12/940"}[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

func (f Format) contentType() string {
	if f == JSONLines {
		return "application/x-ndjson"
	}
	return "application/edi-x12" // RFC 1767
}

// A Target is the source, as the ingress knows it, that a system's documents are sent to, and the settings of that source that
// tell what they mean there.
type Target struct {
	Source string `json:"source"` // the last part of the path
	// System is what the events of its X12 documents carry as their system; empty: Source.
	System string `json:"system,omitempty"`
	// Partner is in dedupe keys; empty: the sender of the interchange.
	Partner string `json:"partner,omitempty"`
	// ShipFrom is the bucket that a 945 takes stock from; EXTERNAL, which is the zero value, stands for AVAILABLE.
	ShipFrom event.Bucket `json:"ship_from,omitempty"`
	// Credentials are what the ingress asks of the source. They are not saved.
	Credentials Credentials `json:"-"`
}

// Credentials are shown with every document; those that are empty are not.
type Credentials struct {
	APIKey     string
	Bearer     string
	HMACSecret string
	HMACHeader string
}

func (t *Target) system() string {
	if t.System != "" {
		return t.System
	}
	return t.Source
}

func (t *Target) shipFrom() event.Bucket {
	if t.ShipFrom == event.BucketExternal {
		return event.BucketAvailable
	}
	return t.ShipFrom
}

// DefaultWait is how long the first event of a document waits for others.
const DefaultWait = 250 * time.Millisecond

// A Shape says what documents the events of a load become.
type Shape struct {
	// Wait bounds how long an event waits for its document to be complete; default 250 ms.
	Wait time.Duration `json:"wait"`
	// Targets are the sources by the system of the load (Systems); Default is that of systems which are not in it.
	Targets map[string]Target `json:"targets,omitempty"`
	Default *Target           `json:"default,omitempty"`
}

// Systems are the names of the systems whose documents a load has.
func Systems() []string {
	return []string{"lt-sap", "lt-wms-north", "lt-wms-south", "lt-3pl", "lt-pos", "lt-oms", "lt-carrier", "lt-erp"}
}

// Validate names every system without a source, and every setting that cannot be.
func (s *Shape) Validate() error {
	var problems []error
	if s.Wait < 0 {
		problems = append(problems, fmt.Errorf("documents wait %v: give 0, for %v, or more", s.Wait, DefaultWait))
	}
	for _, name := range Systems() {
		t := s.target(name)
		switch {
		case t == nil:
			problems = append(problems, fmt.Errorf("documents: system %s has no source: name one for it, or one for all", name))
		case t.Source == "":
			problems = append(problems, fmt.Errorf("documents: the source of system %s has no name", name))
		case !slices.Contains([]event.Bucket{event.BucketExternal, event.BucketAvailable, event.BucketPicked, event.BucketStaged}, t.ShipFrom):
			problems = append(problems, fmt.Errorf("documents: source %s ships from %v: AVAILABLE, PICKED or STAGED can be", t.Source, t.ShipFrom))
		}
	}
	return errors.Join(problems...)
}

func (s *Shape) target(system string) *Target {
	if t, ok := s.Targets[system]; ok {
		return &t
	}
	return s.Default
}

func (s *Shape) wait() time.Duration {
	if s.Wait == 0 {
		return DefaultWait
	}
	return s.Wait
}
