package masterdata

import (
	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// A Reference is a piece of master data that an event needs.
type Reference struct {
	Kind   event.MissingKind
	System string // whose code it is
	Code   string
	SKU    string // for a unit: the item's
}

// ReferenceOf is what a parked event waits for.
func ReferenceOf(p *event.ParkedEvent) Reference {
	return Reference{p.Missing, p.System, p.Code, p.SKU.Or("")}
}

// AppendKey appends the key under which events wait for the reference. Units belong to an item, whoever asks.
func (r Reference) AppendKey(b []byte) []byte {
	if r.Kind == event.MissingKindUnit {
		return topics.Key(b, r.Kind.String(), r.SKU, r.Code)
	}
	return topics.Key(b, r.Kind.String(), r.System, r.Code)
}

// Known says whether the tables have something to say about a reference, so that what waits for it can go on. An ambiguous
// code is known: waiting does not help it.
func (t *Tables) Known(r Reference) bool {
	switch r.Kind {
	case event.MissingKindSite:
		_, f := t.Site(r.System, r.Code)
		return f != Unknown
	case event.MissingKindUnit:
		item, ok := t.ItemBySKU(r.SKU)
		if !ok {
			return false
		}
		_, ok = item.Unit(r.Code)
		return ok
	default:
		return t.Item(r.System, r.Code).Finding != Unknown
	}
}
