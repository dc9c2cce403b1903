-- What a person must look at. The newest version of an exception stays; among equal versions the newest offset.
CREATE TABLE IF NOT EXISTS exceptions
(
    exception_id    String                 COMMENT 'Identity; the same trouble found again has the same',
    version         UInt64                 COMMENT 'Rises with each change of the exception',
    status          LowCardinality(String) COMMENT 'OPEN or CLOSED',
    class           LowCardinality(String) COMMENT 'Stable code of the trouble, such as SHORT_SHIPMENT or UNKNOWN_UNIT',
    severity        LowCardinality(String) COMMENT 'INFO, WARNING, ERROR or CRITICAL',
    stage           LowCardinality(String) COMMENT 'Stage that found it',
    reference       String                 COMMENT 'What it is about: order, shipment, sku|site',
    document        String                 COMMENT 'Native document; empty where none',
    sku             String                 COMMENT 'SKU concerned; empty where none',
    site            LowCardinality(String) COMMENT 'Site concerned; empty where none',
    detail          String                 COMMENT 'What happened, in a sentence',
    remedy          String                 COMMENT 'What to do, in a sentence',
    expected        String                 COMMENT 'What was expected; empty where not a matter of values',
    actual          String                 COMMENT 'What was found; empty where not a matter of values',
    retryable       Bool                   COMMENT 'Whether replaying may help',
    owner           String                 COMMENT 'Who looks after it; empty where nobody yet',
    opened_at       DateTime64(6, 'UTC')   COMMENT 'When it was found',
    event_id        String                 COMMENT 'Identity of this report',
    dedupe_key      String                 COMMENT 'Identity of what happened, whatever the envelope',
    correlation_id  String                 COMMENT 'Business process',
    causation_id    String                 COMMENT 'Event that this one follows from; empty where none',
    source_system   LowCardinality(String) COMMENT 'System whose document or event it concerns',
    source_doc_type LowCardinality(String) COMMENT 'Native document type',
    source_doc_id   String                 COMMENT 'Number of the native document',
    source_line     String                 COMMENT 'Line of the native document; empty where none',
    event_time      DateTime64(6, 'UTC')   COMMENT 'When it happened',
    ingest_time     DateTime64(6, 'UTC')   COMMENT 'When Crossdock received it',
    raw_ref         String                 COMMENT 'Where the raw bytes lie; empty where unknown',
    _topic          LowCardinality(String) COMMENT 'Kafka topic of the record',
    _topic_id       UUID                   COMMENT 'Id of that topic: offsets of two ids are never compared',
    _partition      Int32                  COMMENT 'Kafka partition of the record',
    _offset         Int64                  COMMENT 'Kafka offset of the record',
    _line           UInt32                 COMMENT 'Number of the row within the record, from 0',
    _inserted_at    DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When ClickHouse took the row',
    _version        UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(version), 64), toUInt128(_offset)) COMMENT 'What decides which row of an exception stays: version, then offset'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY exception_id
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What a person must look at, open and closed, one row an exception. Read with FINAL, or through open_exceptions.';

CREATE OR REPLACE VIEW open_exceptions
(
    exception_id   String                 COMMENT 'Identity',
    opened_at      DateTime64(6, 'UTC')   COMMENT 'When it was found',
    age_seconds    Int64                  COMMENT 'Seconds since then',
    severity       LowCardinality(String) COMMENT 'INFO, WARNING, ERROR or CRITICAL',
    class          LowCardinality(String) COMMENT 'Stable code of the trouble',
    stage          LowCardinality(String) COMMENT 'Stage that found it',
    reference      String                 COMMENT 'What it is about',
    site           LowCardinality(String) COMMENT 'Site concerned; empty where none',
    sku            String                 COMMENT 'SKU concerned; empty where none',
    document       String                 COMMENT 'Native document; empty where none',
    detail         String                 COMMENT 'What happened',
    remedy         String                 COMMENT 'What to do',
    expected       String                 COMMENT 'What was expected; empty where not a matter of values',
    actual         String                 COMMENT 'What was found; empty where not a matter of values',
    retryable      Bool                   COMMENT 'Whether replaying may help',
    owner          String                 COMMENT 'Who looks after it; empty where nobody yet',
    source_system  LowCardinality(String) COMMENT 'System whose document or event it concerns',
    raw_ref        String                 COMMENT 'Where the raw bytes lie; empty where unknown',
    correlation_id String                 COMMENT 'Business process'
)
AS SELECT
    exception_id, opened_at, dateDiff('second', opened_at, now64(6, 'UTC')) AS age_seconds, severity, class, stage, reference, site, sku,
    document, detail, remedy, expected, actual, retryable, owner, source_system, raw_ref, correlation_id
FROM exceptions FINAL
WHERE status = 'OPEN'
COMMENT 'What a person must look at now, each exception once, with its age.';
