// Package canonical reads and writes canonical events as JSON lines: what crossdock translate prints, and what people feed
// receipts, adjustments and other facts with that no native document tells. One line is one event:
//
//	{"event":"InventoryMovement","header":{"source_doc_id":"GR-1","event_time":"2026-11-24T11:30:00Z","site":"HAM1"},
//	 "sku":"TEA","type":"RECEIPT","qty_src":"24","uom_src":"CA","to":{"bucket":"AVAILABLE"}}
//
// The form follows the Avro schemas in avro/schemas, field by field, by their names:
//
//   - event names the record; the other members are its fields.
//   - A quantity is a decimal in a string (a number literal is read too, by its digits). A time is RFC 3339 with a zone, a date
//     YYYY-MM-DD, an enum its symbol, bytes base64, a map an object of strings.
//   - What is null, or empty by default, may be left out, and is left out in printing.
//   - A header may leave out what follows from the document: event_id, dedupe_key (where there is a source_doc_id), correlation_id, source_system,
//     source_doc_type, ingest_time, raw_ref.
//   - A member that the schema does not have is an error: it may be a field that is spelt wrongly.
//
// Invariant: reading what was printed gives the same event.
package canonical

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"crossdock/avro/event"
	"crossdock/connectors"
)

const (
	docType        = "canonical/events"
	mappingVersion = 1
)

const sample = `{"event":"InventoryMovement","header":{"source_doc_id":"GR-2041","source_line":"1","event_time":"2026-11-02T07:40:00Z","site":"HAM1"},"sku":"TEA-EARL-100","type":"RECEIPT","qty_src":"40","uom_src":"CA","to":{"bucket":"AVAILABLE"}}
{"event":"InventoryMovement","header":{"source_doc_id":"ADJ-77","event_time":"2026-11-02T09:05:00+01:00","site":"HAM1"},"sku":"MUG-BLUE","type":"ADJUST","qty_src":"3","uom_src":"EA","from":{"bucket":"AVAILABLE"},"to":{"bucket":"DAMAGED"},"reason_canon":"DAMAGE"}
`

// Connector declares the family.
func Connector(c *Codec) connectors.Connector {
	var makes []string
	for _, k := range event.Kinds() {
		if input(k) {
			makes = append(makes, k.String())
		}
	}
	return connectors.Connector{
		Name:           "canonical",
		Doc:            "canonical events as JSON lines, as crossdock translate prints them",
		DocTypes:       []connectors.DocType{{Name: docType, Title: "Canonical events, one JSON object a line", Makes: makes}},
		Direction:      connectors.In,
		MappingVersion: mappingVersion,
		Sample:         sample,
		Detect:         detect,
		Translate:      c.translate,
		Split:          split,
	}
}

// detect looks for a member event at the first object's top.
func detect(head []byte) connectors.Confidence {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if t := bytes.TrimSpace(head); len(t) == 0 || t[0] != '{' {
		return connectors.No
	}
	d := json.NewDecoder(bytes.NewReader(head))
	depth, name := 0, ""
	for {
		isName := depth == 1 && name == ""
		token, err := d.Token()
		if err != nil {
			return connectors.No
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else if depth--; depth == 0 {
				return connectors.No
			}
			name = ""
		case string:
			switch {
			case isName:
				name = v
			case depth == 1 && name == "event":
				if _, ok := event.ParseKind(v); ok {
					return connectors.Certain
				}
				return connectors.Possible
			default:
				name = ""
			}
		default:
			name = ""
		}
	}
}

// split cuts at line ends.
func split(r io.Reader, limit int, emit func([]byte) error, refuse func(*connectors.Problem) error) error {
	var part []byte
	err := eachLine(r, func(number int, at int64, line []byte, tooLong bool) error {
		if tooLong || len(line)+1 > limit {
			return refuse(&connectors.Problem{Cause: connectors.TooLong, Detail: fmt.Sprintf("the line is longer than %d bytes", min(maxLine, limit)), Remedy: "write one event a line",
				Position: connectors.Position{Line: number, Byte: at}, DocType: docType, Bytes: line})
		}
		if len(part)+len(line)+1 > limit {
			if err := emit(part); err != nil {
				return err
			}
			part = part[:0]
		}
		part = append(append(part, line...), '\n')
		return nil
	})
	if err != nil || len(part) == 0 {
		return err
	}
	return emit(part)
}
