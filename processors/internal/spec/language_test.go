package spec

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/processors"
	"crossdock/processors/internal/fake"
	"crossdock/processors/translate"
	"crossdock/topology/topics"
)

// words are the words of a line; what is in it by name follows what is in it by place.
type words []string

// after returns the word after a name.
func (w words) after(name string) (string, bool) {
	for i := range w {
		if w[i] == name && i+1 < len(w) {
			return w[i+1], true
		}
	}
	return "", false
}

// all returns the words after each mention of a name.
func (w words) all(name string) (found []string) {
	for i := range w {
		if w[i] == name && i+1 < len(w) {
			found = append(found, w[i+1])
		}
	}
	return found
}

func (w words) has(name string) bool {
	for i := range w {
		if w[i] == name {
			return true
		}
	}
	return false
}

func (w words) optional(name string) event.Optional[string] {
	v, ok := w.after(name)
	return event.Optional[string]{Value: v, Valid: ok}
}

// clock is a time of the day in question.
func clock(s string) event.Micros {
	t, err := time.Parse("15:04", s)
	if err != nil {
		panic(err)
	}
	return event.MicrosOf(time.Date(2025, 11, 24, t.Hour(), t.Minute(), 0, 0, time.UTC))
}

func quantity(s string) event.Quantity {
	q, err := event.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}

// item reads "TEA-01 in EA, whole only, CA = 12, PAL = 1000/3, GTIN 40..., GTIN of CA 14..., alias EG100 of vendor-a, by lot,
// blocked".
func (w *warehouse) item(line string) {
	sku, rest, _ := strings.Cut(line, " in ")
	e := &event.ItemMaster{SKU: sku, Status: "ACTIVE"}
	w.versions[sku]++
	e.Version = w.versions[sku]
	for i, part := range strings.Split(rest, ", ") {
		f := words(strings.Fields(part))
		switch {
		case i == 0:
			e.BaseUOM = part
		case part == "whole only":
			e.Integral = true
		case part == "by lot":
			e.LotTracked = true
		case part == "blocked":
			e.Status = "BLOCKED"
		case f[0] == "GTIN" && len(f) == 2:
			e.GTIN = event.Some(f[1])
		case f[0] == "GTIN":
			for k := range e.UOMs {
				if e.UOMs[k].UOM == f[2] {
					e.UOMs[k].GTIN = event.Some(f[3])
				}
			}
		case f[0] == "alias":
			e.Aliases = append(e.Aliases, event.ItemAlias{Code: f[1], System: f.optional("of")})
		case len(f) == 3 && f[1] == "=":
			num, den, fraction := strings.Cut(f[2], "/")
			u := event.ItemUnit{UOM: f[0], Den: 1}
			u.Num, _ = strconv.ParseInt(num, 10, 64)
			if fraction {
				u.Den, _ = strconv.ParseInt(den, 10, 64)
			}
			e.UOMs = append(e.UOMs, u)
		default:
			w.t.Fatalf("item: %q", part)
		}
	}
	if _, err := w.tables.ApplyItem(e); err != nil {
		w.say("left out   %v", err)
	}
}

// site reads "DC1, 1000 of sap, LYON, PICK owned by wms".
func (w *warehouse) site(line string) {
	parts := strings.Split(line, ", ")
	e := &event.SiteMaster{Site: parts[0]}
	w.versions["site "+e.Site]++
	e.Version = w.versions["site "+e.Site]
	for _, part := range parts[1:] {
		f := words(strings.Fields(part))
		if f.has("owned") {
			system, _ := f.after("by")
			e.Owners = append(e.Owners, event.FactOwner{Fact: f[0], System: system})
			continue
		}
		e.Aliases = append(e.Aliases, event.SiteAlias{Code: f[0], System: f.optional("of")})
	}
	if _, err := w.tables.ApplySite(e); err != nil {
		w.t.Fatal(err)
	}
}

// movement reads "10:00 receipt 3 CA TEA-01 at DC1 by wms id R1", and then, where it is said: from, to, lot, expires,
// reason, pair, order, after, envelope. "-" is no unit.
func (w *warehouse) movement(line string) *event.InventoryMovement {
	f := words(strings.Fields(line))
	if len(f) < 5 {
		w.t.Fatalf("scan: %q", line)
	}
	m := &event.InventoryMovement{QtySrc: quantity(f[2]), SKU: f[4]}
	var ok bool
	if m.Type, ok = event.ParseMovementType(strings.ToUpper(f[1])); !ok {
		w.t.Fatalf("scan: no movement type %q", f[1])
	}
	if f[3] != "-" {
		m.UOMSrc = f[3]
	}
	h := &m.Header
	h.EventTime = clock(f[0])
	h.Site, _ = f.after("at")
	h.SourceSystem, _ = f.after("by")
	id, _ := f.after("id")
	h.EventID = id
	if id != "" {
		h.DedupeKey = h.SourceSystem + "/" + id
	}
	if e, ok := f.after("envelope"); ok {
		h.EventID += "/" + e
	}
	h.SourceDocType, h.SourceDocID = "SCAN", id
	m.From, m.To = w.place(f, "from"), w.place(f, "to")
	m.Lot, m.ReasonCanon, m.PairID = f.optional("lot"), f.optional("reason"), f.optional("pair")
	if s, ok := f.after("expires"); ok {
		day, err := time.Parse(time.DateOnly, s)
		if err != nil {
			w.t.Fatal(err)
		}
		m.Expiry = event.Some(event.Date(day.Unix() / 86400))
	}
	if s, ok := f.after("after"); ok {
		m.AfterQty = event.Some(quantity(s))
	}
	if order := f.optional("order"); order.Valid {
		m.Ref = event.Some(event.Reference{Order: order})
	}
	return m
}

func (w *warehouse) place(f words, name string) event.Optional[event.Place] {
	s, ok := f.after(name)
	if !ok || s == "outside" {
		return event.Optional[event.Place]{}
	}
	b, ok := event.ParseBucket(s)
	if !ok {
		w.t.Fatalf("no bucket %q", s)
	}
	return event.Some(event.Place{Bucket: b})
}

// policy reads "TEA-01 at DC1 version 2 keep back 5".
func (w *warehouse) policy(line string) fake.Output {
	f := words(strings.Fields(line))
	site, _ := f.after("at")
	version, _ := f.after("version")
	keep, _ := f.after("back")
	e := &event.InventoryPolicy{SKU: f[0], SafetyStock: quantity(keep)}
	e.Version, _ = strconv.ParseInt(version, 10, 64)
	e.Header = event.EventHeader{EventID: "policy-" + version, DedupeKey: "policy-" + version, Site: site}
	return fake.Output{To: topics.InventoryInbox, Key: topics.Key(nil, f[0], site), Value: w.enrich.Serde.Append(nil, e)}
}

// slips is a translator of delivery slips, a format of these files alone: one document of lines, an order or an advice that
// something was shipped. It makes of them what a connector makes of a 940 and a 945.
type slips struct{}

func (slips) Translate(d *translate.Document, out translate.Sink) error {
	var header words
	for n, line := range strings.Split(strings.TrimSpace(string(d.Bytes)), "\n") {
		f := words(strings.Fields(line))
		var events []event.Record
		id := func(part string) event.EventHeader {
			number, _ := header.after("number")
			site, _ := header.after("at")
			return event.EventHeader{EventID: d.RawRef + "#" + part, DedupeKey: d.Source + "/" + number + "/" + part, SourceSystem: d.Source,
				SourceDocType: "SLIP", SourceDocID: number, EventTime: d.ReceivedAt, IngestTime: d.ReceivedAt, Site: site, RawRef: event.Some(d.RawRef)}
		}
		switch f[0] {
		case "order":
			header = f
			o := &event.OrderRelease{Header: id("order")}
			o.Order, _ = f.after("number")
			o.ShipFrom = o.Header.Site
			for i, l := range f.all("line") {
				p := strings.Split(l, "*")
				o.Lines = append(o.Lines, event.OrderLine{Line: fmt.Sprint(i + 1), QtySrc: quantity(p[0]), UOMSrc: p[1], SKU: p[2]})
			}
			events = append(events, o)
		case "shipped":
			header = f
			m := &event.ShipmentMilestone{Header: id("shipped"), StatusCanon: "SHIPPED", Order: f.optional("order")}
			m.Shipment, _ = f.after("number")
			events = append(events, m)
		case "line": // line 1 8 of 10 EA TEA-01
			shipped, err := event.ParseQuantity(f[2])
			if err != nil {
				if err := out.Problem(&translate.Problem{Cause: "BAD_QUANTITY", Detail: err.Error(), Position: fmt.Sprintf("line %d", n+1), Remedy: "ask the sender", Bytes: []byte(line)}); err != nil {
					return err
				}
				continue
			}
			ordered := quantity(f[4])
			order := header.optional("order")
			events = append(events, &event.InventoryMovement{Header: id(f[1]), Type: event.MovementTypeShip, SKU: f[6], QtySrc: shipped, UOMSrc: f[5],
				From: event.Some(event.Place{Bucket: event.BucketAvailable}), Ref: event.Some(event.Reference{Order: order})})
			if shipped < ordered {
				x := &event.LogisticsException{Header: id(f[1] + "/short"), Version: 1, Class: "SHORT_SHIPMENT", Severity: event.SeverityWarning,
					Stage: translate.Stage, Reference: order.Value, SKU: event.Some(f[6]), Remedy: "ask the warehouse whether the rest will follow",
					Detail: fmt.Sprintf("order %s, line %s, item %s: %s %s ordered, %s shipped", order.Value, f[1], f[6], ordered, f[5], shipped)}
				x.ExceptionID = x.Header.DedupeKey
				events = append(events, x)
			}
		default:
			return processors.Rejectf("UNKNOWN_DOCUMENT", "send a slip", "no slip starts with %q", f[0])
		}
		for _, e := range events {
			if err := out.Event(e); err != nil {
				return err
			}
		}
	}
	return nil
}
