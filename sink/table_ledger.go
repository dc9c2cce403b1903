package sink

import "crossdock/avro/event"

// ledgerRows are rows of inventory_ledger.
type ledgerRows struct {
	decoded event.LedgerPosting

	eventID, sku, lot, dedupeKey, correlationID, sourceDocID, sourceLine, orderNo, shipmentNo, pairID, rawRef text
	site, sourceSystem, sourceDocType, reasonCanon                                                            symbols
	movementType                                                                                              enum[event.MovementType]
	fromBucket, toBucket                                                                                      enum[event.Bucket]
	postingNo                                                                                                 scalars[uint64]
	qty                                                                                                       quantities
	eventTime, postedAt                                                                                       times
}

func newLedgerRows() *ledgerRows { return &ledgerRows{} }

func (r *ledgerRows) event() event.Record { return &r.decoded }

func (r *ledgerRows) columns() []namedColumn {
	return []namedColumn{
		{"event_id", &r.eventID}, {"sku", &r.sku}, {"site", &r.site}, {"posting_no", &r.postingNo}, {"type", &r.movementType},
		{"from_bucket", &r.fromBucket}, {"to_bucket", &r.toBucket}, {"qty", &r.qty}, {"lot", &r.lot},
		{"event_time", &r.eventTime}, {"posted_at", &r.postedAt}, {"dedupe_key", &r.dedupeKey},
		{"correlation_id", &r.correlationID}, {"source_system", &r.sourceSystem}, {"source_doc_type", &r.sourceDocType},
		{"source_doc_id", &r.sourceDocID}, {"source_line", &r.sourceLine}, {"reason_canon", &r.reasonCanon},
		{"order_no", &r.orderNo}, {"shipment_no", &r.shipmentNo}, {"pair_id", &r.pairID}, {"raw_ref", &r.rawRef},
	}
}

func (r *ledgerRows) add() (event.Micros, error) {
	e := &r.decoded
	var c check
	c.text("event_id", e.EventID)
	c.text("sku", e.SKU)
	c.text("site", e.Site)
	c.count("posting_no", e.PostingNo)
	c.quantity("qty", e.Qty)
	c.optional("lot", e.Lot)
	c.time("event_time", e.EventTime)
	c.time("posted_at", e.PostedAt)
	c.text("dedupe_key", e.DedupeKey)
	c.text("correlation_id", e.CorrelationID)
	c.text("source_system", e.SourceSystem)
	c.text("source_doc_type", e.SourceDocType)
	c.text("source_doc_id", e.SourceDocID)
	c.optional("source_line", e.SourceLine)
	c.optional("reason_canon", e.ReasonCanon)
	c.optional("order_no", e.Order)
	c.optional("shipment_no", e.Shipment)
	c.optional("pair_id", e.PairID)
	c.optional("raw_ref", e.RawRef)
	if err := c.err(); err != nil {
		return 0, err
	}
	r.eventID.add(e.EventID)
	r.sku.add(e.SKU)
	r.site.add(e.Site)
	r.postingNo.add(uint64(e.PostingNo))
	r.movementType.addSymbol(e.Type)
	r.fromBucket.addSymbol(e.FromBucket)
	r.toBucket.addSymbol(e.ToBucket)
	r.qty.add(e.Qty)
	r.lot.addOptional(e.Lot)
	r.eventTime.add(e.EventTime)
	r.postedAt.add(e.PostedAt)
	r.dedupeKey.add(e.DedupeKey)
	r.correlationID.add(e.CorrelationID)
	r.sourceSystem.add(e.SourceSystem)
	r.sourceDocType.add(e.SourceDocType)
	r.sourceDocID.add(e.SourceDocID)
	r.sourceLine.addOptional(e.SourceLine)
	r.reasonCanon.addOptional(e.ReasonCanon)
	r.orderNo.addOptional(e.Order)
	r.shipmentNo.addOptional(e.Shipment)
	r.pairID.addOptional(e.PairID)
	r.rawRef.addOptional(e.RawRef)
	return e.EventTime, nil
}
