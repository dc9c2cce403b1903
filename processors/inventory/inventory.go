// Package inventory is the stage that keeps stock: it reads inventory-inbox, holds the buckets of each SKU and site, and
// tells balances and ledger postings. It knows the canonical events alone; master data has been looked up before.
//
// Invariants, by the names of docs/inventory.md:
//
//   - N1 Every posting is double entry: what leaves one bucket arrives in another of the same key. EXTERNAL, the world
//     outside, is not stored: it is the negative sum of the others, so that all buckets sum to zero whatever happens.
//   - N2, in part: a movement whose dedupe key is among the last 64 of its SKU and site changes nothing. Older
//     repetitions are not recognised.
//   - N3 Postings commute: any order of the same movements gives the same buckets, version and as-of time.
//   - N8 Balances may be negative, and are told as they are; what may be sold never is.
//
// Rules of a movement:
//
//   - A negative quantity moves the other way: from `to` to `from`.
//   - A REVERSAL names the places of what it undoes, and moves back from `to` to `from`.
//   - A place that is null is the world outside. A movement from the outside to the outside is rejected.
//   - Both places in one bucket: a move between bins. It is posted, and the balance stays.
//   - A quantity of 0 moves nothing: it is counted and passed over (the enrich stage has turned a zero-quantity status
//     change, as Koerber sends it, into the quantity that changed status). 0 of a source quantity that is not 0 is a
//     movement that nobody enriched: rejected.
//   - Stock below zero is posted and flagged, whatever the site's policy of negative stock says (ALLOW): to refuse a
//     movement that happened would make the balance depend on the order of arrival.
//   - No bucket, and not the stock on site, passes 18 digits: the movement that would is rejected.
//
// Snapshots, reservations and requests for them stand on the inbox too; this stage passes over them and counts.
package inventory

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"crossdock/avro/event"
	"crossdock/avro/wire"
	"crossdock/processors"
	"crossdock/topology/topics"
)

// Causes of a rejection by this stage.
const (
	BadMovement processors.Cause = "BAD_MOVEMENT" // it names no bucket to move from or to
	NotEnriched processors.Cause = "NOT_ENRICHED" // its quantity was never converted to the base unit
	NoIdentity  processors.Cause = "NO_IDENTITY"  // it has no dedupe key: a repetition could not be recognised
	QtyOverflow processors.Cause = "QTY_OVERFLOW" // a quantity, or the stock it makes, passes 18 digits
	BadPolicy   processors.Cause = "BAD_POLICY"   // a safety stock below zero or a version below zero
)

// Counters counts what leaves no trace in the output. One Counters may serve all tasks of a process; records that an
// aborted transaction processes again are counted again.
type Counters struct {
	Duplicates    atomic.Uint64 // movements that were known already
	ZeroMovements atomic.Uint64 // movements of nothing
	OldPolicies   atomic.Uint64 // policies whose version was known, or older
	PassedOver    atomic.Uint64 // snapshots, reservations and requests for them
}

// Options of the stage. The zero value is the default.
type Options struct {
	// NoLedger keeps postings from the ledger topic: balances alone are told.
	NoLedger bool
	// Counters, where given, counts.
	Counters *Counters
}

// New makes the processor of one task. Its first store, the only one, holds the stock by sku|site.
func New(o Options) processors.Processor {
	if o.Counters == nil {
		o.Counters = new(Counters)
	}
	return &processor{options: o}
}

// processor reuses everything it needs from record to record.
type processor struct {
	options  Options
	movement event.InventoryMovement
	policy   event.InventoryPolicy
	posting  event.LedgerPosting
	balance  event.InventoryBalance
	state    state
	packed   []byte
	key      []byte
}

// Process applies one record of the inbox.
func (p *processor) Process(ctx processors.Context, r *processors.Record) error {
	kind, err := ctx.Kind()
	if err != nil {
		return err
	}
	switch kind {
	case event.KindInventoryMovement:
		return p.move(ctx, r)
	case event.KindInventoryPolicy:
		return p.setPolicy(ctx, r)
	case event.KindInventorySnapshot, event.KindReservation, event.KindReservationRequest:
		p.options.Counters.PassedOver.Add(1)
		return nil
	default:
		return processors.Rejectf(processors.UnexpectedKind, "send it to the topic of its kind", "%s does not belong on %s", kind, topics.InventoryInbox)
	}
}

func (p *processor) move(ctx processors.Context, r *processors.Record) error {
	m := &p.movement
	if err := ctx.Decode(m); err != nil {
		return err
	}
	if !p.keyOf(r.Key, m.SKU, m.Header.Site) {
		return badKey(r.Key, m.SKU, m.Header.Site)
	}
	qty, from, to, err := direct(m)
	if err != nil {
		return err
	}
	if qty == 0 {
		p.options.Counters.ZeroMovements.Add(1)
		return nil
	}
	store := ctx.Store(0)
	s := &p.state
	if err := s.open(store.Get(r.Key)); err != nil {
		return corrupt(r.Key, err)
	}
	hash := xxhash.Sum64String(m.Header.DedupeKey)
	if s.remembers(hash) {
		p.options.Counters.Duplicates.Add(1)
		return nil
	}
	if err := s.post(m, qty, from, to, event.Micros(ctx.Now())); err != nil {
		return err
	}
	p.packed = s.appendWith(p.packed[:0], hash)
	store.Put(r.Key, p.packed)
	if !p.options.NoLedger {
		p.record(m, qty, from, to)
		ctx.Emit(topics.Ledger, r.Key, &p.posting)
	}
	return nil
}

// direct reads a movement as a quantity above zero that leaves one bucket and arrives in another.
func direct(m *event.InventoryMovement) (qty event.Quantity, from, to event.Bucket, err error) {
	qty = m.QtyDelta
	// A place that is null is the zero place: the world outside.
	from, to = m.From.Value.Bucket, m.To.Value.Bucket
	switch {
	case m.Header.DedupeKey == "":
		return 0, 0, 0, processors.Rejectf(NoIdentity, "have the source name what happened: document, line and version",
			"movement %s has no dedupe key, so that a repetition would be counted twice", m.Header.EventID)
	case qty == 0 && m.QtySrc != 0:
		return 0, 0, 0, processors.Rejectf(NotEnriched, "send it to "+topics.Movements.String()+", where its unit is converted",
			"movement %s says %s %s but no quantity in the base unit", m.Header.EventID, m.QtySrc, m.UOMSrc)
	case from == event.BucketExternal && to == event.BucketExternal:
		return 0, 0, 0, processors.Rejectf(BadMovement, "name the bucket that the stock leaves, or the one where it arrives",
			"movement %s (%s) moves from the outside to the outside", m.Header.EventID, m.Type)
	case qty > event.MaxQuantity || qty < -event.MaxQuantity:
		return 0, 0, 0, processors.Rejectf(QtyOverflow, "check the unit and the decimal sign", "movement %s moves more than 18 digits can say", m.Header.EventID)
	}
	back := m.Type == event.MovementTypeReversal
	if qty < 0 {
		qty, back = -qty, !back
	}
	if back {
		from, to = to, from
	}
	return qty, from, to, nil
}

// post moves a quantity between two buckets (N1) and counts the posting.
func (s *state) post(m *event.InventoryMovement, qty event.Quantity, from, to event.Bucket, now event.Micros) error {
	if from != to {
		s.bucket[from] -= qty
		s.bucket[to] += qty
		if onHand := s.onHand(); s.bucket[from] < -event.MaxQuantity && from != event.BucketExternal ||
			s.bucket[to] > event.MaxQuantity && to != event.BucketExternal ||
			onHand > event.MaxQuantity || onHand < -event.MaxQuantity {
			return processors.Rejectf(QtyOverflow, "check the unit and the decimal sign of this movement and of those before it",
				"movement %s of %s would take the stock of %s at %s past 18 digits", m.Header.EventID, qty, m.SKU, m.Header.Site)
		}
		s.bucket[event.BucketExternal] = 0
	}
	// The first posting opens the clock; a late scan does not turn it back (N3).
	if s.postings == 0 || m.Header.EventTime > s.asOf {
		s.asOf = m.Header.EventTime
	}
	s.postedAt = now
	s.postings++
	return nil
}

// record fills the ledger's posting.
func (p *processor) record(m *event.InventoryMovement, qty event.Quantity, from, to event.Bucket) {
	h := &m.Header
	ref := &m.Ref.Value
	p.posting = event.LedgerPosting{
		EventID:       h.EventID,
		SKU:           m.SKU,
		Site:          h.Site,
		PostingNo:     p.state.postings,
		Type:          m.Type,
		FromBucket:    from,
		ToBucket:      to,
		Qty:           qty,
		Lot:           m.Lot,
		EventTime:     h.EventTime,
		PostedAt:      p.state.postedAt,
		DedupeKey:     h.DedupeKey,
		CorrelationID: h.CorrelationID,
		SourceSystem:  h.SourceSystem,
		SourceDocType: h.SourceDocType,
		SourceDocID:   h.SourceDocID,
		SourceLine:    h.SourceLine,
		ReasonCanon:   m.ReasonCanon,
		Order:         ref.Order,
		Shipment:      ref.Shipment,
		PairID:        m.PairID,
		RawRef:        h.RawRef,
	}
}

// setPolicy keeps the safety stock of the newest version. It posts nothing: the version of the balance stays.
func (p *processor) setPolicy(ctx processors.Context, r *processors.Record) error {
	e := &p.policy
	if err := ctx.Decode(e); err != nil {
		return err
	}
	if !p.keyOf(r.Key, e.SKU, e.Header.Site) {
		return badKey(r.Key, e.SKU, e.Header.Site)
	}
	if e.SafetyStock < 0 || e.SafetyStock > event.MaxQuantity || e.Version < 0 {
		return processors.Rejectf(BadPolicy, "send a safety stock from 0 on and a version from 0 on",
			"policy %s keeps back %s of %s at %s, version %d", e.Header.EventID, e.SafetyStock, e.SKU, e.Header.Site, e.Version)
	}
	store := ctx.Store(0)
	s := &p.state
	if err := s.open(store.Get(r.Key)); err != nil {
		return corrupt(r.Key, err)
	}
	if s.hasPolicy && e.Version <= s.policyVersion {
		p.options.Counters.OldPolicies.Add(1)
		return nil
	}
	s.hasPolicy, s.policyVersion, s.safetyStock = true, e.Version, e.SafetyStock
	p.packed = s.appendTo(p.packed[:0])
	store.Put(r.Key, p.packed)
	return nil
}

// BeforeCommit tells the balance of a key, once for all that a transaction did to it.
func (p *processor) BeforeCommit(ctx processors.Context, key, value []byte) error {
	s := &p.state
	if err := s.open(value); err != nil {
		return corrupt(key, err)
	}
	b := &p.balance
	s.balance(key, b)
	if r := ctx.Record(); r != nil {
		// Every kind that puts a state starts with its header.
		if _, payload, err := wire.Split(r.Value); err == nil {
			b.CauseEventID, _ = event.PeekEventID(payload)
		}
	}
	ctx.Emit(topics.Balances, key, b)
	return nil
}

// keyOf says whether a record's key is the one that its fields make.
func (p *processor) keyOf(key []byte, sku, site string) bool {
	if len(key) == len(sku)+1+len(site) && bytes.IndexByte(key, '|') == len(sku) &&
		string(key[:len(sku)]) == sku && string(key[len(sku)+1:]) == site &&
		bytes.IndexByte(key[len(sku)+1:], '|') < 0 && bytes.IndexByte(key, '\\') < 0 {
		return sku != "" && site != ""
	}
	p.key = topics.Key(p.key[:0], sku, site)
	return bytes.Equal(key, p.key) && sku != "" && site != ""
}

// splitKey reads SKU and site of a key, in place unless a part is escaped.
func splitKey(key []byte) (sku, site string) {
	at := bytes.IndexByte(key, '|')
	if at < 0 || bytes.IndexByte(key, '\\') >= 0 {
		parts := topics.SplitKey(key)
		if len(parts) != 2 {
			return string(key), ""
		}
		return parts[0], parts[1]
	}
	text := unsafe.String(unsafe.SliceData(key), len(key))
	return text[:at], text[at+1:]
}

func badKey(key []byte, sku, site string) error {
	return processors.Rejectf(processors.BadKey, "key the record by "+topics.InventoryInbox.Lookup().Key+", each part with its | and \\ escaped",
		"the key is %s, the event's SKU and site are %s and %s", strconv.Quote(string(key)), strconv.Quote(sku), strconv.Quote(site))
}

func corrupt(key []byte, err error) error {
	return &processors.Fatal{Reason: "the stock of " + strconv.Quote(string(key)) + " does not read; restore the store from its changelog", Err: err}
}
