package ingress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// A Split cuts a stream of any size at document borders and hands on each part, at most limit bytes long. Its memory is
// bounded by limit, whatever the stream's size.
type Split func(r io.Reader, limit int, emit func(part []byte) error) error

// A FileReport says what became of one file.
type FileReport struct {
	File     string    `json:"file"`
	Parts    int       `json:"parts"`
	Bytes    int64     `json:"bytes"`
	Receipts []Receipt `json:"receipts,omitempty"` // of the first parts, up to a hundred
}

const receiptsShown = 100

// Ingest feeds a file to the raw topic of a source, cut at document borders. Parts that were stored before an error stay
// stored, and the report says how many: sending the file again is safe.
func (p *Producer) Ingest(ctx context.Context, source, contentType, path string, split Split, now func() time.Time) (report FileReport, err error) {
	report.File = path
	f, err := os.Open(path)
	if err != nil {
		return report, fmt.Errorf("ingest: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil {
		return report, fmt.Errorf("ingest: %w", err)
	} else if info.IsDir() {
		return report, fmt.Errorf("ingest: %s is a folder; name its files", path)
	} else if info.Size() == 0 {
		return report, fmt.Errorf("ingest: %s is empty; nothing was sent", path)
	}
	err = split(f, p.limit, func(part []byte) error {
		receipt, err := p.Put(ctx, Document{Source: source, ContentType: contentType, Body: part, ReceivedAt: now(), Signature: "none-required"})
		if err != nil {
			return err
		}
		report.Parts++
		report.Bytes += int64(receipt.Bytes)
		if len(report.Receipts) < receiptsShown {
			report.Receipts = append(report.Receipts, receipt)
		}
		return nil
	})
	if err != nil {
		return report, fmt.Errorf("ingest %s, after %d parts were stored: %w", path, report.Parts, err)
	}
	return report, nil
}
