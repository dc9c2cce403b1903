-- Every posting of stock, double entry. A second sending of a record has the same sorting key and collapses.
CREATE TABLE IF NOT EXISTS inventory_ledger
(
    event_id        String                   COMMENT 'Event that was posted',
    sku             String                   COMMENT 'SKU',
    site            LowCardinality(String)   COMMENT 'Site',
    posting_no      UInt64                   COMMENT 'Number of the posting within its SKU and site, from 1',
    type            LowCardinality(String)   COMMENT 'Why stock moved: RECEIPT, PICK, SHIP, ADJUST ...',
    from_bucket     LowCardinality(String)   COMMENT 'Bucket credited: qty left it',
    to_bucket       LowCardinality(String)   COMMENT 'Bucket debited: qty arrived in it',
    qty             Decimal(18, 6)           COMMENT 'Quantity in the base unit of the item; never negative',
    lot             String                   COMMENT 'Lot; empty where none',
    event_time      DateTime64(6, 'UTC')     COMMENT 'When it happened',
    posted_at       DateTime64(6, 'UTC')     COMMENT 'When it was posted',
    dedupe_key      String                   COMMENT 'Identity of what happened, whatever the envelope',
    correlation_id  String                   COMMENT 'Business process that the posting belongs to',
    source_system   LowCardinality(String)   COMMENT 'System that said so',
    source_doc_type LowCardinality(String)   COMMENT 'Native document type, such as X12/945',
    source_doc_id   String                   COMMENT 'Number of the native document',
    source_line     String                   COMMENT 'Line of the native document; empty where none',
    reason_canon    LowCardinality(String)   COMMENT 'Canonical reason; empty where none',
    order_no        String                   COMMENT 'Order; empty where none',
    shipment_no     String                   COMMENT 'Shipment; empty where none',
    pair_id         String                   COMMENT 'Name of the other half of a move that crosses SKUs or sites; empty where none',
    raw_ref         String                   COMMENT 'Where the raw bytes lie: topic/partition/offset; empty where unknown',
    _topic          LowCardinality(String)   COMMENT 'Kafka topic of the record',
    _topic_id       UUID                     COMMENT 'Id of that topic: offsets of two ids are never compared',
    _partition      Int32                    COMMENT 'Kafka partition of the record',
    _offset         Int64                    COMMENT 'Kafka offset of the record',
    _line           UInt32                   COMMENT 'Number of the row within the record, from 0',
    _inserted_at    DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When ClickHouse took the row'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(posted_at)
ORDER BY (site, sku, event_time, event_id, posting_no)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Every posting of stock, double entry: qty left from_bucket and arrived in to_bucket. Read with FINAL, or through ledger_legs.';

CREATE OR REPLACE VIEW ledger_legs
(
    event_time     DateTime64(6, 'UTC')   COMMENT 'When it happened',
    posted_at      DateTime64(6, 'UTC')   COMMENT 'When it was posted',
    site           LowCardinality(String) COMMENT 'Site',
    sku            String                 COMMENT 'SKU',
    bucket         LowCardinality(String) COMMENT 'Bucket that changed; EXTERNAL is the world outside',
    change         Decimal(18, 6)         COMMENT 'What the posting added to the bucket, in the base unit; negative where it took',
    type           LowCardinality(String) COMMENT 'Why stock moved',
    event_id       String                 COMMENT 'Event that was posted',
    posting_no     UInt64                 COMMENT 'Number of the posting within its SKU and site',
    lot            String                 COMMENT 'Lot; empty where none',
    order_no       String                 COMMENT 'Order; empty where none',
    shipment_no    String                 COMMENT 'Shipment; empty where none',
    pair_id        String                 COMMENT 'Name of the other half of a move that crosses SKUs or sites; empty where none',
    source_system  LowCardinality(String) COMMENT 'System that said so',
    source_doc_id  String                 COMMENT 'Number of the native document',
    correlation_id String                 COMMENT 'Business process that the posting belongs to'
)
AS SELECT
    event_time, posted_at, site, sku, leg.1 AS bucket, leg.2 AS change, type, event_id, posting_no, lot, order_no, shipment_no,
    pair_id, source_system, source_doc_id, correlation_id
FROM
(
    SELECT *
    FROM inventory_ledger FINAL
)
ARRAY JOIN [(from_bucket, -qty), (to_bucket, qty)] AS leg
COMMENT 'Both sides of every posting, each posting read once: the sum of change per SKU, site and bucket is the stock.';
