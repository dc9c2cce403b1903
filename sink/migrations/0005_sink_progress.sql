-- How far the tables are, and what never came. What is said once of a partition of a topic id stays true, so the highest counts,
-- whichever process said it.
CREATE TABLE IF NOT EXISTS sink_progress
(
    table_name         LowCardinality(String) COMMENT 'Table that is filled',
    topic              LowCardinality(String) COMMENT 'Kafka topic that it is filled from',
    topic_id           UUID                   COMMENT 'Id of that topic',
    partition          Int32                  COMMENT 'Kafka partition',
    next_offset        SimpleAggregateFunction(max, Int64)                COMMENT 'Every committed record below this offset is in the table, or is a dead letter',
    end_offset         SimpleAggregateFunction(max, Int64)                COMMENT 'Offset at which the next record will be written to the partition, as last seen',
    newest_event_time  SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Latest event time among the rows; 1970 where none came',
    newest_record_time SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'Latest Kafka timestamp among the rows; 1970 where none came',
    complete_until     SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'All that was in the partition at this time is in the table; 1970 where not known yet',
    updated_at         SimpleAggregateFunction(max, DateTime64(6, 'UTC')) COMMENT 'When this was last said'
)
ENGINE = AggregatingMergeTree
ORDER BY (table_name, topic, partition, topic_id)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'How far every table is, per Kafka partition: each value only rises. Read through freshness.';

CREATE TABLE IF NOT EXISTS sink_lost_ranges
(
    table_name  LowCardinality(String) COMMENT 'Table that misses the records',
    topic       LowCardinality(String) COMMENT 'Kafka topic',
    topic_id    UUID                   COMMENT 'Id of that topic',
    partition   Int32                  COMMENT 'Kafka partition',
    from_offset Int64                  COMMENT 'First offset that Kafka no longer had when the sink came to it',
    to_offset   Int64                  COMMENT 'Offset after the last one',
    noticed_at  DateTime64(6, 'UTC')   COMMENT 'When it was noticed'
)
ENGINE = ReplacingMergeTree(noticed_at)
ORDER BY (table_name, topic, topic_id, partition, from_offset)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Ranges of offsets that the retention of Kafka removed before the sink had read them.';

CREATE OR REPLACE VIEW freshness
(
    table_name         LowCardinality(String) COMMENT 'Table',
    freshness_seconds  Float64                COMMENT 'Age of the time until which the table is complete',
    complete_until     DateTime64(6, 'UTC')   COMMENT 'All that had been written to Kafka at this time is in the table',
    newest_event_time  DateTime64(6, 'UTC')   COMMENT 'Latest event time among the rows; 1970 where none came',
    newest_record_time DateTime64(6, 'UTC')   COMMENT 'Latest Kafka timestamp among the rows; 1970 where none came',
    lag_records        Int64                  COMMENT 'Offsets of Kafka that are not in the table yet',
    partitions         UInt64                 COMMENT 'Kafka partitions that feed the table',
    lost_records       Int64                  COMMENT 'Offsets that the retention of Kafka removed before they were read',
    updated_at         DateTime64(6, 'UTC')   COMMENT 'When the sink last said so'
)
AS SELECT
    p.table_name AS table_name,
    dateDiff('microsecond', min(p.complete_until), now64(6, 'UTC')) / 1e6 AS freshness_seconds,
    min(p.complete_until) AS complete_until,
    max(p.newest_event_time) AS newest_event_time,
    max(p.newest_record_time) AS newest_record_time,
    sum(greatest(p.end_offset - p.next_offset, 0)) AS lag_records,
    count() AS partitions,
    any(l.lost) AS lost_records,
    max(p.updated_at) AS updated_at
FROM
(
    SELECT * FROM sink_progress FINAL ORDER BY updated_at DESC LIMIT 1 BY table_name, topic, partition
) AS p
LEFT JOIN
(
    SELECT table_name, sum(to_offset - from_offset) AS lost FROM sink_lost_ranges FINAL GROUP BY table_name
) AS l ON p.table_name = l.table_name
GROUP BY table_name
COMMENT 'How fresh every table is, as the sink last said.';
