package verify

import (
	"context"
	"fmt"
	"strings"

	"crossdock/loadtest/oracle"
	"crossdock/loadtest/report"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// eventsShown bounds how many events of one key are shown: the first half and the last half of so many.
const eventsShown = 200

// A suspect is a key, or an event that must come out elsewhere, that failed.
type suspect struct {
	key    string
	what   []string
	first  []string
	last   []string // a ring, once it is full
	events int64
}

// A search finds the events of what failed.
type search struct {
	teller
	suspects []*suspect
	byKey    map[string]*suspect
	byID     map[uint64]*suspect
	more     int64
	room     []byte
}

// failing makes everything again that was made, and keeps the events of the first keys that failed. more is how many others
// there are at least.
func (v *verification) failing(ctx context.Context, j *oracle.Verdict) (keys []report.FailingKey, more int64, err error) {
	s := search{
		teller: teller{oracle: v.oracle, serde: v.Serde},
		byKey:  make(map[string]*suspect), byID: make(map[uint64]*suspect),
	}
	for i := range j.Findings {
		s.suspect(&j.Findings[i], v.Failing)
	}
	if len(s.suspects) > 0 {
		if err := s.events(ctx, v.Sent, v.tell); err != nil {
			return nil, 0, err
		}
	}
	for _, one := range s.suspects {
		keys = append(keys, one.shown())
	}
	return keys, s.more, nil
}

// suspect takes what a finding lists.
func (s *search) suspect(f *oracle.Finding, limit int) {
	beyond := f.Omitted
	for _, d := range f.Differences {
		one := s.byKey[d.Key]
		if d.ID != 0 {
			one = s.byID[d.ID]
		}
		if one == nil {
			if len(s.suspects) >= limit {
				beyond++
				continue
			}
			one = &suspect{key: d.Key}
			s.suspects = append(s.suspects, one)
			if d.ID != 0 {
				s.byID[d.ID] = one
			} else {
				s.byKey[d.Key] = one
			}
		}
		one.what = append(one.what, d.String())
	}
	s.more = max(s.more, beyond)
}

// events makes a second pass over everything that was made.
func (s *search) events(ctx context.Context, sent []Load, tell func(string, int64, int64)) error {
	for i := range sent {
		if sent[i].Documents != nil {
			if err := s.documents(ctx, &sent[i], tell); err != nil {
				return err
			}
			continue
		}
		first, done := true, int64(0)
		err := sent[i].Log.Walk(func(g *scans.Generator, scan *scans.Scan, acked bool) error {
			if first {
				first = false
				if err := s.catalogue(&sent[i], g); err != nil {
					return err
				}
			}
			if done++; done%progressEvery == 0 {
				if ctx.Err() != nil {
					return fmt.Errorf("verify: looking for the events of what failed: %w", context.Cause(ctx))
				}
				tell("events of failing keys", done, sent[i].Log.Made)
			}
			s.look(g, scan, acked)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// look keeps the event in hand where it is one of a suspect's.
func (s *search) look(g *scans.Generator, scan *scans.Scan, acked bool) {
	if len(s.byID) > 0 && (scan.Poison != scans.NotPoison || g.Scanned()) {
		one := s.byID[oracle.IDOfEvent(g.EventID())]
		if one == nil && scan.Poison != scans.NotPoison {
			s.bytes(g)
			one = s.byID[oracle.IDOfBytes(s.key, s.value)]
		}
		if one != nil {
			one.key = "event " + strings.Clone(g.EventID())
			one.add(line(g, scan, acked))
		}
	}
	if len(s.byKey) == 0 {
		return
	}
	var sku, site string
	switch {
	case !scan.Kind.Movement():
		sku, site = g.Canonical()
	case g.Scanned():
		sku, site, _ = s.oracle.Meant(&scan.Movement)
	default:
		sku, site = scan.Movement.SKU, scan.Movement.Header.Site
	}
	if sku == "" {
		return
	}
	s.room = topics.Key(s.room[:0], sku, site)
	if one := s.byKey[string(s.room)]; one != nil {
		one.add(line(g, scan, acked))
	}
}

func (one *suspect) add(line string) {
	switch {
	case len(one.first) < eventsShown/2:
		one.first = append(one.first, line)
	case len(one.last) < eventsShown/2:
		one.last = append(one.last, line)
	default:
		one.last[(one.events-eventsShown/2)%(eventsShown/2)] = line
	}
	one.events++
}

func (one *suspect) shown() report.FailingKey {
	k := report.FailingKey{Key: one.key, What: one.what, Events: one.first}
	if n := int64(len(one.last)); n == eventsShown/2 {
		at := (one.events - eventsShown/2) % n
		k.Events = append(append(k.Events, one.last[at:]...), one.last[:at]...)
	} else {
		k.Events = append(k.Events, one.last...)
	}
	k.Omitted = one.events - int64(len(k.Events))
	return k
}

// line shows one event:
//
//	#17 due 2026-11-27T06:00:00.000708Z pick -3 EA AVAILABLE to PICKED, happened 2026-11-27T05:59:58Z, event e, dedupe key d, exact repetition
func line(g *scans.Generator, s *scans.Scan, acked bool) string {
	var b strings.Builder
	m := &s.Movement
	fmt.Fprintf(&b, "#%d due %v %v", s.Seq, s.At, s.Kind)
	if s.Kind.Movement() {
		qty, unit := m.QtySrc, m.UOMSrc
		if !g.Scanned() {
			qty, unit = m.QtyDelta, ""
		}
		fmt.Fprintf(&b, " %v %v", m.Type, qty)
		if unit != "" {
			b.WriteString(" " + unit)
		}
		if m.From.Valid || m.To.Valid {
			fmt.Fprintf(&b, " %v to %v", oracle.BucketOf(m.From), oracle.BucketOf(m.To))
		}
		fmt.Fprintf(&b, ", happened %v, dedupe key %s", m.Header.EventTime, m.Header.DedupeKey)
	}
	fmt.Fprintf(&b, ", event %s", g.EventID())
	switch s.Copy {
	case scans.Exact:
		b.WriteString(", exact repetition")
	case scans.ReEnveloped:
		b.WriteString(", repetition in a new envelope")
	}
	if s.Offline {
		b.WriteString(", kept by a device that was offline")
	}
	if s.Poison != scans.NotPoison {
		fmt.Fprintf(&b, ", spoilt: %v, must become %v %s", s.Poison, s.Poison.Expect(), s.Poison.Cause())
	}
	if !acked {
		b.WriteString(", not on its topic")
	}
	return b.String()
}
