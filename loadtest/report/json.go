package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// The names of a report and of its page in a run's folder.
const (
	JSONName = "report.json"
	HTMLName = "report.html"
)

// most is the largest document that is read, in bytes. 600 slices, five hops and forty rows make under 2 MB.
const most = 256 << 20

// WriteJSON writes the document in one piece: nothing, where it cannot be encoded. Format is set.
func (r *Report) WriteJSON(w io.Writer) error {
	if err := r.finite(); err != nil {
		return err
	}
	document := *r
	document.Format = Format
	return writeJSON(w, &document)
}

func writeJSON(w io.Writer, document any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Read reads a document. A field that this version does not know is passed over: fields may be added within a format.
func Read(r io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	switch {
	case len(text) > most:
		return nil, fmt.Errorf("report: the document is over %s long; no load test writes such a report", size(most))
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("report: the document is empty")
	}
	// What it is comes first: a foreign document would fail on some field that tells nothing.
	var head struct {
		Format *int            `json:"format"`
		Run    *string         `json:"run"`
		Began  json.RawMessage `json:"began"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, unreadable(text, err)
	}
	switch {
	case head.Format == nil || head.Run == nil || head.Began == nil:
		return nil, errors.New("report: the document is JSON, but no load test's report: it lacks format, run or began; a run's report is its " + JSONName)
	case *head.Format > Format:
		return nil, fmt.Errorf("report: the document has format %d, and this program knows formats up to %d; read it with the crossdock that wrote it, or a newer one", *head.Format, Format)
	case *head.Format < 1:
		return nil, fmt.Errorf("report: the document has format %d, and formats begin at 1", *head.Format)
	}
	var document Report
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, unreadable(text, err)
	}
	return &document, nil
}

// ReadFile reads the document at path, or that of the run whose folder path is.
func ReadFile(path string) (*Report, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, JSONName)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: there is no %s; name a run's folder, or its %s", path, JSONName)
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	document, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return document, nil
}

// unreadable says why a text is no JSON document, in words.
func unreadable(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch first := bytes.TrimSpace(text)[0]; {
	case errors.As(err, &kind) && kind.Field == "":
		return fmt.Errorf("report: the document holds a JSON %s where a report is an object", kind.Value)
	case errors.As(err, &kind):
		return fmt.Errorf("report: field %s holds a %s, not a %s; the file was changed by hand or by another program", kind.Field, kind.Value, kind.Type)
	case first != '{':
		return errors.New("report: the document is no JSON; a run's report is its " + JSONName + " (the page cannot be read back)")
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(bytes.TrimRight(text, " \t\r\n"))):
		return fmt.Errorf("report: the document ends after %s bytes in the middle: it is cut off; copy it again from where it was written", count(int64(len(text))))
	case errors.As(err, &syntax):
		return fmt.Errorf("report: byte %s: %w", count(syntax.Offset), err)
	}
	return fmt.Errorf("report: %w", err)
}

// finite reports every figure that is no number: JSON cannot hold one, and it was never measured.
func (r *Report) finite() error {
	var all []error
	check := func(v float64, format string, args ...any) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			all = append(all, fmt.Errorf("report: %s is %v, which is no figure", fmt.Sprintf(format, args...), v))
		}
	}
	check(r.Sent.Seconds, "sent.seconds")
	check(r.Tool.CPUSeconds, "tool.cpu_seconds")
	for i, s := range r.Slices {
		check(s.At, "slices[%d].at_s", i)
		check(s.Seconds, "slices[%d].seconds", i)
	}
	for _, h := range r.Hops {
		check(h.Share, "hop %s's share", h.Name)
		for i, p := range h.Quantiles {
			check(p.Quantile, "hop %s's quantiles[%d].q", h.Name, i)
		}
	}
	for _, p := range r.Processes {
		check(p.CPUSeconds, "process %s's cpu_seconds", p.Name)
		check(p.CPUSecondsPerMillion, "process %s's cpu_seconds_per_million", p.Name)
		for i, s := range p.Samples {
			check(s.At, "process %s's samples[%d].at_s", p.Name, i)
			check(s.CPUSeconds, "process %s's samples[%d].cpu_seconds", p.Name, i)
		}
	}
	if r.Commits != nil {
		for i, edge := range r.Commits.Edges {
			check(edge, "commits.duration_edges_s[%d]", i)
		}
		for _, s := range r.Commits.Stages {
			check(s.Records, "stage %s's records_per_commit", s.Stage)
		}
	}
	for i, o := range r.Outages {
		check(o.At, "outages[%d].at_s", i)
		check(o.Seconds, "outages[%d].seconds", i)
	}
	if r.Verdict != nil {
		check(r.Verdict.Seconds, "verdict.seconds")
	}
	for i, a := range r.Search {
		check(a.Rate, "search[%d].rate", i)
	}
	return errors.Join(all...)
}
