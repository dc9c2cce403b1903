package sink

import "crossdock/avro/event"

// exceptionRows are rows of exceptions. What the header says of actions and corrections concerns documents, not findings,
// and has no column.
type exceptionRows struct {
	decoded event.LogisticsException

	exceptionID, reference, document, sku, detail, remedy, expected, actual, owner  text
	eventID, dedupeKey, correlationID, causationID, sourceDocID, sourceLine, rawRef text
	class, stage, site, sourceSystem, sourceDocType                                 symbols
	status                                                                          enum[event.ExceptionStatus]
	severity                                                                        enum[event.Severity]
	version                                                                         scalars[uint64]
	retryable                                                                       scalars[bool]
	openedAt, eventTime, ingestTime                                                 times
}

func newExceptionRows() *exceptionRows { return &exceptionRows{} }

func (r *exceptionRows) event() event.Record { return &r.decoded }

func (r *exceptionRows) columns() []namedColumn {
	return []namedColumn{
		{"exception_id", &r.exceptionID}, {"version", &r.version}, {"status", &r.status}, {"class", &r.class},
		{"severity", &r.severity}, {"stage", &r.stage}, {"reference", &r.reference}, {"document", &r.document}, {"sku", &r.sku},
		{"site", &r.site}, {"detail", &r.detail}, {"remedy", &r.remedy}, {"expected", &r.expected}, {"actual", &r.actual},
		{"retryable", &r.retryable}, {"owner", &r.owner}, {"opened_at", &r.openedAt}, {"event_id", &r.eventID},
		{"dedupe_key", &r.dedupeKey}, {"correlation_id", &r.correlationID}, {"causation_id", &r.causationID},
		{"source_system", &r.sourceSystem}, {"source_doc_type", &r.sourceDocType}, {"source_doc_id", &r.sourceDocID},
		{"source_line", &r.sourceLine}, {"event_time", &r.eventTime}, {"ingest_time", &r.ingestTime}, {"raw_ref", &r.rawRef},
	}
}

func (r *exceptionRows) add() (event.Micros, error) {
	e, h := &r.decoded, &r.decoded.Header
	var c check
	c.text("exception_id", e.ExceptionID)
	c.count("version", e.Version)
	c.text("class", e.Class)
	c.text("stage", e.Stage)
	c.text("reference", e.Reference)
	c.optional("document", e.Document)
	c.optional("sku", e.SKU)
	c.text("site", h.Site)
	c.text("detail", e.Detail)
	c.text("remedy", e.Remedy)
	c.optional("expected", e.Expected)
	c.optional("actual", e.Actual)
	c.optional("owner", e.Owner)
	c.time("opened_at", e.OpenedAt)
	c.text("event_id", h.EventID)
	c.text("dedupe_key", h.DedupeKey)
	c.text("correlation_id", h.CorrelationID)
	c.optional("causation_id", h.CausationID)
	c.text("source_system", h.SourceSystem)
	c.text("source_doc_type", h.SourceDocType)
	c.text("source_doc_id", h.SourceDocID)
	c.optional("source_line", h.SourceLine)
	c.time("event_time", h.EventTime)
	c.time("ingest_time", h.IngestTime)
	c.optional("raw_ref", h.RawRef)
	if err := c.err(); err != nil {
		return 0, err
	}
	r.exceptionID.add(e.ExceptionID)
	r.version.add(uint64(e.Version))
	r.status.addSymbol(e.Status)
	r.class.add(e.Class)
	r.severity.addSymbol(e.Severity)
	r.stage.add(e.Stage)
	r.reference.add(e.Reference)
	r.document.addOptional(e.Document)
	r.sku.addOptional(e.SKU)
	r.site.add(h.Site)
	r.detail.add(e.Detail)
	r.remedy.add(e.Remedy)
	r.expected.addOptional(e.Expected)
	r.actual.addOptional(e.Actual)
	r.retryable.add(e.Retryable)
	r.owner.addOptional(e.Owner)
	r.openedAt.add(e.OpenedAt)
	r.eventID.add(h.EventID)
	r.dedupeKey.add(h.DedupeKey)
	r.correlationID.add(h.CorrelationID)
	r.causationID.addOptional(h.CausationID)
	r.sourceSystem.add(h.SourceSystem)
	r.sourceDocType.add(h.SourceDocType)
	r.sourceDocID.add(h.SourceDocID)
	r.sourceLine.addOptional(h.SourceLine)
	r.eventTime.add(h.EventTime)
	r.ingestTime.add(h.IngestTime)
	r.rawRef.addOptional(h.RawRef)
	return h.EventTime, nil
}
