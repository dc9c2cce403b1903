package testservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crossdock/internal/embedded/clickhouse"
	"crossdock/internal/testservices/daemon"
)

// statementTimeout bounds a statement of this package.
const statementTimeout = time.Minute

// A ClickHouseServer is where a test's ClickHouse client connects, as user default without a password.
type ClickHouseServer struct {
	HTTP string // host:port
	TCP  string // host:port of the native protocol

	database string // of Query; "": default
}

// In is the server with Query's statements running in a database.
func (s ClickHouseServer) In(database string) ClickHouseServer {
	s.database = database
	return s
}

// ClickHouse is a real engine that all tests of the machine share: $CROSSDOCK_TEST_CLICKHOUSE_HTTP and _TCP, else one that
// is started when first needed. What it lacks of a server is listed in package clickhouse.
func ClickHouse(t testing.TB) ClickHouseServer {
	t.Helper()
	skipShort(t, "the ClickHouse engine")
	if web, tcp := os.Getenv(daemon.ClickHouseHTTPEnv), os.Getenv(daemon.ClickHouseTCPEnv); web != "" && tcp != "" {
		return ClickHouseServer{HTTP: web, TCP: tcp}
	}
	a := use(t, daemon.ClickHouse).Addresses
	return ClickHouseServer{HTTP: a["http"], TCP: a["tcp"]}
}

// OwnClickHouse is an engine for this test alone, to be stopped, killed and started again.
func OwnClickHouse(t testing.TB) *clickhouse.Server {
	t.Helper()
	skipShort(t, "the ClickHouse engine")
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := clickhouse.Start(ctx, clickhouse.StartOptions{
		Command: HostCommand(t), Dir: t.TempDir(), Progress: func(s string) { t.Log(s) },
	})
	Require(t, err)
	t.Cleanup(func() {
		if err := s.Kill9(); err != nil { // its data goes with the test: there is nothing to save
			t.Error(err)
		}
	})
	return s
}

// HostCommand is a program, and its first arguments, that host the ClickHouse engine: see clickhouse.StartOptions. Tests
// use it where the crossdock binary would name itself.
func HostCommand(t testing.TB) []string {
	t.Helper()
	return []string{program(t), "clickhouse"}
}

// Statements are those of a file of SQL, given by its path within the module: "sink/migrations/0001_inventory_ledger.sql".
func Statements(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(t), filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, statement := range strings.Split(string(text), ";\n") {
		if strings.TrimSpace(statement) != "" {
			all = append(all, statement)
		}
	}
	return all
}

// Database creates a database for this test, drops it at its end and returns its name.
func (s ClickHouseServer) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + unique()
	if err := s.exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.exec("DROP DATABASE IF EXISTS " + name + " SYNC"); err != nil {
			t.Logf("drop %s: %v", name, err) // the engine may have been killed by the test
		}
	})
	return name
}

// Query runs a statement over HTTP and returns its result as tab-separated text without the last newline.
func (s ClickHouseServer) Query(t testing.TB, statement string) string {
	t.Helper()
	out, err := s.post(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return strings.TrimSuffix(out, "\n")
}

func (s ClickHouseServer) exec(statement string) error {
	_, err := s.post(statement)
	return err
}

func (s ClickHouseServer) post(statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.HTTP+"/?database="+url.QueryEscape(s.database), strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true} // an idle connection would be a goroutine that leaks
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %.500s", resp.Status, body)
	}
	return string(body), nil
}
