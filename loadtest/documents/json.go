package documents

import (
	"strconv"
	"time"

	"crossdock/avro/event"
)

// A jsonText writes canonical events as JSON lines, by the field names of the Avro schemas. What is absent is left out.
type jsonText struct {
	b []byte
	// second is the text of a second, kept as long as it lasts.
	second int64
	text   [19]byte
}

// name begins a member.
func (t *jsonText) name(name string) {
	if c := t.b[len(t.b)-1]; c != '{' && c != '[' {
		t.b = append(t.b, ',')
	}
	t.b = append(append(append(t.b, '"'), name...), '"', ':')
}

// value writes a JSON string (RFC 8259, section 7).
func (t *jsonText) value(s string) {
	const hex = "0123456789abcdef"
	t.b = append(t.b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			t.b = append(t.b, '\\', c)
		case c < ' ':
			t.b = append(t.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			t.b = append(t.b, c)
		}
	}
	t.b = append(t.b, '"')
}

func (t *jsonText) string(name, s string) {
	t.name(name)
	t.value(s)
}

func (t *jsonText) optional(name string, s event.Optional[string]) {
	if s.Valid {
		t.string(name, s.Value)
	}
}

func (t *jsonText) number(name string, n int64) {
	t.name(name)
	t.b = strconv.AppendInt(t.b, n, 10)
}

func (t *jsonText) bool(name string, v bool) {
	t.name(name)
	if v {
		t.b = append(t.b, "true"...)
	} else {
		t.b = append(t.b, "false"...)
	}
}

func (t *jsonText) quantity(name string, q event.Quantity) {
	t.name(name)
	t.b = append(q.Append(append(t.b, '"')), '"')
}

// time writes a time to the microsecond.
func (t *jsonText) time(name string, at event.Micros) {
	t.name(name)
	second, micros := int64(at)/1_000_000, int64(at)%1_000_000
	if second != t.second || t.text[0] == 0 {
		t.second = second
		time.Unix(second, 0).UTC().AppendFormat(t.text[:0], "2006-01-02T15:04:05")
	}
	t.b = append(append(append(t.b, '"'), t.text[:]...), '.')
	t.b = appendDigits(t.b, micros, 6)
	t.b = append(t.b, 'Z', '"')
}

func (t *jsonText) optionalTime(name string, at event.Optional[event.Micros]) {
	if at.Valid {
		t.time(name, at.Value)
	}
}

func appendDigits(b []byte, n int64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for n > 0 || len(digits)-i < width {
		i--
		digits[i] = '0' + byte(n%10)
		n /= 10
	}
	return append(b, digits[i:]...)
}

func (t *jsonText) begin(kind string) {
	t.b = append(append(append(t.b, `{"event":"`...), kind...), '"')
}

func (t *jsonText) open(name string) { t.name(name); t.b = append(t.b, '{') }
func (t *jsonText) close()           { t.b = append(t.b, '}') }
func (t *jsonText) list(name string) { t.name(name); t.b = append(t.b, '[') }
func (t *jsonText) end()             { t.b = append(t.b, ']') }
func (t *jsonText) item()            { t.comma(); t.b = append(t.b, '{') }
func (t *jsonText) comma() {
	if t.b[len(t.b)-1] != '[' {
		t.b = append(t.b, ',')
	}
}

// header writes what every event carries. document is the number of the document that it is in; identified says that it names
// itself: its document and its dedupe key.
func (t *jsonText) header(h *event.EventHeader, document string, identified bool) {
	t.open("header")
	t.string("event_id", h.EventID)
	if identified {
		t.string("dedupe_key", h.DedupeKey)
	}
	t.string("correlation_id", h.CorrelationID)
	t.string("source_system", h.SourceSystem)
	t.string("source_doc_type", h.SourceDocType)
	if identified {
		t.string("source_doc_id", document)
	}
	t.optional("source_line", h.SourceLine)
	if h.SourceSeq.Valid {
		t.number("source_seq", h.SourceSeq.Value)
	}
	t.optional("source_version", h.SourceVersion)
	t.time("event_time", h.EventTime)
	t.optionalTime("captured_time", h.CapturedTime)
	t.time("ingest_time", h.IngestTime)
	t.string("site", h.Site)
	if len(h.Ext) > 0 {
		t.open("ext")
		for _, p := range h.Ext {
			t.string(p.Key, p.Value)
		}
		t.close()
	}
	t.close()
}

func (t *jsonText) place(name string, p event.Optional[event.Place]) {
	if !p.Valid {
		return
	}
	t.open(name)
	t.string("bucket", p.Value.Bucket.String())
	t.optional("location", p.Value.Location)
	t.optional("lpn", p.Value.LPN)
	t.close()
}

// movement writes a movement under a name that need not be its own.
func (t *jsonText) movement(name string, m *event.InventoryMovement, document string, identified bool) {
	t.begin(name)
	t.header(&m.Header, document, identified)
	t.string("sku", m.SKU)
	t.string("type", m.Type.String())
	t.quantity("qty_src", m.QtySrc)
	t.string("uom_src", m.UOMSrc)
	t.place("from", m.From)
	t.place("to", m.To)
	t.optional("lot", m.Lot)
	t.optional("reason_src", m.ReasonSrc)
	t.optional("reason_canon", m.ReasonCanon)
	if r := &m.Ref; r.Valid {
		t.open("ref")
		t.optional("order", r.Value.Order)
		t.optional("line", r.Value.Line)
		t.optional("shipment", r.Value.Shipment)
		t.close()
	}
	t.close()
}

// record writes an event that is no movement and no order. ok is false for a kind that a load does not have.
func (t *jsonText) record(r event.Record, document string) (ok bool) {
	switch e := r.(type) {
	case *event.ShipmentMilestone:
		t.begin(e.Kind().String())
		t.header(&e.Header, document, true)
		t.string("shipment", e.Shipment)
		t.optional("order", e.Order)
		t.string("status_canon", e.StatusCanon)
		t.string("status_src", e.StatusSrc)
		t.optional("tracking_no", e.TrackingNo)
		t.optional("location", e.Location)
		t.optionalTime("eta_to", e.ETATo)
	case *event.InventorySnapshot:
		t.begin(e.Kind().String())
		t.header(&e.Header, document, true)
		t.string("sku", e.SKU)
		t.string("report_id", e.ReportID)
		t.time("as_of", e.AsOf)
		if e.SeqCutoff.Valid {
			t.number("seq_cutoff", e.SeqCutoff.Value)
		}
		t.string("basis", e.Basis.String())
		t.number("page", int64(e.Page))
		t.number("page_count", int64(e.PageCount))
		t.list("balances")
		for i := range e.Balances {
			b := &e.Balances[i]
			t.item()
			t.string("bucket", b.Bucket.String())
			t.quantity("qty_src", b.QtySrc)
			t.string("uom_src", b.UOMSrc)
			t.close()
		}
		t.end()
	case *event.ItemMaster:
		t.begin(e.Kind().String())
		t.header(&e.Header, document, true)
		t.itemMaster(e)
	default:
		return false
	}
	t.close()
	return true
}

func (t *jsonText) itemMaster(m *event.ItemMaster) {
	t.string("sku", m.SKU)
	t.number("version", m.Version)
	t.optional("gtin", m.GTIN)
	t.list("aliases")
	for i := range m.Aliases {
		t.item()
		t.optional("system", m.Aliases[i].System)
		t.string("code", m.Aliases[i].Code)
		t.close()
	}
	t.end()
	t.list("descriptions")
	for i := range m.Descriptions {
		t.item()
		t.string("language", m.Descriptions[i].Language)
		t.string("text", m.Descriptions[i].Text)
		t.close()
	}
	t.end()
	t.string("base_uom", m.BaseUOM)
	t.bool("integral", m.Integral)
	t.list("uoms")
	for i := range m.UOMs {
		u := &m.UOMs[i]
		t.item()
		t.string("uom", u.UOM)
		t.number("num", u.Num)
		t.number("den", u.Den)
		t.optional("gtin", u.GTIN)
		t.close()
	}
	t.end()
	t.bool("lot_tracked", m.LotTracked)
	t.string("status", m.Status)
}
