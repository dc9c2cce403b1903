package canonical

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/topology/topics"
)

// maxLine bounds one line: an order of many thousand lines fits.
const maxLine = 4 << 20

// Read reads one line. d says what the line does not: see complete. The error is a *FieldError or says that the text is no
// JSON.
func (c *Codec) Read(line []byte, d *connectors.Document, number int) (event.Record, error) {
	if !utf8.Valid(line) { // the JSON reader would put a replacement character in its place
		return nil, wrong(connectors.BadText, "", "write UTF-8 (RFC 8259)", "the line is not UTF-8")
	}
	t, err := parse(line)
	if err != nil {
		return nil, wrong(connectors.BadLine, "", "write one JSON object a line (RFC 8259)", "%v", err)
	}
	if !t.isObject() {
		return nil, wrong(connectors.BadLine, "", "write one JSON object a line (RFC 8259)", "the line is no JSON object")
	}
	name := t.text("event")
	kind, ok := event.ParseKind(name)
	if !ok || !input(kind) {
		var names []string
		for _, k := range event.Kinds() {
			if input(k) {
				names = append(names, k.String())
			}
		}
		detail := fmt.Sprintf("%q is no kind of event", name)
		if ok {
			detail = name + " is made by Crossdock alone"
		}
		return nil, wrong(connectors.BadCode, "event", fmt.Sprintf("write one of %v", names), "%s", detail)
	}
	root := c.roots[kind]
	fields := make([]member, 0, len(t.members))
	var header *tree
	for _, m := range t.members {
		switch m.name {
		case "event":
			continue
		case "header":
			header = m.value
		}
		fields = append(fields, m)
	}
	t.members = fields
	if header == nil {
		header = &tree{token: json.Delim('{')}
		t.members = append(t.members, member{"header", header})
	}
	if err := complete(kind, t, header, d, number); err != nil {
		return nil, err
	}
	raw, err := encode(nil, root, t, "")
	if err != nil {
		return nil, err
	}
	e := event.New(kind)
	if err := e.DecodeAvro(raw); err != nil {
		return nil, fmt.Errorf("canonical: %w", err)
	}
	return e, nil
}

// input says which events may come from outside. The others are the pipeline's own results.
func input(k event.Kind) bool {
	switch k {
	case event.KindItemMaster, event.KindSiteMaster, event.KindInventoryMovement, event.KindInventorySnapshot, event.KindInventoryPolicy,
		event.KindOrderRelease, event.KindInboundNotice, event.KindShipmentMilestone, event.KindReturnEvent, event.KindLogisticsException:
		return true
	}
	return false
}

// complete adds what a line may leave out because it follows from the document: who said it, when it was received, what
// makes it the same happening. A line that Crossdock has printed has all of it and stays as it is.
func complete(k event.Kind, t, header *tree, d *connectors.Document, number int) error {
	place := d.EventID(strconv.Itoa(number))
	received := d.ReceivedAt.String()
	own := header.get("event_id") == nil // else the line is whole: what it leaves out is null
	header.set("event_id", place)
	header.set("source_system", d.System())
	header.set("source_doc_type", "CANONICAL/"+k.String())
	header.set("ingest_time", received)
	if own {
		header.set("raw_ref", d.RawRef)
	}
	if d.Settings.Site != "" && k != event.KindItemMaster && k != event.KindSiteMaster {
		header.set("site", d.Settings.Site)
	}
	switch k {
	case event.KindItemMaster, event.KindSiteMaster:
		// Master data is a state: its name and version tell it, and it holds from when it is known.
		t.set("version", json.Number(strconv.FormatInt(int64(d.ReceivedAt), 10)))
		header.set("event_time", received)
		header.set("site", "")
		id := t.text("sku")
		if k == event.KindSiteMaster {
			id = t.text("site")
		}
		header.set("source_doc_id", id)
		if own {
			header.set("source_version", numberText(t, "version"))
		}
	case event.KindInventoryMovement:
		t.set("qty_delta", "0")
		t.set("uom_src", "")
	case event.KindOrderRelease, event.KindReturnEvent, event.KindInboundNotice:
		if lines := t.get("lines"); lines != nil {
			for _, l := range lines.items {
				if k == event.KindInboundNotice {
					l.set("planned_qty", "0")
				} else {
					l.set("qty", "0")
				}
				l.set("uom_src", "")
			}
		}
	case event.KindInventorySnapshot:
		if balances := t.get("balances"); balances != nil {
			for _, l := range balances.items {
				l.set("qty", "0")
				l.set("uom_src", "")
			}
		}
	}
	if header.text("dedupe_key") == "" {
		id := header.text("source_doc_id")
		if id == "" {
			return wrong(connectors.MissingValue, "header.source_doc_id", "give source_doc_id (with source_line where a document has several), or dedupe_key",
				"nothing says what makes this the same happening when it is sent again")
		}
		header.set("dedupe_key", string(topics.Key(nil, header.text("source_system"), d.Settings.Partner, header.text("source_doc_type"), id, header.text("source_line"), header.text("source_version"))))
	}
	header.set("source_doc_id", header.text("dedupe_key"))
	header.set("correlation_id", header.text("source_doc_id"))
	return nil
}

// numberText is a member as it was written, number or text.
func numberText(t *tree, name string) string {
	if v := t.get(name); v != nil {
		if n, ok := v.token.(json.Number); ok {
			return string(n)
		}
	}
	return t.text(name)
}

// translate reads JSON lines. A line that is wrong is a problem with its number, the others are events.
func (c *Codec) translate(ctx context.Context, d *connectors.Document, out connectors.Sink) error {
	return eachLine(d.Reader(), func(number int, at int64, line []byte, tooLong bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &connectors.Problem{Position: connectors.Position{Line: number, Byte: at}, Bytes: line, DocType: docType}
		if tooLong {
			p.Cause, p.Detail, p.Remedy = connectors.TooLong, fmt.Sprintf("the line is longer than %d bytes", maxLine), "write one event a line"
			return out.Problem(p)
		}
		e, err := c.Read(line, d, number)
		var f *FieldError
		switch {
		case err == nil:
			return out.Event(e)
		case errors.As(err, &f):
			p.Cause, p.Detail, p.Remedy, p.Position.Name = f.Cause, f.Detail, f.Remedy, f.Field
		default:
			p.Cause, p.Detail, p.Remedy = connectors.BadLine, err.Error(), "write the line as crossdock translate prints it"
		}
		return out.Problem(p)
	})
}

// eachLine calls f for every line that is not blank, without its end. A line past maxLine is cut.
func eachLine(r io.Reader, f func(number int, at int64, line []byte, tooLong bool) error) error {
	var line []byte
	buf := make([]byte, 64<<10)
	number, tooLong := 1, false
	at, start := int64(0), int64(0)
	flush := func() error {
		text := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
		long, n, from := tooLong, number, start
		line, tooLong = line[:0], false
		if len(text) == 0 {
			return nil
		}
		return f(n, from, text, long)
	}
	for {
		n, err := r.Read(buf)
		for chunk := buf[:n]; len(chunk) > 0; {
			i := bytes.IndexByte(chunk, '\n')
			piece := chunk
			if i >= 0 {
				piece = chunk[:i]
			}
			room := max(0, maxLine-len(line))
			tooLong = tooLong || len(piece) > room
			line = append(line, piece[:min(len(piece), room)]...)
			at += int64(len(piece))
			if i < 0 {
				break
			}
			if err := flush(); err != nil {
				return err
			}
			at++
			number++
			start = at
			chunk = chunk[i+1:]
		}
		switch {
		case err == io.EOF:
			return flush()
		case err != nil:
			return fmt.Errorf("canonical: reading line %d: %w", number, err)
		}
	}
}
