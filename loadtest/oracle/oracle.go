// Package oracle recounts stock from what was sent, and compares it with what the pipeline says: the balances topic, the
// ledger, the state that answers queries and the rows of an analytical store. It is the second opinion on every claim that
// nothing was lost or counted twice, so it shares no code with the processors, and knows the rules from their description
// alone:
//
//   - A movement counts once per SKU and site, by its dedupe key, whatever its envelope.
//   - Its quantity leaves the bucket `from` and arrives in the bucket `to`; a negative one, and a REVERSAL, moves the
//     other way; a missing place is the world outside. Order does not matter.
//   - What moves nothing is not counted. What moves from outside to outside is broken.
//   - The version of a balance is the number of movements counted, its as-of time the latest event time among them.
//   - Before enrichment an item, a site and a unit are what the master data says, and a place that the source leaves out
//     is the usual one of the movement's type. What master data does not know, what converts with a remainder, what lacks
//     its lot and what another system owns never reaches a balance: it comes out elsewhere, once for each sending, as a dead
//     letter, an exception or a parked event (Place), under the cause that its fault has.
//   - What is no movement (milestones, orders, master data, snapshots) moves no stock yet.
//
// The package knows no broker and no database: whoever reads them hands it records. Memory is bounded by Options: 180 bytes
// a key, 24 bytes a movement, 50 bytes one that comes out elsewhere. One goroutine tells an Oracle what was sent; once all
// is told, any number of checks may run at the same time, each in a goroutine of its own.
package oracle

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/topology/topics"
)

// held is how many buckets a balance shows: AVAILABLE to CLEARING. EXTERNAL, the world outside, is the rest of the sum.
const held = int(event.BucketClearing)

// Buckets are the quantities of the buckets from AVAILABLE to CLEARING, in the order of the schema, in millionths of the
// item's base unit.
type Buckets [held]event.Quantity

// Of returns one bucket; EXTERNAL is what makes the sum zero.
func (b *Buckets) Of(k event.Bucket) event.Quantity {
	if k != event.BucketExternal {
		return b[k-1]
	}
	var sum event.Quantity
	for _, q := range b {
		sum += q
	}
	return -sum
}

func (b *Buckets) add(k event.Bucket, q event.Quantity) {
	if k != event.BucketExternal {
		b[k-1] += q
	}
}

// Options of an Oracle. The zero value is the default.
type Options struct {
	// Runs are the names of the runs whose keys are meant: a system may hold other stock beside them. A key is a run's if
	// its SKU begins with the run's name, and no letter or digit goes on with it: SKU run1-00042 is of run1, and run10-00042 is
	// not. Every check passes over other keys and counts them (Finding.Foreign); a key of a run that was never sent is a
	// problem. None: every key is meant.
	Runs []string
	// MaxKeys bounds the pairs of SKU and site; default 16 million.
	MaxKeys int
	// MaxTroubles bounds the events that must come out elsewhere than in a balance; default 4 million.
	MaxTroubles int
	// GivenUp says that everything that waits for master data in vain has waited longer than the time limit of parking: it must
	// have come out as a dead letter and as an exception besides, once each, both with the cause MASTER_DATA_MISSING.
	GivenUp bool
	// Catalogue is the master data that Received looks up; nil: it refuses everything, until Use.
	Catalogue *Catalogue
}

// A Fate says what a sent event must have done.
type Fate uint8

// The fates.
const (
	Counted    Fate = iota // it moved stock
	Repeated               // its happening was counted before
	Idle                   // it moves nothing
	Refused                // it must not reach a balance: see Oracle.Refusals
	Aside                  // it is no movement
	Unreadable             // its bytes are no event
)

// String names the fate.
func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return fmt.Sprintf("Fate(%d)", uint8(f))
}

var fateNames = [...]string{"counted", "repeated", "idle", "refused", "aside", "unreadable"}

// ErrTooManyKeys says that the run has more keys than Options.MaxKeys.
var ErrTooManyKeys = errors.New("oracle: more pairs of SKU and site than its memory is meant for: raise MaxKeys")

// ErrTooManyTroubles says that more events must come out elsewhere than Options.MaxTroubles.
var ErrTooManyTroubles = errors.New("oracle: more dead letters, exceptions and parked events than its memory is meant for: raise MaxTroubles")

// A NotOfRunError says that a movement was told whose SKU is no run's: no check would ever look at it.
type NotOfRunError struct {
	SKU  string
	Runs []string
}

func (e *NotOfRunError) Error() string {
	return fmt.Sprintf("oracle: SKU %s begins with no run's name (%s): tell the oracle under which names the events were sent", e.SKU, strings.Join(e.Runs, ", "))
}

// An Oracle holds what every balance must be.
type Oracle struct {
	options  Options
	keys     keyTable
	happened hashSet
	fates    [len(fateNames)]int64
	refusals map[string]int64
	troubles map[uint64]trouble
	key      []byte
}

// New makes an Oracle that was told nothing.
func New(o Options) *Oracle {
	if o.MaxKeys <= 0 {
		o.MaxKeys = 16_000_000
	}
	if o.MaxTroubles <= 0 {
		o.MaxTroubles = 4_000_000
	}
	return &Oracle{options: o, refusals: make(map[string]int64), troubles: make(map[uint64]trouble)}
}

// Use is the master data that the next movements are meant by: each of several runs has its own.
func (o *Oracle) Use(c *Catalogue) { o.options.Catalogue = c }

// Runs are the names of the runs whose keys are meant; none: all are.
func (o *Oracle) Runs() []string { return o.options.Runs }

// ofRun says whether a SKU is meant.
func (o *Oracle) ofRun(sku string) bool {
	for _, run := range o.options.Runs {
		if rest, ok := strings.CutPrefix(sku, run); ok && (rest == "" || !letterOrDigit(rest[0])) {
			return true
		}
	}
	return len(o.options.Runs) == 0
}

func letterOrDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// keyOfRun is ofRun for a record's key, as it stands. Names of runs have nothing that a key escapes.
func (o *Oracle) keyOfRun(key []byte) bool {
	sku, _, _ := bytes.Cut(key, []byte{'|'})
	for _, run := range o.options.Runs {
		if rest, ok := bytes.CutPrefix(sku, []byte(run)); ok && (len(rest) == 0 || !letterOrDigit(rest[0])) {
			return true
		}
	}
	return len(o.options.Runs) == 0
}

// Expect tells the oracle of a movement that was sent as the inventory stage's inbox carries it: canonical, qty_delta in
// the base unit. m is not kept. The error is ErrTooManyKeys, ErrTooManyTroubles or a *NotOfRunError.
func (o *Oracle) Expect(m *event.InventoryMovement) (Fate, error) {
	return o.expect(m, resolved{m.SKU, m.Header.Site, BucketOf(m.From), BucketOf(m.To), m.QtyDelta})
}

// Received tells the oracle of a movement that was sent before enrichment: item, site and unit as the source names them.
// m is not kept. The error is as that of Expect.
func (o *Oracle) Received(m *event.InventoryMovement) (Fate, error) {
	if o.options.Catalogue == nil {
		return o.refuse(m, errNoMasterData)
	}
	meant, err := o.options.Catalogue.resolve(m)
	if err != nil {
		return o.refuse(m, err)
	}
	return o.expect(m, meant)
}

// Meant is the key that a movement, sent before enrichment, moves stock of; ok is false where it must not.
func (o *Oracle) Meant(m *event.InventoryMovement) (sku, site string, ok bool) {
	if o.options.Catalogue == nil {
		return "", "", false
	}
	meant, err := o.options.Catalogue.resolve(m)
	return meant.sku, meant.site, err == nil
}

// Aside tells the oracle of an event that is no movement.
func (o *Oracle) Aside() Fate { return o.count(Aside) }

// Unreadable tells the oracle of bytes that were sent and are no event: they must come out as a dead letter of the cause.
// The error is ErrTooManyTroubles.
func (o *Oracle) Unreadable(cause string, key, value []byte) (Fate, error) {
	if err := o.trouble(IDOfBytes(key, value), Trouble{DeadLetters, cause}); err != nil {
		return 0, err
	}
	return o.count(Unreadable), nil
}

func (o *Oracle) refuse(m *event.InventoryMovement, why error) (Fate, error) {
	o.refusals[why.Error()]++
	var r *refusal
	if errors.As(why, &r) {
		if err := o.trouble(IDOfEvent(m.Header.EventID), r.trouble); err != nil {
			return 0, err
		}
	}
	return o.count(Refused), nil
}

func (o *Oracle) count(f Fate) Fate {
	o.fates[f]++
	return f
}

func (o *Oracle) expect(m *event.InventoryMovement, r resolved) (Fate, error) {
	from, to, qty := r.from, r.to, r.qty
	if m.Type == event.MovementTypeReversal {
		from, to = to, from
	}
	if qty < 0 {
		from, to, qty = to, from, -qty
	}
	switch {
	case m.Header.DedupeKey == "":
		return o.refuse(m, errNoDedupeKey)
	case qty == 0 && m.QtySrc != 0:
		return o.refuse(m, errNotConverted)
	case from == event.BucketExternal && to == event.BucketExternal:
		return o.refuse(m, errOutside)
	case qty > event.MaxQuantity:
		return o.refuse(m, errBeyond)
	case qty == 0:
		return o.count(Idle), nil
	case !o.ofRun(r.sku):
		return 0, &NotOfRunError{SKU: r.sku, Runs: o.options.Runs}
	}
	o.key = topics.Key(o.key[:0], r.sku, r.site)
	keyHash := xxhash.Sum64(o.key)
	happening := happeningOf(keyHash, m.Header.DedupeKey)
	if _, added := o.happened.add(happening); !added {
		return o.count(Repeated), nil
	}
	i, err := o.keys.open(keyHash, o.key, o.options.MaxKeys)
	if err != nil {
		return 0, err
	}
	e := o.keys.at(i)
	if e.version == 0 || int64(m.Header.EventTime) > e.asOf {
		e.asOf = int64(m.Header.EventTime)
	}
	e.version++
	e.buckets.add(from, -qty)
	e.buckets.add(to, qty)
	e.postings += postingOf(happening, from, to, qty, m.Header.EventTime)
	return o.count(Counted), nil
}

// BucketOf is where a movement takes from or puts to: the world outside where it names no place.
func BucketOf(p event.Optional[event.Place]) event.Bucket {
	if !p.Valid {
		return event.BucketExternal
	}
	return p.Value.Bucket
}

// happeningOf identifies what happened at a key by 64 bits. Among ten million, two share them once in 370,000 runs, and
// the verdict then fails: it never passes what is wrong.
func happeningOf(keyHash uint64, dedupeKey string) uint64 {
	return mix(keyHash ^ mix(xxhash.Sum64String(dedupeKey)))
}

// postingOf is what one posting adds to a key's sum: equal sums are the same postings in any order.
func postingOf(happening uint64, from, to event.Bucket, qty event.Quantity, at event.Micros) uint64 {
	return mix(happening ^ mix(uint64(from)<<8|uint64(to)) ^ mix(uint64(qty)+0x9e37) ^ mix(uint64(at)+0x79b9))
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Sent is how many events the oracle was told of.
func (o *Oracle) Sent() int64 {
	var n int64
	for _, f := range o.fates {
		n += f
	}
	return n
}

// Fates counts the events by what they must have done.
func (o *Oracle) Fates(f Fate) int64 { return o.fates[f] }

// Keys is how many pairs of SKU and site must have a balance.
func (o *Oracle) Keys() int { return o.keys.len() }

// Refusals counts why movements must not reach a balance.
func (o *Oracle) Refusals() map[string]int64 {
	c := make(map[string]int64, len(o.refusals))
	for reason, n := range o.refusals {
		c[reason] = n
	}
	return c
}

// A State is what a balance must be, or was said to be.
type State struct {
	Version int64
	AsOf    event.Micros
	Buckets Buckets
}

// Expected is what the balance of a SKU at a site must be; ok is false where nothing moved.
func (o *Oracle) Expected(sku, site string) (s State, ok bool) {
	key := topics.Key(nil, sku, site)
	i, ok := o.keys.find(xxhash.Sum64(key), key)
	if !ok {
		return State{}, false
	}
	return o.keys.at(i).state(), true
}

// Each calls f with every balance that must be, in the order in which the keys were first told of.
func (o *Oracle) Each(f func(sku, site string, s State) bool) {
	for i := range o.keys.len() {
		e := o.keys.at(i)
		parts := topics.SplitKey(o.keys.key(e))
		if !f(parts[0], parts[1], e.state()) {
			return
		}
	}
}

// Key is the SKU and site of the balance at a place of that order, from 0 to Keys() less one. It may be called by several
// goroutines once all is told.
func (o *Oracle) Key(i int) (sku, site string) {
	parts := topics.SplitKey(o.keys.key(o.keys.at(i)))
	return parts[0], parts[1]
}
