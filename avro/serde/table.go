package serde

import "crossdock/avro/event"

// A schema is what reading needs to know of a schema id.
type schema struct {
	id     int
	kind   event.Kind
	writer *writer // nil: the bytes have the current schema's form
}

// A table finds schemas by id. It is never changed: it is read on every record, without a lock. Registries count ids up
// from 1 or from 100,001, so the low bits of an id spread well, and a look-up is one comparison as a rule.
type table struct {
	slots []schema // open addressing; a length that is a power of two, at least twice the entries; kind 0: free
}

func newTable(schemas []schema) *table {
	size := 8
	for size < 2*len(schemas) {
		size *= 2
	}
	t := &table{slots: make([]schema, size)}
	for _, sc := range schemas {
		i := sc.id & (size - 1)
		for t.slots[i].kind != 0 && t.slots[i].id != sc.id {
			i = (i + 1) & (size - 1)
		}
		t.slots[i] = sc
	}
	return t
}

// find returns the entry of an id, nil where there is none.
func (t *table) find(id int) *schema {
	mask := len(t.slots) - 1
	for i := id & mask; ; i = (i + 1) & mask {
		switch sc := &t.slots[i]; {
		case sc.kind == 0:
			return nil
		case sc.id == id:
			return sc
		}
	}
}

// with returns a table with one more entry.
func (t *table) with(sc schema) *table {
	schemas := make([]schema, 0, len(t.slots)/2+1)
	for _, have := range t.slots {
		if have.kind != 0 {
			schemas = append(schemas, have)
		}
	}
	return newTable(append(schemas, sc))
}
