package sink

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// A Migration is one numbered file of SQL. Files are never changed once released: a change of the tables is a new file, and
// adds only, so that an older program goes on working. Their statements may be repeated without harm, so that one that was
// interrupted is simply run again.
type Migration struct {
	Version   int
	Name      string    // of the file: "0001_inventory_ledger.sql"
	Checksum  string    // SHA-256 of the file, hexadecimal
	AppliedAt time.Time // zero: not yet

	statements []string
}

// A ChangedMigrationError is a file that is not the one that was applied: what the tables are is then known to nobody.
type ChangedMigrationError struct {
	Name             string
	Applied, Program string // checksums
}

func (e *ChangedMigrationError) Error() string {
	return fmt.Sprintf("sink: migration %s has checksum %.12s… in this program, but was applied with %.12s…: use the program that applied it, or restore the file and add a new one for the change",
		e.Name, e.Program, e.Applied)
}

// A LockedError is a migration that another process holds up.
type LockedError struct{ Holder, Database string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("sink: %s is migrating %s; wait for it, or if it is gone, DROP TABLE %s.%s", e.Holder, e.Database, e.Database, lockTable)
}

const (
	lockTable = "schema_migrations_lock"
	// migrateTimeout bounds all migrations together; a lock that is twice as old has no owner.
	migrateTimeout = 2 * time.Minute
	lockStale      = 2 * migrateTimeout
	// lockWait is how long to wait for another process that migrates.
	lockWait = 30 * time.Second
	lockPoll = 200 * time.Millisecond

	codeTableExists  = 57
	codeUnknownTable = 60
	codeNoDatabase   = 81
)

var migrationName = regexp.MustCompile(`^([0-9]{4})_[a-z0-9_]+\.sql$`)

// loadMigrations reads the embedded files, in order.
func loadMigrations() ([]Migration, error) {
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var all []Migration
	for i, e := range entries {
		name := migrationName.FindStringSubmatch(e.Name())
		if name == nil {
			return nil, fmt.Errorf("sink: migrations/%s is not named NNNN_what.sql", e.Name())
		}
		text, err := migrationFiles.ReadFile("migrations/" + e.Name())
		if err != nil {
			return nil, err
		}
		m := Migration{Name: e.Name(), Checksum: checksum(text)}
		if m.Version, err = strconv.Atoi(name[1]); err != nil || m.Version != i+1 {
			return nil, fmt.Errorf("sink: migrations/%s is number %d in order; numbers have no gap and no double", e.Name(), i+1)
		}
		if m.statements, err = splitStatements(string(text)); err != nil {
			return nil, fmt.Errorf("sink: migrations/%s: %w", e.Name(), err)
		}
		all = append(all, m)
	}
	return all, nil
}

// checksum is independent of how a checkout ends its lines.
func checksum(text []byte) string {
	sum := sha256.Sum256([]byte(strings.ReplaceAll(string(text), "\r\n", "\n")))
	return hex.EncodeToString(sum[:])
}

// Migrate brings the tables up to date, creating the database where it is missing. Many processes may call it at once: one
// migrates, the others wait. An error is a *ChangedMigrationError, a *LockedError, or ClickHouse's.
func (s *Sink) Migrate(ctx context.Context) error {
	s.migrating.Lock() // the lock in ClickHouse tells processes apart, not goroutines
	defer s.migrating.Unlock()
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	database := s.config.ClickHouse.Database
	if err := s.db.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(database)+" COMMENT 'Crossdock: stock, ledger, exceptions'"); err != nil {
		return fmt.Errorf("sink: creating database %s: %w", database, err)
	}
	if pending, err := s.pending(ctx); err != nil || len(pending) == 0 {
		return err
	}
	unlock, err := s.lockMigrations(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.execIn(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations
(
    version    UInt32              COMMENT 'Number of the migration',
    name       String              COMMENT 'Name of its file',
    checksum   String              COMMENT 'SHA-256 of the file, hexadecimal',
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6) COMMENT 'When it was applied'
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
COMMENT 'Migrations that were applied to the tables of this database'`); err != nil {
		return fmt.Errorf("sink: creating schema_migrations: %w", err)
	}
	pending, err := s.pending(ctx) // under the lock: another process may have been first
	if err != nil {
		return err
	}
	for _, m := range pending {
		for i, statement := range m.statements {
			if err := s.execIn(ctx, statement); err != nil {
				return fmt.Errorf("sink: migration %s, statement %d: %w", m.Name, i+1, err)
			}
		}
		err := s.db.Exec(ctx, "INSERT INTO "+quote(database)+".schema_migrations (version, name, checksum) SELECT ?, ?, ?",
			m.Version, m.Name, m.Checksum)
		if err != nil {
			return fmt.Errorf("sink: recording migration %s: %w", m.Name, err)
		}
		s.log.Info("migrated", "database", database, "migration", m.Name)
	}
	return nil
}

// Migrations tells the migrations of this program, and when each was applied.
func (s *Sink) Migrations(ctx context.Context) ([]Migration, error) {
	applied, err := s.applied(ctx)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(s.migrations)
	for i := range all {
		if a, ok := applied[all[i].Version]; ok {
			if a.Checksum != all[i].Checksum {
				return nil, &ChangedMigrationError{Name: all[i].Name, Applied: a.Checksum, Program: all[i].Checksum}
			}
			all[i].AppliedAt = a.AppliedAt
		}
	}
	return all, nil
}

// pending are the migrations that have not been applied. Versions beyond this program's are a newer program's, which added
// to the tables and took nothing away.
func (s *Sink) pending(ctx context.Context) ([]Migration, error) {
	all, err := s.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(m Migration) bool { return !m.AppliedAt.IsZero() }), nil
}

func (s *Sink) applied(ctx context.Context) (map[int]Migration, error) {
	rows, err := s.db.Query(ctx, "SELECT version, name, checksum, applied_at FROM "+quote(s.config.ClickHouse.Database)+".schema_migrations FINAL")
	if code := exceptionCode(err); code == codeUnknownTable || code == codeNoDatabase {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sink: reading schema_migrations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	applied := map[int]Migration{}
	for rows.Next() {
		var m Migration
		var version uint32
		if err := rows.Scan(&version, &m.Name, &m.Checksum, &m.AppliedAt); err != nil {
			return nil, fmt.Errorf("sink: reading schema_migrations: %w", err)
		}
		m.Version = int(version)
		applied[m.Version] = m
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sink: reading schema_migrations: %w", err)
	}
	return applied, nil
}

// lockMigrations takes the lock: a table, because that its creation succeeds once is all that ClickHouse promises without a
// keeper. Its comment says who has it and since when.
func (s *Sink) lockMigrations(ctx context.Context) (unlock func(), err error) {
	database := s.config.ClickHouse.Database
	host, _ := os.Hostname()
	self := lockOwner{host: host, pid: os.Getpid(), nonce: s.nonce}
	deadline := time.Now().Add(lockWait)
	for {
		self.since = time.Now().UTC().Truncate(time.Second)
		err := s.db.Exec(ctx, "CREATE TABLE "+quote(database)+"."+lockTable+
			" (nothing UInt8 COMMENT 'Never filled') ENGINE = Memory COMMENT "+literal(self.String()))
		if err == nil {
			return func() { s.unlockMigrations(self.String()) }, nil
		}
		if exceptionCode(err) != codeTableExists {
			return nil, fmt.Errorf("sink: locking the migrations: %w", err)
		}
		holder, err := s.lockHolder(ctx)
		if err != nil {
			return nil, err
		}
		if owner, ok := parseLockOwner(holder); ok {
			if owner.nonce == self.nonce { // of an earlier try, whose connection broke
				return func() { s.unlockMigrations(holder) }, nil
			}
			if owner.gone(host) {
				s.log.Warn("taking over the migration lock of a process that is gone", "holder", holder)
				s.unlockMigrations(holder)
				continue
			}
		}
		if time.Now().After(deadline) || !wait(ctx, lockPoll) {
			return nil, &LockedError{Holder: holder, Database: database}
		}
	}
}

// A lockOwner is who migrates, as the lock's comment says.
type lockOwner struct {
	host  string
	pid   int
	nonce string
	since time.Time
}

func (o lockOwner) String() string {
	return fmt.Sprintf("%s, process %d, sink %s, since %s", o.host, o.pid, o.nonce, o.since.Format(time.RFC3339))
}

var lockComment = regexp.MustCompile(`^(.*), process ([0-9]+), sink ([0-9a-z]+), since (.*)$`)

func parseLockOwner(comment string) (o lockOwner, ok bool) {
	m := lockComment.FindStringSubmatch(comment)
	if m == nil {
		return o, false
	}
	var errPID, errSince error
	o.host, o.nonce = m[1], m[3]
	o.pid, errPID = strconv.Atoi(m[2])
	o.since, errSince = time.Parse(time.RFC3339, m[4])
	return o, errPID == nil && errSince == nil
}

// gone says whether the owner cannot be at work any more: no process of this host has its number, or it is too long ago.
func (o lockOwner) gone(host string) bool {
	if time.Since(o.since) > lockStale {
		return true
	}
	if o.host != host {
		return false
	}
	p, err := os.FindProcess(o.pid)
	return err == nil && errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// lockHolder is the comment of the lock; empty: it has just been released.
func (s *Sink) lockHolder(ctx context.Context) (string, error) {
	var holder string
	err := s.db.QueryRow(ctx, "SELECT any(comment) FROM system.tables WHERE database = ? AND name = ?",
		s.config.ClickHouse.Database, lockTable).Scan(&holder)
	if err != nil {
		return "", fmt.Errorf("sink: reading who holds the migration lock: %w", err)
	}
	return holder, nil
}

// unlockMigrations drops the lock if holder still has it. It must work after the caller's context has ended.
func (s *Sink) unlockMigrations(holder string) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	if now, err := s.lockHolder(ctx); err != nil || now != holder {
		return
	}
	if err := s.db.Exec(ctx, "DROP TABLE IF EXISTS "+quote(s.config.ClickHouse.Database)+"."+lockTable+" SYNC"); err != nil {
		s.log.Warn("the migration lock was not released; it is taken over when it is old", "error", err, "after", lockStale)
	}
}

// execIn runs a statement whose tables are those of the database. The files name no database, because its name is
// configured.
func (s *Sink) execIn(ctx context.Context, statement string) error {
	conn, err := openIn(s.config.ClickHouse)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Exec(ctx, statement)
}

func exceptionCode(err error) int32 {
	if exception := (*proto.Exception)(nil); errors.As(err, &exception) {
		return exception.Code
	}
	return 0
}

// literal makes a text of SQL.
func literal(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `\'`) + "'"
}

// splitStatements cuts SQL at the semicolons outside of texts, identifiers and comments, and drops the comments between
// statements: some servers take a statement that begins with one for an empty one.
func splitStatements(sql string) ([]string, error) {
	var all []string
	var b strings.Builder
	flush := func() {
		if s := strings.TrimSpace(b.String()); s != "" {
			all = append(all, s)
		}
		b.Reset()
	}
	for i := 0; i < len(sql); {
		switch c := sql[i]; {
		case c == ';':
			flush()
			i++
		case strings.HasPrefix(sql[i:], "--"):
			end := strings.IndexByte(sql[i:], '\n')
			if end < 0 {
				end = len(sql) - i
			}
			i += end
		case strings.HasPrefix(sql[i:], "/*"):
			end := strings.Index(sql[i:], "*/")
			if end < 0 {
				return nil, errors.New("a comment /* does not end")
			}
			i += end + 2
		case c == '\'' || c == '"' || c == '`':
			end := i + 1
			for end < len(sql) && sql[end] != c {
				if sql[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(sql) {
				return nil, fmt.Errorf("a %c at byte %d does not end", c, i)
			}
			b.WriteString(sql[i : end+1])
			i = end + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	flush()
	return all, nil
}
