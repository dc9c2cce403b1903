package verify

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"crossdock/avro/event"
	"crossdock/loadtest/documents"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// What a Load answers, whatever it was sent as.

func (s *Load) generator() *scans.Generator {
	if s.Documents != nil {
		return s.Documents.Generator()
	}
	return s.Log.Generator()
}

// sites are those that the pipeline knew.
func (s *Load) sites(g *scans.Generator) iter.Seq[*event.SiteMaster] {
	if s.Documents != nil {
		return documents.Sites(g, s.Documents.Shape)
	}
	return g.Sites()
}

func (s *Load) resolve(ctx context.Context) error {
	if s.Documents != nil {
		return s.Documents.Resolve(ctx)
	}
	return s.Log.Resolve(ctx)
}

func (s *Load) acknowledged() int64 {
	if s.Documents != nil {
		return s.Documents.Acknowledged()
	}
	return s.Log.Acknowledged()
}

// documents tells the oracle of everything that the documents say that are in, as often as they are.
func (t *teller) documents(ctx context.Context, l *documents.Log, progress func(done int64)) error {
	done := int64(0)
	return l.Walk(func(said *documents.Said, copies int) error {
		if copies == 0 {
			return nil
		}
		if done++; done%100_000 == 0 {
			if ctx.Err() != nil {
				return fmt.Errorf("verify: %d of %d events were recounted: %w", done, l.Acknowledged(), context.Cause(ctx))
			}
			progress(done)
		}
		for range copies {
			if err := t.said(said); err != nil {
				return err
			}
		}
		return nil
	})
}

// said tells the oracle of one part of a document. What the generator says of a spoilt event must be what the oracle makes of it.
func (t *teller) said(s *documents.Said) error {
	switch {
	case s.Cause != "":
		_, err := t.oracle.Unreadable(s.Cause, s.Key, s.Bytes)
		return err
	case s.Movement == nil:
		t.oracle.Aside()
		return nil
	case s.Poison != scans.NotPoison:
		place, refused := t.oracle.Refusal(s.Movement)
		if !refused {
			return &DisagreementError{Seq: s.Seq, Poison: s.Poison, Oracle: "it is a movement that counts"}
		}
		if place.Place != placeOf(s.Poison.Expect()) || place.Cause != s.Poison.Cause() {
			return &DisagreementError{Seq: s.Seq, Poison: s.Poison, Oracle: place.String()}
		}
	}
	_, err := t.oracle.Received(s.Movement)
	return err
}

// documents makes a second pass over the documents of a run.
func (s *search) documents(ctx context.Context, load *Load, tell func(string, int64, int64)) error {
	if err := s.catalogue(load, load.generator()); err != nil {
		return err
	}
	done := int64(0)
	return load.Documents.Walk(func(said *documents.Said, copies int) error {
		if done++; done%progressEvery == 0 {
			if ctx.Err() != nil {
				return fmt.Errorf("verify: looking for the events of what failed: %w", context.Cause(ctx))
			}
			tell("events of failing keys", done, load.Documents.Made)
		}
		one := s.of(said)
		if one != nil {
			one.add(part(said, copies))
		}
		return nil
	})
}

// of is the suspect that a part of a document belongs to; nil: none.
func (s *search) of(said *documents.Said) *suspect {
	var one *suspect
	switch {
	case said.Cause != "":
		if one = s.byID[oracle.IDOfBytes(said.Key, said.Bytes)]; one != nil {
			one.key = fmt.Sprintf("a part of document %d", said.Number)
		}
		return one
	case said.Movement != nil:
		if one = s.byID[oracle.IDOfEvent(said.Movement.Header.EventID)]; one != nil {
			one.key = "event " + strings.Clone(said.Movement.Header.EventID)
			return one
		}
	}
	if said.SKU == "" {
		return nil
	}
	s.room = topics.Key(s.room[:0], said.SKU, said.Site)
	return s.byKey[string(s.room)]
}

// part shows one part of a document:
//
//	#17 due 2026-11-27T06:00:00.000708Z ship -3 EA, happened 2026-11-27T05:59:58Z, dedupe key d, in document 4 (X12/945), exact repetition
func part(s *documents.Said, copies int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d due %v %v", s.Seq, s.At, s.Kind)
	if m := s.Movement; m != nil {
		fmt.Fprintf(&b, " %v %v %s", m.Type, m.QtySrc, m.UOMSrc)
		if m.From.Valid || m.To.Valid {
			fmt.Fprintf(&b, " %v to %v", oracle.BucketOf(m.From), oracle.BucketOf(m.To))
		}
		fmt.Fprintf(&b, ", happened %v, dedupe key %s", m.Header.EventTime, m.Header.DedupeKey)
	}
	fmt.Fprintf(&b, ", in document %d (%v)", s.Number, s.Format)
	switch s.Copy {
	case scans.Exact:
		b.WriteString(", exact repetition")
	case scans.ReEnveloped:
		b.WriteString(", repetition in a new envelope")
	}
	switch {
	case s.Cause != "":
		fmt.Fprintf(&b, ", spoilt: %v, must become %v %s", s.Poison, oracle.DeadLetters, s.Cause)
	case s.Poison != scans.NotPoison:
		fmt.Fprintf(&b, ", spoilt: %v, must become %v %s", s.Poison, s.Poison.Expect(), s.Poison.Cause())
	}
	switch copies {
	case 0:
		b.WriteString(", not on its topic")
	case 1:
	default:
		fmt.Fprintf(&b, ", %d times on its topic", copies)
	}
	return b.String()
}
