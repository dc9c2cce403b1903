-- Stock now. The newest version of a key stays; among equal versions (a reservation moves ats, not version) the newest
-- offset does: a key stays on its partition, so a second sending of an older record never wins.
CREATE TABLE IF NOT EXISTS inventory_balances
(
    sku            String                 COMMENT 'SKU',
    site           LowCardinality(String) COMMENT 'Site',
    version        UInt64                 COMMENT 'Postings applied to the SKU and site so far; only rises',
    as_of          DateTime64(6, 'UTC')   COMMENT 'Latest event time among them',
    posted_at      DateTime64(6, 'UTC')   COMMENT 'When the last one was posted',
    available      Decimal(18, 6)         COMMENT 'Bucket AVAILABLE, base unit',
    allocated      Decimal(18, 6)         COMMENT 'Bucket ALLOCATED, base unit',
    picked         Decimal(18, 6)         COMMENT 'Bucket PICKED, base unit',
    staged         Decimal(18, 6)         COMMENT 'Bucket STAGED, base unit',
    qc             Decimal(18, 6)         COMMENT 'Bucket QC, base unit',
    damaged        Decimal(18, 6)         COMMENT 'Bucket DAMAGED, base unit',
    hold           Decimal(18, 6)         COMMENT 'Bucket HOLD, base unit',
    returned       Decimal(18, 6)         COMMENT 'Bucket RETURNED, base unit',
    in_transit_in  Decimal(18, 6)         COMMENT 'Bucket IN_TRANSIT_IN, base unit',
    in_transit_out Decimal(18, 6)         COMMENT 'Bucket IN_TRANSIT_OUT, base unit',
    clearing       Decimal(18, 6)         COMMENT 'Bucket CLEARING, base unit: halves of moves that cross SKUs or sites',
    on_hand        Decimal(18, 6)         COMMENT 'Sum of the buckets on site: AVAILABLE to RETURNED',
    safety_stock   Decimal(18, 6)         COMMENT 'Kept back from sale, base unit',
    ats            Decimal(18, 6)         COMMENT 'Available to sell: max(0, AVAILABLE - open reservations - safety stock)',
    negative       Bool                   COMMENT 'Whether some bucket is below zero',
    cause_event_id String                 COMMENT 'Event id of the last posting',
    _topic         LowCardinality(String) COMMENT 'Kafka topic of the record',
    _topic_id      UUID                   COMMENT 'Id of that topic: offsets of two ids are never compared',
    _partition     Int32                  COMMENT 'Kafka partition of the record',
    _offset        Int64                  COMMENT 'Kafka offset of the record',
    _line          UInt32                 COMMENT 'Number of the row within the record, from 0',
    _inserted_at   DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When ClickHouse took the row',
    _version       UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(version), 64), toUInt128(_offset)) COMMENT 'What decides which row of a key stays: version, then offset'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (site, sku)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Stock of every SKU and site now, one row a key. Read with FINAL, or through current_stock.';

CREATE OR REPLACE VIEW current_stock
(
    site           LowCardinality(String) COMMENT 'Site',
    sku            String                 COMMENT 'SKU',
    on_hand        Decimal(18, 6)         COMMENT 'All that stands on site, base unit',
    ats            Decimal(18, 6)         COMMENT 'Available to sell, base unit',
    available      Decimal(18, 6)         COMMENT 'Bucket AVAILABLE, base unit',
    allocated      Decimal(18, 6)         COMMENT 'Bucket ALLOCATED, base unit',
    picked         Decimal(18, 6)         COMMENT 'Bucket PICKED, base unit',
    staged         Decimal(18, 6)         COMMENT 'Bucket STAGED, base unit',
    qc             Decimal(18, 6)         COMMENT 'Bucket QC, base unit',
    damaged        Decimal(18, 6)         COMMENT 'Bucket DAMAGED, base unit',
    hold           Decimal(18, 6)         COMMENT 'Bucket HOLD, base unit',
    returned       Decimal(18, 6)         COMMENT 'Bucket RETURNED, base unit',
    in_transit_in  Decimal(18, 6)         COMMENT 'Bucket IN_TRANSIT_IN, base unit',
    in_transit_out Decimal(18, 6)         COMMENT 'Bucket IN_TRANSIT_OUT, base unit',
    clearing       Decimal(18, 6)         COMMENT 'Bucket CLEARING, base unit',
    safety_stock   Decimal(18, 6)         COMMENT 'Kept back from sale, base unit',
    negative       Bool                   COMMENT 'Whether some bucket is below zero',
    as_of          DateTime64(6, 'UTC')   COMMENT 'Latest event time in the balance',
    posted_at      DateTime64(6, 'UTC')   COMMENT 'When the last posting was made',
    version        UInt64                 COMMENT 'Postings applied so far'
)
AS SELECT
    site, sku, on_hand, ats, available, allocated, picked, staged, qc, damaged, hold, returned, in_transit_in, in_transit_out, clearing,
    safety_stock, negative, as_of, posted_at, version
FROM inventory_balances FINAL
COMMENT 'Stock of every SKU and site now, each key once.';
