package masterdata

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"crossdock/avro/event"
	"crossdock/connectors"
	"crossdock/topology/topics"
)

// A row is one item or site as the file has it: columns by name, texts trimmed.
type row struct {
	values map[string]string
	line   int // of the file, from 1; in JSON the ordinal of the element
	at     int64
	raw    []byte
	doc    *connectors.Document
	kind   string // document type
	// The first thing that is wrong.
	problem *connectors.Problem
}

func (r *row) fail(cause connectors.Cause, column, remedy, format string, args ...any) {
	if r.problem != nil {
		return
	}
	r.problem = &connectors.Problem{Cause: cause, Detail: fmt.Sprintf(format, args...), Remedy: remedy, DocType: r.kind, Bytes: r.raw,
		Position: connectors.Position{Line: r.line, Name: column, Byte: r.at}}
}

func (r *row) text(column string) string { return r.values[column] }

func (r *row) must(column string) string {
	t := r.values[column]
	if t == "" {
		r.fail(connectors.MissingValue, column, "give it", "%s is mandatory and empty", column)
	}
	return t
}

func some(t string) event.Optional[string] {
	if t == "" {
		return event.Optional[string]{}
	}
	return event.Some(t)
}

// list splits "a;b" and leaves out what is empty.
func (r *row) list(column string) []string {
	var l []string
	for _, t := range strings.Split(r.values[column], ";") {
		if t = strings.TrimSpace(t); t != "" {
			l = append(l, t)
		}
	}
	return l
}

// truth reads yes and no as people and programs write them.
func (r *row) truth(column string, empty bool) bool {
	switch strings.ToLower(r.values[column]) {
	case "":
		return empty
	case "true", "yes", "y", "1", "x":
		return true
	case "false", "no", "n", "0":
		return false
	}
	r.fail(connectors.BadCode, column, "write true or false", "%s is %q", column, r.values[column])
	return false
}

func (r *row) version() int64 {
	t := r.values["version"]
	if t == "" {
		return int64(r.doc.ReceivedAt)
	}
	v, err := strconv.ParseInt(t, 10, 64)
	if err != nil || v < 0 {
		r.fail(connectors.BadCode, "version", "write a whole number that only rises, or leave it out", "version is %q", t)
	}
	return v
}

func (r *row) header(id, site string, version int64) event.EventHeader {
	v := strconv.FormatInt(version, 10)
	return event.EventHeader{
		EventID:       r.doc.EventID(strconv.Itoa(r.line)),
		DedupeKey:     string(topics.Key(nil, r.doc.System(), r.doc.Settings.Partner, r.kind, id, "", v)),
		CorrelationID: id,
		SourceSystem:  r.doc.System(),
		SourceDocType: r.kind,
		SourceDocID:   id,
		SourceLine:    event.Some(strconv.Itoa(r.line)),
		SourceVersion: event.Some(v),
		EventTime:     r.doc.ReceivedAt,
		IngestTime:    r.doc.ReceivedAt,
		Site:          site,
		RawRef:        some(r.doc.RawRef),
	}
}

// item makes an ItemMaster; nil where the row has a problem.
func (r *row) item() *event.ItemMaster {
	version := r.version()
	e := &event.ItemMaster{
		SKU:           r.must("sku"),
		Version:       version,
		GTIN:          some(r.gtin("gtin", r.text("gtin"))),
		BaseUOM:       r.must("base_uom"),
		LotTracked:    r.truth("lot_tracked", false),
		SerialProfile: some(r.text("serial_profile")),
		Status:        r.text("status"),
		Sites:         r.list("sites"),
	}
	e.Integral = r.truth("integral", !measured(e.BaseUOM))
	if e.Status == "" {
		e.Status = "ACTIVE"
	}
	for _, column := range sortedColumns(r.values) {
		if language, ok := strings.CutPrefix(column, "description"); ok && r.text(column) != "" {
			if language = strings.TrimPrefix(language, "_"); language == "" {
				language = "en"
			}
			e.Descriptions = append(e.Descriptions, event.LocalText{Language: language, Text: r.text(column)})
		}
	}
	if t := r.text("shelf_life_days"); t != "" {
		days, err := strconv.ParseInt(t, 10, 32)
		if err != nil || days < 0 {
			r.fail(connectors.BadCode, "shelf_life_days", "write a whole number of days", "shelf_life_days is %q", t)
		}
		e.ShelfLifeDays = event.Some(int32(days))
	}
	for _, a := range r.list("aliases") {
		system, code := cutAlias(a)
		e.Aliases = append(e.Aliases, event.ItemAlias{System: system, Code: code})
	}
	e.UOMs = r.units(e.BaseUOM)
	e.Header = r.header(e.SKU, "", version)
	if r.problem != nil {
		return nil
	}
	return e
}

// cutAlias reads "system:code" or "code".
func cutAlias(a string) (system event.Optional[string], code string) {
	if s, c, ok := strings.Cut(a, ":"); ok && s != "" && c != "" {
		return event.Some(strings.TrimSpace(s)), strings.TrimSpace(c)
	}
	return event.Optional[string]{}, a
}

// units reads "CA=24;BAG=1/2@gtin".
func (r *row) units(base string) []event.ItemUnit {
	var units []event.ItemUnit
	seen := map[string]bool{base: true}
	for _, text := range r.list("units") {
		const form = "write units as CA=24;BAG=1/2, base units in one, optionally @GTIN"
		name, rest, ok := strings.Cut(text, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			r.fail(connectors.BadLine, "units", form, "units has %q", text)
			continue
		}
		factor, gtin, _ := strings.Cut(rest, "@")
		num, den, ok := ratio(strings.TrimSpace(factor))
		if !ok {
			r.fail(connectors.BadQuantity, "units", form, "one %s is %q %s: no positive number or fraction", name, factor, base)
			continue
		}
		if seen[name] {
			r.fail(connectors.BadLine, "units", "name each unit once, and the base unit in base_uom alone", "units has %s twice, or it is the base unit", name)
		}
		seen[name] = true
		units = append(units, event.ItemUnit{UOM: name, Num: num, Den: den, GTIN: some(r.gtin("units", strings.TrimSpace(gtin)))})
	}
	return units
}

// ratio reads "24", "0.5" or "1/3" exactly.
func ratio(text string) (num, den int64, ok bool) {
	if len(text) == 0 || len(text) > 40 || strings.ContainsAny(text, "eExXpP_ ") {
		return 0, 0, false
	}
	rat, ok := new(big.Rat).SetString(text)
	if !ok || rat.Sign() <= 0 || !rat.Num().IsInt64() || !rat.Denom().IsInt64() {
		return 0, 0, false
	}
	return rat.Num().Int64(), rat.Denom().Int64(), true
}

// gtin checks length and check digit (GS1 General Specifications 7.9).
func (r *row) gtin(column, code string) string {
	if code == "" {
		return ""
	}
	sum := 0
	for i := range len(code) {
		c := code[len(code)-1-i]
		if c < '0' || c > '9' {
			sum = -1
			break
		}
		if n := int(c - '0'); i%2 == 1 {
			sum += 3 * n
		} else {
			sum += n
		}
	}
	switch len(code) {
	case 8, 12, 13, 14:
	default:
		sum = -1
	}
	if sum < 0 || sum%10 != 0 {
		r.fail(connectors.BadCode, column, "write 8, 12, 13 or 14 digits; a spreadsheet may have rounded the number or cut its zeros", "%q is no GTIN: its length or check digit is wrong", code)
	}
	return code
}

// measured says whether a unit measures a quantity that is not counted, by the codes of UN/ECE Rec 20, X12 element 355 and
// common use.
func measured(unit string) bool {
	switch strings.ToUpper(unit) {
	case "KG", "KGM", "G", "GR", "GRM", "T", "TNE", "LB", "LBR", "OZ", "ONZ", "L", "LT", "LTR", "ML", "MLT", "GA", "GLL", "M", "MTR", "CM", "CMT",
		"FT", "FOT", "YD", "YRD", "M2", "MTK", "M3", "MTQ", "SF", "CF":
		return true
	}
	return false
}

// site makes a SiteMaster; nil where the row has a problem.
func (r *row) site() *event.SiteMaster {
	version := r.version()
	e := &event.SiteMaster{Site: r.must("site"), Version: version, Name: r.text("name"), Region: some(r.text("region")), TimeZone: r.must("time_zone")}
	if _, err := time.LoadLocation(e.TimeZone); err != nil {
		r.fail(connectors.BadCode, "time_zone", "write an IANA zone, such as Europe/Berlin", "%q is no time zone", e.TimeZone)
	}
	if t := strings.ToUpper(r.text("type")); t != "" {
		if t == "3PL" {
			t = "THIRD_PARTY"
		}
		kind, ok := event.ParseSiteType(t)
		if !ok {
			r.fail(connectors.BadCode, "type", "write DC, STORE, THIRD_PARTY or VIRTUAL", "type is %q", t)
		}
		e.Type = kind
	}
	if t := strings.ToUpper(r.text("negative_stock")); t != "" {
		policy, ok := event.ParseNegativeStock(t)
		if !ok {
			r.fail(connectors.BadCode, "negative_stock", "write ALLOW, BLOCK or CLAMP", "negative_stock is %q", t)
		}
		e.NegativeStock = policy
	}
	for _, a := range r.list("aliases") {
		system, code := cutAlias(a)
		e.Aliases = append(e.Aliases, event.SiteAlias{System: system, Code: code})
	}
	for _, o := range r.list("owners") {
		fact, system, ok := strings.Cut(o, "=")
		fact, system = strings.ToUpper(strings.TrimSpace(fact)), strings.TrimSpace(system)
		if !ok || system == "" || !knownFact(fact) {
			r.fail(connectors.BadCode, "owners", "write FACT=system with PICK, SHIP, RECEIPT, ADJUST, COUNT or ORDER", "owners has %q", o)
		}
		e.Owners = append(e.Owners, event.FactOwner{Fact: fact, System: system})
	}
	e.Header = r.header(e.Site, e.Site, version)
	if r.problem != nil {
		return nil
	}
	return e
}

func knownFact(fact string) bool {
	switch fact {
	case "PICK", "SHIP", "RECEIPT", "ADJUST", "COUNT", "ORDER":
		return true
	}
	return false
}
