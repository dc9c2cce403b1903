package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"crossdock/avro/event"
)

// A block is what one insert of the limit carries, each column ready in ClickHouse's Native encoding
// (https://clickhouse.com/docs/interfaces/formats/Native): what is left to the client is to hand it over, to compress it and
// to send it.
type block[E any] struct {
	table   string
	columns []column[E]
	rows    int
	native  []chproto.Buffer // by column
}

// A column of the table, filled from an event.
type column[E any] struct {
	name   string
	values interface {
		chproto.ColInput
		Reset()
	}
	add func(*E)
}

func newBlock[E any](table string, columns []column[E]) *block[E] {
	return &block[E]{table: table, columns: columns, native: make([]chproto.Buffer, len(columns))}
}

func (b *block[E]) reset() {
	b.rows = 0
	for _, c := range b.columns {
		c.values.Reset()
	}
}

func (b *block[E]) add(e *E) {
	b.rows++
	for _, c := range b.columns {
		c.add(e)
	}
}

func (b *block[E]) encode() {
	for i, c := range b.columns {
		b.native[i].Reset()
		if p, ok := c.values.(chproto.Preparable); ok {
			_ = p.Prepare() // of texts: it has nothing to fail at
		}
		c.values.EncodeColumn(&b.native[i])
	}
}

// insert sends the block as one part into the limit's table.
func (b *block[E]) insert(ctx context.Context, conn driver.Conn, database string) error {
	names := make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i] = c.name
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithoutProfileEvents(), clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "max_insert_block_size": limitBlock + 1, "min_insert_block_size_rows": limitBlock + 1,
	}))
	batch, err := conn.PrepareBatch(ctx, fmt.Sprintf("INSERT INTO %s.%s_limit (%s)", database, b.table, strings.Join(names, ", ")))
	if err != nil {
		return fmt.Errorf("insert into %s_limit: %w", b.table, err)
	}
	for i, to := range batch.Columns() {
		if err := to.Decode(chproto.NewReader(bytes.NewReader(b.native[i].Buf)), b.rows); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("column %s of %s_limit: %w", names[i], b.table, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s_limit: %w", b.table, err)
	}
	return nil
}

func text[E any](name string, of func(*E) string) column[E] {
	c := new(chproto.ColStr)
	return column[E]{name, c, func(e *E) { c.Append(of(e)) }}
}

func optional[E any](name string, of func(*E) event.Optional[string]) column[E] {
	return text(name, func(e *E) string { return of(e).Or("") })
}

// symbol is a LowCardinality(String).
func symbol[E any](name string, of func(*E) string) column[E] {
	c := chproto.NewLowCardinality[string](new(chproto.ColStr))
	return column[E]{name, c, func(e *E) { c.Append(of(e)) }}
}

// word is what has 8 bytes on the wire: a number, a Decimal(18, 6) in millionths, a DateTime64(6) in microseconds.
func word[E any, N ~int64](name string, of func(*E) N) column[E] {
	c := new(chproto.ColInt64)
	return column[E]{name, c, func(e *E) { c.Append(int64(of(e))) }}
}

// origin are the columns that say where a row comes from.
func origin[E any](topic string) []column[E] {
	id, partition, row, offset := new(chproto.ColUUID), new(chproto.ColInt32), new(chproto.ColUInt32), int64(0)
	topicID := uuid.NewSHA1(uuid.NameSpaceURL, []byte(topic))
	return []column[E]{
		symbol("_topic", func(*E) string { return topic }),
		{"_topic_id", id, func(*E) { id.Append(topicID) }},
		{"_partition", partition, func(*E) { partition.Append(int32(offset % 8)) }},
		word("_offset", func(*E) int64 { offset++; return offset }),
		{"_line", row, func(*E) { row.Append(0) }},
	}
}

// ledgerColumns are those that the sink fills in inventory_ledger.
func ledgerColumns() []column[event.LedgerPosting] {
	type e = event.LedgerPosting
	return append([]column[e]{
		text("event_id", func(p *e) string { return p.EventID }),
		text("sku", func(p *e) string { return p.SKU }),
		symbol("site", func(p *e) string { return p.Site }),
		word("posting_no", func(p *e) int64 { return p.PostingNo }),
		symbol("type", func(p *e) string { return p.Type.String() }),
		symbol("from_bucket", func(p *e) string { return p.FromBucket.String() }),
		symbol("to_bucket", func(p *e) string { return p.ToBucket.String() }),
		word("qty", func(p *e) event.Quantity { return p.Qty }),
		optional("lot", func(p *e) event.Optional[string] { return p.Lot }),
		word("event_time", func(p *e) event.Micros { return p.EventTime }),
		word("posted_at", func(p *e) event.Micros { return p.PostedAt }),
		text("dedupe_key", func(p *e) string { return p.DedupeKey }),
		text("correlation_id", func(p *e) string { return p.CorrelationID }),
		symbol("source_system", func(p *e) string { return p.SourceSystem }),
		symbol("source_doc_type", func(p *e) string { return p.SourceDocType }),
		text("source_doc_id", func(p *e) string { return p.SourceDocID }),
		optional("source_line", func(p *e) event.Optional[string] { return p.SourceLine }),
		symbol("reason_canon", func(p *e) string { return p.ReasonCanon.Or("") }),
		optional("order_no", func(p *e) event.Optional[string] { return p.Order }),
		optional("shipment_no", func(p *e) event.Optional[string] { return p.Shipment }),
		optional("pair_id", func(p *e) event.Optional[string] { return p.PairID }),
		optional("raw_ref", func(p *e) event.Optional[string] { return p.RawRef }),
	}, origin[e]("ledger")...)
}

// balanceColumns are those that the sink fills in inventory_balances.
func balanceColumns() []column[event.InventoryBalance] {
	type e = event.InventoryBalance
	negative := new(chproto.ColBool)
	return append([]column[e]{
		text("sku", func(b *e) string { return b.SKU }),
		symbol("site", func(b *e) string { return b.Site }),
		word("version", func(b *e) int64 { return b.Version }),
		word("as_of", func(b *e) event.Micros { return b.AsOf }),
		word("posted_at", func(b *e) event.Micros { return b.PostedAt }),
		word("available", func(b *e) event.Quantity { return b.Available }),
		word("allocated", func(b *e) event.Quantity { return b.Allocated }),
		word("picked", func(b *e) event.Quantity { return b.Picked }),
		word("staged", func(b *e) event.Quantity { return b.Staged }),
		word("qc", func(b *e) event.Quantity { return b.QC }),
		word("damaged", func(b *e) event.Quantity { return b.Damaged }),
		word("hold", func(b *e) event.Quantity { return b.Hold }),
		word("returned", func(b *e) event.Quantity { return b.Returned }),
		word("in_transit_in", func(b *e) event.Quantity { return b.InTransitIn }),
		word("in_transit_out", func(b *e) event.Quantity { return b.InTransitOut }),
		word("clearing", func(b *e) event.Quantity { return b.Clearing }),
		word("on_hand", func(b *e) event.Quantity { return b.OnHand }),
		word("safety_stock", func(b *e) event.Quantity { return b.SafetyStock }),
		word("ats", func(b *e) event.Quantity { return b.ATS }),
		{"negative", negative, func(b *e) { negative.Append(b.Negative) }},
		text("cause_event_id", func(b *e) string { return b.CauseEventID }),
	}, origin[e]("balances")...)
}
