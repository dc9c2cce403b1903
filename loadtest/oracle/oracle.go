// Package oracle recounts stock from what was sent, and compares it with what the pipeline says: the balances topic, the
// ledger and the rows of an analytical store. It is the second opinion on every claim that nothing was lost or counted
// twice, so it shares no code with the processors, and knows the rules from their description alone:
//
//   - A movement counts once per SKU and site, by its dedupe key, whatever its envelope.
//   - Its quantity leaves the bucket `from` and arrives in the bucket `to`; a negative one, and a REVERSAL, moves the
//     other way; a missing place is the world outside. Order does not matter.
//   - What moves nothing, or from outside to outside, is not counted.
//   - The version of a balance is the number of movements counted, its as-of time the latest event time among them.
//   - Before enrichment an item, a site and a unit are what the master data says, and a place that the source leaves out
//     is the usual one of the movement's type. What master data does not know, what converts with a remainder, what lacks
//     its lot and what another system owns never reaches a balance.
//
// The package knows no broker and no database: whoever reads them hands it records. Memory is bounded by Options.MaxKeys:
// 160 bytes a key and 24 bytes a movement. One goroutine uses an Oracle; its checks may run one after the other.
package oracle

import (
	"errors"
	"fmt"

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
	// MaxKeys bounds the pairs of SKU and site; default 16 million.
	MaxKeys int
	// Catalogue is the master data that Received looks up; nil: it refuses everything.
	Catalogue *Catalogue
}

// A Fate says what a sent movement must have done.
type Fate uint8

// The fates.
const (
	Counted  Fate = iota // it moved stock
	Repeated             // its happening was counted before
	Idle                 // it moves nothing
	Refused              // it must not reach a balance: see Oracle.Refusals
)

// String names the fate.
func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return fmt.Sprintf("Fate(%d)", uint8(f))
}

var fateNames = [...]string{"counted", "repeated", "idle", "refused"}

// ErrTooManyKeys says that the run has more keys than Options.MaxKeys.
var ErrTooManyKeys = errors.New("oracle: more pairs of SKU and site than its memory is meant for: raise MaxKeys")

// An Oracle holds what every balance must be.
type Oracle struct {
	options  Options
	keys     keyTable
	happened hashSet
	fates    [len(fateNames)]int64
	refusals map[string]int64
	key      []byte
}

// New makes an Oracle that was told nothing.
func New(o Options) *Oracle {
	if o.MaxKeys <= 0 {
		o.MaxKeys = 16_000_000
	}
	return &Oracle{options: o, refusals: make(map[string]int64)}
}

// Expect tells the oracle of a movement that was sent as the inventory stage's inbox carries it: canonical, qty_delta in
// the base unit. m is not kept. The error is ErrTooManyKeys.
func (o *Oracle) Expect(m *event.InventoryMovement) (Fate, error) {
	return o.expect(m, resolved{m.SKU, m.Header.Site, bucketOf(m.From), bucketOf(m.To), m.QtyDelta})
}

// Received tells the oracle of a movement that was sent before enrichment: item, site and unit as the source names them.
// m is not kept. The error is ErrTooManyKeys.
func (o *Oracle) Received(m *event.InventoryMovement) (Fate, error) {
	if o.options.Catalogue == nil {
		return o.refuse("no master data"), nil
	}
	meant, err := o.options.Catalogue.resolve(m)
	if err != nil {
		return o.refuse(err.Error()), nil
	}
	return o.expect(m, meant)
}

func (o *Oracle) refuse(reason string) Fate {
	o.refusals[reason]++
	return o.count(Refused)
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
		return o.refuse("no dedupe key"), nil
	case qty == 0:
		return o.count(Idle), nil
	case from == event.BucketExternal && to == event.BucketExternal:
		return o.refuse("from outside to outside"), nil
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

func bucketOf(p event.Optional[event.Place]) event.Bucket {
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

// Sent is how many movements the oracle was told of.
func (o *Oracle) Sent() int64 {
	var n int64
	for _, f := range o.fates {
		n += f
	}
	return n
}

// Fates counts the movements by what they must have done.
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
	AsOf    event.Micros // 0 where it was not said
	Buckets Buckets
}

// Expected is what the balance of a SKU at a site must be; ok is false where nothing moved.
func (o *Oracle) Expected(sku, site string) (s State, ok bool) {
	o.key = topics.Key(o.key[:0], sku, site)
	i, ok := o.keys.find(xxhash.Sum64(o.key), o.key)
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
