package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	host "crossdock/internal/embedded/clickhouse"
	"crossdock/internal/testservices"
)

// TestConfirmedBatchesSurviveKill9 ends the engine with SIGKILL between and during batches.
func TestConfirmedBatchesSurviveKill9(t *testing.T) {
	s := testservices.OwnClickHouse(t)
	ctx := t.Context()
	db := dial(t, s.TCP(), clickhouse.Native, clickhouse.CompressionLZ4, "default")
	if err := db.Exec(ctx, "CREATE TABLE t (k UInt64, s String) ENGINE = MergeTree ORDER BY k SETTINGS fsync_after_insert = 1"); err != nil {
		t.Fatal(err)
	}
	confirmed := uint64(0)
	for round := range 3 {
		batches := make(chan struct{}, 1000)
		killed := make(chan error, 1)
		go func() { // somewhere within the batch after so many
			for range 5 + 3*round {
				<-batches
			}
			killed <- s.Kill9()
		}()
		for {
			b, err := db.PrepareBatch(ctx, "INSERT INTO t")
			if err != nil {
				break
			}
			for i := range 1000 {
				err = errors.Join(err, b.Append(confirmed+uint64(i), "row"))
			}
			if err != nil || b.Send() != nil {
				break
			}
			confirmed += 1000
			batches <- struct{}{}
		}
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
		var n, distinct uint64
		if err := db.QueryRow(ctx, "SELECT count(), uniqExact(k) FROM t").Scan(&n, &distinct); err != nil {
			t.Fatal(err)
		}
		if n < confirmed || n > confirmed+1000 || n != distinct {
			t.Errorf("round %d: confirmed %d, found %d (%d distinct)", round, confirmed, n, distinct)
		}
		confirmed = n
	}
}

// TestABatchIsWholeOrAbsentAmongRoughClients has clients that vanish, cancel and talk nonsense beside clients that work.
func TestABatchIsWholeOrAbsentAmongRoughClients(t *testing.T) {
	s := testservices.ClickHouse(t)
	ctx, name := t.Context(), s.Database(t)
	db := dial(t, s.TCP, clickhouse.Native, clickhouse.CompressionLZ4, name)
	if err := db.Exec(ctx, "CREATE TABLE r (k UInt64, s String) ENGINE = MergeTree ORDER BY k"); err != nil {
		t.Fatal(err)
	}
	const rows, batches, clients = 2000, 20, 6
	var (
		wg              sync.WaitGroup
		sure, uncertain atomic.Uint64
	)
	for w := range clients {
		db := dial(t, s.TCP, clickhouse.Native, clickhouse.CompressionLZ4, name)
		wg.Go(func() {
			for i := range batches {
				bctx, cancel := context.WithCancel(ctx)
				if i%5 == 1 { // somewhere between the first byte and the answer
					time.AfterFunc(time.Duration(w*i)*50*time.Microsecond, cancel)
				}
				b, err := db.PrepareBatch(bctx, "INSERT INTO r")
				if err != nil {
					cancel()
					continue
				}
				for k := range rows {
					_ = b.Append(uint64(w*1e9+i*1e5+k), "some text that is not too short") // Send tells
				}
				switch {
				case i%5 == 2:
					_ = b.Abort()
				case i%5 == 3:
					_ = b.Flush() // the rows are on their way, the end is not
					_ = b.Close()
					uncertain.Add(rows)
				case b.Send() == nil:
					sure.Add(rows)
				default:
					uncertain.Add(rows)
				}
				cancel()
				talkNonsense(s.TCP, byte(i))
			}
		})
	}
	wg.Wait()
	settled(t, s, name) // batches in flight when their client left
	var n, distinct, partial uint64
	if err := db.QueryRow(ctx, "SELECT count(), uniqExact(k) FROM r").Scan(&n, &distinct); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow(ctx, "SELECT count() FROM (SELECT intDiv(k, 100000) AS b, count() AS c FROM r GROUP BY b HAVING c != 2000)").Scan(&partial); err != nil {
		t.Fatal(err)
	}
	t.Logf("sure %d, uncertain %d, found %d", sure.Load(), uncertain.Load(), n)
	if n < sure.Load() || n > sure.Load()+uncertain.Load() || n != distinct || partial != 0 {
		t.Errorf("confirmed %d (+%d uncertain), found %d, %d distinct, %d partial batches", sure.Load(), uncertain.Load(), n, distinct, partial)
	}
}

func talkNonsense(addr string, seed byte) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	_, _ = c.Write([]byte{seed, 3, 'a', 'b', 'c', 0xff, 0xff, 0xff, 0xff, 0x0f})
	_ = c.Close()
}

// settled returns when no INSERT into the database runs.
func settled(t *testing.T, s testservices.ClickHouseServer, name string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for s.Query(t, "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND current_database = '"+name+"'") != "0" {
		if time.Now().After(deadline) {
			t.Fatal("an INSERT whose client has left still runs after 20 s")
		}
	}
}

func TestAStoppedServerComesBackOnItsAddressesWithItsData(t *testing.T) {
	s := testservices.OwnClickHouse(t)
	at := testservices.ClickHouseServer{HTTP: s.HTTP(), TCP: s.TCP()}
	at.Query(t, "CREATE TABLE default.kept (x UInt8) ENGINE = MergeTree ORDER BY x")
	at.Query(t, "INSERT INTO default.kept VALUES (1), (2)")
	pid := s.Pid()
	if err := s.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if s.Pid() != 0 {
		t.Error("a stopped server has a process id")
	}
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if s.HTTP() != at.HTTP || s.TCP() != at.TCP || s.Pid() == pid {
		t.Errorf("came back as %s, pid %d; was http %s, native %s, pid %d", s, s.Pid(), at.HTTP, at.TCP, pid)
	}
	if got := at.Query(t, "SELECT sum(x) FROM default.kept"); got != "3" {
		t.Errorf("data after the restart: %q", got)
	}
}

func TestOnlyTheNamedUserIsLetIn(t *testing.T) {
	testservices.OwnClickHouse(t) // skips where the engine cannot be had
	s, err := host.Start(t.Context(), host.StartOptions{
		Command: testservices.HostCommand(t), Dir: t.TempDir(), User: "sink", Password: "s3cret",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Kill9(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		user, password string
		in             bool
	}{{"sink", "s3cret", true}, {"sink", "wrong", false}, {"", "", false}} {
		for protocol, addr := range map[clickhouse.Protocol]string{clickhouse.Native: s.TCP(), clickhouse.HTTP: s.HTTP()} {
			db, err := clickhouse.Open(&clickhouse.Options{
				Addr: []string{addr}, Protocol: protocol, Auth: clickhouse.Auth{Username: c.user, Password: c.password},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Ping(t.Context())
			if protocol == clickhouse.HTTP && err == nil { // its ping is not authenticated, on a server neither
				err = db.Exec(t.Context(), "SELECT 1")
			}
			if (err == nil) != c.in || !c.in && !strings.Contains(fmt.Sprint(err), "516") {
				t.Errorf("%v as %q: %v", protocol, c.user, err)
			}
			_ = db.Close()
		}
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	running := testservices.OwnClickHouse(t)
	_, err := host.Start(t.Context(), host.StartOptions{
		Command: testservices.HostCommand(t), Dir: t.TempDir(), HTTP: running.HTTP(),
	})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("on a port that is taken: %v", err)
	}
	if _, err := host.Start(t.Context(), host.StartOptions{Dir: t.TempDir()}); err == nil {
		t.Error("started without a command")
	}
}
