package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"crossdock/avro/event"
	"crossdock/avro/serde"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/loadtest/send"
)

// Sent tells the oracle of every event that the brokers have of a run without poison: movements as they were before
// enrichment (scanned), or as the inventory stage's inbox carries them. Events whose fate is unknown are looked up first.
func Sent(ctx context.Context, o *oracle.Oracle, l *send.Log, scanned bool) error {
	if err := l.Resolve(ctx); err != nil {
		return fmt.Errorf("verify: what was sent: %w", err)
	}
	tell := o.Expect
	if scanned {
		tell = o.Received
	}
	return l.Replay(func(s *scans.Scan) error {
		switch {
		case s.Poison != scans.NotPoison:
			return fmt.Errorf("verify: event %d is spoilt (%v): what becomes of it is judged by its bytes, verify the run as a whole", s.Seq, s.Poison)
		case !s.Kind.Movement():
			o.Aside()
			return nil
		}
		_, err := tell(&s.Movement)
		return err
	})
}

// A Load is one run: what it sent, and what its codes mean.
type Load struct {
	Log *send.Log
	// Documents is the log of a run that was sent as documents; Log is nil then.
	Documents *documents.Log
	// Catalogue is the master data of a run whose movements are in the sources' codes and units; nil: that of its generator
	// (Items and Sites). A run of canonical movements needs none.
	Catalogue *oracle.Catalogue
}

// A DisagreementError says that the generator's word of an event with a fault is not what the oracle makes of the bytes
// that were sent: one of the two is wrong, and nothing can be concluded.
type DisagreementError struct {
	Seq    int64
	Poison scans.Poison
	Oracle string // what the oracle makes of it
}

func (e *DisagreementError) Error() string {
	return fmt.Sprintf("verify: event %d (%v) must become %v %s by its generator, and the oracle says: %s", e.Seq, e.Poison, e.Poison.Expect(), e.Poison.Cause(), e.Oracle)
}

// A teller tells an oracle of one run after the other. It is made for one recount or one search.
type teller struct {
	oracle *oracle.Oracle
	serde  *serde.Serde
	value  []byte
	key    []byte
	spoilt event.InventoryMovement
}

// catalogue makes ready for a run. It is asked with the run's generator, once it is there.
func (t *teller) catalogue(s *Load, g *scans.Generator) error {
	c := s.Catalogue
	if c == nil && g.Scanned() {
		var err error
		if c, err = oracle.ReadCatalogue(g.Items(), s.sites(g)); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	t.oracle.Use(c)
	return nil
}

// run tells the oracle of everything that the brokers have of a run. progress is called now and then.
func (t *teller) run(ctx context.Context, s *Load, progress func(done int64)) error {
	if s.Documents != nil {
		if err := t.catalogue(s, s.generator()); err != nil {
			return err
		}
		return t.documents(ctx, s.Documents, progress)
	}
	first, done := true, int64(0)
	return s.Log.ReplayFrom(func(g *scans.Generator, scan *scans.Scan) error {
		if first {
			first = false
			if err := t.catalogue(s, g); err != nil {
				return err
			}
		}
		if done++; done%100_000 == 0 {
			if ctx.Err() != nil {
				return fmt.Errorf("verify: %d of %d events were recounted: %w", done, s.Log.Acknowledged(), context.Cause(ctx))
			}
			progress(done)
		}
		return t.tell(g, scan)
	})
}

// tell tells the oracle of the event that the generator has in hand.
func (t *teller) tell(g *scans.Generator, s *scans.Scan) (err error) {
	switch {
	case s.Poison != scans.NotPoison:
		return t.poison(g, s)
	case !s.Kind.Movement():
		t.oracle.Aside()
	case g.Scanned():
		_, err = t.oracle.Received(&s.Movement)
	default:
		_, err = t.oracle.Expect(&s.Movement)
	}
	return err
}

// poison tells the oracle of an event that was spoilt, by the bytes that were sent: what it was before does not count.
func (t *teller) poison(g *scans.Generator, s *scans.Scan) error {
	t.bytes(g)
	cause := t.unreadable()
	place := oracle.Trouble{Place: oracle.DeadLetters, Cause: cause}
	if cause == "" {
		var refused bool
		if place, refused = t.oracle.Refusal(&t.spoilt); !refused {
			return &DisagreementError{Seq: s.Seq, Poison: s.Poison, Oracle: "it is a movement that counts"}
		}
	}
	if want := placeOf(s.Poison.Expect()); place.Place != want || place.Cause != s.Poison.Cause() {
		return &DisagreementError{Seq: s.Seq, Poison: s.Poison, Oracle: place.String()}
	}
	var err error
	if cause != "" {
		_, err = t.oracle.Unreadable(cause, t.key, t.value)
	} else {
		_, err = t.oracle.Received(&t.spoilt)
	}
	return err
}

// bytes are the event in hand as it is sent.
func (t *teller) bytes(g *scans.Generator) {
	t.key = g.AppendKey(t.key[:0])
	t.value = g.AppendValue(t.value[:0], t.serde)
}

// unreadable is the cause of the dead letter that the bytes must become, or "" where they are a movement: t.spoilt then. The
// causes are those of docs/runtime.md.
func (t *teller) unreadable() (cause string) {
	kind, err := t.serde.Kind(t.value)
	if err == nil && kind != event.KindInventoryMovement {
		return "UNEXPECTED_KIND"
	}
	if err == nil {
		t.spoilt.Reset()
		err = t.serde.Decode(slices.Clone(t.value), &t.spoilt)
	}
	var framing *serde.FramingError
	var unknown *serde.UnknownSchemaError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &framing):
		return "BAD_FRAMING"
	case errors.As(err, &unknown):
		return "UNKNOWN_SCHEMA"
	}
	return "BAD_RECORD"
}

// placeOf is where the generator says that an event ends.
func placeOf(o scans.Outcome) oracle.Place {
	switch o {
	case scans.Exception:
		return oracle.Exceptions
	case scans.Parked:
		return oracle.Parked
	}
	return oracle.DeadLetters
}
