package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every table and column says what it is: SHOW CREATE is the analysts' documentation.
func TestEveryTableAndColumnHasAComment(t *testing.T) {
	f := newFixture(t)
	if err := f.sink().Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expect("SELECT name FROM system.tables WHERE database = '{db}' AND comment = ''", nil)
	f.expect("SELECT table, name FROM system.columns WHERE database = '{db}' AND comment = ''", nil)
	f.expect("SELECT count() > 100 FROM system.columns WHERE database = '{db}'", [][]string{{"1"}})
}

// The program inserts every column that a table has, but for those that fill themselves; and of the type that it has.
func TestColumnsOfTheProgramAreThoseOfTheTables(t *testing.T) {
	f := newFixture(t)
	if err := f.sink().Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	of := map[string][]namedColumn{"sink_progress": (&progressColumns{}).columns(), "sink_lost_ranges": (&lossColumns{}).columns()}
	for _, tb := range tables() {
		of[tb.name] = newBlock(tb).all
	}
	for name, columns := range of {
		have, err := f.texts("SELECT name, type FROM system.columns WHERE database = '{db}' AND table = '" + name + "' AND default_kind = '' ORDER BY position")
		if err != nil {
			t.Fatal(err)
		}
		for i := range have {
			have[i][1] = plainKind(have[i][1])
		}
		var want [][]string
		for _, c := range columns {
			want = append(want, []string{c.name, c.kind()})
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: the program (-) and the table (+): %s", name, diff)
		}
	}
}

// Migrations may be repeated: as a whole, statement by statement, and by many processes at once.
func TestMigrationsMayBeRepeated(t *testing.T) {
	f := newFixture(t)
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		s := f.sink()
		all.Go(func() { errs[i] = s.Migrate(t.Context()) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s := f.sink()
	f.expect("SELECT count(), uniqExact(version) FROM {db}.schema_migrations", [][]string{{fmt.Sprint(len(s.migrations)), fmt.Sprint(len(s.migrations))}})
	f.expect("SELECT count() FROM system.tables WHERE database = '{db}' AND name = '"+lockTable+"'", [][]string{{"0"}})
	for _, m := range s.migrations {
		for _, statement := range m.statements {
			if err := s.execIn(t.Context(), statement); err != nil {
				t.Errorf("%s does not bear being repeated: %v", m.Name, err)
			}
		}
	}
	applied, err := s.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range applied {
		if m.AppliedAt.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}
}

// A file that differs from what was applied is refused, by name; a newer program's migration is not.
func TestChangedMigrationIsRefused(t *testing.T) {
	f := newFixture(t)
	s := f.sink()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := f.config.ClickHouse.Database
	if err := f.db.Exec(t.Context(), "INSERT INTO "+db+".schema_migrations (version, name, checksum) VALUES (9999, '9999_later.sql', 'x')"); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatalf("after a newer program: %v", err)
	}
	changed := f.sink()
	changed.migrations[1].Checksum = checksum([]byte("another text"))
	var refused *ChangedMigrationError
	if err := changed.Migrate(t.Context()); !errors.As(err, &refused) || refused.Name != changed.migrations[1].Name {
		t.Fatalf("got %v", err)
	}
	// Run says so too, and does not wait for it to pass.
	if err := changed.Run(t.Context()); !errors.As(err, &refused) {
		t.Fatalf("Run returned %v", err)
	}
}

// Run checks the tables where it may not make them.
func TestSkipMigrateSaysWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	f.config.SkipMigrate = true
	if err := f.sink().Run(t.Context()); !errors.Is(err, errPending) || !strings.Contains(err.Error(), "0001_") {
		t.Fatalf("got %v", err)
	}
}

// The lock of a process that is at work is respected; that of one that is gone is not.
func TestMigrationLock(t *testing.T) {
	f := newFixture(t)
	s := f.sink()
	db := f.config.ClickHouse.Database
	lock := func(o lockOwner) {
		t.Helper()
		for _, statement := range []string{"CREATE DATABASE IF NOT EXISTS " + db, "DROP TABLE IF EXISTS " + db + "." + lockTable,
			"CREATE TABLE " + db + "." + lockTable + " (nothing UInt8) ENGINE = Memory COMMENT " + literal(o.String())} {
			if err := f.db.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	lock(lockOwner{host: "elsewhere", pid: 1, nonce: "other", since: time.Now()})
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	var locked *LockedError
	if err := s.Migrate(ctx); !errors.As(err, &locked) || !strings.Contains(locked.Holder, "elsewhere, process 1") {
		t.Fatalf("got %v", err)
	}
	for name, o := range map[string]lockOwner{
		"too old":                        {host: "elsewhere", pid: 1, nonce: "other", since: time.Now().Add(-lockStale - time.Second)},
		"no such process on this host":   {host: hostname(t), pid: 1 << 30, nonce: "other", since: time.Now()},
		"our own of a broken connection": {host: "x", pid: 1, nonce: s.nonce, since: time.Now()},
	} {
		if err := f.db.Exec(t.Context(), "DROP TABLE IF EXISTS "+db+".schema_migrations"); err != nil {
			t.Fatal(err)
		}
		lock(o)
		if err := s.Migrate(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.expect("SELECT count() FROM system.tables WHERE database = '{db}' AND name = '"+lockTable+"'", [][]string{{"0"}})
	}
}

func TestStatementsAreCutOutsideOfTextsAndComments(t *testing.T) {
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"", nil},
		{"-- nothing; here\n;;", nil},
		{"SELECT 1; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"-- head\nSELECT ';', 'it''s', 'a\\';b' ; /* ; */ SELECT `a;b`, \"c;d\" -- tail", []string{"SELECT ';', 'it''s', 'a\\';b'", "SELECT `a;b`, \"c;d\""}},
	} {
		got, err := splitStatements(c.sql)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.sql, diff)
		}
	}
	for _, sql := range []string{"SELECT 'a", "SELECT 1 /* ", "SELECT 'a\\'"} {
		if got, err := splitStatements(sql); err == nil {
			t.Errorf("%q is cut to %q", sql, got)
		}
	}
}
