// Package ingress takes documents in and puts their bytes, unchanged, on the raw topic of the source that sent them. It
// knows no format: what a document is about is told by the table of connectors, from the document's beginning.
package ingress

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/topology/topics"
)

// Headers of a raw record beside those of connectors.Accept.
const (
	HeaderTraceparent    = "traceparent" // W3C Trace Context, section 3.2
	HeaderCorrelation    = "correlation-id"
	HeaderSignature      = "signature" // verified, or none-required
	HeaderIdempotencyKey = "idempotency-key"
)

// A Document is bytes as received, and what was said around them.
type Document struct {
	Source         string
	ContentType    string
	DocType        string // a hint; empty: by content
	Body           []byte
	ReceivedAt     time.Time
	CorrelationID  string // made where the sender gave none
	Traceparent    string // made where the sender gave none
	IdempotencyKey string
	Signature      string
}

// A Receipt says where the bytes lie. Whoever has one may forget the document.
type Receipt struct {
	RawRef        string `json:"raw_ref"` // topic/partition/offset
	DocType       string `json:"document_type"`
	CorrelationID string `json:"correlation_id"`
	Bytes         int    `json:"bytes"`
}

// A TooLargeError is a document above the bound of a raw record.
type TooLargeError struct{ Bytes, Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the document has %d bytes, the limit is %d: cut it at interchange or document borders (crossdock ingest does), and send the parts", e.Bytes, e.Limit)
}

// A Producer puts documents on raw topics. It is safe for concurrent use.
type Producer struct {
	client *kgo.Client
	naming topics.Naming
	table  *connectors.Table
	limit  int
}

// NewProducer makes a producer whose records are acknowledged by all in-sync replicas, in order, once. limit is the
// largest document in bytes, 0 for topics.MaxRawMessage.
func NewProducer(naming topics.Naming, table *connectors.Table, limit int, opts ...kgo.Opt) (*Producer, error) {
	if limit <= 0 || limit > topics.MaxRawMessage {
		limit = topics.MaxRawMessage
	}
	client, err := kgo.NewClient(append(opts[:len(opts):len(opts)],
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(topics.MaxRawMessage+1<<19), // room for headers and framing
		kgo.BrokerMaxWriteBytes(100<<20),
		kgo.ProducerBatchCompression(kgo.SnappyCompression()),
		kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Java producers
	)...)
	if err != nil {
		return nil, fmt.Errorf("producer of raw documents: %w", err)
	}
	return &Producer{client: client, naming: naming, table: table, limit: limit}, nil
}

// Close lets go of the connections.
func (p *Producer) Close() { p.client.Close() }

// Ping says whether a broker answers.
func (p *Producer) Ping(ctx context.Context) error { return p.client.Ping(ctx) }

// Put stores a document and returns once all in-sync replicas have it. After an error the document may still have been
// stored; sending it again is safe, since what it says is known by its own identity downstream. What cannot enter at all is a
// *TooLargeError or a *connectors.Problem.
func (p *Producer) Put(ctx context.Context, d Document) (Receipt, error) {
	if len(d.Body) > p.limit {
		return Receipt{}, &TooLargeError{len(d.Body), p.limit}
	}
	if d.CorrelationID == "" {
		d.CorrelationID = randomHex(16)
	}
	if d.Traceparent == "" {
		d.Traceparent = "00-" + randomHex(16) + "-" + randomHex(8) + "-01"
	}
	accepted, err := p.table.Accept(&connectors.Document{
		Source: d.Source, ContentType: d.ContentType, DocType: d.DocType, Bytes: d.Body, ReceivedAt: event.MicrosOf(d.ReceivedAt),
	})
	if err != nil {
		return Receipt{}, err
	}
	record := &kgo.Record{
		Topic: p.naming.Raw(d.Source), Key: accepted.Key, Value: d.Body, Timestamp: d.ReceivedAt,
		Headers: []kgo.RecordHeader{
			{Key: HeaderTraceparent, Value: []byte(d.Traceparent)},
			{Key: HeaderCorrelation, Value: []byte(d.CorrelationID)},
			{Key: HeaderSignature, Value: []byte(d.Signature)},
		},
	}
	for _, h := range accepted.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if d.IdempotencyKey != "" {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: HeaderIdempotencyKey, Value: []byte(d.IdempotencyKey)})
	}
	if err := p.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		if errors.Is(err, kerr.MessageTooLarge) {
			return Receipt{}, fmt.Errorf("topic %s refuses %d bytes: raise its max.message.bytes (crossdock topology apply sets it): %w", record.Topic, len(d.Body), err)
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return Receipt{}, fmt.Errorf("topic %s does not exist: add the source to the configuration and run crossdock topology apply: %w", record.Topic, err)
		}
		return Receipt{}, fmt.Errorf("store on %s: %w", record.Topic, err)
	}
	return Receipt{
		RawRef:        fmt.Sprintf("%s/%d/%d", record.Topic, record.Partition, record.Offset),
		DocType:       accepted.DocType,
		CorrelationID: d.CorrelationID,
		Bytes:         len(d.Body),
	}, nil
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the process instead
	return hex.EncodeToString(b)
}
