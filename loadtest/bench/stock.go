package bench

import (
	"crossdock/avro/event"
	"crossdock/loadtest/oracle"
	"crossdock/loadtest/scans"
	"crossdock/topology/topics"
)

// stockRows makes, of each movement that counts, the posting and the balance that the inventory stage would: what they are
// is the oracle's word.
type stockRows struct {
	generator *scans.Generator
	stock     *oracle.Oracle
	posting   event.LedgerPosting // with balance valid until the next ones
	balance   event.InventoryBalance
}

func newStockRows(load scans.Load) (*stockRows, error) {
	g, err := scans.NewEnriched(load)
	return &stockRows{generator: g, stock: oracle.New(oracle.Options{})}, err
}

func (s *stockRows) next() error {
	for {
		scan := s.generator.Next()
		m := &scan.Movement
		fate, err := s.stock.Expect(m)
		if err != nil {
			return err
		}
		if fate == oracle.Counted {
			state, _ := s.stock.Expected(m.SKU, m.Header.Site)
			s.post(m, &state, scan.At)
			return nil
		}
	}
}

func (s *stockRows) post(m *event.InventoryMovement, state *oracle.State, now event.Micros) {
	h, b := &m.Header, &state.Buckets
	row := rowOf(m.SKU, h.Site, state)
	s.balance = event.InventoryBalance{
		SKU: m.SKU, Site: h.Site, Version: state.Version, AsOf: state.AsOf, PostedAt: now,
		Available: b.Of(event.BucketAvailable), Allocated: b.Of(event.BucketAllocated), Picked: b.Of(event.BucketPicked),
		Staged: b.Of(event.BucketStaged), QC: b.Of(event.BucketQC), Damaged: b.Of(event.BucketDamaged), Hold: b.Of(event.BucketHold),
		Returned: b.Of(event.BucketReturned), InTransitIn: b.Of(event.BucketInTransitIn), InTransitOut: b.Of(event.BucketInTransitOut),
		Clearing: b.Of(event.BucketClearing), OnHand: row.OnHand, ATS: row.ATS, Negative: row.Negative, CauseEventID: h.EventID,
	}
	from, to, qty := oracle.BucketOf(m.From), oracle.BucketOf(m.To), m.QtyDelta
	if qty < 0 {
		from, to, qty = to, from, -qty
	}
	s.posting = event.LedgerPosting{
		EventID: h.EventID, SKU: m.SKU, Site: h.Site, PostingNo: state.Version, Type: m.Type, FromBucket: from, ToBucket: to, Qty: qty,
		Lot: m.Lot, EventTime: h.EventTime, PostedAt: now, DedupeKey: h.DedupeKey, CorrelationID: h.CorrelationID,
		SourceSystem: h.SourceSystem, SourceDocType: h.SourceDocType, SourceDocID: h.SourceDocID, SourceLine: h.SourceLine,
		ReasonCanon: m.ReasonCanon, RawRef: h.RawRef,
	}
	if m.Ref.Valid {
		s.posting.Order, s.posting.Shipment = m.Ref.Value.Order, m.Ref.Value.Shipment
	}
}

// key is the record key of both.
func (s *stockRows) key() []byte { return topics.Key(nil, s.balance.SKU, s.balance.Site) }
