package oracle

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// DefaultDifferences is how many differences a finding lists.
const DefaultDifferences = 20

// A BalanceCheck compares one reading of all balances with what was sent: the balances topic from its start, or the rows
// of a table. The oracle must not be told of more movements while it runs.
type BalanceCheck struct {
	oracle  *Oracle
	finding Finding
	limit   int
	seen    []seen           // by entry
	wrong   map[int]State    // what was said last, where it is not what must be
	foreign map[string]int64 // keys that nothing was sent for, and how often they were read; the first of them
	key     []byte
}

// seen is what was last read of a key.
type seen struct {
	version int64
	safety  event.Quantity
}

// Balances starts a check; source names the reading in a report. limit is how many differences it lists; 0 is
// DefaultDifferences.
func (o *Oracle) Balances(source string, limit int) *BalanceCheck {
	if limit <= 0 {
		limit = DefaultDifferences
	}
	return &BalanceCheck{
		oracle: o, finding: Finding{Source: source}, limit: limit,
		seen: make([]seen, o.keys.len()), wrong: make(map[int]State), foreign: make(map[string]int64),
	}
}

// Record takes the next record of the balances topic, each partition in its order. Neither key nor b is kept. Beside the
// newest state of a key it holds each record against itself: the key, the sums, what may be sold; and against the one
// before it: versions rise.
func (c *BalanceCheck) Record(key []byte, b *event.InventoryBalance) {
	c.finding.Read++
	c.key = topics.Key(c.key[:0], b.SKU, b.Site)
	if string(c.key) != string(key) {
		c.problem(Inconsistent, string(key), "the record's key is not that of its value, "+string(c.key))
		return
	}
	s := State{b.Version, b.AsOf, bucketsOf(b)}
	if problem := contradiction(b, &s.Buckets); problem != "" {
		c.problem(Inconsistent, string(key), fmt.Sprintf("version %d: %s", b.Version, problem))
	}
	c.observe(key, s, b.SafetyStock)
}

func bucketsOf(b *event.InventoryBalance) Buckets {
	return Buckets{
		b.Available, b.Allocated, b.Picked, b.Staged, b.QC, b.Damaged, b.Hold, b.Returned,
		b.InTransitIn, b.InTransitOut, b.Clearing,
	}
}

// contradiction says where a balance is not what its own buckets make.
func contradiction(b *event.InventoryBalance, buckets *Buckets) string {
	var onHand event.Quantity
	negative := false
	for i, q := range buckets {
		if k := event.Bucket(i + 1); k <= event.BucketReturned {
			onHand += q
		}
		negative = negative || q < 0
	}
	switch sellable := max(0, b.Available-b.SafetyStock); {
	case b.OnHand != onHand:
		return fmt.Sprintf("on hand is %v, its buckets make %v", b.OnHand, onHand)
	case b.ATS != sellable:
		return fmt.Sprintf("available to sell is %v, available less safety stock %v", b.ATS, sellable)
	case b.Negative != negative:
		return fmt.Sprintf("negative is %v, its buckets make it %v", b.Negative, negative)
	}
	return ""
}

// A Row is one balance as a table has it.
type Row struct {
	SKU, Site string
	Version   int64
	Buckets   Buckets
}

// Rows takes the rows of a table that holds each key once. It returns the error of the first row that could not be read.
func (c *BalanceCheck) Rows(rows iter.Seq2[Row, error]) error {
	for r, err := range rows {
		if err != nil {
			return fmt.Errorf("read %s: %w", c.finding.Source, err)
		}
		c.finding.Read++
		c.key = topics.Key(c.key[:0], r.SKU, r.Site)
		c.observe(c.key, State{Version: r.Version, Buckets: r.Buckets}, 0)
	}
	return nil
}

func (c *BalanceCheck) observe(key []byte, s State, safety event.Quantity) {
	i, ok := c.oracle.keys.find(xxhash.Sum64(key), key)
	if !ok {
		c.unsent(key)
		return
	}
	last := &c.seen[i]
	switch {
	case s.Version <= 0:
		c.problem(Inconsistent, string(key), fmt.Sprintf("version %d: versions count postings from 1", s.Version))
		return
	case s.Version < last.version:
		c.problem(Disordered, string(key), fmt.Sprintf("version %d after version %d", s.Version, last.version))
		return
	case s.Version == last.version && safety == last.safety:
		c.problem(Duplicated, string(key), fmt.Sprintf("version %d was said twice", s.Version))
	}
	*last = seen{s.Version, safety}
	if want := c.oracle.keys.at(i); s.Version == want.version && s.Buckets == want.buckets && (s.AsOf == 0 || int64(s.AsOf) == want.asOf) {
		delete(c.wrong, i)
		return
	}
	c.wrong[i] = s
}

// unsent keeps a key that nothing was sent for.
func (c *BalanceCheck) unsent(key []byte) {
	if _, known := c.foreign[string(key)]; known || len(c.foreign) < c.limit {
		c.foreign[string(key)]++
		return
	}
	c.finding.Events[Unexpected]++
	c.finding.Omitted++
}

func (c *BalanceCheck) problem(p Problem, key, detail string) {
	c.finding.add(c.limit, Difference{Problem: p, Key: key, Detail: detail})
}

// Finding ends the check.
func (c *BalanceCheck) Finding() Finding {
	for i := range c.seen {
		e := c.oracle.keys.at(i)
		if c.seen[i].version == 0 {
			c.finding.add(c.limit, Difference{
				Problem: Lost, Key: string(c.oracle.keys.key(e)), Events: e.version,
				Detail: fmt.Sprintf("no balance, version %d was expected", e.version),
			})
			continue
		}
		c.finding.Keys++
		if s, ok := c.wrong[i]; ok {
			c.finding.add(c.limit, difference(string(c.oracle.keys.key(e)), e, &s))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.foreign)) {
		c.finding.add(c.limit, Difference{Problem: Unexpected, Key: key, Events: c.foreign[key], Detail: "a balance of what was never sent"})
	}
	c.foreign, c.wrong = nil, nil
	return c.finding
}

// difference tells from the version, which counts postings, whether some are missing or too many.
func difference(key string, e *entry, s *State) Difference {
	d := Difference{Key: key}
	buckets := describe(&e.buckets, &s.Buckets)
	switch {
	case s.Version < e.version:
		d.Problem, d.Events = Lost, e.version-s.Version
	case s.Version > e.version:
		d.Problem, d.Events = Duplicated, s.Version-e.version
	default:
		d.Problem = Wrong
	}
	d.Detail = fmt.Sprintf("version %d, %d was expected", s.Version, e.version)
	if buckets != "" {
		d.Detail += "; " + buckets
	}
	if s.AsOf != 0 && int64(s.AsOf) != e.asOf {
		d.Detail += fmt.Sprintf("; as of %v instead of %v", s.AsOf, event.Micros(e.asOf))
	}
	return d
}
