package oracle

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/avro/wire"
)

// A Place is where an event comes out that must not reach a balance.
type Place uint8

// The places.
const (
	DeadLetters Place = iota // topic dead-letters: bytes or events that are broken
	Exceptions               // topic exceptions: events that a person must look at
	Parked                   // topic parking-inbox: events that wait for master data
)

// String names the place.
func (p Place) String() string {
	switch p {
	case DeadLetters:
		return "dead letters"
	case Exceptions:
		return "exceptions"
	case Parked:
		return "parked"
	}
	return fmt.Sprintf("Place(%d)", uint8(p))
}

// A Trouble is where an event comes out, and under what cause: a dead letter's cause, an exception's class, the kind of
// reference that a parked event waits for.
type Trouble struct {
	Place Place
	Cause string
}

// String is "dead letters BAD_FRAMING".
func (t Trouble) String() string { return t.Place.String() + " " + t.Cause }

// trouble is what is expected of one identity; an exact repetition shares it.
type trouble struct {
	what Trouble
	sent int32
}

func (o *Oracle) trouble(id uint64, what Trouble) error {
	t, known := o.troubles[id]
	if !known && len(o.troubles) >= o.options.MaxTroubles {
		return ErrTooManyTroubles
	}
	t.what = what
	t.sent++
	o.troubles[id] = t
	return nil
}

// Refusal is where a movement, sent before enrichment, must come out; ok is false where it reaches a balance. It tells the
// oracle nothing.
func (o *Oracle) Refusal(m *event.InventoryMovement) (t Trouble, ok bool) {
	if o.options.Catalogue == nil {
		return Trouble{}, false
	}
	var r *refusal
	if _, err := o.options.Catalogue.resolve(m); !errors.As(err, &r) {
		return Trouble{}, false
	}
	return r.trouble, true
}

// IDOfBytes is the Difference.ID of a record that is no event: a dead letter repeats its key and value. The schema's id is left
// out where there is one, so that a run can be verified through another registry than it was sent through.
func IDOfBytes(key, value []byte) uint64 {
	if _, payload, err := wire.Split(value); err == nil {
		value = payload
	}
	return mix(xxhash.Sum64(key)+0x51ed) ^ mix(xxhash.Sum64(value)^0x2545f4914f6cdd1d)
}

// IDOfEvent is the Difference.ID of an event.
func IDOfEvent(eventID string) uint64 { return mix(xxhash.Sum64String(eventID) + 0x632b) }

// A TroubleCheck compares one place with the events that must come out there: each sending once, under its cause.
type TroubleCheck struct {
	oracle  *Oracle
	place   Place
	finding Finding
	limit   int
	seen    map[uint64]int32
}

// Elsewhere starts a check of a place. limit is how many differences it lists; 0 is DefaultDifferences.
func (o *Oracle) Elsewhere(p Place, limit int) *TroubleCheck {
	if limit <= 0 {
		limit = DefaultDifferences
	}
	return &TroubleCheck{oracle: o, place: p, finding: Finding{Source: p.String(), Apart: true}, limit: limit, seen: make(map[uint64]int32)}
}

// DeadLetter takes the next record of topic dead-letters. d is not kept.
func (c *TroubleCheck) DeadLetter(d *event.DeadLetter) {
	key, value := d.Key.Or(nil), d.Value.Or(nil)
	id := IDOfBytes(key, value)
	t, expected := c.oracle.troubles[id]
	eventID := ""
	if !expected || c.meant(t).Place != c.place {
		if _, payload, err := wire.Split(value); err == nil {
			if text, ok := event.PeekEventID(payload); ok {
				id, eventID = IDOfEvent(text), text
			}
		}
	}
	name := fmt.Sprintf("%s of %s, partition %d, offset %d", string(key), d.Topic, d.Partition, d.Offset)
	c.found(id, Trouble{c.place, d.Cause}, name, d.Detail, func(run string) bool {
		return names(key, run) || names(value, run) || names([]byte(eventID), run)
	})
}

// Exception takes the next record of topic exceptions. x is not kept.
func (c *TroubleCheck) Exception(x *event.LogisticsException) {
	eventID := x.Header.CausationID.Or("")
	c.found(IDOfEvent(eventID), Trouble{c.place, x.Class}, "event "+eventID, x.Detail, func(run string) bool {
		for _, text := range []string{x.ExceptionID, eventID, x.Reference, x.SKU.Or("")} {
			if names([]byte(text), run) {
				return true
			}
		}
		return false
	})
}

// Parked takes the next record of topic parking-inbox. p is not kept. An event that waits for a second reference is the
// same event.
func (c *TroubleCheck) Parked(p *event.ParkedEvent) {
	if p.Hops > 0 {
		return
	}
	c.found(IDOfEvent(p.EventID), Trouble{c.place, p.Missing.String()}, "event "+p.EventID, "it waits for "+p.Missing.String()+" "+p.Code, func(run string) bool {
		return names(p.Event, run) || names([]byte(p.EventID), run) || names([]byte(p.Code), run)
	})
}

// givenUp is the cause of a dead letter, and the class of the exception beside it, of an event that waited in vain.
const givenUp = "MASTER_DATA_MISSING"

// meant is what is expected of an event here. What waits in vain comes out in every place in the end (Options.GivenUp).
func (c *TroubleCheck) meant(t trouble) Trouble {
	if c.oracle.options.GivenUp && t.what.Place == Parked && c.place != Parked {
		return Trouble{c.place, givenUp}
	}
	return t.what
}

// found takes one that came out.
func (c *TroubleCheck) found(id uint64, what Trouble, name, detail string, carries func(run string) bool) {
	c.finding.Read++
	t, expected := c.oracle.troubles[id]
	meant := c.meant(t)
	if !expected || meant.Place != what.Place {
		if c.foreign(carries) {
			c.finding.Foreign++
			return
		}
		c.finding.add(c.limit, Difference{Problem: Unexpected, Key: name, ID: id, Detail: what.String() + ": " + detail})
		return
	}
	c.seen[id]++
	switch {
	case c.seen[id] > t.sent:
		c.finding.add(c.limit, Difference{Problem: Duplicated, Key: name, ID: id, Events: 1,
			Detail: fmt.Sprintf("%v: it came out %d times and was sent %d times", what, c.seen[id], t.sent)})
	case meant.Cause != what.Cause:
		c.finding.add(c.limit, Difference{Problem: Wrong, Key: name, ID: id, Detail: fmt.Sprintf("%v, %v was expected: %s", what, meant, detail)})
	}
}

// names says whether a text, or bytes with texts in them, has the run's name in it as a word of its own: everything that a run
// sends carries it, in its document's number if nowhere else.
func names(text []byte, run string) bool {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte(run))
		if at < 0 {
			return false
		}
		at += from
		end := at + len(run)
		if (at == 0 || !letterOrDigit(text[at-1])) && (end == len(text) || !letterOrDigit(text[end])) {
			return true
		}
		from = at + 1
	}
}

// foreign says that something is of no run. Without names everything is meant.
func (c *TroubleCheck) foreign(carries func(run string) bool) bool {
	for _, run := range c.oracle.options.Runs {
		if carries(run) {
			return false
		}
	}
	return len(c.oracle.options.Runs) > 0
}

// Finding ends the check.
func (c *TroubleCheck) Finding() Finding {
	for id, t := range c.oracle.troubles {
		meant := c.meant(t)
		if meant.Place != c.place {
			continue
		}
		if c.seen[id] > 0 {
			c.finding.Keys++
		}
		if missing := t.sent - c.seen[id]; missing > 0 {
			c.finding.add(c.limit, Difference{Problem: Lost, ID: id, Events: int64(missing), Key: fmt.Sprintf("%016x", id),
				Detail: fmt.Sprintf("%v was expected: it came out %d times and was sent %d times", meant, c.seen[id], t.sent)})
		}
	}
	return c.finding
}
