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
	peek := func(_, _ string, body []byte) ([]byte, string) { return body[:1], "TEST" }
	p, err := ingress.NewProducer(naming, peek, 0, kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, cluster.ListenAddrs()
}

func TestBytesAreStoredUnchangedWithWhatWasSaidAroundThem(t *testing.T) {
	p, brokers := producer(t)
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	body := []byte("ISA\x00\xff\r\n")
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
	if !bytes.Equal(r.Value, body) || string(r.Key) != "I" || !r.Timestamp.Equal(at) {
		t.Errorf("%q under %q at %v", r.Value, r.Key, r.Timestamp)
	}
	for name, want := range map[string]string{"correlation-id": "c-1", "source": "acme", "content-type": "application/edi-x12", "doc-type": "TEST", "received-at": "2026-05-04T03:02:01Z", "signature": "verified"} {
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

// lines cuts at newlines.
func lines(r io.Reader, _ int, emit func([]byte) error) error {
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
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := p.Ingest(t.Context(), "acme", "", path, lines, time.Now)
	if err != nil || report.Parts != 3 || report.Bytes != 14 || len(report.Receipts) != 3 {
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
		if _, err := p.Ingest(t.Context(), "acme", "", path, lines, time.Now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
