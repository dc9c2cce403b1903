package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"crossdock/internal/testservices"
)

// A sink that passes every record and stores none is found out, and the limit, which needs all columns of the real tables,
// stands beside it. Nothing is left in the engine.
func TestASinkThatStoresNothingIsFoundOut(t *testing.T) {
	server := testservices.ClickHouse(t)
	o, _ := options(t, Sink, faultNo)
	o.Records, o.Prefix, o.Stores = 1_001, "benchtest-"+fmt.Sprint(os.Getpid())+"-", nil
	o.ClickHouse.Addresses, o.ClickHouse.Username = []string{server.TCP}, "default"
	o.Tables = func(ctx context.Context, e Env) error { return migrate(ctx, server.TCP, e.Database) }
	r, err := Run(t.Context(), Sink, o)
	if !errors.Is(err, ErrNotVerified) || !strings.Contains(err.Error(), "inventory_balances") || !strings.Contains(err.Error(), "501 lost") {
		t.Errorf("%v", err)
	}
	if len(r.Runs) != 1 || r.Runs[0].Limit.Records != 1_002 || r.Runs[0].Limit.RecordsPerSecond <= 0 {
		t.Errorf("%+v", r.Runs)
	}
	left := server.Query(t, "SELECT count() FROM system.databases WHERE name LIKE 'benchtest_"+fmt.Sprint(os.Getpid())+"%'")
	if left != "0" {
		t.Errorf("%s databases are left", left)
	}
}

// migrate runs the sink's own migrations.
func migrate(ctx context.Context, address, database string) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, MaxOpenConns: 1})
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join("..", "..", "sink", "migrations", "*.sql"))
	statements := []string{"CREATE DATABASE " + database, "USE " + database}
	for _, file := range files {
		text, readErr := os.ReadFile(file)
		err = errors.Join(err, readErr)
		statements = append(statements, strings.Split(string(text), ";\n")...)
	}
	for _, s := range statements {
		if err == nil && strings.TrimSpace(s) != "" {
			err = conn.Exec(ctx, s)
		}
	}
	return errors.Join(err, conn.Close())
}
