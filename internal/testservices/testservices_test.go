package testservices_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"crossdock/internal/embedded/artifact"
	"crossdock/internal/testservices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBothBrokersCarryRecords(t *testing.T) {
	testservices.Brokers(t, func(t *testing.T, c testservices.Cluster) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		topic := c.Prefix + "scans"
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, 3, 1, nil, topic); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(ctx, kgo.KeySliceRecord([]byte("k"), []byte("v")), kgo.KeySliceRecord([]byte("k"), []byte("w"))).FirstErr(); err == nil {
			t.Fatal("a record without a topic was taken")
		}
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		fs := cl.PollRecords(ctx, 1)
		if err := fs.Err(); err != nil || fs.NumRecords() != 1 {
			t.Fatalf("%d records, %v", fs.NumRecords(), err)
		}
	})
}

func TestEveryTestHasItsOwnDatabase(t *testing.T) {
	ch := testservices.ClickHouse(t)
	a, b := ch.Database(t), ch.Database(t)
	ch.Query(t, "CREATE TABLE "+a+".moves (sku String, qty Int64) ENGINE = MergeTree ORDER BY sku")
	ch.Query(t, "INSERT INTO "+a+".moves VALUES ('A', 2), ('B', 3)")
	if got := ch.Query(t, "SELECT sum(qty) FROM "+a+".moves"); got != "5" {
		t.Errorf("sum %q", got)
	}
	if got := ch.Query(t, "SELECT count() FROM system.tables WHERE database = '"+b+"'"); got != "0" {
		t.Errorf("%s tables in another test's database", got)
	}
}

func TestRegistryAnswers(t *testing.T) {
	url := testservices.Registry(t)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(get(t, url+"/subjects"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(string(b), "[") {
		t.Errorf("%s %q %v", resp.Status, b, err)
	}
}

func get(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skipf(f string, _ ...any)  { r.skipped = f }
func (r *recorder) Fatalf(f string, _ ...any) { r.failed = f }
func (r *recorder) Fatal(...any)              { r.failed = "fatal" }

func TestMissingServiceSkipsAndFailsWhereRequired(t *testing.T) {
	missing := &artifact.Unavailable{What: "Kafka", Why: "no Java", Remedy: "Install it"}
	for _, c := range []struct {
		require      string
		err          error
		skips, fails bool
	}{
		{"", nil, false, false},
		{"", missing, true, false},
		{"1", missing, false, true},
		{"", errors.New("the broker crashed"), false, true},
	} {
		t.Setenv(testservices.RequireEnv, c.require)
		r := &recorder{TB: t}
		testservices.Require(r, c.err)
		if (r.skipped != "") != c.skips || (r.failed != "") != c.fails {
			t.Errorf("required %q, error %v: skipped %q, failed %q", c.require, c.err, r.skipped, r.failed)
		}
	}
}

func TestPrefixesNeverMeetAndSuitKafka(t *testing.T) {
	t.Run("weird/näme with everything, and long enough to be cut somewhere in the middle", func(t *testing.T) {
		a, b := testservices.Prefix(t), testservices.Prefix(t)
		if a == b || len(a) > 60 || strings.Trim(a, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
			t.Errorf("%q, %q", a, b)
		}
	})
}

func TestSamplesLieBesideTheModule(t *testing.T) {
	if _, err := os.Stat(testservices.Samples(t)); err != nil {
		t.Error(err)
	}
}
