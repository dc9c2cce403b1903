package ingress_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/connectors"
	"crossdock/connectors/ingress"
	"crossdock/topology/topics"
)

var naming = topics.Naming{Prefix: "t."}

func producer(t *testing.T) (*ingress.Producer, []string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, naming.Raw("acme")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	p, err := ingress.NewProducer(naming, table(t), 0, kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, cluster.ListenAddrs()
}

func TestBytesAreStoredUnchangedWithWhatWasSaidAroundThem(t *testing.T) {
	p, brokers := producer(t)
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	body := []byte("LA\x00\xff\r\n")
	receipt, err := p.Put(t.Context(), ingress.Document{Source: "acme", ContentType: "application/edi-x12", Body: body, ReceivedAt: at, CorrelationID: "c-1", Signature: "verified"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(naming.Raw("acme")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := client.PollRecords(t.Context(), 1).Records()[0]
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	if !bytes.Equal(r.Value, body) || string(r.Key) != "LA" || !r.Timestamp.Equal(at) {
		t.Errorf("%q under %q at %v", r.Value, r.Key, r.Timestamp)
	}
	for name, want := range map[string]string{"correlation-id": "c-1", "source": "acme", "content-type": "application/edi-x12", "doc-type": "TEST", "received-time": "2026-05-04T03:02:01.000000Z", "signature": "verified"} {
		if headers[name] != want {
			t.Errorf("header %s is %q, want %q", name, headers[name], want)
		}
	}
	if len(headers["traceparent"]) != 55 {
		t.Errorf("traceparent %q", headers["traceparent"])
	}
	if !strings.HasPrefix(receipt.RawRef, "t.raw.acme/") {
		t.Errorf("%+v", receipt)
	}
}

func TestADocumentAboveTheBoundIsRefusedWithTheRemedy(t *testing.T) {
	p, _ := producer(t)
	_, err := p.Put(t.Context(), ingress.Document{Source: "acme", Body: make([]byte, topics.MaxRawMessage+1)})
	var tooLarge *ingress.TooLargeError
	if !errors.As(err, &tooLarge) || !strings.Contains(err.Error(), "cut it at interchange") {
		t.Fatal(err)
	}
}

// table has one family: texts that begin with "L", cut at newlines.
func table(t *testing.T) *connectors.Table {
	t.Helper()
	made, err := connectors.NewTable(connectors.Connector{
		Name: "lines", Doc: "lines", Sample: "L", MappingVersion: 1, Split: lines,
		DocTypes: []connectors.DocType{{Name: "TEST"}},
		Detect: func(head []byte) connectors.Confidence {
			if head[0] == 'L' {
				return connectors.Certain
			}
			return connectors.No
		},
		Peek: func(head []byte) (connectors.Peek, bool) {
			return connectors.Peek{Key: head[:2], DocType: "TEST"}, true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// lines cuts at newlines.
func lines(r io.Reader, _ int, emit func([]byte) error, _ func(*connectors.Problem) error) error {
	all, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for part := range bytes.Lines(all) {
		if err := emit(part); err != nil {
			return err
		}
	}
	return nil
}

func TestAFileIsFedInPartsAndTheReportCountsThem(t *testing.T) {
	p, _ := producer(t)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("Lone\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := p.Ingest(t.Context(), ingress.Feed{Source: "acme", Path: path, Now: time.Now})
	if err != nil || report.Parts != 3 || report.Bytes != 15 || len(report.Receipts) != 3 {
		t.Fatalf("%+v %v", report, err)
	}
}

func TestFilesThatCannotBeFedSaySo(t *testing.T) {
	p, _ := producer(t)
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: "is empty", dir: "is a folder", filepath.Join(dir, "none"): "no such file"} {
		if _, err := p.Ingest(t.Context(), ingress.Feed{Source: "acme", Path: path, Now: time.Now}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAFileOfNoKnownFormIsKeptWholeForTranslatingToSayWhatIsWrong(t *testing.T) {
	p, _ := producer(t)
	path := filepath.Join(t.TempDir(), "scan.bin")
	if err := os.WriteFile(path, []byte{0, 1, 2}, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := p.Ingest(t.Context(), ingress.Feed{Source: "acme", Path: path, Now: time.Now})
	if err != nil || report.Parts != 1 || report.Bytes != 3 {
		t.Fatalf("%+v %v", report, err)
	}
}

func TestAFileOf200MBWithoutBordersIsRefusedWithoutReadingItWhole(t *testing.T) {
	p, _ := producer(t)
	path := filepath.Join(t.TempDir(), "huge")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(200 << 20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := p.Ingest(t.Context(), ingress.Feed{Source: "acme", Path: path, Now: time.Now})
	if err != nil || report.Parts != 0 || report.RefusedParts() != 1 || !strings.Contains(report.Refused[0], "send it in parts") {
		t.Fatalf("%+v %v", report, err)
	}
}
