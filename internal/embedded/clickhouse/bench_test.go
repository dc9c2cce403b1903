package clickhouse_test

import (
	"errors"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"crossdock/internal/testservices"
)

// BenchmarkInsert sends batches of 100,000 rows of five columns over native TCP, column by column: ns/op is a batch.
func BenchmarkInsert(b *testing.B) {
	const rows = 100_000
	ch := testservices.ClickHouse(b)
	db, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{ch.TCP}, Auth: clickhouse.Auth{Database: ch.Database(b)},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is pending
	ctx := b.Context()
	if err := db.Exec(ctx, "CREATE TABLE t (id UInt64, sku String, site String, qty Int64, at DateTime64(6)) ENGINE = MergeTree ORDER BY id"); err != nil {
		b.Fatal(err)
	}
	ids, sku, site, qty, at := make([]uint64, rows), make([]string, rows), make([]string, rows), make([]int64, rows), make([]int64, rows)
	for i := range ids {
		ids[i], sku[i], site[i], qty[i], at[i] = uint64(i), "SKU-100200300", "DC-EAST-1", int64(i%100), 1_700_000_000_000_000+int64(i)
	}
	for b.Loop() {
		batch, err := db.PrepareBatch(ctx, "INSERT INTO t")
		if err != nil {
			b.Fatal(err)
		}
		err = errors.Join(batch.Column(0).Append(ids), batch.Column(1).Append(sku), batch.Column(2).Append(site),
			batch.Column(3).Append(qty), batch.Column(4).Append(at), batch.Send())
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
