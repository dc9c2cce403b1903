-- What could not be processed. The id names the failed record, so a second sending collapses; the latest attempt stays.
CREATE TABLE IF NOT EXISTS dead_letters
(
    id             String                 COMMENT 'topic/partition/offset/part of what failed',
    stage          LowCardinality(String) COMMENT 'Stage that rejected it; sink: the way into ClickHouse',
    cause          LowCardinality(String) COMMENT 'Stable code of the cause',
    detail         String                 COMMENT 'What and where, in a sentence',
    position       String                 COMMENT 'Segment, line or byte within the document; empty where unknown',
    remedy         String                 COMMENT 'What to do, in a sentence',
    topic          LowCardinality(String) COMMENT 'Topic of the failed record',
    partition      Int32                  COMMENT 'Partition of the failed record',
    offset         Int64                  COMMENT 'Offset of the failed record',
    part           Int32                  COMMENT 'Number of the failing part within the record, from 0',
    key            String                 COMMENT 'Key of the failed record, bytes as they were; empty where none',
    value          String                 COMMENT 'The failing bytes: the whole record, or the failing part of a document',
    header_names   Array(String)          COMMENT 'Names of the headers of the failed record',
    header_values  Array(String)          COMMENT 'Values of the headers, bytes as they were, in the order of header_names',
    raw_ref        String                 COMMENT 'Where the raw bytes lie; empty where unknown',
    source         LowCardinality(String) COMMENT 'Source system; empty where unknown',
    attempt        UInt32                 COMMENT 'How often it has been tried, from 1',
    failed_at      DateTime64(6, 'UTC')   COMMENT 'When it was rejected',
    _topic         LowCardinality(String) COMMENT 'Kafka topic of the dead letter',
    _topic_id      UUID                   COMMENT 'Id of that topic: offsets of two ids are never compared',
    _partition     Int32                  COMMENT 'Kafka partition of the dead letter',
    _offset        Int64                  COMMENT 'Kafka offset of the dead letter',
    _line          UInt32                 COMMENT 'Number of the row within the record, from 0',
    _inserted_at   DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When ClickHouse took the row',
    _version       UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(attempt), 64), toUInt128(_offset)) COMMENT 'What decides which row of an id stays: attempt, then offset'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY id
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What could not be processed, with its bytes and cause, one row a failure. Read with FINAL.';
