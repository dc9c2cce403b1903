package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"crossdock/connectors"
)

// A FileReport says what became of one file.
type FileReport struct {
	File     string    `json:"file"`
	Parts    int       `json:"parts"`
	Bytes    int64     `json:"bytes"`
	Receipts []Receipt `json:"receipts,omitempty"` // of the first parts, up to a hundred
	Refused  []string  `json:"refused,omitempty"`  // parts that cannot enter, with cause, position and remedy; up to a hundred
	refused  int
}

// RefusedParts counts the parts that did not enter.
func (r *FileReport) RefusedParts() int { return r.refused }

func (r *FileReport) refuse(p *connectors.Problem) error {
	r.refused++
	if len(r.Refused) < receiptsShown {
		r.Refused = append(r.Refused, p.Error())
	}
	return nil
}

const receiptsShown = 100

// A Feed is one file for the raw topic of a source.
type Feed struct {
	Source      string
	ContentType string
	DocType     string // a hint; empty: by content
	Path        string
	Now         func() time.Time
	Progress    func(bytes int64) // called after each stored part with the bytes stored so far; may be nil
}

// Ingest feeds a file of any size, cut at its format's own borders into documents that a raw topic takes; memory is bounded
// by the largest of those. Parts that were stored before an error stay stored, and the report says how many: sending the
// file again is safe.
func (p *Producer) Ingest(ctx context.Context, feed Feed) (report FileReport, err error) {
	report.File = feed.Path
	f, err := os.Open(feed.Path)
	if err != nil {
		return report, fmt.Errorf("ingest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return report, fmt.Errorf("ingest: %w", err)
	case info.IsDir():
		return report, fmt.Errorf("ingest: %s is a folder; name its files", feed.Path)
	case info.Size() == 0:
		return report, fmt.Errorf("ingest: %s is empty; nothing of it was sent", feed.Path)
	}
	d := &connectors.Document{Source: feed.Source, ContentType: feed.ContentType, DocType: feed.DocType, Body: f, RawRef: feed.Path}
	put := func(part []byte) error {
		receipt, err := p.Put(ctx, Document{
			Source: feed.Source, ContentType: feed.ContentType, DocType: feed.DocType, Body: part, ReceivedAt: feed.Now(), Signature: "none-required",
		})
		if err != nil {
			return err
		}
		report.Parts++
		report.Bytes += int64(receipt.Bytes)
		if len(report.Receipts) < receiptsShown {
			report.Receipts = append(report.Receipts, receipt)
		}
		if feed.Progress != nil {
			feed.Progress(report.Bytes)
		}
		return nil
	}
	connector, problem, err := p.table.Detect(d)
	switch {
	case err != nil:
	case problem == nil && connector.Split != nil:
		err = connector.Split(d.Reader(), p.limit, put, report.refuse)
	default:
		// Without borders to cut at, or of no known form: the bytes are kept whole, and translating says what is wrong.
		err = p.whole(d, put, &report)
	}
	if err != nil {
		return report, fmt.Errorf("ingest %s, after %d parts were stored: %w", feed.Path, report.Parts, err)
	}
	return report, nil
}

func (p *Producer) whole(d *connectors.Document, put func([]byte) error, report *FileReport) error {
	body, err := io.ReadAll(io.LimitReader(d.Reader(), int64(p.limit)+1))
	if err != nil {
		return err
	}
	if len(body) > p.limit {
		return report.refuse(&connectors.Problem{
			Cause: connectors.DocumentTooLarge, Detail: fmt.Sprintf("the file is larger than %d bytes and has no borders to cut at", p.limit),
			Remedy: "send it in parts, or in a format with borders (interchanges, lines, rows)", Position: connectors.Position{Byte: int64(p.limit)}, Bytes: body[:1<<10],
		})
	}
	return put(body)
}
