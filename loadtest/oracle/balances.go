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

// A BalanceCheck compares one reading of all balances with what was sent: the balances topic from its start, the rows of a
// table, or the answers to queries. The oracle must not be told of more while it runs. Memory: 24 bytes a key, and 104 for
// each that is not as it must be yet.
type BalanceCheck struct {
	oracle  *Oracle
	finding Finding
	limit   int
	seen    []seen // by entry
	wrong   states // what was said last, where it is not what must be
	unsent  map[string]int64
	key     []byte
}

// seen is what was last read of a key.
type seen struct {
	version int64
	safety  event.Quantity
	wrong   uint32 // place in states plus one; 0: it is what must be
}

// Balances starts a check; source names the reading in a report. limit is how many differences it lists; 0 is
// DefaultDifferences.
func (o *Oracle) Balances(source string, limit int) *BalanceCheck {
	if limit <= 0 {
		limit = DefaultDifferences
	}
	return &BalanceCheck{
		oracle: o, finding: Finding{Source: source}, limit: limit,
		seen: make([]seen, o.keys.len()), unsent: make(map[string]int64),
	}
}

// Record takes the next record of the balances topic, each partition in its order. Neither key nor b is kept. Beside the
// newest state of a key it holds each record against itself: the key, the sums, what may be sold; and against the one
// before it: versions rise.
func (c *BalanceCheck) Record(key []byte, b *event.InventoryBalance) {
	c.finding.Read++
	if !c.oracle.keyOfRun(key) && !c.oracle.ofRun(b.SKU) {
		c.finding.Foreign++
		return
	}
	c.key = topics.Key(c.key[:0], b.SKU, b.Site)
	if string(c.key) != string(key) {
		c.problem(Inconsistent, string(key), "the record's key is not that of its value, "+string(c.key))
		return
	}
	r := Row{
		Version: b.Version, AsOf: b.AsOf, Buckets: bucketsOf(b),
		OnHand: b.OnHand, SafetyStock: b.SafetyStock, ATS: b.ATS, Negative: b.Negative,
	}
	c.observe(&r)
}

func bucketsOf(b *event.InventoryBalance) Buckets {
	return Buckets{
		b.Available, b.Allocated, b.Picked, b.Staged, b.QC, b.Damaged, b.Hold, b.Returned,
		b.InTransitIn, b.InTransitOut, b.Clearing,
	}
}

// A Row is one balance as a table or an answer has it.
type Row struct {
	SKU, Site                string
	Version                  int64
	AsOf                     event.Micros
	Buckets                  Buckets
	OnHand, SafetyStock, ATS event.Quantity
	Negative                 bool
}

// contradiction says where a balance is not what its own buckets make.
func (r *Row) contradiction() string {
	var onHand event.Quantity
	negative := false
	for i, q := range r.Buckets {
		if k := event.Bucket(i + 1); k <= event.BucketReturned {
			onHand += q
		}
		negative = negative || q < 0
	}
	switch sellable := max(0, r.Buckets.Of(event.BucketAvailable)-r.SafetyStock); {
	case r.OnHand != onHand:
		return fmt.Sprintf("on hand is %v, its buckets make %v", r.OnHand, onHand)
	case r.ATS != sellable:
		return fmt.Sprintf("available to sell is %v, available less safety stock %v", r.ATS, sellable)
	case r.Negative != negative:
		return fmt.Sprintf("negative is %v, its buckets make it %v", r.Negative, negative)
	}
	return ""
}

// Rows takes the rows of a table that holds each key once, in any order. A row is read before the next is asked for. It
// returns the error of the first row that could not be read.
func (c *BalanceCheck) Rows(rows iter.Seq2[*Row, error]) error {
	for r, err := range rows {
		if err != nil {
			return fmt.Errorf("read %s: %w", c.finding.Source, err)
		}
		c.finding.Read++
		if !c.oracle.ofRun(r.SKU) {
			c.finding.Foreign++
			continue
		}
		c.key = topics.Key(c.key[:0], r.SKU, r.Site)
		c.observe(r)
	}
	return nil
}

// Answer takes what was said when the balance at place i (see Oracle.Key) was asked for: nil where there is none. Each is
// asked for once.
func (c *BalanceCheck) Answer(i int, r *Row) {
	c.finding.Read++
	if r == nil {
		return // Finding says that it is lost
	}
	if sku, site := c.oracle.Key(i); r.SKU != sku || r.Site != site {
		c.key = c.oracle.keys.append(c.key[:0], i)
		c.problem(Inconsistent, string(c.key), fmt.Sprintf("the answer is about %s at %s", r.SKU, r.Site))
		return
	}
	c.key = c.oracle.keys.append(c.key[:0], i)
	c.observe(r)
}

// observe takes what is said of c.key.
func (c *BalanceCheck) observe(r *Row) {
	if problem := r.contradiction(); problem != "" {
		c.problem(Inconsistent, string(c.key), fmt.Sprintf("version %d: %s", r.Version, problem))
	}
	i, ok := c.oracle.keys.find(xxhash.Sum64(c.key), c.key)
	if !ok {
		c.neverSent()
		return
	}
	last := &c.seen[i]
	switch {
	case r.Version <= 0:
		c.problem(Inconsistent, string(c.key), fmt.Sprintf("version %d: versions count postings from 1", r.Version))
		return
	case r.Version < last.version:
		c.problem(Disordered, string(c.key), fmt.Sprintf("version %d after version %d", r.Version, last.version))
		return
	case r.Version == last.version && r.SafetyStock == last.safety:
		c.problem(Duplicated, string(c.key), fmt.Sprintf("version %d was said twice", r.Version))
	}
	last.version, last.safety = r.Version, r.SafetyStock
	if want := c.oracle.keys.at(i); r.Version == want.version && r.Buckets == want.buckets && int64(r.AsOf) == want.asOf {
		last.wrong = c.wrong.drop(last.wrong)
		return
	}
	last.wrong = c.wrong.set(last.wrong, State{r.Version, r.AsOf, r.Buckets})
}

// neverSent keeps a key that nothing was sent for.
func (c *BalanceCheck) neverSent() {
	if _, known := c.unsent[string(c.key)]; known || len(c.unsent) < c.limit {
		c.unsent[string(c.key)]++
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
		if at := c.seen[i].wrong; at != 0 {
			c.finding.add(c.limit, difference(string(c.oracle.keys.key(e)), e, c.wrong.at(at)))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.unsent)) {
		c.finding.add(c.limit, Difference{Problem: Unexpected, Key: key, Events: c.unsent[key], Detail: "a balance of what was never sent"})
	}
	c.unsent, c.wrong, c.seen = nil, states{}, nil
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
	if int64(s.AsOf) != e.asOf {
		d.Detail += fmt.Sprintf("; as of %v instead of %v", s.AsOf, event.Micros(e.asOf))
	}
	return d
}

const statesPerSlab = 1 << 12

// states keeps as many states as are in use at one time: while a topic is read, most keys are not as they must be for a
// while.
type states struct {
	slabs [][]State
	used  uint32
	free  []uint32
}

func (s *states) at(place uint32) *State {
	return &s.slabs[(place-1)/statesPerSlab][(place-1)%statesPerSlab]
}

// set keeps a state at a place, or at a new one where that is 0, and returns it.
func (s *states) set(place uint32, state State) uint32 {
	switch last := len(s.free) - 1; {
	case place != 0:
	case last >= 0:
		place, s.free = s.free[last], s.free[:last]
	default:
		if s.used%statesPerSlab == 0 {
			s.slabs = append(s.slabs, make([]State, statesPerSlab))
		}
		s.used++
		place = s.used
	}
	*s.at(place) = state
	return place
}

// drop gives a place back, and returns 0.
func (s *states) drop(place uint32) uint32 {
	if place != 0 {
		s.free = append(s.free, place)
	}
	return 0
}
