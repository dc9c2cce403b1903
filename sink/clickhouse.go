package sink

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// dialTimeout bounds how long a server that does not answer holds up a try.
const dialTimeout = 5 * time.Second

// spareConnections are those beside one for each table: migrations, progress, status.
const spareConnections = 4

func compression(name string) (*clickhouse.Compression, error) {
	switch name {
	case "lz4":
		return &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, nil
	case "zstd":
		return &clickhouse.Compression{Method: clickhouse.CompressionZSTD, Level: 1}, nil
	case "none":
		return nil, nil
	}
	return nil, fmt.Errorf("%q is unknown; use lz4, zstd or none", name)
}

// openIn is open for statements that name no database.
func openIn(c ClickHouse) (driver.Conn, error) { return open(c, c.Database, 1) }

// open prepares connections to a database; empty: the user's own, since Crossdock's may have to be created first. Nothing is
// dialled yet.
func open(c ClickHouse, database string, connections int) (driver.Conn, error) {
	method, err := compression(c.Compression)
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(&clickhouse.Options{
		Addr:             c.Addresses,
		Auth:             clickhouse.Auth{Database: database, Username: c.Username, Password: c.Password},
		TLS:              c.TLS,
		Compression:      method,
		DialTimeout:      dialTimeout,
		MaxOpenConns:     connections,
		MaxIdleConns:     connections,
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		// A connection that slept through a failover of the server is not worth keeping.
		ConnMaxLifetime:      10 * time.Minute,
		MaxCompressionBuffer: 4 << 20,
	})
}

// pinned are the settings of an insert. They are named even where they equal the server's defaults, because those differ
// between versions and profiles (async_insert is on by default since 26.3).
func pinned(token string, timeout time.Duration) clickhouse.Settings {
	return clickhouse.Settings{
		// One insert is one part, in the table when it is acknowledged.
		"async_insert":               0,
		"wait_for_async_insert":      1,
		"max_insert_block_size":      mostRows + 1,
		"min_insert_block_size_rows": mostRows + 1,
		// A second try of a block that went in after all is dropped by its token.
		"insert_deduplicate":                                 1,
		"insert_deduplication_token":                         token,
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		// A backlog may span more months than the limit; it guards against partition keys that are too fine, ours are not.
		"max_partitions_per_insert_block": 0,
		// An insert whose client has gone ends by itself (S8).
		"max_execution_time":    int(timeout / time.Second),
		"timeout_overflow_mode": "throw",
		// Values are taken as they are: a missing column is filled by its default, a NULL in an ordinary column is an error.
		"input_format_null_as_default": 0,
	}
}

// insert sends columns as one block and returns when the server has it. The columns are left as they were, for another try;
// id is the same for every try.
func (s *Sink) insert(ctx context.Context, id, statement string, columns []namedColumn, h *handover) error {
	timeout := s.config.InsertTimeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithQueryID(id), clickhouse.WithSettings(pinned(id, timeout)), clickhouse.WithoutProfileEvents())
	batch, err := s.db.PrepareBatch(ctx, statement)
	if err != nil {
		return err
	}
	defer h.takeBack()
	if err := fillBatch(batch, columns, h); err != nil {
		// Aborting closes the connection: the server sees an insert that never came to its end, and drops it.
		_ = batch.Abort()
		return err
	}
	return batch.Send()
}

// quote makes an identifier of SQL.
func quote(name string) string {
	return "`" + strings.ReplaceAll(strings.ReplaceAll(name, `\`, `\\`), "`", "\\`") + "`"
}
